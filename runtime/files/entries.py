"""Tensors by name: of one validated file (TensorEntries), or of several behind one name table (TensorFiles).

What an entry says beyond its storage type and shape is its format's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .errors import FormatError
from .reader import shown


class NamedTensors:
    """named: name -> what is known of the tensor."""

    def __init__(self, path: str | os.PathLike, named: dict) -> None:
        self.path = os.fspath(path)
        self._named = named

    def names(self) -> list[str]:
        return list(self._named)

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def __len__(self) -> int:
        return len(self._named)

    def _find(self, name: str):
        try:
            return self._named[name]
        except KeyError:
            raise FormatError("missing_tensor", self.path, None, f"there is no tensor {shown(name)}") from None


class TensorEntries(NamedTensors):
    """named: name -> tuple whose first item is the storage type's name and whose second is the shape (rows first)."""

    def __init__(self, path: str | os.PathLike, named: dict[str, tuple], data_start: int) -> None:
        super().__init__(path, named)
        self.data_start = data_start

    def files(self) -> list[tuple[str, int]]:
        """[(path, bytes before the tensor data)]"""
        return [(self.path, self.data_start)]

    def type(self, name: str) -> str:
        """Name of the storage type, also of one that is not supported: "F32", "Q4_K", "IQ2_XXS", ..."""
        return self._find(name)[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as numpy has it: rows first."""
        return self._find(name)[1]


class TensorFiles(NamedTensors):
    """named: name -> the one of `files` that holds the tensor and answers for it."""

    def __init__(self, path: str | os.PathLike, files: Sequence, named: dict) -> None:
        super().__init__(path, named)
        self._files = files

    def files(self) -> list[tuple[str, int]]:
        """(path, bytes before the tensor data) of every file."""
        return [part for file in self._files for part in file.files()]

    def type(self, name: str) -> str:
        """Storage type by its name, also of one that cannot be used: "F32", "Q4_K", "IQ2_XXS", "I64", ..."""
        return self._find(name).type(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as numpy has it: rows first."""
        return self._find(name).shape(name)
