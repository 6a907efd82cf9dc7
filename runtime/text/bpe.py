"""Tokenizer: byte pair encoding (Sennrich et al. 2016) behind encode and decode, over bytes or over characters.

Byte-level (pre-tokenizer ByteLevel, what we train): text becomes UTF-8 bytes, so every text has ids and
decode_bytes(encode(text)) is the text's bytes exactly (unless the file asks for normalisation). Otherwise symbols are
characters, possibly marked as inside or at the end of a word; what is no symbol becomes its bytes (byte_fallback), the
unknown token, or nothing, as the file says. Loops are in `_text.pyx`, the file format in `tokenizer_json.py`. Knows
nothing about models or prompts.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from runtime.text import _text, tokenizer_json
from runtime.text.base import BaseTokenizer
from runtime.text.byte_alphabet import BYTE_PIECES, BYTE_TO_CHAR, symbol_bytes
from runtime.text.pretokenize import METASPACE, NONE
from runtime.text.tokenizer_json import TokenizerSpec

INNER, LAST = 1, 2  # forms of a character: not the first, the last of its pre-token (`_bpe.pxi`)


@dataclass(frozen=True)
class Tables:
    """A vocabulary as `_text.Core` takes it. rules: int32 (merges, 4): left, right, rank, out; byte_ids: 256 ids or -1;
    unknown: id or -1; characters: int32 (symbols, 3): code point, form, id, None for byte-level; words: strings and
    their offsets (int64) where whole pre-tokens are looked up first, else None; cut_at_spaces: no token has U+2581
    after another character, so that a text without a pre-tokenizer may be cut there."""

    rules: np.ndarray
    byte_ids: list[int]
    unknown: int
    characters: np.ndarray | None = None
    words: tuple[bytes, np.ndarray] | None = None
    cut_at_spaces: bool = False


class Tokenizer(BaseTokenizer):
    """Encodes and decodes with one BPE vocabulary. May be shared by threads.

    texts, tables: what is known of the vocabulary already (`cached.py`); None: made from the spec.
    """

    def __init__(self, spec: TokenizerSpec, texts: Mapping[int, str] | None = None, tables: Tables | None = None):
        if texts is None:
            super().__init__(spec, {i: text for text, i in spec.vocab.items()})
        else:
            super().__init__(spec, texts, len(texts))
        self.tables = t = tables or make_tables(spec)
        stages = spec.pre_tokenizer.compiled()
        if t.cut_at_spaces:  # the words between spaces are found in the cache
            stages = ("spaced",)
        whole = None if t.words is None else _text.ByteMap(t.words[0], t.words[1].tobytes())
        characters = None if t.characters is None else t.characters.tobytes()
        self._core = _text.Core(t.rules.tobytes(), t.byte_ids, stages, whole, characters, t.unknown, spec.fuse_unknown)

    def _dumps(self) -> bytes:
        return tokenizer_json.dumps(self.spec)


def make_tables(spec: TokenizerSpec) -> Tables:
    """The tables of a vocabulary."""
    vocab, cut = spec.vocab, len(spec.inner_prefix)
    rules = np.array(
        [(vocab[a], vocab[b], rank, vocab[a + b[cut:]]) for rank, (a, b) in enumerate(spec.merges)], np.int32
    ).reshape(-1, 4)
    unknown = -1 if spec.unknown is None else vocab[spec.unknown]
    data = symbol_bytes if spec.pre_tokenizer.byte_level else lambda text: text.encode("utf-8", "surrogatepass")
    words = _words(vocab, data) if spec.ignore_merges else None
    if spec.pre_tokenizer.byte_level:
        return Tables(rules, [vocab.get(c, -1) for c in BYTE_TO_CHAR], unknown, None, words)
    byte_ids = [vocab.get(name, -1) if spec.byte_fallback else -1 for name in BYTE_PIECES]
    marked = bool(spec.inner_prefix or spec.last_suffix)
    whole = spec.pre_tokenizer.stages == NONE and not marked and not spec.ignore_merges
    characters = characters_of(vocab, spec.inner_prefix, spec.last_suffix)
    return Tables(rules, byte_ids, unknown, characters, words, whole and spaces_begin_tokens(vocab))


def _words(vocab: Mapping[str, int], data) -> tuple[bytes, np.ndarray]:
    """The bytes of all tokens by id, as Tables.words holds them."""
    strings = [b""] * (max(vocab.values()) + 1)
    for text, i in vocab.items():
        strings[i] = data(text)
    return joined(strings)


def joined(strings: Iterable[bytes]) -> tuple[bytes, np.ndarray]:
    """(the strings one after the other, int64 offsets: where each begins, and the end of the last)."""
    strings = list(strings)
    offsets = np.zeros(len(strings) + 1, np.int64)
    np.cumsum([len(s) for s in strings], out=offsets[1:])
    return b"".join(strings), offsets


def characters_of(vocab: Mapping[str, int], prefix: str = "", suffix: str = "") -> np.ndarray:
    """int32 (symbols, 3): code point, form and id of the symbols that are one character, apart from the marks of their
    form."""
    out = []
    forms = [(0, "", "")]
    if prefix or suffix:
        forms = [(form, prefix if form & INNER else "", suffix if form & LAST else "") for form in range(4)]
    for form, before, after in forms:
        size = len(before) + 1 + len(after)
        for text, i in vocab.items():
            if len(text) == size and text.startswith(before) and text.endswith(after):
                out.append((ord(text[len(before)]), form, i))
    return np.array(out, np.int32).reshape(-1, 3)


_INNER_SPACE = re.compile(f"[^{METASPACE}]{METASPACE}")


def spaces_begin_tokens(vocab: Collection[str]) -> bool:
    """No token has U+2581 after another character: then no merge crosses that place."""
    return METASPACE in vocab and not any(METASPACE in text and _INNER_SPACE.search(text) for text in vocab)
