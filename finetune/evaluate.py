"""Scores of a model on held-out text: bits per byte, perplexity, top-1; and the intervals that every measure carries.

Works on token ids and on a table of the tokens' bytes; knows no files and no terminal. What a model offers at carets
is measured in `carets.py`, several subjects side by side in `measure.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtime.tensor import no_grad

FEW = 8  # documents that are too few to be resampled

# (ids, first, targets) -> nats and best id, each (len(targets),): targets[i] follows ids[: first + 1 + i]
Scorer = Callable[[list[int], int, list[int]], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TokenScore:
    """loss: nats per token. bits_per_byte: over the UTF-8 bytes of the targets. tokens, bytes: how many were scored."""

    loss: float
    bits_per_byte: float
    tokens: int
    bytes: int
    top1: float | None = None

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))


def token_lengths(tokenizer) -> np.ndarray:
    """Bytes of each token, int64 (vocab_size,); special tokens count as none, their bits do count."""
    special = set(tokenizer.special.values())
    return np.array(
        [0 if i in special else len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)], np.int64
    )


def score_batches(
    loss: Callable[[np.ndarray, np.ndarray], float], batches: Iterable[tuple], lengths: np.ndarray
) -> TokenScore:
    """Mean loss over batches of (ids, targets), int32 (B, T), targets < 0 not counted.

    loss: (ids, targets) -> mean nats. Raises ValueError if there is nothing to score.
    """
    nats, tokens, size = 0.0, 0, 0
    for ids, targets in batches:
        kept = targets[targets >= 0]
        if kept.size:
            nats += float(loss(ids, targets)) * kept.size
            tokens += kept.size
            size += int(lengths[kept].sum())
    if not tokens or not size:
        raise ValueError("there is no validation text to score")
    return TokenScore(nats / tokens, nats / math.log(2) / size, tokens, size)


@no_grad()
def score_model(model, batches: Iterable[tuple], lengths: np.ndarray) -> TokenScore:
    """score_batches of a model that is being trained, with the weights that it holds at the time."""
    return score_batches(lambda ids, targets: model.loss(ids, targets).item(), batches, lengths)


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))  # p itself, whatever rounding does


def proportion(hits: int, n: int) -> dict:
    low, high = wilson(hits, n)
    return {"value": hits / n if n else None, "n": n, "low": low, "high": high}


def bootstrap(values: np.ndarray, weights: np.ndarray, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of sum(values) / sum(weights) by resampling documents."""
    rng = np.random.default_rng(seed)
    pick = rng.integers(0, len(values), (rounds, len(values)))
    ratios = values[pick].sum(axis=1) / np.maximum(weights[pick].sum(axis=1), 1)
    return float(np.quantile(ratios, 0.025)), float(np.quantile(ratios, 0.975))


def ratio(values: np.ndarray, weights: np.ndarray) -> dict:
    """sum(values) / sum(weights) over documents with its bootstrap interval; n is the sum of the weights."""
    total = float(weights.sum())
    if not total:
        return {"value": None, "n": 0, "low": None, "high": None}
    low, high = bootstrap(values, weights)
    return {"value": float(values.sum()) / total, "n": int(total), "low": low, "high": high}


def difference(a: np.ndarray, of_a: np.ndarray, b: np.ndarray, of_b: np.ndarray) -> dict:
    """sum(a) / sum(of_a) - sum(b) / sum(of_b), float64 (documents,) each, and its paired bootstrap interval: the same
    documents are drawn for both sides. n is the sum of of_a. One document has no interval: low, high None."""
    if not of_a.sum() or not of_b.sum():
        return {"value": None, "n": 0, "low": None, "high": None}
    value = float(a.sum() / of_a.sum() - b.sum() / of_b.sum())
    if len(a) < 2:
        return {"value": value, "n": int(of_a.sum()), "low": None, "high": None}
    pick = np.random.default_rng(0).integers(0, len(a), (1000, len(a)))
    drawn = [v[pick].sum(axis=1) / np.maximum(w[pick].sum(axis=1), 1) for v, w in ((a, of_a), (b, of_b))]
    low, high = np.quantile(drawn[0] - drawn[1], (0.025, 0.975))
    return {"value": value, "n": int(of_a.sum()), "low": float(low), "high": float(high)}


def sign_test(better: int, worse: int) -> float:
    """Two-sided exact p-value of as uneven a split as this one if both sides were as likely (McNemar 1947, exact form).

    1.0 for no observations.
    """
    n, k = better + worse, min(better, worse)
    ways = total = 1  # exact integers: 2**n overflows a float from n = 1024 on
    for i in range(k):
        ways = ways * (n - i) // (i + 1)
        total += ways
    return min(1.0, 2 * total / 2**n)


def logit_scorer(logits: Callable[[list[int]], np.ndarray]) -> Scorer:
    """Scorer of a network. logits: ids -> float32 (T, V), scores after each id."""

    def score(ids: list[int], first: int, targets: list[int]) -> tuple[np.ndarray, np.ndarray]:
        rows = logits(ids)[first : first + len(targets)]
        top = rows.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(rows - top).sum(axis=1, dtype=np.float64)) + top[:, 0]
        return log_sum - rows[np.arange(len(targets)), targets], rows.argmax(axis=1)

    return score


@dataclass
class DocumentScore:
    """Sums over one document. index: its place among those that were given. windows: the same sums of what each window
    added."""

    index: int
    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0
    hits: int = 0
    windows: list[DocumentScore] = field(default_factory=list)

    def add(self, window: DocumentScore) -> None:
        self.nats += window.nats
        self.tokens += window.tokens
        self.bytes += window.bytes
        self.hits += window.hits
        self.windows.append(window)


def units(documents: Sequence[DocumentScore]) -> list[DocumentScore]:
    """What intervals resample: documents, or the windows of fewer than 8, which would give intervals of no width."""
    return list(documents) if len(documents) >= FEW else [w for d in documents for w in (d.windows or [d])]


class Evaluation:
    """Accumulates documents.

    score: see Scorer. window: longest input. tokens: bytes of every id (b"" for special ones).
    start, end: ids put before and after each document (None: none).
    """

    def __init__(
        self,
        score: Scorer,
        tokens: Sequence[bytes],
        window: int,
        start: int | None = None,
        end: int | None = None,
    ):
        if window < 2:
            raise ValueError(f"window must be at least 2, not {window}")
        self._score, self._tokens, self._window = score, tokens, window
        self._start, self._end = start, end
        self._added = 0
        self.documents: list[DocumentScore] = []

    def add(self, ids: Sequence[int]) -> None:
        """Score one document. Windows overlap by half, so that each token but the first ones sees half a window."""
        ids = list(ids)
        whole = ([] if self._start is None else [self._start]) + ids + ([] if self._end is None else [self._end])
        document = DocumentScore(self._added)
        self._added += 1
        if len(whole) < 2:
            return
        done, at = 1, 0  # tokens whole[:done] need no (more) scoring
        while done < len(whole):
            part = whole[at : at + self._window]
            first = done - at - 1
            targets = whole[done : at + len(part) + 1]
            nats, best = self._score(part, first, targets)
            hits = int((best == np.array(targets)).sum())
            size = sum(len(self._tokens[i]) for i in targets)
            document.add(DocumentScore(document.index, float(nats.sum()), len(targets), size, hits))
            done += len(targets)
            at = max(0, done - 1 - self._window // 2)
        if document.bytes:
            self.documents.append(document)

    def results(self) -> dict:
        """bits_per_byte, perplexity, top1; each {"value", "n", "low", "high"} (95 %).

        Raises ValueError if nothing was scored.
        """
        if not self.documents:
            raise ValueError("there is no text to evaluate")
        scored = units(self.documents)
        nats = np.array([d.nats for d in scored])
        tokens = np.array([d.tokens for d in scored], np.float64)
        size = np.array([d.bytes for d in scored], np.float64)
        bits = ratio(nats / math.log(2), size)
        loss = ratio(nats, tokens)
        return {
            "bits_per_byte": bits,
            "perplexity": {
                "value": math.exp(loss["value"]),
                "n": loss["n"],
                "low": math.exp(loss["low"]),
                "high": math.exp(loss["high"]),
            },
            # Tokens of one document are right or wrong together: Wilson's interval would be far too narrow.
            "top1": ratio(np.array([d.hits for d in scored], np.float64), tokens),
        }
