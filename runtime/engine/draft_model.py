"""A second, smaller model as drafter: it writes a few tokens ahead, and the large one checks them in one step.

With a temperature it draws from its own distribution under the same filters, which it hands over with each guess, so
that the check keeps the large model's distribution exact (Leviathan et al. 2023). How far it writes ahead follows how
often it was right and what a step of each model takes. Knows ids and networks; no text.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from runtime.engine.cache import common_prefix
from runtime.engine.network import Chunk, Network
from runtime.engine.speculation import MOST_DRAFT, Cost
from runtime.generate import Sampling
from runtime.generate.samplers import draw

_NEW = 0.1  # weight of the latest guess in the rate of right ones
_FIRST_RATE = 0.7
_STEP_SHARE = 0.25  # what a step of the small model costs, in steps of the large one, before it was measured
_LONGEST_PAUSE = 64  # tokens without a guess after guesses that did not pay


class ModelDrafter:
    """network: of the small model; vocab: rows of the large model's table, of which both know the same tokens;
    cost: of the large model, shared by its requests.

    It has a cache of its own and serves one request.
    """

    def __init__(self, network: Network, sampling: Sampling, vocab: int, cost: Cost | None = None) -> None:
        self._network, self._chain, self._vocab = network, sampling.chain(), vocab
        # random numbers of its own: those of the large model must not depend on the guesses that they judge
        self._rng = np.random.default_rng(None if sampling.seed is None else (sampling.seed, 1))
        self._cache = network.new_cache(network.capacity)
        self._held = np.zeros(0, dtype=np.int32)  # ids whose keys and values the cache holds
        self._proposed = np.zeros(0, dtype=np.int32)
        self._at = 0  # where the proposal began
        self._rate = _FIRST_RATE
        self._seconds: float | None = None
        self._pause, self._resting = 1, 0
        self.cost = cost or Cost()

    def propose(self, ids: np.ndarray, most: int) -> tuple[np.ndarray, Sequence[np.ndarray] | None]:
        self._learn(ids)
        most = min(most, MOST_DRAFT, self._network.capacity - len(ids))
        step = self.cost.step
        share = _STEP_SHARE if step is None or self._seconds is None else self._seconds / step
        length = self.cost.best_length(self._rate, most, extra=share) if most > 0 else 0
        if length == 0 and most > 0:  # look again from time to time whether it has become better
            self._resting += 1
            if self._resting >= self._pause:
                self._pause, self._resting, length = min(2 * self._pause, _LONGEST_PAUSE), 0, 1
        guesses, odds = self._write(ids, length) if length else ([], [])
        self._proposed, self._at = np.array(guesses, dtype=np.int32), len(ids)
        return self._proposed, None if self._chain.greedy else odds

    def observe(self, rows: int, seconds: float) -> None:
        self.cost.observe(rows, seconds)

    def _learn(self, ids: np.ndarray) -> None:
        """How many of the last guesses were right?"""
        if not len(self._proposed):
            return
        right = common_prefix(ids[self._at :], self._proposed)
        for guess in range(min(right + 1, len(self._proposed))):
            self._rate += _NEW * ((guess < right) - self._rate)
        if right == len(self._proposed):
            self._pause = 1

    def _write(self, ids: np.ndarray, length: int) -> tuple[list[int], list[np.ndarray]]:
        guesses: list[int] = []
        odds: list[np.ndarray] = []
        at = min(common_prefix(self._held, ids), len(ids) - 1)
        fresh = ids[at:]
        while len(guesses) < length:
            began = time.perf_counter()
            logits = self._run(fresh, at)
            if len(fresh) == 1:
                took = time.perf_counter() - began
                self._seconds = took if self._seconds is None else self._seconds + 0.2 * (took - self._seconds)
            at += len(fresh)
            if not self._chain.greedy:
                odds.append(self._chain.probabilities(logits))
                guesses.append(draw(odds[-1], self._rng))
            else:
                guesses.append(self._chain.pick(logits))
            fresh = np.array(guesses[-1:], dtype=np.int32)
        self._held = np.concatenate([ids, np.array(guesses[:-1], dtype=np.int32)])
        return guesses, odds

    def _run(self, ids: np.ndarray, start: int) -> np.ndarray:
        """Scores after the last id, float32 (V,), V being the large model's."""
        for begin in range(0, len(ids), self._network.max_rows):
            part = ids[begin : begin + self._network.max_rows]
            logits = self._network.run([Chunk(part, start + begin, self._cache, 1)])[0][0]
        out = np.full(self._vocab, -np.inf, dtype=np.float32)
        known = min(self._vocab, logits.shape[1])
        out[:known] = logits[-1, :known]
        return out
