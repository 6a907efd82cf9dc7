"""Predicts that a document goes on as it did the last time its latest ids stood there (prompt lookup).

The ids so far (and texts given before) are indexed by their runs of `least` ids in chains, newest first, as LZ77 coders
do (zlib's deflate, RFC 1951 section 4); of at most 32 earlier places the one with the longest common past wins, the
newest among equals. What follows there is a draft of any length at no cost: the use of Saxena 2023 ("prompt lookup
decoding") and Yang et al. 2023 (LLMA). Knows ids; no text and no models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import numpy as np

from runtime.text._text import SuffixIndex

_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)  # lengths of matches whose success is counted together
_MOST = 1 << 20  # ids kept, 16 bytes each; then the older half is forgotten


class SuffixModel:
    """feed(id) or extend(ids) the document; then match(), draft(n), best(), distribution() for what comes next.

    texts: sequences of ids known before the document. State is a function of what was fed alone. memory: how much an
    older try counts beside the next newer one of the same length of match (1: all alike).
    Raises ValueError for ids outside the vocabulary, or least < 1.
    """

    def __init__(
        self, vocab: int, texts: Iterable[Sequence[int]] = (), least: int = 2, most: int = _MOST, memory: float = 1.0
    ) -> None:
        if least < 1 or vocab < 1:
            raise ValueError(f"least ({least}) and vocab ({vocab}) must be at least 1")
        self.vocab, self.least = vocab, least
        self._index = SuffixIndex(least, most, memory)
        for text in texts:
            self._index.learn(self._checked(text))
        self._found: tuple[int, int] | None = None

    def feed(self, id: int) -> None:
        """The document goes on with `id`."""
        self.extend((id,))

    def extend(self, ids: Sequence[int]) -> None:
        """The document goes on with these."""
        self._index.feed(self._checked(ids))
        self._found = None

    def match(self) -> tuple[int, int]:
        """(place, length): where the best earlier place goes on, and how many ids before it are the same; length 0:
        none."""
        if self._found is None:
            self._found = self._index.find()
        return self._found

    def draft(self, most: int) -> list[int]:
        """Up to `most` ids that followed at the matching place; empty without a match. They may run into the present,
        and then repeat from there, so that a loop goes on."""
        place, length = self.match()
        return self._index.follow(place, most) if length else []

    def best(self) -> int | None:
        """The next id, or None without a match."""
        return next(iter(self.draft(1)), None)

    def confidence(self) -> float:
        """Probability that best() is right: its rate so far at such lengths, of (right + 1/2) / (tried + 1)
        (Krichevsky and Trofimov 1981); 0 without a match."""
        _, length = self.match()
        if not length:
            return 0.0
        right, tried = self._index.rate(*_bucket(length))
        return (right + 0.5) / (tried + 1)

    def distribution(self) -> np.ndarray:
        """float64 (vocab,): confidence() for best(), the rest evenly for all; sums to 1."""
        best, sure = self.best(), self.confidence()
        p = np.full(self.vocab, (1 - sure) / self.vocab)
        if best is not None:
            p[best] += sure
        return p

    def _checked(self, ids: Sequence[int]) -> bytes:
        if len(ids) == 1 and 0 <= ids[0] < self.vocab:  # as it comes while a text is written
            return int(ids[0]).to_bytes(4, sys.byteorder)
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < self.vocab:
            wrong = array[(array < 0) | (array >= self.vocab)]
            raise ValueError(f"id {wrong[0]} is outside the vocabulary of {self.vocab}")
        return array.astype(np.int32).tobytes()


def _bucket(length: int) -> tuple[int, int]:
    """Shortest and longest match that count together with this one."""
    at = max(i for i, low in enumerate(_BUCKETS) if low <= length)
    return _BUCKETS[at], _BUCKETS[at + 1] - 1 if at + 1 < len(_BUCKETS) else _BUCKETS[at]
