"""TensorEntries: the tensors of one validated file by name; what an entry says beyond a shape is its format's."""

from __future__ import annotations

import os

from .errors import FormatError
from .reader import shown


class TensorEntries:
    """entries: name -> tuple whose first item is the storage type's name and whose second is the shape (rows first)."""

    def __init__(self, path: str | os.PathLike, entries: dict[str, tuple], data_start: int) -> None:
        self.path = os.fspath(path)
        self.data_start = data_start
        self._entries = entries

    def files(self) -> list[tuple[str, int]]:
        """[(path, bytes before the tensor data)]"""
        return [(self.path, self.data_start)]

    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def _entry(self, name: str) -> tuple:
        try:
            return self._entries[name]
        except KeyError:
            raise FormatError("missing_tensor", self.path, None, f"there is no tensor {shown(name)}") from None

    def type(self, name: str) -> str:
        """Name of the storage type, also of one that is not supported: "F32", "Q4_K", "IQ2_XXS", ..."""
        return self._entry(name)[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as numpy has it: rows first."""
        return self._entry(name)[1]
