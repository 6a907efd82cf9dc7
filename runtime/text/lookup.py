"""LookupTokenizer: tokens are whole words or single characters of a list; what is not in it is spelt in bytes.

Word level: pieces of the "words" split (words, runs of white space, single other characters), else their characters;
character level: characters only. A character outside the vocabulary falls back to the tokens of its UTF-8 bytes, so
every text comes back exactly. In tokenizer.json both are a BPE model without merges and with byte_fallback
(`ignore_merges` makes it word level), which the Hugging Face library reads with equal ids; only tokens of bytes that
form no character decode otherwise there (one U+FFFD a byte). Knows nothing about training (`lookup_train.py`).
"""

from dataclasses import dataclass, field

from runtime.text import _text, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.base import BaseTokenizer
from runtime.text.byte_alphabet import BYTE_PIECES
from runtime.text.tokenizer_json import Reader, bpe_model, envelope

DECODER = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}


@dataclass(frozen=True)
class LookupSpec:
    """The checked content of one file. vocab: text -> id, the 256 byte tokens among them; by_word: whole pre-tokens
    are looked up before their characters."""

    vocab: dict[str, int]
    added: tuple[AddedToken, ...]
    pre_tokenizer: pretokenize.PreTokenizer
    by_word: bool
    normalizer: dict | None = None
    template: tuple[int | None, ...] = (None,)
    decoder: dict | None = field(default_factory=lambda: DECODER)
    sha256: str = field(default="", compare=False)


class LookupTokenizer(BaseTokenizer):
    """Encodes and decodes by looking up words or characters. May be shared by threads."""

    def __init__(self, spec: LookupSpec):
        super().__init__(spec, {i: text for text, i in spec.vocab.items()})
        byte_ids = [spec.vocab[name] for name in BYTE_PIECES]
        # the names of bytes and of added tokens are no text: plain text that spells them stays text
        hidden = {*byte_ids, *self.special.values()}
        known = {text.encode("utf-8", "surrogatepass"): i for text, i in spec.vocab.items() if i not in hidden}
        self._core = _text.Lookup(known, byte_ids, spec.pre_tokenizer.compiled(), spec.by_word)

    def _dumps(self) -> bytes:
        return dumps(self.spec)


def is_lookup(root: dict) -> bool:
    """Whether the object of a tokenizer.json is of this kind."""
    model = root.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or model.get("merges") != []:
        return False
    plain = not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"))
    return plain and model.get("byte_fallback") is True and root.get("decoder") == DECODER


def parse(reader: Reader, root: dict, sha256: str) -> LookupSpec:
    """Check the object of a tokenizer.json of this kind. Raises FormatError for anything wrong in it."""
    model = reader.need(root.get("model"), dict, "model")
    vocab = reader.vocab(model.get("vocab"))
    need_bytes(reader, vocab)
    by_word = reader.need(model.get("ignore_merges", False), bool, "model.ignore_merges")
    return LookupSpec(vocab, by_word=by_word, sha256=sha256, **reader.common(root, vocab))


def need_bytes(reader: Reader, vocab: dict[str, int]) -> None:
    """Refuse a vocabulary with byte_fallback in which a byte has no token: some text would have no ids."""
    missing = next((name for name in BYTE_PIECES if name not in vocab), None)
    if missing:
        raise reader.fail(f"key model.vocab: byte_fallback needs a token for every byte, {missing} is not there")


def dumps(spec: LookupSpec) -> bytes:
    """The bytes of a tokenizer.json with these contents: the same spec always gives the same bytes."""
    model = bpe_model(spec.vocab, (), ignore_merges=spec.by_word, byte_fallback=True)
    return envelope(spec, {i: t for t, i in spec.vocab.items()}, model)
