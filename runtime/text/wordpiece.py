"""WordPieceTokenizer: each word is the longest pieces from its left (Schuster & Nakajima 2012), or whole (WordLevel).

A word that cannot be spelt so is one unknown token. Ids are those of the Hugging Face library on the same file. Knows
the `model` entry of tokenizer.json; what cuts a text into words is known by `pretokenize.py`.
"""

from dataclasses import dataclass, field

from runtime.text import _text
from runtime.text.added_tokens import AddedToken
from runtime.text.base import BaseTokenizer
from runtime.text.pretokenize import PreTokenizer
from runtime.text.tokenizer_json import Reader, envelope

MAX_CHARACTERS = 1 << 20  # of a word, as the file may bound it


@dataclass(frozen=True)
class WordPieceSpec:
    """The checked content of one file. inner_prefix: mark of pieces that continue a word, None where a word is one
    piece (WordLevel); longest: words of more characters are unknown."""

    vocab: dict[str, int]
    added: tuple[AddedToken, ...]
    pre_tokenizer: PreTokenizer
    unknown: str
    inner_prefix: str | None = "##"
    longest: int = 100
    normalizer: dict | None = None
    template: tuple[int | None, ...] = (None,)
    decoder: dict | None = None
    sha256: str = field(default="", compare=False)


class WordPieceTokenizer(BaseTokenizer):
    """Encodes and decodes with one vocabulary of word pieces. May be shared by threads."""

    def __init__(self, spec: WordPieceSpec):
        super().__init__(spec, {i: text for text, i in spec.vocab.items()})
        first = [(self._data(text), i) for text, i in spec.vocab.items() if text]
        inner = None
        if spec.inner_prefix is not None:
            cut = len(spec.inner_prefix)
            inner = [
                (self._data(text[cut:]), i)
                for text, i in spec.vocab.items()
                if text.startswith(spec.inner_prefix) and len(text) > cut
            ]
        stages = spec.pre_tokenizer.compiled()
        self._core = _text.Words(first, inner, spec.longest, spec.vocab[spec.unknown], stages)

    def _data(self, text: str) -> bytes:
        return text.encode("utf-8", "surrogatepass")

    def _dumps(self) -> bytes:
        return dumps(self.spec)


def parse(reader: Reader, root: dict, sha256: str) -> WordPieceSpec:
    """Check the object of a tokenizer.json with such a model. Raises FormatError for anything wrong in it."""
    model = reader.need(root.get("model"), dict, "model")
    vocab = reader.vocab(model.get("vocab"))
    unknown = reader.need(model.get("unk_token", "[UNK]"), str, "model.unk_token")
    if unknown not in vocab:
        raise reader.fail(f"key model.unk_token: {unknown[:40]!r} is not in model.vocab")
    prefix, longest = None, MAX_CHARACTERS
    if model.get("type") != "WordLevel":
        prefix = reader.need(model.get("continuing_subword_prefix", "##"), str, "model.continuing_subword_prefix")
        longest = reader.need(model.get("max_input_chars_per_word", 100), int, "model.max_input_chars_per_word")
        if not 0 <= longest <= MAX_CHARACTERS:
            raise reader.fail(f"key model.max_input_chars_per_word: must lie within 0 .. {MAX_CHARACTERS}")
    common = reader.common(root, vocab)
    if common["pre_tokenizer"].byte_level:
        raise reader.fail(f"model {model.get('type')!r} with a ByteLevel pre_tokenizer is not supported")
    return WordPieceSpec(vocab, unknown=unknown, inner_prefix=prefix, longest=longest, sha256=sha256, **common)


def dumps(spec: WordPieceSpec) -> bytes:
    """The bytes of a tokenizer.json with these contents: the same spec always gives the same bytes."""
    vocab = dict(sorted(spec.vocab.items(), key=lambda item: item[1]))
    model: dict = {"type": "WordLevel", "vocab": vocab, "unk_token": spec.unknown}
    if spec.inner_prefix is not None:
        model = {
            "type": "WordPiece",
            "unk_token": spec.unknown,
            "continuing_subword_prefix": spec.inner_prefix,
            "max_input_chars_per_word": spec.longest,
            "vocab": vocab,
        }
    return envelope(spec, {i: text for text, i in vocab.items()}, model)
