"""safetensors: reading (validated first, then viewed without copying) and atomic writing.

Format: 8 bytes little-endian header length N, N bytes JSON {name: {dtype, shape, data_offsets}, "__metadata__": {str:
str}}, then the data buffer, which the tensors cover exactly, without gaps or overlaps
(https://github.com/huggingface/safetensors#format). A folder may hold one model.safetensors or shards named by
model.safetensors.index.json. Knows no models: names are just names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from . import limits
from .atomic import atomic_write
from .entries import TensorEntries, TensorFiles
from .errors import FormatError
from .reader import BoundedReader, is_plain_name, parse_json, read_json

# BF16 has no numpy type: its bit patterns are carried as uint16.
DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAME_OF = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


def bf16_to_float32(bits: np.ndarray) -> np.ndarray:
    """uint16 bit patterns of bfloat16 -> float32, exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float32_to_bf16(x: np.ndarray) -> np.ndarray:
    """float32 -> uint16 bit patterns of bfloat16, rounded to nearest even; NaN stays NaN."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    bits = x.view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), ((bits >> 16) | 0x40).astype(np.uint16), rounded)


class SafetensorsFile(TensorEntries):
    """One validated file. The arrays are read-only views on the mapped file and keep it alive.

    metadata: dict str -> str ("__metadata__" of the header).
    """

    def __init__(self, path: str | os.PathLike, entries: dict, metadata: dict[str, str], buffer, data_start: int):
        super().__init__(path, entries, data_start)
        self.metadata = metadata
        self._buffer = buffer

    def dtype(self, name: str) -> str:
        """The format's name: "F32", "BF16", ..."""
        return self.type(name)

    def place(self, name: str) -> tuple[object, int, int]:
        """(mapped file, first byte, bytes) of a tensor's data."""
        _, _, start, end = self._find(name)
        return self._buffer, self.data_start + start, end - start

    def array(self, name: str) -> np.ndarray:
        """Read-only view with the stored type; BF16 comes as its uint16 bit patterns."""
        dtype, shape, start, _ = self._find(name)
        count = _count(shape)
        if count:
            view = np.frombuffer(self._buffer, DTYPES[dtype], count, self.data_start + start).reshape(shape)
        else:
            view = np.zeros(shape, DTYPES[dtype])
        view.flags.writeable = False
        return view

    def float32(self, name: str) -> np.ndarray:
        """As C-contiguous, aligned float32: a view of F32 where it is aligned, else a converted copy of F16/BF16/F64.

        Raises FormatError("dtype") for integer tensors.
        """
        dtype = self.dtype(name)
        if dtype == "BF16":
            return bf16_to_float32(self.array(name))
        if dtype not in ("F32", "F16", "F64"):
            raise FormatError("dtype", self.path, None, f"tensor {name!r} is {dtype}, floating point is needed")
        return np.require(self.array(name), np.float32, ["C", "A"])


class ShardedSafetensors(TensorFiles):
    """The shards of one folder behind the interface of SafetensorsFile."""

    def __init__(self, path: str, files: dict[str, SafetensorsFile], weight_map: dict[str, str], metadata: dict):
        super().__init__(path, list(files.values()), {name: files[shard] for name, shard in weight_map.items()})
        self.metadata = metadata

    def dtype(self, name: str) -> str:
        return self.type(name)

    def place(self, name: str) -> tuple[object, int, int]:
        return self._find(name).place(name)

    def array(self, name: str) -> np.ndarray:
        return self._find(name).array(name)

    def float32(self, name: str) -> np.ndarray:
        return self._find(name).float32(name)


def read_safetensors(path: str | os.PathLike) -> SafetensorsFile:
    """Validate the whole file, then map it. Raises FormatError (any lie), OSError (cannot be opened)."""
    with BoundedReader(path) as reader:
        if reader.size < 8:
            raise reader.error("truncated", f"a safetensors file has at least 8 bytes, this one {reader.size}")
        length = reader.u64("header length")
        if length > limits.JSON_BYTES:
            raise reader.error("header_too_large", f"the header claims {length} bytes", 0)
        if length > reader.remaining:
            raise reader.error("truncated", f"the header claims {length} bytes, {reader.remaining} follow", 0)
        text = reader.take(length, "header")
        if not text.startswith(b"{"):
            raise reader.error("header_start", "the header does not start with '{'", 8)
        header = parse_json(text.rstrip(b" "), path, what="header", base=8)
        entries, metadata = _validate(header, path, reader.size - 8 - length)
        return SafetensorsFile(path, entries, metadata, reader.map(), 8 + length)


def _validate(header: dict, path, buffer_size: int) -> tuple[dict, dict[str, str]]:
    """Header as parsed -> ({name: (dtype, shape, start, end)}, metadata). Allocates nothing of the sizes it reads."""

    def lie(kind: str, message: str) -> FormatError:
        return FormatError(kind, path, 8, message)

    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise lie("metadata", "__metadata__ is not an object of strings")
    if len(metadata) > limits.METADATA_ENTRIES:
        raise lie("metadata", f"__metadata__ has {len(metadata)} entries")
    if len(header) > limits.TENSORS:
        raise lie("too_many_tensors", f"{len(header)} tensors; at most {limits.TENSORS} are read")
    entries = {}
    for name, info in header.items():
        shown = repr(name if len(name) <= 80 else name[:77] + "...")
        if not name or len(name.encode("utf-8", "surrogatepass")) > limits.TENSOR_NAME:
            raise lie("name", f"tensor name {shown} is empty or too long")
        if not isinstance(info, dict) or set(info) != {"dtype", "shape", "data_offsets"}:
            raise lie("entry", f"tensor {shown} needs exactly dtype, shape and data_offsets")
        dtype, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise lie("dtype", f"tensor {shown} has an unknown dtype")
        if not isinstance(shape, list) or len(shape) > limits.DIMS or not all(map(_is_size, shape)):
            raise lie("shape", f"tensor {shown} has no valid shape")
        if any(d > limits.DIM for d in shape) or _count(shape) > limits.ELEMENTS:
            raise lie("shape", f"tensor {shown} has too many elements")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
            raise lie("offsets", f"tensor {shown} has no valid data_offsets")
        start, end = offsets
        if start > end or end > buffer_size:
            raise lie("offsets", f"tensor {shown} lies at {start}..{end} of a buffer of {buffer_size} bytes")
        if _count(shape) * DTYPES[dtype].itemsize != end - start:
            raise lie("size", f"tensor {shown}: shape and dtype do not give {end - start} bytes")
        entries[name] = (dtype, tuple(shape), start, end)
    at = 0
    for name, (_, _, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != at:
            raise lie("overlap" if start < at else "gap", f"tensor {name[:80]!r} starts at {start}, not at {at}")
        at = end
    if at != buffer_size:
        raise lie("coverage", f"the tensors cover {at} of {buffer_size} bytes")
    return entries, dict(metadata)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _count(shape) -> int:
    count = 1
    for d in shape:
        count *= d
    return count


def read_weights(folder: str | os.PathLike) -> SafetensorsFile | ShardedSafetensors:
    """The weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json names.

    Raises FormatError where the index lies (a name that is not a plain file name, a tensor that its shard lacks) or
    where the folder holds only pickled weights; FileNotFoundError where there are none.
    """
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.is_file():
        return read_safetensors(single)
    if not index.is_file():
        pickled = [p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for p in sorted(folder.glob(pattern))]
        if pickled:
            raise FormatError(
                "pickle",
                folder / pickled[0],
                None,
                "pickled weights can run code and are not read; convert to safetensors",
            )
        raise FileNotFoundError(f"{folder}: neither model.safetensors nor model.safetensors.index.json")
    plan = read_json(index, "shard index")
    weight_map = plan.get("weight_map") if isinstance(plan, dict) else None
    if not isinstance(weight_map, dict) or not weight_map or len(weight_map) > limits.TENSORS:
        raise FormatError("index", index, None, "weight_map is missing, empty or too large")
    shards = set()
    for shard in weight_map.values():
        if not is_plain_name(shard) or not shard.endswith(".safetensors"):
            raise FormatError(
                "index", index, None, "weight_map names something that is no plain .safetensors file name"
            )
        shards.add(shard)
    if len(shards) > limits.SHARDS:
        raise FormatError("index", index, None, f"{len(shards)} shards")
    for shard in sorted(shards):
        if not (folder / shard).is_file():
            raise FormatError("missing_shard", index, None, f"the shard {shard!r} is not in the folder")
    files = {shard: read_safetensors(folder / shard) for shard in sorted(shards)}
    for name, shard in weight_map.items():
        if name not in files[shard]:
            raise FormatError("missing_tensor", folder / shard, None, f"the index places {name[:80]!r} here")
    metadata = plan.get("metadata")
    return ShardedSafetensors(str(index), files, weight_map, metadata if isinstance(metadata, dict) else {})


def write_safetensors(
    path: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | str | None = None,
) -> None:
    """Write atomically, in the order of the reference library (widest type first, then by name), data aligned to 8.

    dtypes: stored type by tensor name, or one for all; only "BF16" differs from the array's own type: float32 arrays
    are rounded to it, uint16 arrays are taken as its bit patterns. Raises ValueError for types that the format lacks.
    """
    plan = []
    for name, array in tensors.items():
        array = np.asarray(array)
        wanted = dtypes if isinstance(dtypes, str) else (dtypes or {}).get(name)
        native = _NAME_OF.get(array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype)
        if native is None:
            raise ValueError(f"tensor {name!r}: safetensors has no type for {array.dtype}")
        if wanted not in (None, native) and not (wanted == "BF16" and native in ("F32", "U16")):
            raise ValueError(f"tensor {name!r}: cannot store {array.dtype} as {wanted}")
        if not name or name == "__metadata__" or len(name.encode()) > limits.TENSOR_NAME:
            raise ValueError(f"{name!r} cannot be the name of a tensor")
        plan.append((name, wanted or native, array))
    plan.sort(key=lambda item: (-DTYPES[item[1]].itemsize, item[0]))
    header: dict = {}
    if metadata:
        header["__metadata__"] = {str(k): str(v) for k, v in metadata.items()}
    at = 0
    for name, dtype, array in plan:
        end = at + array.size * DTYPES[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for _, dtype, array in plan:
            if dtype == "BF16" and array.dtype.kind == "f":
                array = float32_to_bf16(array)
            file.write(np.ascontiguousarray(array, dtype=DTYPES[dtype]).data.cast("B") if array.size else b"")
