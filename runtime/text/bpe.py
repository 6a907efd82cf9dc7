"""Tokenizer: byte-level BPE (Sennrich et al. 2016, byte alphabet of GPT-2) behind encode and decode.

Text becomes UTF-8 bytes, so every text has ids and decode_bytes(encode(text)) is the text's bytes exactly (unless
the file asks for Unicode normalisation). Loops are in `_text.pyx`, the file format in `tokenizer_json.py`. Knows
nothing about models or prompts.
"""

from runtime.text import _text, tokenizer_json
from runtime.text.base import BaseTokenizer
from runtime.text.tokenizer_json import BYTE_TO_CHAR, TokenizerSpec, symbol_bytes


class Tokenizer(BaseTokenizer):
    """Encodes and decodes with one byte-level BPE vocabulary. May be shared by threads."""

    def __init__(self, spec: TokenizerSpec):
        vocab = spec.vocab
        super().__init__(spec, {i: symbol_bytes(text) for text, i in vocab.items()})
        rules = ((vocab[a], vocab[b], rank, vocab[a + b]) for rank, (a, b) in enumerate(spec.merges))
        whole = {self._bytes[i]: i for i in vocab.values()} if spec.ignore_merges else None
        self._core = _text.Core(rules, [vocab.get(c, -1) for c in BYTE_TO_CHAR], spec.pre_tokenizer.stages, whole)

    def _dumps(self) -> bytes:
        return tokenizer_json.dumps(self.spec)
