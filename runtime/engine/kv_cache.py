"""Cache: the keys and values of one sequence, of every layer, in the storage type it was made with. Knows no ids.

Layout: keys and values are uint8 (layers, key/value heads, capacity, row bytes): head-major, so that one head of one
layer is contiguous, as native_kernels/src/plan.h reads it. A row is the values of one head at one position.
"""

from __future__ import annotations

import numpy as np

import native_kernels as nk


def fitting_type(kv_type: str, head_dim: int) -> str:
    """The storage type itself, or "f16" instead of "q8_0" where heads are no multiple of a Q8_0 block."""
    return "f16" if kv_type == "q8_0" and head_dim % 32 else kv_type


class Cache:
    """kv_type: storage type. capacity: positions that fit. nbytes: of keys and values together.

    Its pages are touched only as positions are used.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, capacity: int, kv_type: str = "f32") -> None:
        self.kv_type, self.capacity, self.head_dim = kv_type, capacity, head_dim
        shape = (layers, kv_heads, capacity, nk.kv_bytes(kv_type, 1, 1, head_dim))
        self.keys, self.values = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Writable views of positions begin .. end of keys and values: (layers, kv_heads, end - begin, row bytes)."""
        if not 0 <= begin <= end <= self.capacity:
            raise ValueError(f"positions {begin} to {end} of a cache for {self.capacity}")
        return self.keys[:, :, begin:end], self.values[:, :, begin:end]

    def copy(self, n_positions: int, capacity: int | None = None, into: Cache | None = None) -> Cache:
        """A new cache with the first n_positions of this one: a fork, or the same sequence with another capacity.

        into: a cache of that capacity which nobody needs any more, whose memory is used.
        """
        layers, kv_heads, _, _ = self.keys.shape
        other = into or Cache(layers, kv_heads, self.head_dim, capacity or self.capacity, self.kv_type)
        for mine, theirs in zip(self.rows(0, n_positions), other.rows(0, n_positions), strict=True):
            theirs[...] = mine
        return other
