"""Weights of a model behind one interface, whatever file they lie in: `open_weights` for a folder or a GGUF.

A tensor is given as it is stored (type, shape, bytes viewed in the mapped file) or exactly as float32. Knows no model:
names are those of the file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import native_kernels as nk
from native_kernels.qtypes import QTYPES

from . import limits
from .entries import TensorFiles
from .errors import FormatError
from .gguf import GgufFile, read_gguf
from .reader import shown
from .safetensors import SafetensorsFile, ShardedSafetensors, read_safetensors, read_weights

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf\Z", re.DOTALL)


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as stored. type: a name of native_kernels.qtypes. shape: rows first. data: flat read-only uint8."""

    name: str
    type: str
    shape: tuple[int, ...]
    data: np.ndarray

    def float32(self) -> np.ndarray:
        """C-contiguous float32 of `shape`, exact: a view where the data is aligned float32, else a new array."""
        if self.type == "F32":
            return np.require(self.data.view("<f4").reshape(self.shape), np.float32, ["C", "A"])
        k = self.shape[-1] if self.shape else 1
        n = self.data.size // QTYPES[self.type].row_bytes(k) if self.data.size else 0
        return nk.dequantize(self.type, self.data, n, k).reshape(self.shape)


class WeightFile(TensorFiles):
    """Tensors of one model, by the names of its files. metadata: of a GGUF, or the strings of a safetensors header."""

    def __init__(self, path: str | os.PathLike, files: list[GgufFile] | list[SafetensorsFile | ShardedSafetensors]):
        super().__init__(path, files, {name: file for file in files for name in file.names()})
        self.metadata = files[0].metadata
        self.is_gguf = isinstance(files[0], GgufFile)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def nbytes(self, name: str) -> int:
        """Bytes as stored."""
        return self._place(name)[2]

    def tensor(self, name: str) -> StoredTensor:
        """As stored, without reading it. FormatError("unsupported_type") for types this engine cannot multiply with."""
        file = self._find(name)
        kind, shape = file.type(name), file.shape(name)
        if kind == "F64":
            with np.errstate(over="ignore", under="ignore"):
                values = np.ascontiguousarray(self._array(name), "<f4")
            return StoredTensor(name, "F32", shape, _flat(values))
        if kind not in QTYPES:
            raise FormatError(
                "unsupported_type",
                file.path,
                None,
                f"tensor {shown(name)} is stored as {kind}, which is not supported; "
                f"supported are {', '.join(QTYPES)}: take a file in one of these",
            )
        buffer, start, size = self._place(name)
        data = np.frombuffer(buffer, np.uint8, size, start) if size else np.zeros(0, np.uint8)
        data.flags.writeable = False
        return StoredTensor(name, kind, shape, data)

    def float32(self, name: str) -> np.ndarray:
        """Exactly, as C-contiguous float32 (see StoredTensor.float32)."""
        return self.tensor(name).float32()

    def release(self, name: str) -> None:
        """Let go of the memory that reading this tensor has taken; its pages are read again if they are needed."""
        buffer, start, size = self._place(name)
        if size and isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            with contextlib.suppress(OSError, ValueError):  # advice: nothing depends on it
                buffer.madvise(mmap.MADV_DONTNEED, first, start + size - first)

    def _array(self, name: str) -> np.ndarray:
        file = self._find(name)
        if isinstance(file, GgufFile):
            buffer, start, size = self._place(name)
            return np.frombuffer(buffer, "<f8", size // 8, start).reshape(file.shape(name))
        return file.array(name)

    def _place(self, name: str) -> tuple[object, int, int]:
        """(mapped file, first byte, bytes)."""
        file = self._find(name)
        if isinstance(file, GgufFile):
            return (file.buffer, *file.span(name))
        return file.place(name)


def _flat(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1).view(np.uint8)
    flat.flags.writeable = False
    return flat


def open_weights(path: str | os.PathLike) -> WeightFile:
    """Weights of a folder with safetensors, of one .safetensors file, or of a .gguf (all parts of a split one).

    Every file is validated before anything is viewed. Raises FormatError, FileNotFoundError.
    """
    path = Path(path)
    if path.is_dir():
        return WeightFile(path, [read_weights(path)])
    if path.suffix == ".safetensors":
        return WeightFile(path, [read_safetensors(path)])
    if path.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt"):
        raise FormatError("pickle", path, None, "pickled weights can run code and are not read; convert to safetensors")
    first = read_gguf(path)
    return WeightFile(path, _all_parts(first, path))


def _all_parts(file: GgufFile, path: Path) -> list[GgufFile]:
    """All parts of a split GGUF, found by their file names beside the one given; [file] of a whole one."""
    count = file.metadata.integer("split.count", 0, high=limits.SHARDS)
    if count <= 1:
        return [file]
    match = _SHARD.match(path.name)
    if not match or int(match[3]) != count:
        raise FormatError(
            "split", path, None, f"is one of {count} parts and must keep a name like model-00001-of-{count:05}.gguf"
        )
    parts, names = [], set()
    for number in range(count):
        beside = path.with_name(f"{match[1]}-{number + 1:05}-of-{count:05}.gguf")
        if not beside.is_file():
            raise FormatError("missing_shard", path, None, f"part {beside.name!r} is not beside it")
        part = file if beside == path else read_gguf(beside)
        if part.metadata.integer("split.no", -1, low=-1) != number or part.metadata.integer("split.count", 0) != count:
            raise FormatError("split", beside, None, f"says itself that it is not part {number + 1} of {count}")
        twice = names.intersection(part.names())
        if twice:
            raise FormatError("duplicate_tensor", beside, None, f"{shown(min(twice))} is also in an earlier part")
        names.update(part.names())
        parts.append(part)
    total = parts[0].metadata.integer("split.tensors.count", len(names), low=-1)
    if total != len(names):
        raise FormatError("split", path, None, f"the parts hold {len(names)} tensors, split.tensors.count is {total}")
    return parts
