"""GGUF v2 and v3: read (validated first, then viewed without copying). Knows no models: keys and names are just names.

Format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), little-endian:
    "GGUF", u32 version, u64 tensors, u64 metadata entries
    metadata:  string key, u32 value type, value          (string: u64 length, UTF-8; array: u32 type, u64 count, items)
    tensors:   string name, u32 dims, u64 x dims (columns first), u32 storage type, u64 offset in the data section
    padding to `general.alignment` (32), then the data; every tensor starts at a multiple of the alignment
Here the tensors must follow each other without gaps other than that padding, up to the end of the file.
"""

from __future__ import annotations

import os

from native_kernels.qtypes import BY_NUMBER

from . import limits
from .entries import TensorEntries
from .gguf_metadata import Metadata, read_entries
from .reader import BoundedReader, GrowingHeader, shown

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

# Storage types that are known and not supported: number -> (name, values per block, bytes per block).
OTHER_TYPES: dict[int, tuple[str, int, int]] = {
    9: ("Q8_1", 32, 36),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
# Storage types that ggml once had: their blocks cannot be read any more by anyone.
REMOVED_TYPES = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}
_BLOCKS = {t.number: (t.name, t.values, t.size) for t in BY_NUMBER.values()} | OTHER_TYPES


class GgufFile(TensorEntries):
    """One validated file; tensor data is viewed in the mapped file, which the views keep alive.

    metadata: Metadata (key -> value, with getters that demand a type). data_start: byte where the tensor data begins.
    """

    def __init__(self, path, version: int, metadata: Metadata, entries: dict, data_start: int, buffer) -> None:
        super().__init__(path, entries, data_start)
        self.version = version
        self.metadata = metadata
        self.buffer = buffer

    def span(self, name: str) -> tuple[int, int]:
        """(first byte in the file, number of bytes) of a tensor's data."""
        _, _, start, size = self._find(name)
        return self.data_start + start, size


def read_gguf(path: str | os.PathLike) -> GgufFile:
    """Validate the whole file, then map it. Raises FormatError (any lie), OSError (cannot be opened)."""
    with BoundedReader(path) as reader:
        header = GrowingHeader(reader, limits.GGUF_HEADER)
        version, n_tensors, n_entries = _read_start(header)
        metadata = Metadata(path, read_entries(header, n_entries))
        alignment = _alignment(metadata, header)
        infos = _read_tensor_infos(header, n_tensors)
        data_start = -(-header.at // alignment) * alignment
        entries = _place(infos, alignment, reader.size - data_start, header, data_start)
        return GgufFile(path, version, metadata, entries, data_start, reader.map())


def _read_start(header: GrowingHeader) -> tuple[int, int, int]:
    if header.reader.size < 24:
        raise header.error("truncated", f"a GGUF file has at least 24 bytes, this one {header.reader.size}")
    if header.take(4, "magic") != MAGIC:
        raise header.error("magic", "is not a GGUF file (it does not start with GGUF)", 0)
    version = header.u32("version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        if swapped in VERSIONS:
            raise header.error("endian", "is a big-endian GGUF file; only little-endian ones are read", 4)
        raise header.error("version", f"GGUF version {version}; versions 2 and 3 are read", 4)
    n_tensors, n_entries = header.u64("number of tensors"), header.u64("number of metadata entries")
    if n_tensors > limits.TENSORS or n_tensors * 24 > header.remaining:  # empty name, dims, type, offset
        raise header.error("too_many_tensors", f"the header claims {n_tensors} tensors", 8)
    if n_entries > limits.METADATA_ENTRIES or n_entries * 14 > header.remaining:  # key of one letter, type, one byte
        raise header.error("too_many_entries", f"the header claims {n_entries} metadata entries", 16)
    return version, n_tensors, n_entries


def _alignment(metadata: Metadata, header: GrowingHeader) -> int:
    key = "general.alignment"
    if key not in metadata:
        return DEFAULT_ALIGNMENT
    if metadata.type(key) != "u32":
        raise header.error("alignment", f"{key} must be a u32, not {metadata.type(key)}")
    value, (low, high) = metadata[key], limits.GGUF_ALIGNMENT
    if not low <= value <= high or value & (value - 1):
        raise header.error("alignment", f"{key} must be a power of two from {low} to {high}, not {value}")
    return value


def _read_tensor_infos(header: GrowingHeader, count: int) -> dict[str, tuple[str, tuple[int, ...], int, int, int]]:
    """name -> (type, shape rows first, offset, bytes, where it is described). Only numbers: nothing is allocated."""
    infos: dict[str, tuple[str, tuple[int, ...], int, int, int]] = {}
    for _ in range(count):
        at = header.at
        name = header.string("tensor name", limits.GGUF_TENSOR_NAME)
        if not name:
            raise header.error("name", "a tensor has an empty name", at)
        if name in infos:
            raise header.error("duplicate_tensor", f"the tensor {shown(name)} appears twice", at)
        n_dims = header.u32("number of dimensions")
        if not 1 <= n_dims <= limits.GGUF_DIMS:
            raise header.error("shape", f"tensor {shown(name)} has {n_dims} dimensions; 1 to 4 are read", at)
        dims = [header.u64("dimension") for _ in range(n_dims)]
        elements = 1
        for d in dims:
            elements *= d
        if min(dims) < 1 or max(dims) > limits.DIM or elements > limits.ELEMENTS:
            raise header.error("shape", f"tensor {shown(name)} has a dimension that is zero or too large", at)
        number, offset = header.u32("storage type"), header.u64("offset")
        if number not in _BLOCKS:
            what = f"an unknown storage type ({number})"
            if number in REMOVED_TYPES:
                what = f"the removed type {REMOVED_TYPES[number]}; get or make the file anew, for example as Q4_0"
            raise header.error("dtype", f"tensor {shown(name)} has {what}", at)
        type_name, values, size = _BLOCKS[number]
        if dims[0] % values:
            raise header.error(
                "block", f"tensor {shown(name)}: rows of {dims[0]} are no multiple of the {values} of {type_name}", at
            )
        infos[name] = (type_name, tuple(reversed(dims)), offset, elements // values * size, at)
    return infos


def _place(infos: dict, alignment: int, available: int, header: GrowingHeader, data_start: int) -> dict:
    """Check that the tensors tile the data section; name -> (type, shape, offset, bytes)."""
    end = 0
    for name, (_, _, offset, size, at) in sorted(infos.items(), key=lambda item: item[1][2]):
        if offset % alignment:
            raise header.error(
                "alignment", f"tensor {shown(name)} starts at {offset}, no multiple of the alignment {alignment}", at
            )
        expected = -(-end // alignment) * alignment
        if offset != expected:
            kind = "overlap" if offset < expected else "gap"
            raise header.error(kind, f"tensor {shown(name)} starts at {offset} of the data, not at {expected}", at)
        end = offset + size
        if end > available:
            raise header.error(
                "truncated",
                f"tensor {shown(name)} ends at {end} of the data, which has {max(available, 0)} bytes; "
                "the file is cut short: copy or download it again",
                at,
            )
    slack = available - end
    if infos and slack >= alignment:
        raise header.error("coverage", f"{slack} bytes after the last tensor belong to nothing", data_start + end)
    if not infos and header.remaining >= alignment:
        raise header.error("coverage", f"{header.remaining} bytes after the header belong to nothing")
    return {name: (kind, shape, offset, size) for name, (kind, shape, offset, size, _) in infos.items()}
