"""The bounded reader under every loader, and strict JSON.

A file is opened once, must be a regular file, and is read by position (pread) for headers, so that a file which is
cut short under us gives an error and not a signal; tensor data is viewed through a read-only map.
Knows no format: callers say what the bytes mean.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import stat
import struct
from pathlib import Path

from . import limits
from .errors import FormatError

_CHUNK = 1 << 26


class BoundedReader:
    """Sequential, bounds-checked reading of one file. Use as a context manager.

    take(n) returns exactly n bytes or raises FormatError("truncated"); the position is `offset`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            info = os.fstat(self._fd)
            if not stat.S_ISREG(info.st_mode):
                raise FormatError("not_a_file", self.path, None, "is not a regular file")
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise
        self.size = info.st_size
        self.offset = 0

    def __enter__(self) -> BoundedReader:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def remaining(self) -> int:
        return self.size - self.offset

    def error(self, kind: str, message: str, offset: int | None = None) -> FormatError:
        return FormatError(kind, self.path, self.offset if offset is None else offset, message)

    def take(self, n: int, what: str = "data") -> bytes:
        """The next n bytes. what: named in the error."""
        if n < 0:
            raise self.error("negative_size", f"{what} has the negative size {n}")
        if n > self.remaining:
            raise self.error("truncated", f"{what} needs {n} bytes, {self.remaining} are left in the file")
        parts, left, at = [], n, self.offset
        while left:
            part = _pread(self._fd, min(left, _CHUNK), at)
            if not part:
                raise self.error("truncated", f"the file became shorter while {what} was read")
            parts.append(part)
            left -= len(part)
            at += len(part)
        self.offset = at
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def u32(self, what: str = "number") -> int:
        return struct.unpack("<I", self.take(4, what))[0]

    def u64(self, what: str = "number") -> int:
        return struct.unpack("<Q", self.take(8, what))[0]

    def map(self) -> mmap.mmap | bytes:
        """Read-only map of the whole file (empty bytes for an empty file). It stays valid after close()."""
        if os.fstat(self._fd).st_size != self.size:
            raise self.error("truncated", "the file changed its size while it was read")
        return mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ) if self.size else b""


class GrowingHeader:
    """Cursor over the first part of a file, read ahead in large pieces and kept, so that small fields cost no call.

    at: position in the file. remaining: bytes of the file after it. No more than `bound` bytes are ever held.
    """

    _AHEAD = 1 << 20

    def __init__(self, reader: BoundedReader, bound: int) -> None:
        self.reader, self.at, self._bound = reader, 0, bound
        self._data = bytearray()

    @property
    def remaining(self) -> int:
        return self.reader.size - self.at

    def error(self, kind: str, message: str, offset: int | None = None) -> FormatError:
        return self.reader.error(kind, message, self.at if offset is None else offset)

    def _need(self, n: int, what: str) -> None:
        if n > self.remaining:
            raise self.error("truncated", f"{what} needs {n} bytes, {self.remaining} are left in the file")
        if self.at + n > self._bound:
            raise self.error("header_too_large", f"the header is longer than the {self._bound} bytes that are read")
        missing = self.at + n - len(self._data)
        if missing > 0:
            ahead = max(missing, min(max(self._AHEAD, len(self._data)), self.reader.remaining))
            # A new buffer, not a grown one: parts of the old one may be lent out as memoryviews.
            self._data = self._data + self.reader.take(ahead, what)

    def take(self, n: int, what: str = "data") -> bytes:
        """The next n bytes; FormatError("truncated") beyond the end. what: named in the error."""
        if self.at + n > len(self._data):
            self._need(n, what)
        start, self.at = self.at, self.at + n
        return bytes(memoryview(self._data)[start : self.at])

    def u32(self, what: str = "number") -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str = "number") -> int:
        return int.from_bytes(self.take(8, what), "little")

    def string(self, what: str, bound: int) -> str:
        """A u64 length and that many bytes of UTF-8."""
        at, length = self.at, self.u64(f"length of {what}")
        if length > bound:
            raise self.error("string_too_long", f"{what} claims {length} bytes; at most {bound} are read", at)
        try:
            return self.take(length, what).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error("utf8", f"{what} is not UTF-8", at) from None

    def skip_strings(self, count: int, what: str, bound: int) -> None:
        """Step over `count` strings (u64 length, bytes), checking every length."""
        from runtime.text._text import walk_strings  # here: that package reads files itself

        while count:
            count, self.at, length = walk_strings(self._data, self.at, count, bound)
            if length > bound:
                raise self.error("string_too_long", f"{what} claims {length} bytes; at most {bound} are read")
            if count:
                self._need(8 + max(length, 0), what)

    def since(self, start: int) -> memoryview:
        """What lies between `start` and the cursor, without copying."""
        return memoryview(self._data)[start : self.at]


def _pread(fd: int, n: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, n, at)
    os.lseek(fd, at, os.SEEK_SET)  # Windows has no pread; the descriptor is ours alone
    return os.read(fd, n)


def read_bytes(path: str | os.PathLike, max_bytes: int, what: str = "file") -> bytes:
    """The whole file, refused with FormatError("too_large") above max_bytes."""
    with BoundedReader(path) as reader:
        if reader.size > max_bytes:
            raise FormatError("too_large", path, None, f"{what} has {reader.size} bytes; at most {max_bytes} are read")
        return reader.take(reader.size, what)


def read_json(
    path: str | os.PathLike,
    what: str = "JSON",
    max_bytes: int = limits.JSON_BYTES,
    max_depth: int = limits.JSON_DEPTH,
):
    """Parse a JSON file strictly (see parse_json)."""
    return parse_json(read_bytes(path, max_bytes, what), path, what=what, max_depth=max_depth)


def parse_json(
    data: bytes,
    path: str | os.PathLike,
    what: str = "JSON",
    base: int = 0,
    max_depth: int = limits.JSON_DEPTH,
):
    """Strict JSON (RFC 8259, UTF-8 without byte order mark).

    Refused with FormatError: duplicate keys, NaN and infinities (written out or by overflow), nesting deeper than
    max_depth, integers of more than 20 digits, anything after the value. base: offset of `data` in the file.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError("utf8", path, base + exc.start, f"{what} is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise FormatError("json", path, base, f"{what} starts with a byte order mark")

    def refuse(kind: str, message: str):
        raise FormatError(kind, path, base, f"{what}: {message}")

    def pairs(items):
        out = dict(items)
        if len(out) != len(items):
            seen = set()
            for key, _ in items:
                if key in seen:
                    refuse("duplicate_key", f"the key {shown(key)} appears twice")
                seen.add(key)
        return out

    def integer(digits: str) -> int:
        if len(digits) > limits.JSON_INT_DIGITS + 1:
            refuse("json", f"an integer of {len(digits)} digits")
        return int(digits)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            refuse("not_finite", "a number is too large for a float")
        return value

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_int=integer,
            parse_float=number,
            parse_constant=lambda name: refuse("not_finite", f"{name} is not JSON"),
        )
    except json.JSONDecodeError as exc:
        at = base + len(text[: exc.pos].encode("utf-8", "surrogatepass"))
        kind = "trailing_data" if exc.msg == "Extra data" else "json"
        raise FormatError(kind, path, at, f"{what} is not valid JSON: {exc.msg}") from None
    except RecursionError:
        raise FormatError("too_deep", path, base, f"{what} nests deeper than {max_depth} levels") from None
    if _depth_exceeds(value, max_depth):
        raise FormatError("too_deep", path, base, f"{what} nests deeper than {max_depth} levels")
    return value


def _depth_exceeds(value, bound: int) -> bool:
    level = [value]
    for _ in range(bound):
        deeper = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            deeper.extend(child for child in children if isinstance(child, (dict, list)))
        if not deeper:
            return False
        level = deeper
    return True


def shown(name: str) -> str:
    """A name from a file as it may stand in a message: quoted, escaped and short."""
    return ascii(name if len(name) <= 60 else name[:57] + "...")


def is_plain_name(name: object) -> bool:
    """True for a bare file name that cannot leave its folder (no separators, no drive, not hidden, not '..')."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= 255
        and not name.startswith(".")
        and not any(c in '/\\:*?"<>|' or ord(c) < 32 for c in name)
        and Path(name).name == name
    )
