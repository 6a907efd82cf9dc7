"""Training of character-level and word-level vocabularies: count, then keep the most frequent.

Ties go to the smaller text, so the same texts in any order give the same vocabulary. Knows nothing about where the
texts come from.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from runtime.text import _text, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.byte_alphabet import BYTE_PIECES
from runtime.text.lookup import LookupSpec, LookupTokenizer
from runtime.text.tokenizer_json import MAX_TOKEN
from runtime.text.train import SPECIAL_TOKENS


def train_characters(
    texts: Iterable[str], vocab_size: int | None = None, special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> LookupTokenizer:
    """A character-level tokenizer: special tokens, 256 bytes, then the characters of the texts, most frequent first.

    vocab_size: at most so many entries; None keeps every character. Raises ValueError for a vocabulary smaller than
    its fixed part, for doubled special tokens and when there is no text.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    vocab = fixed_part(special_tokens, vocab_size)
    _keep(vocab, counts, vocab_size)
    return _build(vocab, special_tokens, pretokenize.PreTokenizer(("whole",), None), by_word=False)


def train_words(
    texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> LookupTokenizer:
    """A word-level tokenizer with at most `vocab_size` entries: special tokens, 256 bytes, characters, words.

    Characters take at most half of the room, most frequent first, so that unknown words are still spelt shortly.
    Raises ValueError as train_characters does.
    """
    pre = pretokenize.named_plain("words")
    counter = _text.Core(b"", list(range(256)), pre.compiled())
    pieces: dict[bytes, int] = {}
    characters: Counter[str] = Counter()
    for text in texts:
        characters.update(text)
        counter.count(text.encode("utf-8", "surrogatepass"), pieces)
    vocab = fixed_part(special_tokens, vocab_size)
    _keep(vocab, characters, len(vocab) + (vocab_size - len(vocab) + 1) // 2)
    # a long piece would be refused when the file is read again
    words = {w: n for b, n in pieces.items() if len(w := b.decode("utf-8", "surrogatepass")) <= MAX_TOKEN}
    _keep(vocab, words, vocab_size)
    return _build(vocab, special_tokens, pre, by_word=True)


def fixed_part(special_tokens: Sequence[str], vocab_size: int | None) -> dict[str, int]:
    """Special tokens and the 256 byte tokens with their ids. Raises ValueError if they do not fit or are doubled."""
    if len(set(special_tokens)) != len(special_tokens) or not all(special_tokens):
        raise ValueError("special tokens must be non-empty and different")
    fixed = [*special_tokens, *BYTE_PIECES]
    if len(set(fixed)) != len(fixed):
        raise ValueError("a special token has the name of a byte token")
    if vocab_size is not None and vocab_size < len(fixed):
        raise ValueError(
            f"vocab_size {vocab_size} is below {len(fixed)}: {len(special_tokens)} special tokens, 256 bytes"
        )
    return {token: i for i, token in enumerate(fixed)}


def _keep(vocab: dict[str, int], counts: dict[str, int], size: int | None) -> None:
    """Add the most frequent texts until `vocab` has `size` entries. ValueError when there is nothing to count."""
    if not counts:
        raise ValueError("no text to train a tokenizer on")
    for text in sorted(counts, key=lambda t: (-counts[t], t)):
        if size is not None and len(vocab) >= size:
            break
        if any("\ud800" <= c <= "\udfff" for c in text):
            continue  # a lone surrogate cannot be written to a file; its bytes serve
        vocab.setdefault(text, len(vocab))


def _build(vocab: dict[str, int], special_tokens: Sequence[str], pre, by_word: bool) -> LookupTokenizer:
    added = tuple(AddedToken(vocab[token], token) for token in special_tokens)
    return LookupTokenizer(LookupSpec(vocab, added, pre, by_word))
