"""UnigramTokenizer: the most probable segmentation under independent pieces (Kudo 2018), by Viterbi in `_text.pyx`.

Two alphabets. Byte-level (pre-tokenizer ByteLevel, what we train by default): pieces of bytes, every text comes back
exactly. Metaspace or plain (files of others): pieces of characters with a space written as U+2581; what is no piece
becomes bytes (byte_fallback) or one unknown token, and such a file itself forgets whether it read a space or U+2581
and, where it writes a space before the text, whether there was one. Ids are those of the Hugging Face library on the
same file, but the names of bytes ("<0x41>") and of the unknown token are never read out of plain text, as in
SentencePiece, and byte tokens that form no character decode to one U+FFFD per broken sequence. Knows the `model` entry
of tokenizer.json, not training (`unigram_train.py`).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from runtime.text import _text, pretokenize
from runtime.text.base import BaseTokenizer
from runtime.text.lookup import need_bytes
from runtime.text.pretokenize import METASPACE
from runtime.text.tokenizer_json import (
    BYTE_LEVEL_DECODER,
    BYTE_PIECES,
    CHAR_TO_BYTE,
    MAX_TOKEN,
    MAX_VOCAB,
    AddedToken,
    Reader,
    envelope,
    symbol_bytes,
)

UNKNOWN_PENALTY = 10.0  # an unknown character is this much less probable than the least probable piece
MAX_SCORE = 1e6


@dataclass(frozen=True)
class UnigramSpec:
    """The checked content of one file. pieces: (text, natural log probability), the index is the id; unknown: id or
    None; decoder: the JSON as read."""

    pieces: list[tuple[str, float]]
    added: tuple[AddedToken, ...]
    pre_tokenizer: pretokenize.PreTokenizer
    decoder: dict
    unknown: int | None = None
    byte_fallback: bool = False
    normalizers: tuple[str, ...] = ()
    template: tuple[int | None, ...] = (None,)
    sha256: str = field(default="", compare=False)

    @property
    def byte_level(self) -> bool:
        return self.decoder.get("type") == "ByteLevel"


class UnigramTokenizer(BaseTokenizer):
    """Encodes and decodes with one Unigram vocabulary. May be shared by threads."""

    max_text = 1 << 27  # bytes per call: the lattice of a line takes 24 times its bytes

    def __init__(self, spec: UnigramSpec):
        self.spec = spec
        self._drop = _dropped_in_front(spec.decoder)
        self.drops_first = self._drop != "nothing"
        self._byte_level = spec.byte_level
        self._texts = [text for text, _ in spec.pieces]
        table = {i: self._literal_bytes(text) for i, text in enumerate(self._texts)}
        byte_ids = [-1] * 256
        if spec.byte_fallback:
            ids = {text: i for i, text in enumerate(self._texts)}
            byte_ids = [ids[name] for name in BYTE_PIECES]
            table.update({i: bytes([b]) for b, i in enumerate(byte_ids)})
        super().__init__(spec, table)
        hidden = {*byte_ids, *self.special.values(), spec.unknown}
        if self._byte_level:  # a character outside of the byte alphabet can never be met
            hidden.update(i for i, text in enumerate(self._texts) if any(c not in CHAR_TO_BYTE for c in text))
            pieces = [(table[i], i) for i in table if i not in hidden]
        else:
            pieces = [(t.encode("utf-8", "surrogatepass"), i) for i, t in enumerate(self._texts) if i not in hidden]
        scores = np.array([score for _, score in spec.pieces], np.float64)
        unknown = -1 if spec.unknown is None else spec.unknown
        unknown_score = float(scores.min()) - UNKNOWN_PENALTY
        stages = spec.pre_tokenizer.stages
        self._core = _text.Unigram(pieces, scores.tobytes(), unknown, unknown_score, byte_ids, stages, self._byte_level)

    def _spaced(self, text: str, first: bool) -> str:
        prepend = self.spec.pre_tokenizer.prepend
        if prepend is None:
            return text
        text = text.replace(" ", METASPACE)
        if text and not text.startswith(METASPACE) and (prepend == "always" or (prepend == "first" and first)):
            text = METASPACE + text
        return text

    def _literal_bytes(self, text: str) -> bytes:
        if self._byte_level:
            return symbol_bytes(text)
        if self.spec.pre_tokenizer.prepend is not None:
            text = text.replace(METASPACE, " ")
        return text.encode("utf-8", "surrogatepass")

    def first_token_bytes(self, id: int) -> bytes:
        data = self.token_bytes(id)
        if self._drop == "a space":
            return data.removeprefix(b" ")
        if self._drop == "every space" and id < len(self._texts) and METASPACE in self._texts[id]:
            return self._texts[id].replace(METASPACE, "").encode("utf-8", "surrogatepass")
        return data

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
    added = reader.added(root.get("added_tokens"), vocab)
    reader.contiguous(vocab.values(), added)
    pre = reader.pre_tokenizer(root, pretokenize.unigram_from_json)
    byte_level = "ByteLevel" in _types(pre.entry, "pretokenizers")
    if byte_level and fallback:
        raise reader.fail("key model.byte_fallback: a byte-level vocabulary has no fallback; set it to false")
    decoder = _decoder(reader, root.get("decoder"), byte_level, bool(fallback), pre.prepend is not None)
    if unknown is None and not fallback:
        _need_alphabet(reader, vocab, added, byte_level)
    reader.ignored(root)
    normalizers = reader.normalizers(root.get("normalizer"))
    template = reader.template(root.get("post_processor"), vocab, added)
    return UnigramSpec(pieces, added, pre, decoder, unknown, bool(fallback), normalizers, template, sha256)


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


def _types(entry: dict | None, parts: str) -> list:
    """Types of an entry and, if it is a Sequence, of what is in it."""
    if entry is None:
        return []
    found = entry.get(parts) if entry.get("type") == "Sequence" else [entry]
    return [part.get("type") if isinstance(part, dict) else None for part in found]


_PLAIN_DECODERS = (
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Replace", "pattern": {"String": METASPACE}, "content": " "},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
)


def _decoder(reader: Reader, value: object, byte_level: bool, fallback: bool, spaces: bool) -> dict:
    """Check that the decoder undoes what the rest of the file does; it is kept as it is."""
    entry = reader.need(value, dict, "decoder")
    if byte_level:
        if entry.get("type") != "ByteLevel":
            raise reader.fail(f"decoder {str(entry.get('type'))[:40]!r} is not supported, only ByteLevel")
        return entry
    parts = entry.get("decoders") if entry.get("type") == "Sequence" else [entry]
    if not isinstance(parts, list) or len(parts) > 8:
        raise reader.fail("key decoder: expected a Sequence of at most 8 entries")
    types = _types({"type": "Sequence", "decoders": parts}, "decoders")
    for kind, part in zip(types, parts, strict=True):
        known = part in _PLAIN_DECODERS
        if kind == "Metaspace":
            scheme = part.get("prepend_scheme", "always")
            known = part.get("replacement") == METASPACE and scheme in ("always", "first", "never")
        if not known:
            raise reader.fail(f"decoder {str(kind)[:40]!r} is not supported with these settings")
    if spaces != bool({"Metaspace", "Replace"} & set(types)) or fallback != ("ByteFallback" in types):
        raise reader.fail("decoder: does not undo the pre_tokenizer and the byte_fallback of this file")
    if types != ["Metaspace"] and "Fuse" not in types:
        raise reader.fail("decoder: a Sequence without Fuse is not supported")
    if "Strip" in types and types[-2:] != ["Fuse", "Strip"]:
        raise reader.fail("decoder: Strip is supported at the end, after Fuse")
    return entry


def _dropped_in_front(decoder: dict) -> str:
    """What decoding takes away from the first token: "nothing", "a space" or "every space"."""
    for part in decoder.get("decoders", [decoder]):
        if part["type"] == "Metaspace":
            never = part.get("prepend_scheme", "always") == "never" or part.get("add_prefix_space") is False
            return "nothing" if never else "every space"
        if part["type"] == "Strip":
            return "a space"
    return "nothing"


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
    return envelope(spec, {i: text for i, (text, _) in enumerate(spec.pieces)}, spec.decoder, model)
