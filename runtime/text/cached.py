"""Large BPE vocabularies in a form that loads in milliseconds, in a folder of the user's cache.

One file for each tokenizer, named after the SHA-256 of what it was read from and the version of this form. It holds
the checked content once more: a JSON header (everything but vocabulary and merges) and flat arrays. Reading follows the
rules for any file from outside: bounded, checksummed, every index checked; a file that breaks one is removed and made
again.
The folder is bounded, the files used longest ago go first. Knows one kind of tokenizer (`bpe.py`).
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_bytes
from runtime.files.errors import FormatError
from runtime.files.reader import BoundedReader, parse_json
from runtime.folders import cache_folder
from runtime.text import decode, normalize, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.bpe import Tables, Tokenizer, joined
from runtime.text.tokenizer_json import KIND, MAX_ADDED, MAX_FILE, MAX_GAPS, MAX_MERGES, MAX_VOCAB, TokenizerSpec

VERSION = 1  # to be raised when the form changes, or what is made of the same file (`gguf_pre.py`)
MAGIC = b"HRTHTOK" + bytes([VERSION])
WORTH_IT = 16384  # entries; smaller vocabularies load fast enough
MAX_BYTES = 512 << 20  # of the folder
MAX_HEADER = 16 << 20
_FLAGS = ("ignore_merges", "byte_fallback", "fuse_unknown")
_TEXTS = ("unknown", "inner_prefix", "last_suffix")


class Texts(Mapping):
    """id -> text of a token, out of one piece of memory; ids without a token are missing."""

    def __init__(self, blob: bytes, offsets: np.ndarray):
        self._blob, self._offsets = blob, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, id: int) -> str:
        if not 0 <= id < len(self):
            raise KeyError(id)
        text = self._blob[self._offsets[id] : self._offsets[id + 1]].decode()
        if not text:
            raise KeyError(id)
        return text

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(np.diff(self._offsets)).tolist())


class Vocabulary(Mapping):
    """text -> id; a dict that is made when somebody looks into it."""

    def __init__(self, texts: Texts):
        self._texts = texts

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {self._texts[i]: i for i in self._texts}

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, text: str) -> int:
        return self._ids[text]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)


class Merges(Sequence):
    """Pairs of symbol texts, best first, out of the table of rules."""

    def __init__(self, texts: Texts, rules: np.ndarray):
        self._texts, self._rules = texts, rules

    def __len__(self) -> int:
        return len(self._rules)

    def __getitem__(self, n):
        if isinstance(n, slice):
            return [self[k] for k in range(*n.indices(len(self)))]
        return self._texts[int(self._rules[n, 0])], self._texts[int(self._rules[n, 1])]


def folder() -> Path:
    return cache_folder() / "tokenizers"


def load(sha256: str) -> Tokenizer | None:
    """The tokenizer that was read from a file with this hash; None where it is not kept. A file that does not keep to
    the format is removed."""
    path = folder() / f"{sha256}.{VERSION}.bin"
    try:
        with BoundedReader(path) as reader:
            found = _read(reader, sha256)
        os.utime(path)
        return found
    except FileNotFoundError:
        return None
    except (FormatError, OSError, ValueError, KeyError, TypeError, AttributeError):  # whatever a lie runs into
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def keep(tokenizer: Tokenizer) -> None:
    """Write the cached form; where that is not possible, nothing happens."""
    if len(tokenizer.spec.vocab) < WORTH_IT or isinstance(tokenizer.spec.vocab, Vocabulary):
        return
    with contextlib.suppress(OSError, UnicodeEncodeError):
        data = dumps(tokenizer)
        if len(data) <= MAX_FILE:
            atomic_write_bytes(folder() / f"{tokenizer.sha256}.{VERSION}.bin", data)
            _trim()


def _trim() -> None:
    """Remove the files that were used longest ago, until the folder is small enough."""
    files = sorted((f for f in folder().glob("*.bin") if f.is_file()), key=lambda f: f.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > MAX_BYTES:
            file.unlink()


# ---- the format: magic, SHA-256 of the rest, u64 length of the header, header, arrays in the order of the header
def dumps(tokenizer: Tokenizer) -> bytes:
    """The cached form of a tokenizer."""
    spec, tables = tokenizer.spec, tokenizer.tables
    strings = [b""] * (max(spec.vocab.values()) + 1)
    for text, i in spec.vocab.items():
        strings[i] = text.encode()
    blob, offsets = joined(strings)
    arrays = {"texts": np.frombuffer(blob, np.uint8), "offsets": offsets, "rules": tables.rules}
    if tables.characters is not None:
        arrays["characters"] = tables.characters
    if tables.words is not None:
        arrays |= {"words": np.frombuffer(tables.words[0], np.uint8), "word_offsets": tables.words[1]}
    header = {
        "added": [vars(t) for t in spec.added],
        "pre_tokenizer": spec.pre_tokenizer.entry,
        "normalizer": spec.normalizer,
        "decoder": spec.decoder,
        "template": list(spec.template),
        "byte_ids": tables.byte_ids,
        "unknown_id": tables.unknown,
        "cut_at_spaces": tables.cut_at_spaces,
        **{name: getattr(spec, name) for name in (*_FLAGS, *_TEXTS)},
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
    }
    raw = json.dumps(header).encode()
    rest = len(raw).to_bytes(8, "little") + raw + b"".join(array.tobytes() for array in arrays.values())
    return MAGIC + hashlib.sha256(rest).digest() + rest


_TYPES = {
    "texts": ("|u1", 1), "offsets": ("<i8", 1), "rules": ("<i4", 2), "characters": ("<i4", 2), "words": ("|u1", 1),
    "word_offsets": ("<i8", 1),
}  # fmt: skip


def _read(reader: BoundedReader, sha256: str) -> Tokenizer:
    if reader.size > MAX_FILE or reader.take(len(MAGIC), "magic") != MAGIC:
        raise reader.error("magic", "is no cached tokenizer of this version", 0)
    digest = reader.take(32, "checksum")
    rest = reader.take(reader.remaining, "contents")
    if hashlib.sha256(rest).digest() != digest:
        raise reader.error("checksum", "the checksum does not fit")
    size = int.from_bytes(rest[:8], "little")
    if size > min(MAX_HEADER, len(rest) - 8):
        raise reader.error("truncated", f"the header claims {size} bytes")
    header = parse_json(rest[8 : 8 + size], reader.path, KIND, max_depth=24)
    if not isinstance(header, dict):
        raise reader.error("json", "the header is no object")
    arrays = _arrays(header, rest, 8 + size, reader)
    return _tokenizer(header, arrays, sha256, reader)


def _arrays(header: dict, data: bytes, at: int, reader: BoundedReader) -> dict[str, np.ndarray]:
    """name -> array, checked for type and size; they end with the file."""
    out: dict[str, np.ndarray] = {}
    for entry in header.get("arrays", []):
        name, kind, shape = entry
        known = name in _TYPES and name not in out and [kind, len(shape)] == list(_TYPES[name])
        if not known or not all(type(n) is int and 0 <= n <= MAX_FILE for n in shape):
            raise reader.error("array", "an array of another name, type or shape")
        count = int(np.prod(shape, dtype=np.int64))
        size = count * np.dtype(kind).itemsize
        if size > len(data) - at:
            raise reader.error("truncated", f"the array {name} needs {size} bytes, {len(data) - at} are left")
        out[name] = np.frombuffer(data, kind, count, at).reshape(shape)
        at += size
    if at != len(data) or not {"texts", "offsets", "rules"} <= set(out):
        raise reader.error("array", "arrays are missing, or something follows them")
    return out


def _tokenizer(header: dict, arrays: dict, sha256: str, reader: BoundedReader) -> Tokenizer:
    offsets, rules, characters = arrays["offsets"], arrays["rules"], arrays.get("characters")
    n = len(offsets) - 1
    blob = _strings(arrays["texts"], offsets, reader)
    blob.decode()  # ValueError where it is not UTF-8
    if len(blob) and (arrays["texts"][offsets[:-1][np.diff(offsets) > 0]] & 0xC0 == 0x80).any():
        raise reader.error("array", "a text begins inside a character")
    if not 1 <= n <= MAX_VOCAB or len(rules) > MAX_MERGES or rules.shape[1] != 4:
        raise reader.error("array", "impossible sizes")
    if rules.size and (rules.min() < 0 or rules[:, [0, 1, 3]].max() >= n):
        raise reader.error("array", "a merge of ids outside the vocabulary")
    if characters is not None and (characters.shape[1] != 3 or (characters.size and not _within(characters, n))):
        raise reader.error("array", "a character with an id outside the vocabulary")
    words = None
    if "words" in arrays or "word_offsets" in arrays:
        if len(arrays["word_offsets"]) != len(offsets):
            raise reader.error("array", "words that are not the vocabulary's")
        words = _strings(arrays["words"], arrays["word_offsets"], reader), arrays["word_offsets"]
    added = _added(header, n, reader)
    size = max([n - 1, *(t.id for t in added)]) + 1
    ids = [*header["byte_ids"], header["unknown_id"]]
    template = header["template"]
    if len(ids) != 257 or not all(type(i) is int and -1 <= i < n for i in ids):
        raise reader.error("id", "an id outside the vocabulary")
    if template.count(None) != 1 or not all(i is None or (type(i) is int and 0 <= i < size) for i in template):
        raise reader.error("id", "a template of ids outside the vocabulary")
    if not all(type(header[name]) is bool for name in (*_FLAGS, "cut_at_spaces")):
        raise reader.error("json", "a flag is no bool")
    for read, key in ((normalize.from_json, "normalizer"), (decode.chain, "decoder")):
        read(header[key])
    pre = pretokenize.from_json(header["pre_tokenizer"])
    if pre.byte_level != (characters is None):
        raise reader.error("array", "characters for a byte-level vocabulary, or none for another")
    texts = Texts(blob, offsets)
    spec = TokenizerSpec(
        Vocabulary(texts),
        Merges(texts, rules),
        added,
        pre,
        header["normalizer"],
        tuple(template),
        decoder=header["decoder"],
        sha256=sha256,
        **{name: header[name] for name in (*_FLAGS, *_TEXTS)},
    )
    tables = Tables(rules, ids[:256], ids[256], characters, words, header["cut_at_spaces"])
    return Tokenizer(spec, texts, tables)


def _within(characters: np.ndarray, n: int) -> bool:
    return bool(characters.min() >= 0 and characters[:, 0].max() < 0x110000 and characters[:, 1].max() < 4) and bool(
        characters[:, 2].max() < n
    )


def _strings(data: np.ndarray, offsets: np.ndarray, reader: BoundedReader) -> bytes:
    """The strings in one piece; their offsets are in order and cover it."""
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) < 0).any():
        raise reader.error("array", "offsets that are not in order")
    return data.tobytes()


def _added(header: dict, n: int, reader: BoundedReader) -> tuple[AddedToken, ...]:
    entries = header["added"]
    if len(entries) > MAX_ADDED:
        raise reader.error("json", f"{len(entries)} added tokens")
    added = tuple(AddedToken(**entry) for entry in entries)
    for token in added:
        flags = (token.special, token.lstrip, token.rstrip, token.normalized, token.single_word)
        fits = type(token.id) is int and 0 <= token.id < min(MAX_VOCAB, n + MAX_GAPS + len(added))
        if not fits or not isinstance(token.content, str) or not all(type(flag) is bool for flag in flags):
            raise reader.error("json", "an added token that is none")
    return added
