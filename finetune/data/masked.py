"""Batches for masked language modelling (Devlin et al. 2019): pairs of neighbouring pieces with tokens to guess.

A row is `[CLS] first [SEP] second [SEP]`, filled up with padding; the pieces follow each other in one document and end
at line ends where they can. 15 % of their tokens are to be guessed: of those 80 % are replaced by the mask token, 10 %
by a random token, and 10 % stay. Every random choice is a function of (seed, epoch, place), so the state is two
integers and a resumed run continues bit for bit. Knows nothing about models: which piece a token belongs to is read
off the separators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SHARE = 0.15  # of the tokens are guessed
MASKED, REPLACED = 0.80, 0.10  # of those; the rest stays as it is
MIN_TOKENS = 16  # of a pair: less says too little


@dataclass(frozen=True)
class Marks:
    """Ids of the tokens with a meaning of their own: row start, end of a piece, to be guessed, padding."""

    cls: int
    sep: int
    mask: int
    pad: int

    @staticmethod
    def find(special: dict[str, int]) -> Marks:
        """By their names in a tokenizer's `special`; ValueError names the one that is missing."""
        try:
            return Marks(*(special[f"<|{name}|>"] for name in ("cls", "sep", "mask", "pad")))
        except KeyError as error:
            raise ValueError(f"the tokenizer lacks {error.args[0]}") from None


def pairs_of(ids: np.ndarray, ends_line: np.ndarray, room: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One document's ids (n,) in neighbouring pairs of pieces, together at most `room` tokens.

    ends_line: bool (vocabulary,): tokens that hold a line end, after which a piece ends if one is near enough.
    """
    breaks = np.flatnonzero(ends_line[ids]) + 1

    def end(start: int, most: int) -> int:
        """The last line end within `most` tokens of start, at least half of them; else as far as it goes."""
        stop = min(start + most, len(ids))
        near = breaks[np.searchsorted(breaks, stop, side="right") - 1] if len(breaks) and breaks[0] <= stop else 0
        return stop if stop == len(ids) or near < start + most // 2 else int(near)

    at = 0
    while len(ids) - at >= MIN_TOKENS:
        stop = end(at, room)
        middle = end(at, (stop - at) // 2)
        yield ids[at:middle], ids[middle:stop]
        at = stop


class MaskedPairs:
    """Endless iterator of (inputs, targets), both int32 (B, T); targets hold the token where one is to be guessed, else
    -1.

    documents: texts; every pair of all of them comes once an epoch. Raises ValueError for sizes below 1, for a
    tokenizer without the marks and for texts too short for a single pair.
    """

    def __init__(self, documents: Sequence[str], tokenizer, batch: int, length: int, seed: int = 0) -> None:
        if batch < 1 or length < MIN_TOKENS + 3:
            raise ValueError(f"batch {batch} must be at least 1 and length {length} at least {MIN_TOKENS + 3}")
        self.batch, self.length, self.seed = batch, length, seed
        self.marks = Marks.find(tokenizer.special)
        plain = [i for i in range(tokenizer.vocab_size) if i not in set(tokenizer.special.values())]
        self._plain = np.array(plain, np.int32)  # what a random token may be
        ends_line = np.array([b"\n" in tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)])
        self.pairs = [p for text in documents for p in pairs_of(tokenizer.encode_array(text), ends_line, length - 3)]
        if not self.pairs:
            raise ValueError("no text to train on: every document is too short for a pair of pieces")
        self._state = {"epoch": 0, "place": 0}
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def epoch(self) -> int:
        return self._state["epoch"]

    def state_dict(self) -> dict:
        """Small and JSON-able: where the next batch begins, and what it is made for."""
        return {**self._state, "seed": self.seed, "batch": self.batch, "length": self.length, "pairs": len(self.pairs)}

    def load_state_dict(self, state: dict) -> None:
        """Continue where state_dict() was taken. ValueError when seed, sizes or the number of pairs differ."""
        for key, mine in self.state_dict().items():
            if key not in self._state and state.get(key) != mine:
                raise ValueError(f"the saved batches had {key} {state.get(key)}, these have {mine}")
        loaded = {key: int(state[key]) for key in self._state}
        if min(loaded.values()) < 0 or loaded["place"] >= len(self.pairs):
            raise ValueError("the saved place is outside the pairs")
        self._state = loaded

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        rows = [self._row() for _ in range(self.batch)]
        return np.stack([ids for ids, _ in rows]), np.stack([targets for _, targets in rows])

    def _row(self) -> tuple[np.ndarray, np.ndarray]:
        epoch, place = self._state["epoch"], self._state["place"]
        if self._order is None or self._order[0] != epoch:
            order = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(self.pairs))
            self._order = (epoch, order)
        first, second = self.pairs[self._order[1][place]]
        last = place + 1 == len(self.pairs)
        self._state = {"epoch": epoch + last, "place": 0 if last else place + 1}
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch, place]))
        return mask_row(first, second, self.length, self.marks, self._plain, rng)


def mask_row(
    first: np.ndarray, second: np.ndarray, length: int, marks: Marks, plain: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, targets), int32 (length,), of two pieces of together at most length - 3 tokens; at least one is guessed.

    plain: ids of which a random replacement is drawn.
    """
    row = np.full(length, marks.pad, np.int32)
    body = np.concatenate([[marks.cls], first, [marks.sep], second, [marks.sep]])
    row[: len(body)] = body
    text = np.zeros(length, bool)
    text[1 : len(first) + 1] = text[len(first) + 2 : len(body) - 1] = True
    chosen = text & (rng.random(length) < SHARE)
    if not chosen.any():
        chosen[rng.choice(np.flatnonzero(text))] = True
    targets = np.where(chosen, row, np.int32(-1))
    kind = rng.random(length)
    row[chosen & (kind < MASKED)] = marks.mask
    swapped = chosen & (kind >= MASKED) & (kind < MASKED + REPLACED)
    row[swapped] = plain[rng.integers(0, len(plain), int(swapped.sum()))]
    return row, targets
