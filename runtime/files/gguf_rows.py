"""Tensors on their way into a GGUF file: given row by row as they are stored somewhere, written in another type.

Works in pieces, so that no tensor has to fit in memory as float32. Knows no models.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

import native_kernels as nk
from native_kernels.qtypes import QTYPES

from .errors import FormatError
from .gguf_write import GgufTensor
from .reader import shown
from .tensors import StoredTensor

_PIECE = 1 << 23  # values that are float32 at a time


@dataclass(frozen=True)
class TensorRows:
    """One tensor to be written. shape: rows first. rows(begin, end): its rows, as stored tensors to be stacked.

    done(): called when the tensor has been read.
    """

    name: str
    shape: tuple[int, ...]
    rows: Callable[[int, int], list[StoredTensor]]
    done: Callable[[], None]

    def as_type(self, kind: str, src: str | os.PathLike) -> GgufTensor:
        """To be written as the storage type `kind`. src: named in the FormatError if a value is not finite."""
        return GgufTensor(self.name, kind, self.shape, partial(self._pieces, kind, src))

    def _pieces(self, kind: str, src: str | os.PathLike) -> Iterator[np.ndarray]:
        """Blocks of some rows at a time; rows that have the wanted type already are passed on as they are."""
        width, count = self.shape[-1], int(np.prod(self.shape[:-1], dtype=np.int64))
        step = max(1, _PIECE // width)
        for begin in range(0, count, step):
            for part in self.rows(begin, min(begin + step, count)):
                if part.type == kind:
                    yield part.data
                    continue
                try:
                    yield nk.quantize(kind, part.float32())
                except ValueError as error:
                    raise FormatError("values", src, None, f"tensor {shown(self.name)}: {error}") from None
        self.done()


def rows_of(tensor: StoredTensor, begin: int, end: int) -> list[StoredTensor]:
    """Rows begin .. end of a tensor seen as a matrix, without copying."""
    size = QTYPES[tensor.type].row_bytes(tensor.shape[-1])
    data = tensor.data[begin * size : end * size]
    return [StoredTensor(tensor.name, tensor.type, (end - begin, tensor.shape[-1]), data)]


def chosen_rows(tensor: StoredTensor, rows: np.ndarray) -> list[StoredTensor]:
    """Any rows of a tensor seen as a matrix, in the order given; without copying where they follow each other."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first == len(rows) - 1 and (np.diff(rows) == 1).all():
        return rows_of(tensor, first, last + 1)
    data = tensor.data.reshape(-1, QTYPES[tensor.type].row_bytes(tensor.shape[-1]))[rows].reshape(-1)
    return [StoredTensor(tensor.name, tensor.type, (len(rows), tensor.shape[-1]), data)]
