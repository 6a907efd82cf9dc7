"""Predicts that a document goes on as it did the last time its latest ids stood there (prompt lookup).

The ids so far (and texts given before) are indexed by their runs of `least` ids in chains, newest first, as LZ77 coders
do (zlib's deflate, RFC 1951 section 4); of at most 32 earlier places the one with the longest common past wins, the
newest among equals. What follows there is a draft of any length at no cost: the use of Saxena 2023 ("prompt lookup
decoding") and Yang et al. 2023 (LLMA). Knows ids; no text and no models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

_PLACES = 32  # earlier places that are compared
_LONGEST = 64  # ids; a longer common past says nothing more
_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)  # lengths of matches whose success is counted together
_SEPARATOR = -1  # between texts: no match runs across it, and it is never predicted


class SuffixModel:
    """feed(id) the document; then match(), draft(n), best(), distribution() for what comes next.

    texts: sequences of ids known before the document. State is a function of what was fed alone.
    Raises ValueError for ids outside the vocabulary, or least < 1.
    """

    def __init__(self, vocab: int, texts: Iterable[Sequence[int]] = (), least: int = 2) -> None:
        if least < 1 or vocab < 1:
            raise ValueError(f"least ({least}) and vocab ({vocab}) must be at least 1")
        self.vocab, self.least = vocab, least
        self._ids: list[int] = []
        self._places: dict[tuple[int, ...], list[int]] = {}
        self._right = [[0, 0] for _ in _BUCKETS]  # right, tried: by length of match
        self._found: tuple[int, int] | None = None
        for text in texts:
            for id in text:
                self._append(self._known(id))
            self._ids.append(_SEPARATOR)
        self._found = None

    def feed(self, id: int) -> None:
        """The document goes on with `id`."""
        id = self._known(id)
        place, length = self.match()
        if length:
            tried = self._right[_bucket(length)]
            tried[0] += self._ids[place] == id
            tried[1] += 1
        self._append(id)
        self._found = None

    def match(self) -> tuple[int, int]:
        """(place, length): where the best earlier place goes on, and how many ids before it are the same; length 0:
        none."""
        if self._found is None:
            self._found = self._search()
        return self._found

    def draft(self, most: int) -> list[int]:
        """Up to `most` ids that followed at the matching place; empty without a match. They may run into the present,
        and then repeat from there, so that a loop goes on."""
        place, length = self.match()
        if not length:
            return []
        out: list[int] = []
        known = len(self._ids)
        for i in range(place, place + most):
            id = self._ids[i] if i < known else out[i - known]
            if id == _SEPARATOR:
                break
            out.append(id)
        return out

    def best(self) -> int | None:
        """The next id, or None without a match."""
        place, length = self.match()
        return self._ids[place] if length else None

    def confidence(self) -> float:
        """Probability that best() is right: its rate so far at such lengths, of (right + 1/2) / (tried + 1)
        (Krichevsky and Trofimov 1981); 0 without a match."""
        _, length = self.match()
        if not length:
            return 0.0
        right, tried = self._right[_bucket(length)]
        return (right + 0.5) / (tried + 1)

    def distribution(self) -> np.ndarray:
        """float64 (vocab,): confidence() for best(), the rest evenly for all; sums to 1."""
        best, sure = self.best(), self.confidence()
        p = np.full(self.vocab, (1 - sure) / self.vocab)
        if best is not None:
            p[best] += sure
        return p

    def _known(self, id: int) -> int:
        if not 0 <= id < self.vocab:
            raise ValueError(f"id {id} is outside the vocabulary of {self.vocab}")
        return int(id)

    def _append(self, id: int) -> None:
        self._ids.append(id)
        key = tuple(self._ids[-self.least :])
        if len(key) == self.least and _SEPARATOR not in key:
            places = self._places.setdefault(key, [])
            places.append(len(self._ids))
            if len(places) > 2 * _PLACES:
                del places[:_PLACES]

    def _search(self) -> tuple[int, int]:
        ids, end = self._ids, len(self._ids)
        best, longest = 0, 0
        for place in reversed(self._places.get(tuple(ids[-self.least :]), [])[-_PLACES - 1 :]):
            if place >= end or ids[place] == _SEPARATOR:
                continue  # the present itself, or the end of a text
            length = self.least
            while length < min(place, _LONGEST) and ids[place - length - 1] == ids[end - length - 1] != _SEPARATOR:
                length += 1
            if length > longest:
                best, longest = place, length
        return best, longest


def _bucket(length: int) -> int:
    return next(i for i in range(len(_BUCKETS) - 1, -1, -1) if _BUCKETS[i] <= length)
