"""Sampling: the options of one request (which tokens to choose, when to stop), checked where they are given.

Knows ranges and defaults; no logits. `runtime.generate`'s signature begins with these fields in this order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real

from .grammar import compile_grammar
from .samplers import FILTERS, Chain, Mirostat
from .stop import StopRules

_OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical": 1.0, "top_n_sigma": 0.0}
_RANGES = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical": (0.0, 1.0),
    "top_n_sigma": (0.0, 1000.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-100.0, 100.0),
    "frequency_penalty": (-100.0, 100.0),
    "dry_multiplier": (0.0, 1000.0),
    "dry_base": (1.0, 100.0),
    "mirostat_eta": (0.0, 10.0),
}
_COUNTS = {"top_k": 1 << 31, "logprobs": 1000, "penalty_window": 1 << 31, "dry_allowed_length": 1 << 31}


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens and when to stop; the defaults are greedy. ValueError for anything out of range.

    max_tokens >= 1; temperature 0 is greedy and ignores the filters, not the penalties; top_k 0, top_p 1, min_p 0,
    typical 1, top_n_sigma 0: off. seed: same seed, same text. stop: strings that end the text and are not shown.
    grammar: GBNF text or a dict (JSON schema); every text that ends by itself fits it.
    order: filters in the order of their application; those left out must be off.
    repetition_penalty (1: off) divides positive and multiplies negative logits of ids among the last `penalty_window`
    of prompt and text (0: all of them); presence_ and frequency_penalty (0: off) count the generated text alone.
    dry_multiplier (0: off), dry_base, dry_allowed_length, dry_breakers (strings): see `penalties.dry`; within
    penalty_window or, if it is longer, the last 1,024 ids.
    logit_bias: {id: -100 to 100, or -inf to ban it}. mirostat_tau: bits of surprise per token to keep to (None: off;
    needs a temperature), mirostat_eta its learning rate. logprobs: that many alternatives in `Piece.top`.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    stop: Sequence[str] = ()
    grammar: str | Mapping | bool | None = None
    _: KW_ONLY
    typical: float = 1.0
    top_n_sigma: float = 0.0
    order: Sequence[str] = FILTERS
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_breakers: Sequence[str] = ("\n", ":", '"', "*")
    logit_bias: Mapping[int, float] | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float = 0.1
    logprobs: int = 0

    def __post_init__(self) -> None:
        def put(name: str, value) -> None:
            object.__setattr__(self, name, value)

        # tuples, because they are read more than once
        put("stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        put("order", tuple(self.order))
        put("dry_breakers", tuple(self.dry_breakers))
        if not _integer(self.max_tokens) or self.max_tokens < 1:
            raise ValueError(f"max_tokens must be a positive integer, got {self.max_tokens!r}")
        put("max_tokens", int(self.max_tokens))
        for name, (low, high) in _RANGES.items():
            _check(name, getattr(self, name), low, high)
        for name, high in _COUNTS.items():
            value = getattr(self, name)
            if not _integer(value) or not 0 <= value <= high:
                raise ValueError(f"{name} must be an integer from 0 to {high}, not {value!r}")
            put(name, int(value))
        if self.seed is not None and (not _integer(self.seed) or self.seed < 0):
            raise ValueError(f"seed must be an integer >= 0 or None, not {self.seed!r}")
        self._check_order()
        self._check_rest()
        StopRules(self.stop)
        if self.grammar is not None:
            compile_grammar(self.grammar)  # kept for the request that follows
        put("logit_bias", _checked_bias(self.logit_bias))

    def _check_order(self) -> None:
        if len(set(self.order)) != len(self.order) or not set(self.order) <= set(FILTERS):
            raise ValueError(f"order must name each of {', '.join(FILTERS)} at most once, not {self.order!r}")
        for name in set(FILTERS) - set(self.order):
            if getattr(self, name) != (0 if name == "temperature" else _OFF[name]):
                raise ValueError(f"order leaves out {name}, which is set to {getattr(self, name)!r}")

    def _check_rest(self) -> None:
        if self.mirostat_tau is not None:
            _check("mirostat_tau", self.mirostat_tau, 0.0, 100.0)
            if self.temperature == 0:
                raise ValueError("mirostat_tau needs a temperature above 0")
        if self.dry_allowed_length < 1:
            raise ValueError(f"dry_allowed_length must be at least 1, not {self.dry_allowed_length}")
        if not all(isinstance(text, str) and text for text in self.dry_breakers):
            raise ValueError("dry_breakers must be non-empty strings")

    def chain(self) -> Chain:
        """A fresh chain of the filters that are on; it keeps the random state of one request."""
        steps = [(n, v) for n in self.order if (v := getattr(self, n)) != _OFF.get(n, 0.0)]
        tau = self.mirostat_tau
        return Chain(steps, self.seed, None if tau is None else Mirostat(tau, self.mirostat_eta))

    @property
    def penalises(self) -> bool:
        """True if what is written changes the logits that follow."""
        return (
            self.repetition_penalty != 1
            or self.presence_penalty != 0
            or self.frequency_penalty != 0
            or self.dry_multiplier != 0
        )


def _integer(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check(name: str, value, low: float, high: float) -> None:
    if not (isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high):
        raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value!r}")


def _checked_bias(biases) -> dict[int, float]:
    if biases is None:
        return {}
    if not isinstance(biases, Mapping):
        raise ValueError(f"logit_bias must be a mapping of ids to numbers, not {type(biases).__name__}")
    for id, value in biases.items():
        if not _integer(id) or id < 0:
            raise ValueError(f"logit_bias has {id!r} where an id >= 0 belongs")
        if value != -math.inf:
            _check(f"logit_bias of {id}", value, -100.0, 100.0)
    return {int(id): float(value) for id, value in biases.items()}
