"""Metadata of a GGUF file: key -> value, with getters that demand the type a caller needs.

Numeric arrays become numpy arrays, arrays of strings stay as bytes until they are asked for. Knows no key's meaning.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping

import numpy as np

from . import limits
from .errors import FormatError
from .reader import GrowingHeader, shown

_STRING, _ARRAY, _BOOL = 8, 9, 7
SCALARS: dict[int, tuple[str, np.dtype]] = {
    0: ("u8", np.dtype("u1")),
    1: ("i8", np.dtype("i1")),
    2: ("u16", np.dtype("<u2")),
    3: ("i16", np.dtype("<i2")),
    4: ("u32", np.dtype("<u4")),
    5: ("i32", np.dtype("<i4")),
    6: ("f32", np.dtype("<f4")),
    7: ("bool", np.dtype("?")),
    10: ("u64", np.dtype("<u8")),
    11: ("i64", np.dtype("<i8")),
    12: ("f64", np.dtype("<f8")),
}
_INTEGERS = {"u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"}
_FLOATS = {"f32", "f64"}


class StringArray:
    """Strings of an array as they lie in the file: decoded when asked for. raw: lengths (u64) and bytes in turn."""

    def __init__(self, raw: memoryview, count: int, offset: int) -> None:
        self.raw, self.count, self.offset = raw, count, offset

    def __len__(self) -> int:
        return self.count

    def cut(self, text: bool = False) -> list:
        """The strings as bytes, or with `text` as str (UnicodeDecodeError); a new list each time."""
        from runtime.text._text import cut_strings  # here: that package reads files itself

        return cut_strings(self.raw, self.count, text)


class Metadata(Mapping):
    """Read-only mapping key -> int, float, bool, str, numpy array (read-only) or list of str (new each time).

    The getters name the key in a FormatError("metadata") where it is missing without a default, or of another type.
    """

    def __init__(self, path: str | os.PathLike, entries: dict[str, tuple[str, object, int]]) -> None:
        self._path = os.fspath(path)
        self._entries = entries

    def __getitem__(self, key: str):
        _, value, offset = self._entries[key]
        if not isinstance(value, StringArray):
            return value
        try:
            return value.cut(text=True)
        except UnicodeDecodeError:
            raise FormatError("utf8", self._path, offset, f"{shown(key)} holds a string that is not UTF-8") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def typed(self, key: str):
        """As the mapping gives it, but a number as a numpy scalar of the type it is stored with; KeyError without."""
        kind, value = self._entries[key][0], self[key]
        return next((np.array(value, dtype)[()] for name, dtype in SCALARS.values() if name == kind), value)

    def type(self, key: str) -> str:
        """Type as stored: "u32", "string", "array[f32]", ...; KeyError without the key."""
        return self._entries[key][0]

    def _typed(self, key: str, kinds: set[str], what: str):
        kind, _, offset = self._entries.get(key, (None, None, None))
        if kind is None:
            raise FormatError("metadata", self._path, None, f"the key {shown(key)} is missing")
        if kind not in kinds:
            raise FormatError("metadata", self._path, offset, f"{shown(key)} is {kind}, {what} is needed")
        return self[key]

    def integer(self, key: str, default: int | None = None, low: int = 0, high: int = limits.DIM) -> int:
        """An integer of any width within low .. high; default where the key is absent (None: FormatError)."""
        if default is not None and key not in self:
            return default
        value = self._typed(key, _INTEGERS, "an integer")
        if not low <= value <= high:
            raise self.error(key, f"must lie within {low} .. {high}, not {value}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite float (f32 or f64); default where the key is absent (None: FormatError)."""
        if default is not None and key not in self:
            return default
        value = self._typed(key, _FLOATS, "a floating-point number")
        if not math.isfinite(value):
            raise self.error(key, "is not finite")
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """A bool; default where the key is absent (None: FormatError)."""
        return default if default is not None and key not in self else self._typed(key, {"bool"}, "a bool")

    def text(self, key: str, default: str | None = None) -> str:
        """A string; default where the key is absent (None: FormatError)."""
        return default if default is not None and key not in self else self._typed(key, {"string"}, "a string")

    def strings(self, key: str) -> list[str]:
        """An array of strings; FormatError where it is absent."""
        return self._typed(key, {"array[string]"}, "an array of strings")

    def string_bytes(self, key: str) -> list[bytes]:
        """As strings(), but as bytes that nobody has checked to be UTF-8."""
        self._entries.get(key) or self._typed(key, set(), "")
        value = self._entries[key][1]
        return value.cut() if isinstance(value, StringArray) else [text.encode() for text in self.strings(key)]

    def integers(self, key: str) -> np.ndarray:
        """An array of integers of any width, as it is stored; FormatError where it is absent."""
        return self._typed(key, {f"array[{kind}]" for kind in _INTEGERS}, "an array of integers")

    def numbers(self, key: str) -> np.ndarray:
        """An array of floats, as it is stored (NaN is possible); FormatError where it is absent."""
        return self._typed(key, {f"array[{kind}]" for kind in _FLOATS}, "an array of floating-point numbers")

    def sha256(self, prefix: str) -> str:
        """Hash of all entries whose keys begin so: names, types and values as they are stored."""
        digest = hashlib.sha256()
        for key in sorted(key for key in self._entries if key.startswith(prefix)):
            kind, value, _ = self._entries[key]
            if isinstance(value, StringArray):
                raw = value.raw
            else:
                raw = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            digest.update(f"{len(key)} {key} {kind} {len(raw)} ".encode())
            digest.update(raw)
        return digest.hexdigest()

    def error(self, key: str, message: str) -> FormatError:
        """FormatError("metadata") about a key, for callers who know its meaning."""
        offset = self._entries[key][2] if key in self._entries else None
        return FormatError("metadata", self._path, offset, f"{shown(key)} {message}")


def read_entries(header: GrowingHeader, count: int) -> dict[str, tuple[str, object, int]]:
    """The metadata section: key -> (type, value, offset of the entry)."""
    entries: dict[str, tuple[str, object, int]] = {}
    for _ in range(count):
        at = header.at
        key = header.string("metadata key", limits.METADATA_KEY)
        if not key:
            raise header.error("key", "a metadata key is empty", at)
        if key in entries:
            raise header.error("duplicate_key", f"the key {shown(key)} appears twice", at)
        number = header.u32("value type")
        if number == _ARRAY:
            entries[key] = (*_read_array(header, key), at)
        elif number == _STRING:
            entries[key] = ("string", header.string(f"value of {shown(key)}", limits.STRING), at)
        elif number in SCALARS:
            kind, dtype = SCALARS[number]
            raw = header.take(dtype.itemsize, f"value of {shown(key)}")
            if number == _BOOL and raw not in (b"\0", b"\1"):
                raise header.error("bool", f"{shown(key)} is a bool that is neither 0 nor 1", at)
            entries[key] = (kind, np.frombuffer(raw, dtype)[0].item(), at)
        else:
            raise header.error("value_type", f"{shown(key)} has the unknown type {number}", at)
    return entries


def _read_array(header: GrowingHeader, key: str) -> tuple[str, object]:
    at = header.at
    number, count = header.u32("array type"), header.u64("array length")
    if number == _ARRAY:
        raise header.error("nested", f"{shown(key)} is an array of arrays", at)
    if number != _STRING and number not in SCALARS:
        raise header.error("value_type", f"{shown(key)} is an array of the unknown type {number}", at)
    smallest = 8 if number == _STRING else SCALARS[number][1].itemsize
    if count > limits.ARRAY:
        raise header.error("array_too_long", f"{shown(key)} claims {count} items; {limits.ARRAY} are read", at)
    if count * smallest > header.remaining:
        raise header.error("truncated", f"{shown(key)} claims {count} items, {header.remaining} bytes follow", at)
    if number == _STRING:
        start = header.at
        header.skip_strings(count, f"item of {shown(key)}", limits.STRING)
        return "array[string]", StringArray(header.since(start), count, start)
    kind, dtype = SCALARS[number]
    values = np.frombuffer(header.take(count * dtype.itemsize, f"items of {shown(key)}"), np.uint8)
    if number == _BOOL and values.size and values.max() > 1:
        raise header.error("bool", f"{shown(key)} holds a bool that is neither 0 nor 1", at)
    return f"array[{kind}]", values.view(dtype)
