"""SentencePieceTokenizer: encodes and decodes as a SentencePiece model does (Kudo & Richardson 2018), Unigram or BPE.

Ids are those of the `sentencepiece` library. What the model normalises away (compatibility characters, extra spaces,
whether the text had a space in front) does not come back. The model comes from a `.model` file (`spm_file.py`) or from
the keys of a GGUF file (`gguf_vocabulary.py`); written is the `.model` file that was read. Knows neither format.
"""

from dataclasses import dataclass, field

import numpy as np

from runtime.text import _text
from runtime.text.added_tokens import AddedToken, Literals
from runtime.text.base import BaseTokenizer
from runtime.text.bpe import characters_of, spaces_begin_tokens
from runtime.text.byte_alphabet import BYTE_PIECES
from runtime.text.charsmap import CharacterMap
from runtime.text.pretokenize import METASPACE, PreTokenizer
from runtime.text.tokenizer_json import BYTE_LEVEL_DECODER
from runtime.text.unigram import UNKNOWN_PENALTY

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2


@dataclass(frozen=True)
class SentencePieceSpec:
    """The checked content of a model. pieces: (text, score, type), the index is the id; the score is a log probability
    (Unigram) or orders the merges (BPE); rules: replacement of byte strings before anything else; the three flags: a
    space is put in front, runs of spaces are cut to one and those at the ends left out, unknown characters become
    bytes; data: the `.model` file, empty where there was none."""

    pieces: list[tuple[str, float, int]]
    unknown: int
    rules: CharacterMap | None
    dummy_prefix: bool
    remove_extra: bool
    byte_fallback: bool
    data: bytes = field(repr=False)
    model_type: int = UNIGRAM
    charsmap: bytes = field(default=b"", repr=False)  # the rules as the file holds them
    added: tuple[AddedToken, ...] = ()
    template: tuple[int | None, ...] = (None,)
    sha256: str = field(default="", compare=False)
    pre_tokenizer: PreTokenizer = PreTokenizer(("whole",), None)
    normalizer: dict | None = None
    decoder: dict = field(default_factory=lambda: BYTE_LEVEL_DECODER)  # decoding is joining the tokens' bytes


class SentencePieceTokenizer(BaseTokenizer):
    """Encodes and decodes as one model says. May be shared by threads."""

    file_name = "tokenizer.model"
    max_text = 1 << 27  # bytes per call: the lattice takes 24 times as many

    def __init__(self, spec: SentencePieceSpec):
        super().__init__(spec, {i: text for i, (text, _, _) in enumerate(spec.pieces)})
        byte_ids = [-1] * 256
        if spec.byte_fallback:
            ids = {text: i for i, (text, _, kind) in enumerate(spec.pieces) if kind == BYTE}
            byte_ids = [ids[name] for name in BYTE_PIECES]
        self._byte_of = {i: bytes([b]) for b, i in enumerate(byte_ids) if i >= 0}
        self.drops_first, self.drops_until_text = spec.dummy_prefix or spec.remove_extra, spec.remove_extra
        own = [AddedToken(i, text, False) for i, (text, _, kind) in enumerate(spec.pieces) if kind == USER_DEFINED]
        self._own = Literals(own, [t.content for t in own])
        self._core = self._bpe(byte_ids) if spec.model_type == BPE else self._unigram(byte_ids)

    def _unigram(self, byte_ids: list[int]) -> _text.Unigram:
        spec = self.spec
        scores = np.array([score for _, score, _ in spec.pieces], np.float32)
        normal = [score for _, score, kind in spec.pieces if kind == NORMAL]
        highest, pieces = max(normal, default=0.0), []
        for i, (text, _, kind) in enumerate(spec.pieces):
            data = text.encode("utf-8", "surrogatepass")
            if kind == USER_DEFINED:  # worth more than what it could be cut into
                scores[i] = np.float32(len(data) * np.float32(highest) - 0.1)
            if kind in (NORMAL, USER_DEFINED):
                pieces.append((data, i))
        unknown = float(np.float32(min(normal, default=0.0)) - np.float32(UNKNOWN_PENALTY))
        wide = scores.astype(np.float64).tobytes()
        return _text.Unigram(pieces, wide, spec.unknown, unknown, byte_ids, ("whole",), False, True)

    def _bpe(self, byte_ids: list[int]) -> _text.Core:
        """Merges of every pair of pieces whose text is a piece; that of the highest score first."""
        spec = self.spec
        ids = {text: i for i, (text, _, kind) in enumerate(spec.pieces) if kind == NORMAL}
        order = {
            score: rank for rank, score in enumerate(sorted({spec.pieces[i][1] for i in ids.values()}, reverse=True))
        }
        rules = []
        for text, i in ids.items():
            rank = order[spec.pieces[i][1]]
            for cut in range(1, len(text)):
                left, right = ids.get(text[:cut]), ids.get(text[cut:])
                if left is not None and right is not None:
                    rules.append((left, right, rank, i))
        characters = characters_of(ids).tobytes()
        stages = ("spaced",) if spaces_begin_tokens(ids) else ("whole",)
        table = np.array(rules, np.int32).tobytes()
        return _text.Core(table, byte_ids, stages, None, characters, spec.unknown, not spec.byte_fallback)

    def _plain(self, text: str, first: bool) -> bytes:
        parts = []
        for piece in self._own.cut(self._normal_form(text, first)):
            plain = isinstance(piece, str)
            parts.append(super()._plain(piece, first) if plain else piece.to_bytes(4, "little"))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _normal_form(self, text: str, first: bool) -> str:
        """The text as the vocabulary writes it."""
        spec = self.spec
        if spec.rules is not None:
            parts = self._own.cut(text)  # own pieces are kept as they are
            text = "".join(spec.rules.apply(p) if isinstance(p, str) else spec.pieces[p][0] for p in parts)
        if spec.remove_extra:
            text = " ".join(part for part in text.split(" ") if part)
        if not text:
            return text
        text = (METASPACE if spec.dummy_prefix else "") + text.replace(" ", METASPACE)
        return text.rstrip(METASPACE) if spec.remove_extra else text

    def pre_tokens(self, text: str) -> list[str]:
        return super().pre_tokens(self._normal_form(text, True))

    def _bytes_of(self, id: int, first: bool) -> bytes:
        if id in self._byte_of:
            return self._byte_of[id]
        if id == self.spec.unknown:
            return " \u2047 ".encode()  # what the library writes for it
        text = self.token_text(id)
        data = text.replace(METASPACE, " ").encode("utf-8", "surrogatepass")
        return data[1:] if first and self.drops_first and text.startswith(METASPACE) else data

    def _dumps(self) -> bytes:
        from runtime.text import spm_file  # which needs the spec from here

        return self.spec.data or spm_file.dumps(self.spec)
