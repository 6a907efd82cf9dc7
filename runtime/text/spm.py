"""SentencePieceTokenizer: reads a SentencePiece `.model` file with a Unigram model (Kudo & Richardson 2018).

The file is a protobuf message (sentencepiece_model.proto): pieces with scores and types, and a normalizer given as a
double-array trie (Darts) of byte strings with their replacements. Everything in it is hostile input: every length,
count and index is checked, every complaint is a FormatError. Ids are those of the `sentencepiece` library. What the
file normalises away (compatibility characters, extra spaces, whether the text had a space in front) does not come
back. Models of other types (BPE) and user-defined pieces are refused by name. Writes nothing but the file it read.
"""

import hashlib
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from runtime.files.errors import FormatError
from runtime.text import _text
from runtime.text.base import BaseTokenizer
from runtime.text.pretokenize import METASPACE, PreTokenizer
from runtime.text.tokenizer_json import BYTE_PIECES, MAX_TOKEN, MAX_VOCAB, AddedToken
from runtime.text.unigram import MAX_SCORE, UNKNOWN_PENALTY

KIND = "sentencepiece"
MAX_MAP = 16 << 20  # bytes of the normalizer's table; that of NFKC has 240 kB
MAX_KEY = 256  # bytes of one key or replacement in it
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2
MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "word", 4: "character"}


@dataclass(frozen=True)
class SentencePieceSpec:
    """The checked content of one file. pieces: (text, log probability, type), the index is the id; rules: replacement
    of byte strings before anything else; the three flags: a space is put in front, runs of spaces are cut to one and
    those at the ends left out, unknown characters become bytes."""

    pieces: list[tuple[str, float, int]]
    unknown: int
    rules: "CharacterMap | None"
    dummy_prefix: bool
    remove_extra: bool
    byte_fallback: bool
    data: bytes = field(repr=False)
    model_type: int = 1
    charsmap: bytes = field(default=b"", repr=False)  # the rules as the file holds them
    added: tuple[AddedToken, ...] = ()
    pre_tokenizer: PreTokenizer = PreTokenizer(("whole",), None, "always")
    normalizers: tuple[str, ...] = ()
    template: tuple[int | None, ...] = (None,)
    sha256: str = field(default="", compare=False)


class SentencePieceTokenizer(BaseTokenizer):
    """Encodes and decodes as one `.model` file says. May be shared by threads."""

    file_name = "tokenizer.model"
    max_text = 1 << 27  # bytes per call: the lattice takes 24 times as many

    def __init__(self, spec: SentencePieceSpec):
        table = {i: self._literal_bytes(text) for i, (text, _, _) in enumerate(spec.pieces)}
        byte_ids = [-1] * 256
        if spec.byte_fallback:
            ids = {text: i for i, (text, _, kind) in enumerate(spec.pieces) if kind == BYTE}
            byte_ids = [ids[name] for name in BYTE_PIECES]
            table.update({i: bytes([b]) for b, i in enumerate(byte_ids)})
        table[spec.unknown] = " \u2047 ".encode()  # what the library writes for it
        self.drops_first, self.drops_until_text = spec.dummy_prefix or spec.remove_extra, spec.remove_extra
        super().__init__(spec, table)
        pieces = [
            (t.encode("utf-8", "surrogatepass"), i) for i, (t, _, kind) in enumerate(spec.pieces) if kind == NORMAL
        ]
        scores = np.array([score for _, score, _ in spec.pieces], np.float32)
        lowest = min((score for _, score, kind in spec.pieces if kind == NORMAL), default=0.0)
        unknown_score = float(np.float32(lowest) - np.float32(UNKNOWN_PENALTY))
        self._core = _text.Unigram(
            pieces, scores.astype(np.float64).tobytes(), spec.unknown, unknown_score, byte_ids, ("whole",), False, True
        )

    def _spaced(self, text: str, first: bool) -> str:
        spec = self.spec
        if spec.rules is not None:
            text = spec.rules.apply(text)
        if spec.remove_extra:
            text = " ".join(part for part in text.split(" ") if part)
        if not text:
            return text
        text = (METASPACE if spec.dummy_prefix else "") + text.replace(" ", METASPACE)
        return text.rstrip(METASPACE) if spec.remove_extra else text

    def _literal_bytes(self, text: str) -> bytes:
        return text.replace(METASPACE, " ").encode("utf-8", "surrogatepass")

    def first_token_bytes(self, id: int) -> bytes:
        data = self.token_bytes(id)
        pieces = self.spec.pieces
        starts = self.drops_first and id < len(pieces) and pieces[id][0].startswith(METASPACE)
        return data[1:] if starts else data

    def _dumps(self) -> bytes:
        return self.spec.data


class CharacterMap:
    """Longest-match replacement by a double-array trie (darts-clone) over UTF-8, as SentencePiece compiles it.

    units: the trie; strings: offset -> replacement.
    """

    def __init__(self, units: tuple[int, ...], strings: dict[int, bytes]):
        self._units, self._strings = units, strings

    def apply(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        out, i = [], 0
        while i < len(data):
            value, length = self._longest(data, i)
            if length:
                out.append(self._strings[value])
            else:
                length = 1 if data[i] < 0x80 else 2 if data[i] < 0xE0 else 3 if data[i] < 0xF0 else 4
                out.append(data[i : i + length])
            i += length
        return b"".join(out).decode("utf-8", "surrogatepass")

    def _longest(self, data: bytes, start: int) -> tuple[int, int]:
        """(offset of the replacement, bytes matched) of the longest key at start; (0, 0) for none."""
        units, found = self._units, (0, 0)
        at = _offset(units[0])
        for i in range(start, min(len(data), start + MAX_KEY)):
            at ^= data[i]
            if at >= len(units) or units[at] & 0x800000FF != data[i]:
                break
            unit = units[at]
            at ^= _offset(unit)
            # only at the end of a character, so that a lying trie cannot cut one in two
            if (
                unit >> 8 & 1
                and at < len(units)
                and units[at] >> 31
                and (i + 1 == len(data) or data[i + 1] & 0xC0 != 0x80)
            ):
                found = (units[at] & 0x7FFFFFFF, i + 1 - start)
        return found


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 512) >> 6)


# ------------------------------------------------------------------------------------------------ reading
def parse(data: bytes, path: str | os.PathLike = "<memory>") -> SentencePieceSpec:
    """Check the bytes of a `.model` file. Raises FormatError for anything wrong in it; `path` only appears in
    messages."""

    def fail(message: str, offset: int | None = None) -> FormatError:
        return FormatError(KIND, path, offset, message)

    pieces: list[tuple[str, float, int]] = []
    trainer: dict[int, object] = {}
    normalizer: dict[int, object] = {}
    for number, value, at in _fields(data, 0, len(data), path):
        if number == 1:
            entry = _message(data, value, path, "a piece")
            text, score, kind = entry.get(1, b""), entry.get(2, b"\0\0\0\0"), entry.get(3, NORMAL)
            if (
                not isinstance(text, bytes)
                or not isinstance(score, bytes)
                or len(score) != 4
                or not isinstance(kind, int)
            ):
                raise fail("a piece has a field of the wrong type", at)
            pieces.append((_text_of(text, fail, at), struct.unpack("<f", score)[0], kind))
            if len(pieces) > MAX_VOCAB:
                raise fail(f"more than {MAX_VOCAB} pieces", at)
        elif number in (2, 3):
            (trainer if number == 2 else normalizer).update(_message(data, value, path, "the settings"))
    if not pieces:
        raise fail("no pieces: not a SentencePiece model")
    model_type = trainer.get(3, 1)
    if model_type != 1:
        raise fail(f"model type {MODEL_TYPES.get(model_type, 'unknown')} is not supported, only Unigram")
    if trainer.get(24, 0) or not normalizer.get(5, 1):
        raise fail("spaces as suffix or unescaped spaces are not supported")
    seen: set[str] = set()
    for i, (text, score, kind) in enumerate(pieces):
        if not math.isfinite(score) or abs(score) > MAX_SCORE:
            raise fail(f"piece {i}: the score must be a number from -{MAX_SCORE:.0f} to {MAX_SCORE:.0f}")
        if kind == USER_DEFINED:
            raise fail(f"piece {i}: user-defined pieces are not supported")
        if not NORMAL <= kind <= BYTE or not 1 <= len(text) <= MAX_TOKEN:
            raise fail(f"piece {i}: a type from 1 to 6 and 1 to {MAX_TOKEN} characters are expected")
        if text in seen:
            raise fail(f"piece {i}: {text[:40]!r} appears twice")
        seen.add(text)
    unknown = [i for i, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN]
    if len(unknown) != 1:
        raise fail(f"{len(unknown)} unknown pieces, one is expected")
    fallback = bool(trainer.get(35, 0))
    names = {text for text, _, kind in pieces if kind == BYTE}
    if names != ({*BYTE_PIECES} if fallback else set()):
        raise fail("the byte pieces are not those of its byte_fallback")
    control = [i for i, (_, _, kind) in enumerate(pieces) if kind == CONTROL]
    added = tuple(AddedToken(i, pieces[i][0]) for i in control)
    rules = _character_map(normalizer.get(2, b""), fail)
    flags = bool(normalizer.get(3, 1)), bool(normalizer.get(4, 1)), fallback
    sha256 = hashlib.sha256(data).hexdigest()
    raw = normalizer.get(2, b"")
    return SentencePieceSpec(pieces, unknown[0], rules, *flags, data, model_type, raw, added, sha256=sha256)


def _text_of(raw: bytes, fail, at: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise fail("a piece is not UTF-8", at) from None


def _character_map(raw: object, fail) -> CharacterMap | None:
    if not raw:
        return None
    if not isinstance(raw, bytes) or not 8 <= len(raw) <= MAX_MAP:
        raise fail(f"the character map must have 8 to {MAX_MAP} bytes")
    size = struct.unpack_from("<I", raw)[0]
    if size < 4 or size % 4 or size > len(raw) - 4:
        raise fail("the trie of the character map is longer than the map or not of 32-bit units")
    strings, at = {}, 0
    for part in raw[4 + size :].split(b"\0"):
        if len(part) > MAX_KEY:
            raise fail(f"a replacement in the character map has {len(part)} bytes, the limit is {MAX_KEY}")
        strings[at] = part
        at += len(part) + 1
    try:
        raw[4 + size :].decode()
    except UnicodeDecodeError:
        raise fail("a replacement in the character map is not UTF-8") from None
    units = struct.unpack_from(f"<{size // 4}I", raw, 4)
    if any(unit >> 31 and unit & 0x7FFFFFFF not in strings for unit in units):
        raise fail("the trie of the character map points between replacements")
    return CharacterMap(units, strings)


def _message(data: bytes, span: object, path, what: str) -> dict[int, object]:
    """Fields of an embedded message, the last of each number: int, or bytes."""
    if not isinstance(span, tuple):
        raise FormatError(KIND, path, None, f"{what} is not a message")
    out: dict[int, object] = {}
    for number, value, _ in _fields(data, *span, path):
        out[number] = data[value[0] : value[1]] if isinstance(value, tuple) else value
    return out


def _fields(data: bytes, at: int, end: int, path) -> Iterator[tuple[int, object, int]]:
    """(field number, value, offset) of a protobuf message: int for a varint, (start, end) of the bytes for the rest."""
    while at < end:
        start = at
        key, at = _varint(data, at, end, path)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at, end, path)
            yield key >> 3, value, start
            continue
        if wire == 2:
            size, at = _varint(data, at, end, path)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise FormatError(KIND, path, start, f"protobuf wire type {wire} is not known")
        if size > end - at:
            raise FormatError(KIND, path, start, f"a field of {size} bytes, {end - at} are left")
        yield key >> 3, (at, at + size), start
        at += size


def _varint(data: bytes, at: int, end: int, path) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise FormatError(KIND, path, at, "a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise FormatError(KIND, path, at, "a number has more than ten bytes")
