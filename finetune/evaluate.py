"""Scores of a model on held-out text: bits per byte, perplexity, top-1, and whether it would complete whole lines.

One forward pass with the true text as context gives greedy line exact match at every caret that lies on a token border:
greedy decoding reproduces the rest of a line if and only if the best token is the true one at each of its positions.
Works on token ids and on a table of the tokens' bytes; knows no files and no terminal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_TRIGGERS = (b".", b"(", b"=", b"import ")


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


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def proportion(hits: int, n: int) -> dict:
    low, high = wilson(hits, n)
    return {"value": hits / n if n else None, "n": n, "low": low, "high": high}


def bootstrap(values: np.ndarray, weights: np.ndarray, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of sum(values) / sum(weights) by resampling documents."""
    rng = np.random.default_rng(seed)
    pick = rng.integers(0, len(values), (rounds, len(values)))
    ratios = values[pick].sum(axis=1) / np.maximum(weights[pick].sum(axis=1), 1)
    return float(np.quantile(ratios, 0.025)), float(np.quantile(ratios, 0.975))


@dataclass
class _Document:
    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0
    hits: int = 0


class Evaluation:
    """Accumulates documents.

    logits: ids (list) -> float32 (T, V). window: longest input. tokens: bytes of every id (b"" for special ones).
    start, end: ids put before and after each document (None: none).
    """

    def __init__(
        self,
        logits: Callable[[list[int]], np.ndarray],
        tokens: Sequence[bytes],
        window: int,
        start: int | None = None,
        end: int | None = None,
    ):
        if window < 2:
            raise ValueError(f"window must be at least 2, not {window}")
        self._logits, self._tokens, self._window = logits, tokens, window
        self._start, self._end = start, end
        self._documents: list[_Document] = []
        self._lines = {kind: [0, 0] for kind in ("line_start", "mid_line", "trigger")}

    def add(self, ids: Sequence[int]) -> None:
        """Score one document. Windows overlap by half, so that each token but the first ones sees half a window."""
        ids = list(ids)
        whole = ([] if self._start is None else [self._start]) + ids + ([] if self._end is None else [self._end])
        if len(whole) < 2:
            return
        document = _Document()
        best = np.full(len(whole), -1, np.int64)  # greedy token for each position
        done, at = 1, 0  # tokens whole[:done] need no (more) scoring
        while done < len(whole):
            part = whole[at : at + self._window]
            logits = self._logits(part)
            first = done - at - 1
            upto = min(len(part), len(whole) - at - 1)
            rows, targets = logits[first:upto], np.array(whole[done : at + upto + 1])
            top = rows.max(axis=1, keepdims=True)
            log_sum = np.log(np.exp(rows - top).sum(axis=1, dtype=np.float64)) + top[:, 0]
            document.nats += float((log_sum - rows[np.arange(len(targets)), targets]).sum())
            best[done : at + upto + 1] = rows.argmax(axis=1)
            done = at + upto + 1
            at = max(0, done - 1 - self._window // 2)
        document.tokens = len(whole) - 1
        document.bytes = sum(len(self._tokens[i]) for i in whole[1:])
        document.hits = int((best[1:] == np.array(whole[1:])).sum())
        self._documents.append(document)
        self._count_lines(whole, best)

    def _count_lines(self, whole: list[int], best: np.ndarray) -> None:
        """For every caret on a token border: are all greedy tokens right up to the end of the line?"""
        tokens = self._tokens
        texts = [tokens[i] for i in whole]
        right_to_end = False  # greedy is right from position i to the line's end
        known = False  # a line end was seen to the right
        rest_blank = True  # only blanks between position i and the line's end
        for i in range(len(whole) - 1, 0, -1):
            text = texts[i]
            if b"\n" in text:
                # The token that ends the line counts as right if greedy ends the line there with the same characters.
                head = text.split(b"\n", 1)[0].rstrip()
                guess = tokens[best[i]] if best[i] >= 0 else b""
                right_to_end = b"\n" in guess and guess.split(b"\n", 1)[0].rstrip() == head
                known, rest_blank = True, not head
            elif text:
                right_to_end = right_to_end and best[i] == whole[i]
                rest_blank = rest_blank and not text.strip()
            else:
                known = False
            if not known or rest_blank:
                continue  # nothing left to complete on this line
            before = texts[i - 1]
            line_so_far = before.rsplit(b"\n", 1)[-1] if b"\n" in before else None
            if line_so_far is not None and not line_so_far.strip():
                kinds = ["line_start"]
            else:
                kinds = ["mid_line"]
                if (
                    before.endswith(_TRIGGERS[:3])
                    or (before + b"").endswith(_TRIGGERS[3])
                    or before.strip() == b"import"
                ):
                    kinds.append("trigger")
            for kind in kinds:
                self._lines[kind][0] += right_to_end
                self._lines[kind][1] += 1

    def results(self) -> dict:
        """bits_per_byte, perplexity, top1, line_exact_match; each {"value", "n", "low", "high"} (95 %).

        Raises ValueError if nothing was scored.
        """
        documents = [d for d in self._documents if d.bytes]
        if not documents:
            raise ValueError("there is no text to evaluate")
        nats = np.array([d.nats for d in documents])
        tokens = np.array([d.tokens for d in documents], np.float64)
        size = np.array([d.bytes for d in documents], np.float64)
        bits = bootstrap(nats / math.log(2), size)
        loss = bootstrap(nats, tokens)
        return {
            "bits_per_byte": {
                "value": float(nats.sum() / math.log(2) / size.sum()),
                "n": int(size.sum()),
                "low": bits[0],
                "high": bits[1],
            },
            "perplexity": {
                "value": math.exp(nats.sum() / tokens.sum()),
                "n": int(tokens.sum()),
                "low": math.exp(loss[0]),
                "high": math.exp(loss[1]),
            },
            "top1": proportion(sum(d.hits for d in documents), int(tokens.sum())),
            "line_exact_match": {kind: proportion(hits, n) for kind, (hits, n) in self._lines.items()},
        }
