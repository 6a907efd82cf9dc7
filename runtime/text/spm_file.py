"""SentencePiece `.model` files: the protobuf message (sentencepiece_model.proto) as a SentencePieceSpec.

Everything in the file is hostile input: every length, count and index is checked, every complaint is a FormatError.
Models of words or characters are refused by name. Knows nothing about encoding (`spm.py`).
"""

import hashlib
import math
import os
import struct
from collections.abc import Callable, Iterator

from runtime.files.errors import FormatError
from runtime.text import charsmap
from runtime.text.added_tokens import AddedToken
from runtime.text.byte_alphabet import BYTE_PIECES
from runtime.text.spm import BPE, BYTE, CONTROL, NORMAL, UNIGRAM, UNKNOWN, SentencePieceSpec
from runtime.text.tokenizer_json import MAX_TOKEN, MAX_VOCAB
from runtime.text.unigram import MAX_SCORE

KIND = "sentencepiece"
MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "word", 4: "character"}
MAX_ORDER = 1e12  # of a BPE piece: nothing is added up
MAX_BPE_TEXT = 1 << 24  # characters of all pieces: each is cut at every place


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
    if model_type not in (UNIGRAM, BPE):
        raise fail(f"model type {MODEL_TYPES.get(model_type, 'unknown')} is not supported, only Unigram and BPE")
    if trainer.get(24, 0) or not normalizer.get(5, 1):
        raise fail("spaces as suffix or unescaped spaces are not supported")
    check_pieces(pieces, fail, model_type)
    unknown = next(i for i, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN)
    fallback = bool(trainer.get(35, 0))
    names = {text for text, _, kind in pieces if kind == BYTE}
    if names != ({*BYTE_PIECES} if fallback else set()):
        raise fail("the byte pieces are not those of its byte_fallback")
    added = tuple(AddedToken(i, text) for i, (text, _, kind) in enumerate(pieces) if kind == CONTROL)
    raw = normalizer.get(2, b"")
    try:
        rules = charsmap.parse(raw)
    except charsmap.MapError as e:
        raise fail(str(e)) from None
    flags = bool(normalizer.get(3, 1)), bool(normalizer.get(4, 1)), fallback
    sha256 = hashlib.sha256(data).hexdigest()
    return SentencePieceSpec(pieces, unknown, rules, *flags, data, model_type, raw, added, sha256=sha256)


def check_pieces(pieces: list[tuple[str, float, int]], fail: Callable, model_type: int) -> None:
    """What must be true of the pieces of any model. fail: makes the error of a message."""
    seen: set[str] = set()
    most = MAX_SCORE if model_type == UNIGRAM else MAX_ORDER
    for i, (text, score, kind) in enumerate(pieces):
        if not math.isfinite(score) or abs(score) > most:
            raise fail(f"piece {i}: the score must be a number from -{most:.0f} to {most:.0f}")
        if not NORMAL <= kind <= BYTE or not 1 <= len(text) <= MAX_TOKEN:
            raise fail(f"piece {i}: a type from 1 to 6 and 1 to {MAX_TOKEN} characters are expected")
        if text in seen:
            raise fail(f"piece {i}: {text[:40]!r} appears twice")
        seen.add(text)
    unknown = sum(kind == UNKNOWN for _, _, kind in pieces)
    if unknown != 1:
        raise fail(f"{unknown} unknown pieces, one is expected")
    if model_type == BPE and sum(len(text) for text, _, kind in pieces if kind == NORMAL) > MAX_BPE_TEXT:
        raise fail(f"the pieces of a BPE model have more than {MAX_BPE_TEXT} characters together")


def _text_of(raw: bytes, fail, at: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise fail("a piece is not UTF-8", at) from None


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


# ---- writing
def dumps(spec: SentencePieceSpec) -> bytes:
    """The bytes of a `.model` file with these contents."""
    out = [
        _field(1, _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _field(3, kind))
        for text, score, kind in spec.pieces
    ]
    out.append(_field(2, _field(3, spec.model_type) + _field(35, int(spec.byte_fallback))))
    flags = _field(3, int(spec.dummy_prefix)) + _field(4, int(spec.remove_extra))
    out.append(_field(3, (_field(2, spec.charsmap) if spec.charsmap else b"") + flags))
    return b"".join(out)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _packed(number << 3) + _packed(value)
    return _packed(number << 3 | 2) + _packed(len(value)) + value


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
