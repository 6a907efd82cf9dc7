"""Chooser: which token comes next in one request: bias, penalties, constraint, chain of filters, draw.

A constraint (a grammar, or the bytes of a healed caret) is asked about the token that was picked first; only if it says
no are all tokens masked and the pick repeated among the allowed. With greedy or plain temperature that equals masking
every time; with filters it means: the filtered choice where it fits, else the filtered choice among what fits.
Knows ids and logits float32 (V,); no caches and no strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import penalties
from .constraint import Constraint
from .samplers import check_logits, draw, logprob_of, only, top_logprobs
from .sampling import Sampling

_DRY_WINDOW = 1024


class Choice(NamedTuple):
    """id; natural log of its probability under the model's own distribution; the best (id, logprob) pairs where asked
    for; raw: bytes that it adds to the text (none for a stop id, a padding row, or what stood before a healed caret).
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    raw: bytes


class Chooser:
    """State of one request: history, random numbers, constraint.

    prompt_ids: for penalties. breakers: ids that end a repetition for DRY.
    """

    def __init__(
        self,
        sampling: Sampling,
        prompt_ids: Sequence[int],
        constraint: Constraint,
        breakers: frozenset[int] = frozenset(),
    ) -> None:
        self.sampling, self.constraint = sampling, constraint
        self.chain = sampling.chain()
        self._breakers = breakers
        self._written: list[int] = []
        self._before = [int(id) for id in prompt_ids] if sampling.penalises else []

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end the text."""
        return self.constraint.stop_ids

    @property
    def finished(self) -> bool:
        """True if the grammar is complete and nothing can follow."""
        return self.constraint.finished

    def adjusted(self, logits: np.ndarray) -> np.ndarray:
        """Logits (V,) after bias and penalties, in that order."""
        options = self.sampling
        if options.logit_bias:
            logits = penalties.changed(logits, penalties.bias(logits, options.logit_bias))
        if not options.penalises:
            return logits
        past, window = self._before + self._written, options.penalty_window
        if options.repetition_penalty != 1:
            recent = past[-window:]
            logits = penalties.changed(logits, penalties.repetition(logits, recent, options.repetition_penalty))
        rates = options.presence_penalty, options.frequency_penalty
        if any(rates):
            logits = penalties.changed(logits, penalties.presence_frequency(logits, self._written, *rates))
        if options.dry_multiplier:
            how = options.dry_multiplier, options.dry_base, options.dry_allowed_length, self._breakers
            recent = past[-max(window, _DRY_WINDOW) :] if window else past
            logits = penalties.changed(logits, penalties.dry(logits, recent, *how))
        return logits

    def pick(self, logits: np.ndarray) -> int:
        """The next id, without taking it. ValueError for NaN logits, or if nothing is allowed."""
        check_logits(logits)
        live, constraint = self.adjusted(logits), self.constraint
        if constraint.healing:  # a free choice would seldom fit
            return self.chain.pick(only(live, constraint.mask(logits.size)))
        id = self.chain.pick(live)
        if not constraint.allowed(id):
            id = self.chain.pick(only(live, constraint.mask(logits.size)))
        return id

    def choose_run(self, logits: np.ndarray, guesses: Sequence[int]) -> list[Choice] | None:
        """Row i of logits, float32 (n, V), is right if guesses 0 .. i - 1 are what is chosen: the choices of the rows
        that are right, all at once where that is plain greedy; else None, and nothing has happened."""
        options = self.sampling
        plain = self.chain.greedy and not (options.penalises or options.logit_bias or options.logprobs)
        if not plain or self.constraint.binding:
            return None
        best = logits.argmax(axis=1)
        ids, count = best.tolist(), 1
        while count < len(ids) and ids[count - 1] == guesses[count - 1]:
            count += 1
        tops = logits[np.arange(count), best[:count]]
        if not np.isfinite(tops).all():
            check_logits(logits[:count])
        sums = np.exp(logits[:count] - tops[:, None]).sum(axis=1, dtype=np.float64)
        logprobs = (-np.log(sums)).tolist()
        accept = self.constraint.accept
        return [Choice(id, logprob, (), accept(id)) for id, logprob in zip(ids[:count], logprobs, strict=True)]

    def choose_against(self, logits: np.ndarray, guess: int, odds: np.ndarray) -> Choice:
        """`guess` was drawn from `odds`, float64 (V,): accept it with probability min(1, p / q), else draw from what is
        left of p (Leviathan et al. 2023, section 2.3). The choice is distributed as `choose`'s, and is the guess
        exactly where that was accepted. Under a constraint the model draws for itself, and the guess counts where it
        agrees.
        """
        if self.constraint.binding or self.chain.greedy or self.sampling.mirostat_tau is not None:
            return self.choose(logits)
        check_logits(logits)
        p = self.chain.probabilities(self.adjusted(logits))
        rest = np.maximum(p - odds, 0.0)
        if self.chain.rng.random() * odds[guess] < p[guess] or not rest.any():
            return self.take(guess, logits)
        return self.take(draw(rest, self.chain.rng), logits)

    def take(self, id: int, logits: np.ndarray) -> Choice:
        """The text goes on with `id`, picked from `logits`."""
        raw = self.constraint.accept(id)
        if self.sampling.penalises:
            self._written.append(id)
        top = top_logprobs(logits, self.sampling.logprobs) if self.sampling.logprobs else ()
        return Choice(id, logprob_of(logits, id), top, raw)

    def choose(self, logits: np.ndarray) -> Choice:
        """pick and take."""
        return self.take(self.pick(logits), logits)
