"""Speculation: guesses of the tokens that follow, which the model then checks in one step of several rows. Lossless.

A drafter proposes; `Generation.take` chooses a token from the model's own row at each place and keeps going while the
choice is the guess. So greedy text is what it would have been without, and drawn text has the same distribution (for a
guess that was drawn itself: Leviathan et al. 2023, `Chooser.choose_against`). How many tokens are proposed follows what
guesses were worth and what a row costs, so that text which repeats nothing loses nothing. Knows ids; no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from runtime.code.suffix_model import SuffixModel

MOST_DRAFT = 48  # ids in one proposal
MOST_WORKSPACE = 1 << 18  # ids of a text handed in that are kept
_LEAST_RUN = 3  # ids that must be the same before a place is believed
_MEMORY = 0.95  # an older try counts so much of the next newer one
_WORTH = 1.03  # expected tokens per cost of a step below which nothing is proposed
_FIRST_ROW = 0.3  # what one more row costs, in steps of one row, before it was measured
_DEAREST_ROW = 0.7  # more than that was a disturbance: reading the weights once for several rows saves something
_NEW = 0.2  # weight of the latest measurement
_FORGET = 0.01  # what is not measured any more goes back to the first belief, so that it is tried again
_PEAK = 1.5  # a step that took longer than so many usual ones was disturbed: it counts as this
_NOTHING = np.zeros(0, dtype=np.int32)


class Drafter(Protocol):
    """Guesses the tokens that follow."""

    def propose(self, ids: np.ndarray, most: int) -> tuple[np.ndarray, Sequence[np.ndarray] | None]:
        """At most `most` ids (int32, maybe none) that may follow `ids`, the prompt with all that was generated; and
        what each was drawn from (float64 (V,) each), or None for guesses without randomness."""

    def observe(self, rows: int, seconds: float) -> None:
        """A step with so many rows of this request took so long."""


class Cost:
    """What a step with more rows costs, in steps of one row; learned from the steps of one model that were run.

    A step that was disturbed must not end speculation for good: it moves a mean by a tenth at most.
    """

    def __init__(self) -> None:
        self.step: float | None = None  # seconds with one row
        self._seen: dict[int, tuple[float, float]] = {}  # by powers of two: (rows, seconds), both means
        self._table: np.ndarray | None = None

    def observe(self, rows: int, seconds: float) -> None:
        if rows == 1:
            self.step = _mean(self.step, seconds)
            for group, (some, took) in self._seen.items():
                self._seen[group] = (some, took + _FORGET * (self._first(some) - took))
        elif self.step:
            group = (rows - 1).bit_length()
            some, took = self._seen.get(group, (float(rows), self._first(rows)))
            self._seen[group] = (some + _NEW * (rows - some), _mean(took, seconds))
        self._table = None

    def _first(self, rows: float) -> float:
        """Seconds to expect before anything was seen."""
        return self.step * (1 + _FIRST_ROW * (rows - 1))

    def of_rows(self) -> np.ndarray:
        """float64 (MOST_DRAFT + 1,): the cost of 1, 2, ... rows, between and beyond those seen in straight lines."""
        if self._table is None:
            points = [(1.0, 1.0)]
            if self.step:
                for rows, seconds in sorted(self._seen.values()):
                    most = 1 + _DEAREST_ROW * (rows - 1)
                    points.append((rows, min(most, max(points[-1][1], seconds / self.step))))
            (before, at), (last, cost) = points[-2:] if len(points) > 1 else ((0.0, 1 - _FIRST_ROW), points[0])
            slope = max(0.0, (cost - at) / (last - before)) if last > before else _FIRST_ROW
            end = max(MOST_DRAFT + 1.0, last + 1)
            points.append((end, cost + slope * (end - last)))
            xs, ys = zip(*points, strict=True)
            self._table = np.interp(np.arange(1, MOST_DRAFT + 2), xs, ys)
        return self._table

    def best_length(self, sure: float, most: int, extra: float = 0.0) -> int:
        """How many guesses to make if each is right with probability `sure` when those before it were; 0 if it does not
        pay. extra: cost of making one guess, in steps."""
        if most < 1 or sure <= 0:
            return 0
        k = np.arange(min(most, MOST_DRAFT) + 1)
        worth = np.cumsum(min(sure, 0.995) ** k) / (self.of_rows()[: k.size] + extra * k)
        length = int(worth.argmax())
        return length if worth[length] > _WORTH else 0


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + _NEW * (min(new, _PEAK * old) - old)


class LookupDrafter:
    """Guesses that the text goes on as it did where its latest ids stood before, in itself or in the workspace.

    vocab: entries of the vocabulary. texts: sequences of ids that the text may repeat, of which the last MOST_WORKSPACE
    ids are kept. cost: of the model that checks, shared by its requests.
    """

    def __init__(self, vocab: int, texts: Sequence[Sequence[int]] = (), cost: Cost | None = None) -> None:
        kept = [np.asarray(text)[-MOST_WORKSPACE:] for text in texts]
        self._model = SuffixModel(vocab, kept, least=_LEAST_RUN, memory=_MEMORY)
        self._known = 0
        self.cost = cost or Cost()

    def propose(self, ids: np.ndarray, most: int) -> tuple[np.ndarray, None]:
        self._model.extend(ids[self._known :])
        self._known = len(ids)
        if not self._model.match()[1]:
            return _NOTHING, None
        length = self.cost.best_length(self._model.confidence(), most)
        return np.array(self._model.draft(length), dtype=np.int32) if length else _NOTHING, None

    def observe(self, rows: int, seconds: float) -> None:
        self.cost.observe(rows, seconds)
