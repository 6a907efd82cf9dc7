"""WeightStore: turns named weights into the buffers that a plan reads, each stored as the asked precision says.

Knows names, shapes and storage types; no layers and no operations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import native_kernels as nk
from native_kernels.plan import Matrix, PlanBuilder

PRECISIONS = ("f32", "q8_0")
_QUANT_BLOCK = 32


class WeightStore:
    """weights: canonical name -> float32 array or StoredTensor. Matrices keep their rows: (out, in)."""

    def __init__(self, weights: Mapping[str, object], precision: str) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self._weights, self._precision = weights, precision
        self._made: dict[tuple[str, ...], Matrix] = {}
        self._builder: PlanBuilder | None = None

    def attach(self, builder: PlanBuilder) -> None:
        """The plan whose buffers the matrices become."""
        self._builder = builder

    def _float32(self, name: str) -> np.ndarray:
        weight = self._weights[name]
        return np.asarray(weight.float32() if hasattr(weight, "float32") else weight, dtype=np.float32)

    def vector(self, name: str) -> np.ndarray:
        """A norm's weight, a bias or a table of positions, float32 and flat."""
        return np.ascontiguousarray(self._float32(name)).reshape(-1)

    def table(self, name: str, tied: bool) -> Matrix:
        """Rows to look up; tied: the same matrix is multiplied with, too."""
        matrix = np.ascontiguousarray(self._float32(name))
        return Matrix(self._builder.constant(matrix), *matrix.shape)

    def stack(self, parts: list[list[str]]) -> Matrix:
        """A matrix for each list of names, all of the same shape and type, one behind the other in one buffer."""
        wholes = [np.concatenate([self._float32(name) for name in names]) for names in parts]
        rows, columns = wholes[0].shape
        return Matrix(self._builder.constant(np.stack(wholes)), rows, columns)

    def matrix(self, *names: str) -> Matrix:
        """The matrices `names`, one below the other, as one to multiply with."""
        if names not in self._made:
            parts = [self._float32(name) for name in names]
            whole = np.ascontiguousarray(np.concatenate(parts) if len(parts) > 1 else parts[0])
            rows, columns = whole.shape
            if self._precision == "q8_0" and columns % _QUANT_BLOCK == 0:
                packed = nk.q8_0_pack(nk.q8_0_quantize(whole), columns)
                self._made[names] = Matrix(self._builder.constant(packed), rows, columns, 8, True)
            else:
                self._made[names] = Matrix(self._builder.constant(whole), rows, columns)
        return self._made[names]
