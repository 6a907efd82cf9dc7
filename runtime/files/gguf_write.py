"""GGUF v3: writing, atomic and one tensor at a time. Knows no models: keys, names and blocks are given.

Format: see runtime/files/gguf.py. What this writes, that reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from native_kernels.qtypes import QTYPES

from . import limits
from .atomic import atomic_write
from .gguf import DEFAULT_ALIGNMENT, MAGIC
from .gguf_metadata import SCALARS

_NUMBER_OF = {dtype: number for number, (_, dtype) in SCALARS.items()}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class GgufTensor:
    """A tensor to write. shape: rows first. data(): its bytes in GGUF order, in pieces; called once, when due."""

    name: str
    type: str
    shape: tuple[int, ...]
    data: Callable[[], Iterable[np.ndarray]]

    @property
    def nbytes(self) -> int:
        """Bytes of the data. ValueError where rows are no multiple of the type's block."""
        rows = 1
        for d in self.shape[:-1]:
            rows *= d
        return rows * QTYPES[self.type].row_bytes(self.shape[-1])


def write_gguf(
    path: str | os.PathLike,
    metadata: Mapping[str, object],
    tensors: Sequence[GgufTensor],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the file; under `path` stands either what was there before or the complete new file.

    metadata values: str, bool, int (u32, or i64/u64 where it does not fit), float (f32), numpy scalars and arrays (of
    their own type), lists of str. progress(bytes written, bytes in all) is called after each piece. Raises ValueError
    for what the format cannot hold, and if a tensor's pieces do not give exactly its bytes.
    """
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    head = [MAGIC, _pack("<u4", 3), _pack("<u8", len(tensors)), _pack("<u8", len(metadata))]
    for key, value in metadata.items():
        if not key or len(key.encode()) > limits.METADATA_KEY:
            raise ValueError(f"{key[:60]!r} cannot be a metadata key")
        head += [_string(key), *_value(key, value)]
    offset = 0
    for tensor in tensors:
        if not 1 <= len(tensor.shape) <= limits.GGUF_DIMS or min(tensor.shape) < 1:
            raise ValueError(f"tensor {tensor.name!r}: GGUF cannot hold the shape {tensor.shape}")
        if not tensor.name or len(tensor.name.encode()) > 63:  # ggml keeps names in 64 bytes
            raise ValueError(f"{tensor.name!r} is too long for the name of a GGUF tensor")
        head += [_string(tensor.name), _pack("<u4", len(tensor.shape))]
        head += [_pack("<u8", d) for d in reversed(tensor.shape)]
        head += [_pack("<u4", QTYPES[tensor.type].number), _pack("<u8", offset)]
        offset += _padded(tensor.nbytes, alignment)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise ValueError("two tensors have the same name")
    header = b"".join(head)
    written = 0
    with atomic_write(path) as file:
        file.write(header + b"\0" * (_padded(len(header), alignment) - len(header)))
        for tensor in tensors:
            size, expected = 0, tensor.nbytes
            for piece in tensor.data():
                piece = np.ascontiguousarray(piece).reshape(-1).view(np.uint8)
                size += piece.size
                file.write(piece.data)
                written += piece.size
                if progress:
                    progress(written, offset)
            if size != expected:
                raise ValueError(f"tensor {tensor.name!r} gave {size} bytes, {expected} belong to its type and shape")
            file.write(b"\0" * (_padded(size, alignment) - size))
            written += _padded(size, alignment) - size


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _pack(dtype: str, value) -> bytes:
    return np.array(value, dtype).tobytes()


def _string(text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    if len(raw) > limits.STRING:
        raise ValueError(f"a string of {len(raw)} bytes is longer than the {limits.STRING} that readers accept")
    return _pack("<u8", len(raw)) + raw


def _value(key: str, value: object) -> list[bytes]:
    """Type number and bytes of a metadata value."""
    if isinstance(value, (str, bytes)):
        return [_pack("<u4", _STRING), _string(value)]
    if isinstance(value, (list, tuple)) and all(isinstance(item, (str, bytes)) for item in value):
        head = [_pack("<u4", _ARRAY), _pack("<u4", _STRING), _pack("<u8", len(value))]
        return head + [_string(item) for item in value]
    if isinstance(value, bool):
        array = np.array(value)
    elif isinstance(value, int):
        array = np.array(value, "<u4" if 0 <= value < 1 << 32 else "<u8" if value >= 1 << 63 else "<i8")
    elif type(value) is float:  # np.float64 is a float too
        array = np.array(value, "<f4")
    else:
        array = np.asarray(value)
    number = _NUMBER_OF.get(array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype)
    if number is None or array.ndim > 1:
        raise ValueError(f"metadata {key!r}: GGUF has no type for {type(value).__name__}")
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
    if array.ndim == 0:
        return [_pack("<u4", number), raw]
    return [_pack("<u4", _ARRAY), _pack("<u4", number), _pack("<u8", len(array)), raw]
