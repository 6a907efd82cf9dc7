"""Saves the KV caches of sequences to private files and restores them after a restart, checked byte by byte.

A file belongs to one model on one machine: its identity is a hash of what the network computes for a few ids. Layout,
little endian: magic "HEARTHKV", u32 version, u32 length of a JSON header, the header, ids int32 (n), keys and then
values uint8 (layers, heads, n, row bytes), and 32 bytes of BLAKE2b over all of it, keyed with a secret of the user: a
file that somebody else wrote or changed is refused before a value of it is used. Knows slots and networks, no requests.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.engine.cache import Slot
from runtime.engine.network import Cache, Chunk, Network
from runtime.files.atomic import atomic_write
from runtime.files.errors import FormatError
from runtime.files.private import private_folder, user_key
from runtime.files.reader import BoundedReader, parse_json
from runtime.folders import cache_folder, state_folder

MAGIC = b"HEARTHKV"
VERSION = 1
_HEADER_BYTES = 4096
_DIGEST_BYTES = 32
_PROBE = 24  # ids whose keys, values and scores tell one model from another
_FIELDS = ("model", "kv_type", "positions", "layers", "heads", "row_bytes")
_log = logging.getLogger(__name__)


class SavedCaches:
    """The files of one folder. max_bytes: of all of them together; key_file: made on first use, readable by its owner.

    folder and key_file: below the program's own folders if not given.
    """

    def __init__(self, folder: Path | None = None, key_file: Path | None = None, max_bytes: int = 512 << 20) -> None:
        self.folder = folder or cache_folder() / "kv"
        self.key_file = key_file or state_folder() / "kv.key"
        self.max_bytes = max_bytes

    def save(self, network: Network, slots: Sequence[Slot]) -> int:
        """Write these slots in place of what was saved of the model, as far as they fit; how many were written.

        Files of other models go, the oldest first, where the folder would outgrow max_bytes.
        """
        model = identity(network)
        kept, total = [], 0
        for slot in sorted(slots, key=lambda slot: -slot.last_used):
            size = _size(slot.cache, len(slot))
            exact = slot.adapter is None and slot.regime is not None and not slot.approximate
            if len(slot) and exact and total + size <= self.max_bytes:
                kept.append(slot)
                total += size
        mine = private_folder(self.folder) / model
        mine.mkdir(mode=0o700, exist_ok=True)
        for old in mine.iterdir():
            old.unlink()
        self._prune(mine, self.max_bytes - total)
        key = user_key(self.key_file)
        for number, slot in enumerate(kept):
            write(mine / f"{number}.kv", key, model, slot.cache, slot.ids)
        return len(kept)

    def restore(self, network: Network, max_bytes: int) -> list[Slot]:
        """The slots that were saved of this model, the one used last first, within max_bytes of caches.

        What cannot be used is left out and named in the log.
        """
        if not self.folder.is_dir():
            return []
        model, key, slots, total = identity(network), user_key(self.key_file), [], 0
        files = [path for path in (private_folder(self.folder) / model).glob("*.kv") if path.stem.isdecimal()]
        for path in sorted(files, key=lambda path: int(path.stem)):
            try:
                slot = read(path, key, model, network, max_bytes - total)
            except (FormatError, OSError) as error:
                _log.warning("a saved cache is not used: %s", error)
                continue
            slots.append(slot)
            total += slot.cache.nbytes
        return slots

    def _prune(self, keep: Path, room: int) -> None:
        """Remove the oldest folders of other models until they take at most `room` bytes."""
        others = [path for path in self.folder.iterdir() if path.is_dir() and path != keep]
        sizes = {path: sum(file.lstat().st_size for file in path.iterdir()) for path in others}
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns):
            if sum(sizes.values()) <= room:
                return
            shutil.rmtree(path)
            del sizes[path]


def identity(network: Network) -> str:
    """64 hexadecimal digits that differ if weights, precision, storage type or arithmetic do."""
    ids = (np.arange(min(_PROBE, network.max_rows), dtype=np.int64) * 2654435761 % network.spec.vocab_size).astype(
        "<i4"
    )
    cache = network.new_cache(len(ids))
    ((scores, _),) = network.run([Chunk(ids, 0, cache, 1)])
    digest = hashlib.blake2b(repr((VERSION, network.spec, cache.kv_type)).encode(), digest_size=32)
    for part in (scores, *cache.rows(0, len(ids))):
        digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()


def write(path: Path, key: bytes, model: str, cache: Cache, ids: np.ndarray) -> None:
    """The first len(ids) positions of a cache as one file that replaces `path`."""
    keys, values = cache.rows(0, len(ids))
    layers, heads, _, row_bytes = keys.shape
    header = dict(zip(_FIELDS, (model, cache.kv_type, len(ids), layers, heads, row_bytes), strict=True))
    text = json.dumps(header).encode()
    digest = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)
    with atomic_write(path) as file:

        def put(part) -> None:
            digest.update(part)
            file.write(part)

        put(MAGIC + struct.pack("<II", VERSION, len(text)) + text)
        put(np.ascontiguousarray(ids, dtype="<i4"))
        for rows in (keys, values):
            for layer in rows:
                put(np.ascontiguousarray(layer))
        file.write(digest.digest())


def read(path: Path, key: bytes, model: str, network: Network, max_bytes: int) -> Slot:
    """A free slot with what a file holds. FormatError if it is not a file of this user and this model, or too large."""
    with BoundedReader(path) as reader:
        digest = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)

        def take(n: int, what: str) -> bytes:
            part = reader.take(n, what)
            digest.update(part)
            return part

        if take(len(MAGIC), "the magic") != MAGIC:
            raise reader.error("magic", "is no saved cache", 0)
        version, length = struct.unpack("<II", take(8, "version and header length"))
        if version != VERSION:
            raise reader.error("version", f"has version {version}, this program writes {VERSION}", len(MAGIC))
        if length > _HEADER_BYTES:
            raise reader.error("too_large", f"the header has {length} bytes, at most {_HEADER_BYTES} are read")
        header = parse_json(take(length, "the header"), path, "the header of a saved cache")
        positions = _checked(header, model, network, reader)
        if network.kv_bytes(positions) > max_bytes:
            raise reader.error("too_large", f"{positions} positions do not fit into {max_bytes} bytes")
        cache = network.new_cache(positions)
        rows = cache.rows(0, positions)
        layers, heads, _, row_bytes = rows[0].shape
        if [header[field] for field in ("layers", "heads", "row_bytes")] != [layers, heads, row_bytes]:
            raise reader.error(
                "shape", f"the model's caches have {layers} layers of {heads} heads of {row_bytes} bytes"
            )
        expected = positions * 4 + rows[0].nbytes + rows[1].nbytes + _DIGEST_BYTES
        if reader.remaining != expected:
            raise reader.error("size", f"{reader.remaining} bytes follow the header; it needs {expected}")
        ids = np.frombuffer(take(positions * 4, "ids"), dtype="<i4")
        for part in rows:
            for layer in part:
                layer[...] = np.frombuffer(take(layer.nbytes, "keys and values"), np.uint8).reshape(layer.shape)
        if not hmac.compare_digest(reader.take(_DIGEST_BYTES, "the checksum"), digest.digest()):
            raise reader.error("checksum", "was not written by this user's program, or was changed since")
        if ids.min() < 0 or ids.max() >= network.spec.vocab_size:
            raise reader.error("ids", "ids lie outside the vocabulary")
    slot = Slot(cache, regime=network.regime(positions))
    slot.append(ids)
    return slot


def _checked(header, model: str, network: Network, reader: BoundedReader) -> int:
    """Positions that the header of a file declares, once all else in it is right."""
    if not isinstance(header, dict) or set(header) != set(_FIELDS):
        raise reader.error("header", f"the header must have the fields {', '.join(_FIELDS)}")
    if header["model"] != model:
        raise reader.error("model", "belongs to another model")
    if header["kv_type"] != network.kv_type:
        raise reader.error("kv_type", f"the model's caches are stored as {network.kv_type}")
    for field in ("positions", "layers", "heads", "row_bytes"):
        if type(header[field]) is not int:
            raise reader.error("header", f"{field} must be an integer")
    if not 1 <= header["positions"] <= network.capacity:
        raise reader.error("positions", f"positions must be from 1 to {network.capacity}")
    return header["positions"]


def _size(cache: Cache, positions: int) -> int:
    """Bytes of a file, to within a page."""
    return sum(rows.nbytes for rows in cache.rows(0, positions)) + 4 * positions + _HEADER_BYTES
