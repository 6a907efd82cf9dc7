"""Samplers: pure functions logits -> logits, composed in a chain, and the draw at its end.

Shapes: logits float32 (V,). A filter returns a new array in which excluded ids are -inf; nothing is changed in place.
Order of the chain as in Hugging Face generate: temperature, top_k, top_p, min_p. Knows no tokenizer and no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

NEG_INF = np.float32(-np.inf)
_NUCLEUS_GUESS = 512  # top_p sorts this many ids first: nearly always enough, and much cheaper than sorting V = 150k
_COLDEST = 1e-5

Sampler = Callable[..., tuple[int, float]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(V,) -> float32 (V,), stable for any finite logits and for -inf."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum(dtype=np.float64)).astype(np.float32)


def logprob_of(logits: np.ndarray, id: int) -> float:
    """log_softmax(logits)[id] without writing the whole vector."""
    top = logits.max()
    return float(logits[id] - top) - math.log(np.exp(logits - top).sum(dtype=np.float64))


def temperature(logits: np.ndarray, t: float) -> np.ndarray:
    """Logits divided by t > 0; below 1e-5, where float32 would overflow, by 1e-5. (0 is greedy, see make_sampler.)"""
    return logits / np.float32(max(t, _COLDEST))


def top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """Keep exactly the k largest (ties at the border: the lower ids). k <= 0 or >= V keeps all."""
    if k <= 0 or k >= logits.size:
        return logits
    border = np.partition(logits, logits.size - k)[logits.size - k]
    keep = logits > border
    ties = np.flatnonzero(logits == border)[: k - int(keep.sum())]
    keep[ties] = True
    return np.where(keep, logits, NEG_INF)


def top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Nucleus sampling (Holtzman et al. 2020): the smallest set of most probable ids with mass >= p."""
    if p >= 1.0:
        return logits
    shifted = np.exp(logits - logits.max())
    total = shifted.sum(dtype=np.float64)
    guess = min(_NUCLEUS_GUESS, logits.size)
    order = np.argpartition(-shifted, guess - 1)[:guess] if guess < logits.size else np.arange(logits.size)
    if shifted[order].sum(dtype=np.float64) < p * total:
        order = np.arange(logits.size)
    order = order[np.argsort(-shifted[order], kind="stable")]
    mass = np.cumsum(shifted[order], dtype=np.float64)
    count = int(np.searchsorted(mass, p * total, side="left")) + 1
    out = np.full_like(logits, NEG_INF)
    out[order[:count]] = logits[order[:count]]
    return out


def min_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Keep ids at least p times as probable as the most probable one (Nguyen et al. 2024)."""
    if p <= 0.0:
        return logits
    return np.where(logits >= logits.max() + np.float32(math.log(p)), logits, NEG_INF)


def only(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Keep the ids in `allowed` (integer array)."""
    out = np.full_like(logits, NEG_INF)
    out[allowed] = logits[allowed]
    return out


def sample(logits: np.ndarray, rng: np.random.Generator) -> int:
    """One id drawn from softmax(logits) by inverting the cumulative distribution. -inf is never drawn."""
    live = np.flatnonzero(logits > NEG_INF)
    if live.size == 0:
        raise ValueError("every token is excluded: nothing to sample from")
    values = logits[live]
    mass = np.cumsum(np.exp(values - values.max()), dtype=np.float64)
    at = np.searchsorted(mass, rng.random() * mass[-1], side="right")
    return int(live[min(int(at), live.size - 1)])


def greedy(logits: np.ndarray) -> int:
    """The id of the largest logit, the lowest such id on ties."""
    return int(logits.argmax())


def make_sampler(
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | None = None,
) -> Sampler:
    """A callable (logits, allowed=None) -> (id, logprob).

    allowed: integer array of the only ids that may come out (token healing, grammars). logprob: natural log under
    softmax of the logits as given, before temperature, filters and `allowed`. temperature 0 is greedy and ignores the
    filters. The same seed gives the same draws. Raises ValueError for parameters out of range; the callable raises it
    for NaN logits and for an empty `allowed`.
    """
    _check("temperature", temperature, 0.0, 100.0)
    _check("top_p", top_p, 0.0, 1.0)
    _check("min_p", min_p, 0.0, 1.0)
    if isinstance(top_k, bool) or int(top_k) != top_k or top_k < 0:
        raise ValueError(f"top_k must be an integer >= 0, not {top_k!r}")
    if seed is not None and (isinstance(seed, bool) or int(seed) != seed or seed < 0):
        raise ValueError(f"seed must be an integer >= 0 or None, not {seed!r}")
    rng = np.random.default_rng(seed)
    steps: list[Callable[[np.ndarray], np.ndarray]] = []
    if temperature > 0:
        module = globals()  # the parameters shadow the functions of the same name
        for name, value, off in (("temperature", temperature, 1.0), ("top_k", top_k, 0), ("top_p", top_p, 1.0)):
            if value != off:
                steps.append(lambda x, f=module[name], v=value: f(x, v))
        if min_p > 0:
            steps.append(lambda x, f=module["min_p"]: f(x, min_p))

    def draw(logits: np.ndarray, allowed: np.ndarray | None = None) -> tuple[int, float]:
        if np.isnan(logits.max()):
            raise ValueError("the model gave NaN logits")
        live = logits
        if allowed is not None:
            if len(allowed) == 0:
                raise ValueError("no token is allowed here")
            if temperature == 0:
                id = int(allowed[logits[allowed].argmax()])
                return id, logprob_of(logits, id)
            live = only(logits, allowed)
        if temperature == 0:
            id = greedy(live)
        else:
            for step in steps:
                live = step(live)
            id = sample(live, rng)
        return id, logprob_of(logits, id)

    return draw


def _check(name: str, value: float, low: float, high: float) -> None:
    if not (isinstance(value, (int, float)) and low <= value <= high):
        raise ValueError(f"{name} must be from {low} to {high}, not {value!r}")
