"""Training of a Unigram vocabulary (Kudo 2018): a large seed of frequent substrings, expectation maximisation over
all segmentations, and pruning of the pieces whose loss costs the likelihood least, until the vocabulary has its size.

Order of steps and constants as in SentencePiece's trainer, but for the seed, which is counted over unique pre-tokens
without a suffix array. The same texts in any order give the same vocabulary. Knows nothing about where the texts come
from.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from runtime.text import _text, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.byte_alphabet import BYTE_TO_CHAR
from runtime.text.lookup_train import fixed_part
from runtime.text.train import SPECIAL_TOKENS
from runtime.text.unigram import UNKNOWN_PENALTY, UnigramSpec, UnigramTokenizer, byte_level_decoder, plain_decoder

UNKNOWN = "<unk>"
SEED_WORDS = 200_000  # the seed is counted over so many unique pre-tokens, the most frequent
SHRINK = 0.75  # part of the pieces that one pruning keeps
EXPECTED_MIN = 0.5  # a piece that is expected less often is dropped


def train_unigram(
    texts: Iterable[str],
    vocab_size: int,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    split: str = "code",
    max_piece: int = 16,
    seed_factor: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> UnigramTokenizer:
    """A Unigram tokenizer with at most `vocab_size` entries (fewer if the texts have no more substrings).

    split: a byte-level split ("code", "gpt2", "qwen2", "llama3", "words"; every text comes back exactly), or
    "metaspace": pieces of characters, spaces as U+2581, byte fallback (U+2581 itself decodes to a space).
    max_piece: longest piece in bytes or characters; seed_factor: seed pieces per final piece; progress(pieces left,
    pieces wanted) is called after each pruning.
    Raises ValueError for a vocabulary smaller than its fixed part, doubled special tokens and no text.
    """
    byte_level = split != "metaspace"
    pre = pretokenize.named(split) if byte_level else pretokenize.metaspace("never")
    if byte_level:
        fixed = list(dict.fromkeys(special_tokens))
        if len(fixed) != len(special_tokens) or not all(fixed):
            raise ValueError("special tokens must be non-empty and different")
    else:
        fixed = [*fixed_part([*special_tokens, UNKNOWN], None)]
    room = vocab_size - len(fixed)
    if room < (256 if byte_level else 1):
        fewest = len(fixed) + (256 if byte_level else 1)
        raise ValueError(f"vocab_size {vocab_size} is below {fewest}: {len(special_tokens)} special tokens and bytes")
    words = _count(texts, pre, byte_level)
    if not words:
        raise ValueError("no text to train a tokenizer on")

    singles = _singles(words, room, byte_level)
    fitting = _Fit(words, _seed(words, singles, max_piece, seed_factor * room), byte_level)
    wanted = max(int(room * 1.1), len(singles))
    while True:
        fitting.maximise()
        fitting.maximise()
        if len(fitting.pieces) <= wanted:
            break
        fitting.prune(max(wanted, int(len(fitting.pieces) * SHRINK)))
        if progress:
            progress(len(fitting.pieces), room)
    pieces = fitting.best(room, {*fixed})
    added = tuple(AddedToken(i, token) for i, token in enumerate(special_tokens))
    vocabulary = [*((token, 0.0) for token in fixed), *pieces]
    if byte_level:
        return UnigramTokenizer(UnigramSpec(vocabulary, added, pre, byte_level_decoder()))
    unknown = fixed.index(UNKNOWN)
    return UnigramTokenizer(UnigramSpec(vocabulary, added, pre, plain_decoder(pre), unknown, True))


def _count(texts: Iterable[str], pre: pretokenize.PreTokenizer, byte_level: bool) -> dict[str, int]:
    """Unique pre-tokens in an order that does not depend on that of the texts, one character per unit: byte-level
    pre-tokens as Latin-1."""
    counter = _text.Core(b"", list(range(256)), pre.compiled())
    counts: dict[bytes, int] = {}
    for text in texts:
        if not byte_level:
            text = text.replace(" ", pretokenize.METASPACE)
        counter.count(text.encode("utf-8", "surrogatepass"), counts)
    coding = "latin-1" if byte_level else "utf-8"
    return {word.decode(coding, "replace"): counts[word] for word in sorted(counts)}


def _singles(words: dict[str, int], room: int, byte_level: bool) -> list[str]:
    """Units that are pieces in any case: all bytes, or the characters that cover 99.95 % of the text."""
    if byte_level:
        return [chr(b) for b in range(256)]
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for c in word:
            counts[c] += count
    counts.pop("\ufffd", None)  # what is no character is spelt in bytes
    counts.pop("\0", None)
    total, covered, kept = sum(counts.values()), 0, []
    for c in sorted(counts, key=lambda c: (-counts[c], c)):
        if covered >= 0.9995 * total or len(kept) >= max(1, room // 2):
            break
        covered += counts[c]
        kept.append(c)
    return kept


def _seed(words: dict[str, int], singles: list[str], max_piece: int, size: int) -> dict[str, float]:
    """The single units and the best substrings of the words, each with its score: occurrences times length."""
    counts: Counter[str] = Counter()
    units: Counter[str] = Counter(dict.fromkeys(singles, 0))
    known = {*singles} - {"\0"}
    for word in sorted(words, key=lambda w: (-words[w], w))[:SEED_WORDS]:
        times = words[word]
        for run in "".join(c if c in known else "\0" for c in word).split("\0"):
            for i, c in enumerate(run):
                units[c] += times
                for j in range(i + 2, min(i + max_piece, len(run)) + 1):
                    counts[run[i:j]] += times
    ranked = sorted((t for t, n in counts.items() if n > 1), key=lambda t: (-counts[t] * len(t), t))[:size]
    return {**{c: float(max(1, units[c])) for c in singles}, **{t: float(counts[t] * len(t)) for t in ranked}}


class _Fit:
    """Pieces and their log probabilities while they are fitted to the words."""

    def __init__(self, words: dict[str, int], seed: dict[str, float], byte_level: bool):
        self._coding = "latin-1" if byte_level else "utf-8"
        self._byte_level = byte_level
        self._words = [word.encode(self._coding) for word in words]
        self._counts = list(words.values())
        self.pieces = list(seed)
        weights = np.array(list(seed.values()))
        self.scores = np.log(weights) - math.log(weights.sum())

    def _model(self) -> _text.Unigram:
        pieces = [(text.encode(self._coding), i) for i, text in enumerate(self.pieces)]
        unknown = float(self.scores.min()) - UNKNOWN_PENALTY
        return _text.Unigram(pieces, self.scores.tobytes(), -1, unknown, [-1] * 256, ("whole",), self._byte_level)

    def maximise(self) -> float:
        """One step of expectation maximisation; the log likelihood of the words before it. Expected counts enter
        through the digamma function (a sparse Dirichlet prior), which makes rare pieces rarer."""
        raw, likelihood = self._model().expected(self._words, self._counts)
        expected = np.frombuffer(raw)
        keep = [i for i, text in enumerate(self.pieces) if len(text) == 1 or expected[i] >= EXPECTED_MIN]
        self.pieces = [self.pieces[i] for i in keep]
        counts = np.maximum(expected[keep], EXPECTED_MIN)
        self.scores = digamma(counts) - digamma(counts.sum(keepdims=True))
        return likelihood

    def prune(self, size: int) -> None:
        """Keep single units and, up to `size`, the pieces without which the words would lose most likelihood when
        each is replaced by its best other segmentation."""
        model = self._model()
        used = np.frombuffer(model.used(self._words, self._counts))
        total = used.sum()
        keep, losses = [], []
        for i, text in enumerate(self.pieces):
            if len(text) == 1:
                keep.append(i)
                continue
            others, score = model.segment(text.encode(self._coding), True)
            if used[i] == 0 or score > self.scores[i]:  # its own parts explain it better
                continue
            changed = math.log(total + used[i] * (len(others) - 1))
            instead = sum(math.log(used[k] + used[i]) - changed for k in others)
            losses.append((used[i] * (math.log(used[i]) - math.log(total) - instead), i))
        losses.sort(key=lambda item: (-item[0], item[1]))
        keep.extend(i for _, i in losses[: max(0, size - len(keep))])
        self.pieces = [self.pieces[i] for i in keep]
        self.scores = self.scores[keep]

    def best(self, room: int, taken: set[str]) -> list[tuple[str, float]]:
        """At most `room` pieces as the file writes them, single units first among them, by falling score. taken:
        texts that are not to be used. ValueError if a single unit is among those."""
        chosen = []
        for score, text in sorted(zip(self.scores.tolist(), self.pieces, strict=True), key=lambda p: (-p[0], p[1])):
            written = "".join(BYTE_TO_CHAR[ord(c)] for c in text) if self._byte_level else text
            if written not in taken:
                # few digits, so that every reader of the file gets the same number
                chosen.append((len(text) > 1, round(score, 8), written))
            elif len(text) == 1:
                raise ValueError(f"special token {written!r} is also a byte or a character")
        chosen.sort(key=lambda p: p[0])
        return [(text, score) for _, score, text in sorted(chosen[:room], key=lambda p: (-p[1], p[2]))]


def digamma(x: np.ndarray) -> np.ndarray:
    """Derivative of log gamma, for x > 0, by recurrence up to 7 and its asymptotic series (Bernardo 1976)."""
    x = np.array(x, np.float64)
    below = np.zeros_like(x)
    while (small := x < 7).any():
        below[small] -= 1 / x[small]
        x[small] += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return below + np.log(x) - 0.5 / x - series
