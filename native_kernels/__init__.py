"""Arithmetic on numpy arrays by own kernels: matrix products, norms, attention, losses, the optimiser.

Knows pointers, shapes and threads, no models. reference.py says in plain numpy what every function computes.

Environment, read once at import:
    HEARTH_ISA      instruction set to use instead of the best one (generic, avx2, avx512, avx512_vnni, neon,
                    neon_dotprod); ImportError if it is unknown or above what the CPU has
    HEARTH_THREADS  number of threads, 1 .. 256; default: the cores that this process may use
"""

import os
from pathlib import Path

try:
    from . import _native
except ImportError as error:
    folder = Path(__file__).parent
    if any(file.suffix in (".so", ".pyd") for file in folder.glob("_native*")):
        raise  # it is there and cannot be loaded: the message says why
    raise ImportError(
        f"{folder} holds sources that were not compiled; `pip install .` compiles them, and `python -P` takes what was "
        "installed instead of the folder that one stands in"
    ) from error
from ._native import *  # noqa: F403
from ._native import _select


def _default_threads():
    text = os.environ.get("HEARTH_THREADS")
    if text:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
            raise ImportError(f"HEARTH_THREADS={text!r}: expected a number from 1 to 256")
        return int(text)
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        usable = os.cpu_count() or 1
    return min(max(usable, 1), 256)


try:
    _select(os.environ.get("HEARTH_ISA") or None)
except ValueError as error:
    raise ImportError(f"HEARTH_ISA={os.environ['HEARTH_ISA']!r}: {error}") from None
_native.set_threads(_default_threads())
