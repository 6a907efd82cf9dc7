"""Penalties: logits changed by what was already written: repetition, presence, frequency, DRY, logit bias.

Each is a pure function (logits float32 (V,), history, parameters) -> changes {id: new logit} of the few ids it touches,
so that a vocabulary of 150k costs one copy. History is a list of ids, oldest first. Knows no text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np

_LONGEST_REPEAT = 256  # ids; a longer repetition is penalised no further
_STRONGEST = 1e30  # stays finite in float32


def repetition(logits: np.ndarray, ids: Sequence[int], penalty: float) -> dict[int, float]:
    """Positive logits of ids that occurred are divided by `penalty`, negative ones multiplied (Keskar et al. 2019)."""
    seen = set(ids)
    return {id: logits[id] / penalty if logits[id] > 0 else logits[id] * penalty for id in seen}


def presence_frequency(logits: np.ndarray, ids: Sequence[int], presence: float, frequency: float) -> dict[int, float]:
    """logit - presence - frequency * count for ids that occurred (as OpenAI's API defines them)."""
    return {id: logits[id] - presence - frequency * count for id, count in Counter(ids).items()}


def dry(
    logits: np.ndarray,
    ids: Sequence[int],
    multiplier: float,
    base: float,
    allowed_length: int,
    breakers: Set[int] = frozenset(),
) -> dict[int, float]:
    """DRY ("don't repeat yourself", p-e-w, oobabooga/text-generation-webui pull 5677): an id that would lengthen a
    repetition of n >= allowed_length ids loses multiplier * base ** (n - allowed_length).

    No repetition runs across an id in `breakers`.
    """
    if len(ids) < 2 or ids[-1] in breakers:
        return {}
    past = np.asarray(ids, np.int64)
    end = len(past)
    longest = end  # the present end of the text, up to the last breaker
    if breakers:
        broken = np.flatnonzero(np.isin(past, np.fromiter(breakers, np.int64, len(breakers))))
        longest = end - 1 - int(broken[-1]) if broken.size else end
    at = np.flatnonzero(past[:-1] == past[-1])  # places that end like the present does
    length, worst = 1, {}
    while at.size:
        if length >= allowed_length:
            for id in np.unique(past[at + 1]).tolist():
                worst[id] = length
        length += 1
        if length > min(longest, _LONGEST_REPEAT):
            break
        at = at[at >= length - 1]
        at = at[past[at - length + 1] == past[end - length]]
    return {
        id: logits[id] - min(multiplier * base ** (length - allowed_length), _STRONGEST)
        for id, length in worst.items()
        if id not in breakers
    }


def bias(logits: np.ndarray, biases: Mapping[int, float]) -> dict[int, float]:
    """Logits of the given ids plus their bias; -inf bans an id."""
    return {id: logits[id] + value for id, value in biases.items()}


def changed(logits: np.ndarray, changes: Mapping[int, float]) -> np.ndarray:
    """A copy with the changes; the array itself where there are none."""
    if not changes:
        return logits
    out = logits.copy()
    out[np.fromiter(changes, np.int64, len(changes))] = np.fromiter(changes.values(), np.float32, len(changes))
    return out
