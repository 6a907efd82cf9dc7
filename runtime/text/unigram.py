"""UnigramTokenizer: the most probable segmentation under independent pieces (Kudo 2018), by Viterbi in `_text.pyx`.

Two alphabets. Byte-level (pre-tokenizer ByteLevel, what we train by default): pieces of bytes, every text comes back
exactly. Metaspace or plain (files of others): pieces of characters with a space written as U+2581; what is no piece
becomes bytes (byte_fallback) or one unknown token, and such a file itself forgets whether it read a space or U+2581
and, where it writes a space before the text, whether there was one. Ids are those of the Hugging Face library on the
same file, but the names of bytes ("<0x41>") and of the unknown token are never read out of plain text, as in
SentencePiece. Knows the `model` entry
of tokenizer.json, not training (`unigram_train.py`).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from runtime.text import _text, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.base import BaseTokenizer
from runtime.text.byte_alphabet import BYTE_PIECES, CHAR_TO_BYTE, symbol_bytes
from runtime.text.lookup import need_bytes
from runtime.text.tokenizer_json import BYTE_LEVEL_DECODER, MAX_TOKEN, MAX_VOCAB, Reader, envelope

UNKNOWN_PENALTY = 10.0  # an unknown character is this much less probable than the least probable piece
MAX_SCORE = 1e6


@dataclass(frozen=True)
class UnigramSpec:
    """The checked content of one file. pieces: (text, natural log probability), the index is the id; unknown: id or
    None; decoder: the JSON as read."""

    pieces: list[tuple[str, float]]
    added: tuple[AddedToken, ...]
    pre_tokenizer: pretokenize.PreTokenizer
    decoder: dict | None
    unknown: int | None = None
    byte_fallback: bool = False
    normalizer: dict | None = None
    template: tuple[int | None, ...] = (None,)
    sha256: str = field(default="", compare=False)


class UnigramTokenizer(BaseTokenizer):
    """Encodes and decodes with one Unigram vocabulary. May be shared by threads."""

    max_text = 1 << 27  # bytes per call: the lattice of a line takes 24 times its bytes

    def __init__(self, spec: UnigramSpec):
        texts = {i: text for i, (text, _) in enumerate(spec.pieces)}
        super().__init__(spec, texts)
        byte_ids = [-1] * 256
        if spec.byte_fallback:
            ids = {text: i for i, text in texts.items()}
            byte_ids = [ids[name] for name in BYTE_PIECES]
        hidden = {*byte_ids, *self.special.values(), spec.unknown}
        byte_level = spec.pre_tokenizer.byte_level
        if byte_level:  # a character outside of the byte alphabet can never be met
            hidden.update(i for i, text in texts.items() if any(c not in CHAR_TO_BYTE for c in text))
            pieces = [(symbol_bytes(text), i) for i, text in texts.items() if i not in hidden]
        else:
            pieces = [(t.encode("utf-8", "surrogatepass"), i) for i, t in texts.items() if i not in hidden]
        scores = np.array([score for _, score in spec.pieces], np.float64)
        unknown = -1 if spec.unknown is None else spec.unknown
        unknown_score = float(scores.min()) - UNKNOWN_PENALTY
        stages = spec.pre_tokenizer.compiled()
        self._core = _text.Unigram(pieces, scores.tobytes(), unknown, unknown_score, byte_ids, stages, byte_level)

    def _dumps(self) -> bytes:
        return dumps(self.spec)


def parse(reader: Reader, root: dict, sha256: str) -> UnigramSpec:
    """Check the object of a tokenizer.json with a Unigram model. Raises FormatError for anything wrong in it."""
    model = reader.need(root.get("model"), dict, "model")
    pieces = _pieces(reader, model.get("vocab"))
    vocab = {text: i for i, (text, _) in enumerate(pieces)}
    fallback = model.get("byte_fallback")
    if fallback not in (None, True, False):
        raise reader.fail("key model.byte_fallback: expected true or false")
    if fallback:
        need_bytes(reader, vocab)
    unknown = model.get("unk_id")
    if unknown is not None and not 0 <= reader.need(unknown, int, "model.unk_id") < len(pieces):
        raise reader.fail(f"key model.unk_id: {unknown} is outside 0 to {len(pieces) - 1}")
    common = reader.common(root, vocab)
    byte_level = common["pre_tokenizer"].byte_level
    if byte_level and fallback:
        raise reader.fail("key model.byte_fallback: a byte-level vocabulary has no fallback; set it to false")
    if unknown is None and not fallback:
        _need_alphabet(reader, vocab, common["added"], byte_level)
    return UnigramSpec(pieces, unknown=unknown, byte_fallback=bool(fallback), sha256=sha256, **common)


def _pieces(reader: Reader, value: object) -> list[tuple[str, float]]:
    entries = reader.need(value, list, "model.vocab")
    if not 1 <= len(entries) <= MAX_VOCAB:
        raise reader.fail(f"key model.vocab: {len(entries)} entries, allowed are 1 to {MAX_VOCAB}")
    pieces, seen = [], set()
    for n, entry in enumerate(entries):
        key = f"model.vocab[{n}]"
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise reader.fail(f"key {key}: expected a piece and its score")
        text, score = entry
        if type(score) not in (int, float) or not math.isfinite(score) or abs(score) > MAX_SCORE:
            raise reader.fail(f"key {key}: the score must be a number from -{MAX_SCORE:.0f} to {MAX_SCORE:.0f}")
        if not 1 <= len(text) <= MAX_TOKEN:
            raise reader.fail(f"key {key}: the piece must have 1 to {MAX_TOKEN} characters")
        if text in seen:
            raise reader.fail(f"key {key}: {text[:40]!r} appears twice")
        seen.add(text)
        pieces.append((text, float(score)))
    return pieces


def _need_alphabet(reader: Reader, vocab: dict[str, int], added: tuple[AddedToken, ...], byte_level: bool) -> None:
    """Every text can be encoded although nothing stands for what is unknown: each byte is a piece."""
    if not byte_level:
        raise reader.fail("key model.unk_id: needed where byte_fallback is off")
    literals = {token.content for token in added}  # never read out of plain text
    for character, byte in CHAR_TO_BYTE.items():
        if character not in vocab or character in literals:
            raise reader.fail(f"key model.vocab: no piece for the byte 0x{byte:02X}, and model.unk_id is null")


def plain_decoder(pre: pretokenize.PreTokenizer) -> dict:
    """The decoder that undoes a Metaspace pre-tokenizer with byte fallback."""
    return {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, pre.entry, {"type": "Fuse"}]}


def byte_level_decoder() -> dict:
    """The decoder of a byte-level vocabulary."""
    return dict(BYTE_LEVEL_DECODER)


def dumps(spec: UnigramSpec) -> bytes:
    """The bytes of a tokenizer.json with these contents: the same spec always gives the same bytes."""
    model = {
        "type": "Unigram",
        "unk_id": spec.unknown,
        "vocab": [[text, score] for text, score in spec.pieces],
        "byte_fallback": spec.byte_fallback,
    }
    return envelope(spec, {i: text for i, (text, _) in enumerate(spec.pieces)}, model)
