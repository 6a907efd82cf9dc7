"""Packed weights on disk: what the loader re-ordered once is mapped the next time, by every process that wants it.

A file belongs to one source (path, size, time and header of its files) and one layout; anything else is another file.
    magic "HEARTHPW", u32 version, u32 length of the header, u64 offset of the header, 32 bytes keyed BLAKE2b of the
    header; the matrices, each at a multiple of 64 bytes from byte 4096 on; the header: JSON {identity, matrices: {name:
    [offset, bytes, CRC-32 of its first and last page]}}
The folder is bounded in bytes, the file used longest ago goes first. A file that is damaged, or that another user's key
signed, is removed and made again. Knows no layouts: bytes are bytes, and any bytes are legal weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import mmap
import os
import shutil
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtime.folders import cache_folder, state_folder

from . import limits
from .atomic import fsync_folder
from .errors import FormatError
from .private import private_folder, user_key
from .reader import BoundedReader, parse_json
from .tensors import WeightFile

MAGIC, VERSION = b"HEARTHPW", 1
_START, _ALIGNMENT, _PAGE = 4096, 64, 4096
_HEAD = struct.Struct("<8sIIQ32s")
_SLACK = 1 << 20  # what the alignment of the matrices may cost in all
_STALE = 24 * 3600  # seconds after which an unfinished file is litter
MAX_BYTES = 8 << 30
_log = logging.getLogger(__name__)


class PackedWeights:
    """The packed matrices of one model: found on disk, or made into a file that the next load finds.

    weights: where they come from (None: nothing is kept). layout: whatever else the bytes depend on, the instruction
    set, the storage types asked for, the version of the layouts. room: upper bound of the bytes of all matrices.
    folder, key_file, max_bytes: below the program's own folders, 8 GiB.
    """

    def __init__(
        self,
        weights: WeightFile | None,
        layout: str,
        room: int,
        folder: Path | None = None,
        key_file: Path | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._places: dict[str, list[int]] = {}
        self._map: mmap.mmap | None = None
        self._made: tuple[int, Path] | None = None  # descriptor and name of a file in the making
        self._at, self._thread = _START, None
        self.found = False
        if weights is None or os.name != "posix":  # elsewhere a mapped file cannot be replaced
            return
        self._folder, self._identity = folder or cache_folder() / "packed", identity(weights, layout)
        self._target = self._folder / f"{self._identity}.packed"
        try:
            private_folder(self._folder)
            self._key = user_key(key_file or state_folder() / "packed.key")
            self._open() or self._begin(room, max_bytes)
        except (OSError, FormatError) as error:
            _log.warning("packed weights are not kept: %s", error)

    def matrix(self, name: str, nbytes: int, fill: Callable[[np.ndarray], None]) -> np.ndarray:
        """Read-only uint8 (nbytes,): from the file, or filled by `fill(out)` and kept. name: unique in the model."""
        place = self._places.get(name)
        if self.found and place is not None and place[1] == nbytes:
            return self._view(place[0], nbytes)
        at = -(-self._at // _ALIGNMENT) * _ALIGNMENT
        if self._made is None or self._map is None or at + nbytes > len(self._map):
            out = np.empty(nbytes, np.uint8)
            fill(out)
        else:
            out = np.frombuffer(self._map, np.uint8, nbytes, at)
            fill(out)
            self._places[name] = [at, nbytes, _sample(out)]
            self._at = at + nbytes
        out.flags.writeable = False
        return out

    def finish(self, wait: bool = False) -> None:
        """Put what was made under its name, in the background unless `wait`: the disk may take seconds."""
        if self._made is None:
            return
        self._thread = threading.Thread(target=self._publish, name="packed-weights", daemon=True)
        self._thread.start()
        if wait:
            self._thread.join()

    # ---- reading -------------------------------------------------------------------------------------------------

    def _open(self) -> bool:
        """Whether a file that can be used is there. One that cannot is removed."""
        if not self._target.is_file():
            return False
        try:
            with BoundedReader(self._target) as reader:
                self._places = _read_header(reader, self._key, self._identity)
                self._map = reader.map()
            for name, (at, nbytes, checksum) in self._places.items():
                if _sample(self._view(at, nbytes)) != checksum:
                    raise FormatError("checksum", self._target, at, f"the matrix {name:.100} was changed since")
        except FormatError as error:
            _log.warning("packed weights are made again: %s", error)
            self._places, self._map = {}, None
            self._target.unlink(missing_ok=True)
            return False
        with contextlib.suppress(OSError):
            os.utime(self._target)  # the file used last goes last
        self.found = True
        return True

    def _view(self, at: int, nbytes: int) -> np.ndarray:
        view = np.frombuffer(self._map, np.uint8, nbytes, at)
        view.flags.writeable = False
        return view

    # ---- writing -------------------------------------------------------------------------------------------------

    def _begin(self, room: int, max_bytes: int) -> None:
        """Reserve a file large enough for every matrix, so that a full disk is an error and not a signal."""
        size = _START + room + _SLACK
        if size > max_bytes or size + (1 << 30) > shutil.disk_usage(self._folder).free:
            _log.info("packed weights of %d bytes are not kept: too large for the cache or the disk", room)
            return
        self._prune(max_bytes - size)
        fd, name = tempfile.mkstemp(prefix=".making-", suffix=".tmp", dir=self._folder)
        try:
            os.posix_fallocate(fd, 0, size)
            self._map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            os.unlink(name)
            raise
        self._made = (fd, Path(name))

    def _prune(self, room: int) -> None:
        """Remove litter and the files used longest ago until the rest takes at most `room` bytes."""
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                info = path.lstat()
                if path.suffix == ".tmp" and time.time() - info.st_mtime > _STALE:
                    path.unlink()
                elif path.suffix == ".packed":
                    files.append((info.st_mtime_ns, info.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= room:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size

    def _publish(self) -> None:
        fd, made = self._made
        try:
            text = json.dumps({"identity": self._identity, "matrices": self._places}).encode()
            head = _HEAD.pack(MAGIC, VERSION, len(text), self._at, _digest(self._key, self._at, text))
            os.ftruncate(fd, self._at)  # pages beyond were never given to anyone
            os.pwrite(fd, text, self._at)
            os.pwrite(fd, head, 0)
            os.fsync(fd)  # also what was written through the map
            os.replace(made, self._target)
            fsync_folder(self._folder)
        except OSError as error:
            _log.warning("packed weights are not kept: %s", error)
            with contextlib.suppress(OSError):
                made.unlink(missing_ok=True)
        finally:
            os.close(fd)
            self._made = None


def identity(weights: WeightFile, layout: str) -> str:
    """64 hexadecimal digits that change with the source's path, size, time and header, and with the layout."""
    digest = hashlib.blake2b(repr((VERSION, layout)).encode(), digest_size=32)
    for path, header_end in weights.files():
        with BoundedReader(path) as reader:
            info = os.stat(path)
            header = reader.take(min(header_end, reader.size), "header")
        facts = (os.path.realpath(path), info.st_size, info.st_mtime_ns, hashlib.blake2b(header).hexdigest())
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def _digest(key: bytes, offset: int, text: bytes) -> bytes:
    return hashlib.blake2b(struct.pack("<Q", offset) + text, key=key, digest_size=32).digest()


def _sample(data: np.ndarray) -> int:
    """CRC-32 of the first and the last page: a whole checksum would cost more than re-ordering saves."""
    return zlib.crc32(data[-_PAGE:].data, zlib.crc32(data[:_PAGE].data))


def _read_header(reader: BoundedReader, key: bytes, wanted: str) -> dict[str, list[int]]:
    """Matrix name -> [offset, bytes, checksum] of a file, all of it checked. FormatError says what is wrong."""
    magic, version, length, offset, digest = _HEAD.unpack(reader.take(_HEAD.size, "start"))
    if magic != MAGIC or version != VERSION:
        raise reader.error("version", "is no file of packed weights of this version", 0)
    if length > limits.JSON_BYTES or offset + length != reader.size or offset < _START:
        raise reader.error("truncated", f"the header lies at {offset} + {length} of {reader.size} bytes", 8)
    reader.offset = offset
    text = reader.take(length, "header")
    if not hmac.compare_digest(digest, _digest(key, offset, text)):
        raise reader.error("checksum", "was not written by this user's program, or was changed since", offset)
    header = parse_json(text, reader.path, "header", offset)
    if not isinstance(header, dict) or header.get("identity") != wanted or not isinstance(header.get("matrices"), dict):
        raise reader.error("identity", "belongs to other weights", offset)
    for place in header["matrices"].values():
        if not isinstance(place, list) or len(place) != 3 or not all(type(v) is int and v >= 0 for v in place):
            raise reader.error("entry", "a matrix needs offset, bytes and checksum", offset)
        if place[0] % _ALIGNMENT or place[0] < _START or place[0] + place[1] > offset:
            raise reader.error("offsets", f"a matrix lies at {place[0]} + {place[1]} of {offset} bytes", offset)
    return header["matrices"]
