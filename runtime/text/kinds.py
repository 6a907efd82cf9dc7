"""The tokenizer of the kind that a tokenizer.json holds. Knows which kinds there are, not what is in them."""

from runtime.text import lookup, tokenizer_json, unigram, wordpiece
from runtime.text.base import BaseTokenizer
from runtime.text.bpe import Tokenizer


def from_root(reader: tokenizer_json.Reader, root: dict, sha256: str) -> BaseTokenizer:
    """The tokenizer of the object of a tokenizer.json. Raises FormatError for anything wrong in it."""
    model = reader.need(root.get("model"), dict, "model")
    kind = model.get("type") or _kind_of(model)
    if lookup.is_lookup(root):
        return lookup.LookupTokenizer(lookup.parse(reader, root, sha256))
    if kind == "Unigram":
        return unigram.UnigramTokenizer(unigram.parse(reader, root, sha256))
    if kind in ("WordPiece", "WordLevel"):
        return wordpiece.WordPieceTokenizer(wordpiece.parse(reader, root, sha256))
    if kind == "BPE":
        return Tokenizer(reader.spec(root, sha256))
    raise reader.fail(f"model type {str(kind)[:40]!r} is not supported, only BPE, Unigram, WordPiece and WordLevel")


def _kind_of(model: dict) -> str | None:
    """The kind of a model of a file from before `type`."""
    if "merges" in model:
        return "BPE"
    return "Unigram" if "unk_id" in model else "WordPiece" if "max_input_chars_per_word" in model else None
