"""Samplers: pure functions of logits, a chain of them in the user's order, and the draw at its end.

A filter takes the logits of the ids still in play, float32 (n,), and returns the positions it keeps (sorted), or None
where it keeps all; nothing is changed in place. Nothing sorts the vocabulary: `_largest` finds the few candidates that
matter, and a nucleus wider than those is found by halving. Knows no history, no tokenizer and no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

NEG_INF = np.float32(-np.inf)
FILTERS = ("temperature", "top_k", "top_p", "min_p", "typical", "top_n_sigma")  # default order: as Hugging Face
_GUESS = 512  # a nucleus is looked for among this many candidates first
_BLOCK = 64
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


def top_logprobs(logits: np.ndarray, n: int) -> tuple[tuple[int, float], ...]:
    """The n most probable (id, natural log of its probability), best first; the lower id first among equals."""
    ids = _largest(logits, n)
    ids = ids[np.argsort(-logits[ids], kind="stable")][:n]
    top = logits.max()
    norm = math.log(np.exp(logits - top).sum(dtype=np.float64))
    return tuple((int(id), float(logits[id] - top) - norm) for id in ids)


# ---- filters -------------------------------------------------------------------------------------------------------


def temperature(logits: np.ndarray, t: float) -> np.ndarray:
    """Logits divided by t > 0; below 1e-5, where float32 would overflow, by 1e-5. (0 is greedy, see make_sampler.)"""
    return logits / np.float32(max(t, _COLDEST))


def top_k(logits: np.ndarray, k: int) -> np.ndarray | None:
    """Exactly the k largest (ties at the border: the lower positions). k <= 0 or >= n keeps all."""
    if k <= 0 or k >= logits.size:
        return None
    near = _largest(logits, k)
    values = logits[near]
    border = np.partition(values, values.size - k)[values.size - k]
    keep = values > border
    keep[np.flatnonzero(values == border)[: k - int(keep.sum())]] = True
    return near[keep]


def top_p(logits: np.ndarray, p: float) -> np.ndarray | None:
    """Nucleus sampling (Holtzman et al. 2020): the smallest set of most probable ids with mass >= p."""
    if p >= 1.0:
        return None
    weights = np.exp(logits - logits.max())
    return _smallest_mass(logits, weights, p)


def min_p(logits: np.ndarray, p: float) -> np.ndarray | None:
    """Ids at least p times as probable as the most probable one (Nguyen et al. 2024)."""
    if p <= 0.0:
        return None
    return np.flatnonzero(logits >= logits.max() + np.float32(math.log(p)))


def typical(logits: np.ndarray, p: float) -> np.ndarray | None:
    """Locally typical sampling (Meister et al. 2022): the smallest set with mass >= p of the ids whose surprise is
    nearest to the entropy of the distribution."""
    if p >= 1.0:
        return None
    logs = log_softmax(logits)
    weights = np.exp(logs)
    logs[weights == 0] = 0  # 0 log 0 = 0, also where the logit is -inf
    entropy = -(weights * logs).sum(dtype=np.float64)
    closeness = -np.abs(logs + np.float32(entropy))
    closeness[weights == 0] = NEG_INF
    return _smallest_mass(closeness, weights, p)


def top_n_sigma(logits: np.ndarray, n: float) -> np.ndarray | None:
    """Ids within n standard deviations (of all finite logits) of the largest one (Tang et al. 2024). n <= 0: all."""
    if n <= 0.0:
        return None
    top = logits.max()
    finite = logits if logits.min() > NEG_INF else logits[logits > NEG_INF]
    return np.flatnonzero(logits >= top - np.float32(n) * finite.std())


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Sorted positions that include the n largest values, and seldom many more, in one pass over them.

    The n-th largest of the blocks' maxima is a bound that at least n values reach.
    """
    if n * 4 >= values.size // _BLOCK:
        if n >= values.size:
            return np.arange(values.size)
        return np.flatnonzero(values >= np.partition(values, values.size - n)[values.size - n])
    whole = values.size // _BLOCK * _BLOCK
    maxima = values[:whole].reshape(-1, _BLOCK).max(axis=1)
    return np.flatnonzero(values >= np.partition(maxima, maxima.size - n)[maxima.size - n])


def _smallest_mass(order: np.ndarray, weights: np.ndarray, p: float) -> np.ndarray:
    """Sorted positions of the smallest set, taken by descending `order`, whose weights reach p of the total.

    weights are not normalised. Equal orders: the lower positions first.
    """
    target = p * weights.sum(dtype=np.float64)
    near = _largest(order, min(_GUESS, order.size))
    before, found = 0.0, np.zeros(0, np.int64)
    if near.size > 4 * _GUESS or weights[near].sum(dtype=np.float64) < target:
        near = np.arange(order.size)
        while near.size > _GUESS:  # halve: is the border in the upper half, or is all of that half inside?
            values = order[near]
            middle = np.partition(values, near.size // 2)[near.size // 2]
            upper = values > middle
            if not upper.any():  # more than half are equal: no further halving
                break
            mass = weights[near[upper]].sum(dtype=np.float64)
            if before + mass >= target:
                near = near[upper]
            else:
                before, found, near = before + mass, np.concatenate([found, near[upper]]), near[~upper]
    near = near[np.argsort(-order[near], kind="stable")]
    mass = before + np.cumsum(weights[near], dtype=np.float64)
    count = int(np.searchsorted(mass, target, side="left")) + 1
    return np.sort(np.concatenate([found, near[:count]]))


# ---- draws ---------------------------------------------------------------------------------------------------------


def sample(logits: np.ndarray, rng: np.random.Generator) -> int:
    """One position drawn from softmax(logits) by inverting the cumulative distribution. -inf is never drawn."""
    top = logits.max()
    if top == NEG_INF:
        raise ValueError("every token is excluded: nothing to sample from")
    return draw(np.exp(logits - top), rng)


def draw(weights: np.ndarray, rng: np.random.Generator) -> int:
    """One position drawn in proportion to weights >= 0 (n,), not all 0: first its block, then within the block."""
    sums = np.add.reduceat(weights, np.arange(0, weights.size, _BLOCK * 8), dtype=np.float64)
    ends = np.cumsum(sums)
    at = rng.random() * ends[-1]
    block = min(int(np.searchsorted(ends, at, side="right")), int(np.flatnonzero(sums)[-1]))
    start = block * _BLOCK * 8
    part = weights[start : start + _BLOCK * 8]
    within = np.searchsorted(np.cumsum(part, dtype=np.float64), at - (ends[block] - sums[block]), side="right")
    return start + min(int(within), int(np.flatnonzero(part)[-1]))


def greedy(logits: np.ndarray) -> int:
    """The position of the largest logit, the lowest one on ties."""
    return int(logits.argmax())


def only(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Logits with -inf for every id that is not allowed: an array of ids, or a mask of bool (V,)."""
    out = np.full_like(logits, NEG_INF)
    out[allowed] = logits[allowed]
    return out


class Mirostat:
    """Mirostat 2 (Basu et al. 2021): draws among ids whose surprise is at most mu bits, and moves mu so that the mean
    surprise becomes tau."""

    def __init__(self, tau: float, eta: float) -> None:
        self.tau, self.eta, self.mu = tau, eta, 2 * tau

    def keep(self, logits: np.ndarray) -> np.ndarray:
        """Positions that may be drawn: the most probable one always."""
        surprise = log_softmax(logits) / np.float32(-math.log(2))
        kept = np.flatnonzero(surprise <= self.mu)
        return kept if kept.size else np.array([logits.argmax()])

    def observe(self, logits: np.ndarray, at: int) -> None:
        """Position `at` of the same logits was drawn."""
        self.mu -= self.eta * (-logprob_of(logits, at) / math.log(2) - self.tau)


# ---- the chain -----------------------------------------------------------------------------------------------------


class Chain:
    """Filters in order, then a draw. Parameters are checked by `Sampling` or `make_sampler`.

    steps: (name of a filter, its value). temperature 0 is greedy and ignores the filters. The same seed and logits give
    the same ids.
    """

    def __init__(self, steps: Sequence[tuple[str, float]], seed: int | None, mirostat: Mirostat | None = None) -> None:
        self.greedy = dict(steps).get("temperature", 0.0) == 0
        self._steps = [(globals()[name], name == "temperature", value) for name, value in steps]
        self._mirostat = mirostat
        self.rng = np.random.default_rng(seed)

    def filtered(self, logits: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """(ids kept, or None for all; their logits after temperature)."""
        ids = None
        for step, scales, value in self._steps:
            if scales:
                logits = step(logits, value)
            elif (kept := step(logits, value)) is not None:
                logits, ids = logits[kept], kept if ids is None else ids[kept]
        return ids, logits

    def pick(self, logits: np.ndarray) -> int:
        """An id for logits (V,); -inf entries are never picked. ValueError where every entry is -inf."""
        if self.greedy:
            best = greedy(logits)
            if logits[best] == NEG_INF:
                raise ValueError("every token is excluded: nothing to sample from")
            return best
        ids, live = self.filtered(logits)
        if self._mirostat is None:
            at = sample(live, self.rng)
        else:
            kept = self._mirostat.keep(live)
            at = int(kept[sample(live[kept], self.rng)])
            self._mirostat.observe(live, at)
        return at if ids is None else int(ids[at])

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """float64 (V,): what `pick` draws from (without mirostat, whose state moves). Greedy: 1 for the best."""
        out = np.zeros(logits.size)
        if self.greedy:
            out[greedy(logits)] = 1.0
            return out
        ids, live = self.filtered(logits)
        weights = np.exp(live - live.max(), dtype=np.float64)
        out[slice(None) if ids is None else ids] = weights / weights.sum()
        return out


def check_logits(logits: np.ndarray) -> None:
    """ValueError for NaN."""
    if np.isnan(logits.max()):
        raise ValueError("the model gave NaN logits")


def make_sampler(
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | None = None,
    **more,
) -> Sampler:
    """A callable (logits, allowed=None) -> (id, logprob) for callers without history, grammar or text.

    more: `typical`, `top_n_sigma`, `mirostat_tau`, `mirostat_eta`, `order` as in `Sampling`. allowed: integer array of
    the only ids that may come out, or a bool mask (V,). logprob: natural log under softmax of the logits as given. The
    same seed gives the same draws. ValueError for parameters out of range; the callable raises it for NaN logits and
    for an empty `allowed`.
    """
    from .sampling import Sampling

    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "seed": seed, **more}
    chain = Sampling(**options).chain()

    def choose(logits: np.ndarray, allowed: np.ndarray | None = None) -> tuple[int, float]:
        check_logits(logits)
        if allowed is not None and not (allowed.any() if allowed.dtype == bool else allowed.size):
            raise ValueError("no token is allowed here")
        id = chain.pick(logits if allowed is None else only(logits, allowed))
        return id, logprob_of(logits, id)

    return choose
