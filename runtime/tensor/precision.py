"""The one place that says in which precision products are computed while training: float32, or bfloat16 operands.

Values, gradients and optimiser states stay float32 everywhere (the “master” copy, Micikevicius et al. 2018); in
bfloat16 only the operands of a product are rounded, on their way into it, and its sums stay float32. bfloat16 has
float32's exponents, so no loss scaling is needed. Norms, softmax, attention and the loss are always float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

import native_kernels as nk

NAMES = ("f32", "bf16")
_name: ContextVar[str] = ContextVar("precision", default="f32")


def current() -> str:
    """Name of the precision in use: one of NAMES."""
    return _name.get()


@contextlib.contextmanager
def compute(name: str) -> Iterator[None]:
    """Within it, the products of this thread are computed in `name`: "f32" or "bf16". Raises ValueError for others."""
    if name not in NAMES:
        raise ValueError(f"precision {name!r}: known are {', '.join(NAMES)}")
    before = _name.set(name)
    try:
        yield
    finally:
        _name.reset(before)


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, **how) -> np.ndarray:
    """native_kernels.gemm of float32 matrices in the precision in use; arguments and result as there."""
    return (nk.gemm_bf16 if _name.get() == "bf16" else nk.gemm)(a, b, out, **how)
