"""RawPart: one adapted module as it lies in an adapter's file, before it is fitted to a model. Knows no formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RawPart:
    """module: its name in the model's own files, without .weight. a (r, in), b (out, r), scale to be multiplied.

    Of token embeddings (embedding=True): a (r, V), b (d, r). magnitude: DoRA's, float32 (out,), or None.
    """

    module: str
    a: np.ndarray
    b: np.ndarray
    scale: float
    magnitude: np.ndarray | None = None
    embedding: bool = False


@dataclass(frozen=True)
class RawAdapter:
    """parts: what it changes. same: (module, its whole weight as the file repeats it, read when called)."""

    path: str
    parts: list[RawPart]
    same: list[tuple[str, Callable[[], np.ndarray]]]
    architecture: str | None = None  # llama.cpp's name, where the modules have llama.cpp's names
