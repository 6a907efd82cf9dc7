"""Training a byte-level BPE vocabulary (Sennrich et al. 2016): count unique pre-tokens, then merge the most
frequent pair again and again, with counts kept up to date incrementally. Same merges and ids as the Hugging Face
BpeTrainer given the same split, byte alphabet and special tokens. Knows nothing about where the texts come from.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence

from runtime.text import _text, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.bpe import Tokenizer
from runtime.text.byte_alphabet import BYTE_TO_CHAR
from runtime.text.tokenizer_json import TokenizerSpec

# Qwen2.5-Coder's names, so that one prompt builder serves our model and loaded ones
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<|im_start|>",
    "<|im_end|>",
)


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    split: str = "code",
    min_frequency: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tokenizer:
    """A Tokenizer with `vocab_size` entries (fewer if the texts have no more pairs): special tokens, 256 bytes,
    merges.

    split: "code", "gpt2", "qwen2" or "llama3"; progress(tokens so far, vocab_size) is called now and then.
    Raises ValueError for a vocabulary smaller than its fixed part, for doubled special tokens and when there is no
    text.
    """
    fixed = len(special_tokens) + 256
    if vocab_size < fixed:
        raise ValueError(
            f"vocab_size {vocab_size} is below {fixed}: {len(special_tokens)} special tokens and 256 byte symbols"
        )
    if len(set(special_tokens)) != len(special_tokens) or not all(special_tokens):
        raise ValueError("special tokens must be non-empty and different")
    pre = pretokenize.named(split)
    counter = _text.Core(b"", list(range(256)), pre.compiled())
    counts: dict[bytes, int] = {}
    for text in texts:
        counter.count(text.encode("utf-8", "surrogatepass"), counts)
    if not counts:
        raise ValueError("no text to train a tokenizer on")

    vocab = {token: i for i, token in enumerate(special_tokens)}
    for c in sorted(BYTE_TO_CHAR):
        if c in vocab:
            raise ValueError(f"special token {c!r} is also a byte symbol")
        vocab[c] = len(vocab)
    names = list(vocab)
    table = [vocab[c] for c in BYTE_TO_CHAR]
    words = [array("i", [table[b] for b in word]) for word in counts]
    trainer = _text.Trainer(words, list(counts.values()))
    merges: list[tuple[str, str]] = []
    while len(vocab) < vocab_size:
        best = trainer.best()
        if best is None or best[2] < min_frequency:
            break
        left, right, _ = best
        text = names[left] + names[right]
        if text not in vocab:  # two pairs may spell the same token: it keeps its id
            vocab[text] = len(names)
            names.append(text)
        trainer.merge(vocab[text])
        merges.append((names[left], names[right]))
        if progress and len(vocab) % 64 == 0:
            progress(len(vocab), vocab_size)
    added = tuple(AddedToken(i, token) for i, token in enumerate(special_tokens))
    return Tokenizer(TokenizerSpec(vocab, merges, added, pre))
