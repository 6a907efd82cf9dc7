"""Tokenizer: byte pair encoding (Sennrich et al. 2016) behind encode and decode, over bytes or over characters.

Byte-level (pre-tokenizer ByteLevel, what we train): text becomes UTF-8 bytes, so every text has ids and
decode_bytes(encode(text)) is the text's bytes exactly (unless the file asks for normalisation). Otherwise symbols are
characters, possibly marked as inside or at the end of a word; what is no symbol becomes its bytes (byte_fallback), the
unknown token, or nothing, as the file says. Loops are in `_text.pyx`, the file format in `tokenizer_json.py`. Knows
nothing about models or prompts.
"""

import re
from collections.abc import Collection

import numpy as np

from runtime.text import _text, tokenizer_json
from runtime.text.base import BaseTokenizer
from runtime.text.byte_alphabet import BYTE_PIECES, BYTE_TO_CHAR, symbol_bytes
from runtime.text.pretokenize import METASPACE, NONE
from runtime.text.tokenizer_json import TokenizerSpec

INNER, LAST = 1, 2  # forms of a character: not the first, the last of its pre-token (`_bpe.pxi`)


class Tokenizer(BaseTokenizer):
    """Encodes and decodes with one BPE vocabulary. May be shared by threads."""

    def __init__(self, spec: TokenizerSpec):
        vocab = spec.vocab
        super().__init__(spec, {i: text for text, i in vocab.items()})
        pre = spec.pre_tokenizer
        unknown = -1 if spec.unknown is None else vocab[spec.unknown]
        cut = len(spec.inner_prefix)
        rules = np.array(
            [(vocab[a], vocab[b], rank, vocab[a + b[cut:]]) for rank, (a, b) in enumerate(spec.merges)], np.int32
        )
        whole = characters = None
        stages = pre.compiled()
        if pre.byte_level:
            byte_ids = [vocab.get(c, -1) for c in BYTE_TO_CHAR]
            if spec.ignore_merges:
                whole = {symbol_bytes(text): i for text, i in vocab.items()}
        else:
            byte_ids = [vocab.get(name, -1) if spec.byte_fallback else -1 for name in BYTE_PIECES]
            prefixed = bool(spec.inner_prefix or spec.last_suffix)
            characters = _characters(vocab, spec.inner_prefix, spec.last_suffix)
            if spec.ignore_merges:
                whole = {text.encode("utf-8", "surrogatepass"): i for text, i in vocab.items()}
            elif pre.stages == NONE and not prefixed and spaces_begin_tokens(vocab):
                stages = ("spaced",)
        self._core = _text.Core(rules.tobytes(), byte_ids, stages, whole, characters, unknown, spec.fuse_unknown)

    def _dumps(self) -> bytes:
        return tokenizer_json.dumps(self.spec)


def _characters(vocab: dict[str, int], prefix: str, suffix: str) -> dict[tuple[int, int], int]:
    """(code point, form) -> id of the symbols that are one character, without the marks of their form."""
    out: dict[tuple[int, int], int] = {}
    forms = [(0, "", "")]
    if prefix or suffix:
        forms = [(form, prefix if form & INNER else "", suffix if form & LAST else "") for form in range(4)]
    for form, before, after in forms:
        for text, i in vocab.items():
            if len(text) == len(before) + 1 + len(after) and text.startswith(before) and text.endswith(after):
                out[ord(text[len(before)]), form] = i
    return out


_INNER_SPACE = re.compile(f"[^{METASPACE}]{METASPACE}")


def spaces_begin_tokens(vocab: Collection[str]) -> bool:
    """No token has U+2581 after another character: then no merge crosses that place, a text may be cut there, and its
    words are found in the cache."""
    return METASPACE in vocab and not any(METASPACE in text and _INNER_SPACE.search(text) for text in vocab)
