"""Measures a network: tokens a second of prefill and decode, on random ids. Knows no text, no requests and no peers.

Prefill: a prompt of `tokens` new ids, until the scores of its last one are there. Decode: one id after another behind
`depth` cached positions. One call is one sample; whoever compares takes samples in turns and the median of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from runtime.engine.network import Network


@dataclass(frozen=True)
class Load:
    """What is measured: "prefill" or "decode", of so many tokens, behind `depth` cached positions."""

    kind: str
    tokens: int
    depth: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("prefill", "decode"):
            raise ValueError(f"kind must be 'prefill' or 'decode', got {self.kind!r}")
        if self.tokens < 1 or self.depth < 0:
            raise ValueError(f"tokens must be positive and depth not negative, got {self.tokens} and {self.depth}")

    @property
    def name(self) -> str:
        """As llama-bench writes it: pp512, tg128 @ d1024."""
        short = f"{'pp' if self.kind == 'prefill' else 'tg'}{self.tokens}"
        return f"{short} @ d{self.depth}" if self.depth else short


class Speed:
    """One network under one load; the positions before the measured ones are computed once."""

    def __init__(self, network: Network, load: Load, seed: int = 0) -> None:
        positions = load.depth + load.tokens
        if positions > network.capacity:
            raise ValueError(f"{load.name} needs {positions} positions, the model has {network.capacity}")
        self.network, self.load = network, load
        self._cache = network.new_cache(positions)
        self._ids = np.random.default_rng(seed).integers(0, network.spec.vocab_size, positions, dtype=np.int32)
        if load.depth:
            self._read(0, load.depth)

    def _read(self, begin: int, end: int) -> None:
        for at in range(begin, end, self.network.max_rows):
            chunk = self._ids[at : min(end, at + self.network.max_rows)]
            self.network.step(chunk, at, self._cache, last=int(at + len(chunk) == end))

    def traffic(self, rate: float) -> tuple[str, float]:
        """What a rate in tokens a second means for the machine: ("GB/s", weights read) of decode, ("GOP/s",
        multiplications and additions in products) of prefill. Without attention, which grows with the depth."""
        if self.load.kind == "decode":
            return "GB/s", rate * sum(size for _, size in self.network.operations()) / 1e9
        spec = self.network.spec
        tables = spec.vocab_size * spec.d_model * (1 if spec.tied else 2)
        return "GOP/s", rate * 2 * (spec.n_params() - tables) / 1e9

    def sample(self) -> float:
        """Tokens a second."""
        depth, tokens = self.load.depth, self.load.tokens
        began = time.perf_counter()
        if self.load.kind == "prefill":
            self._read(depth, depth + tokens)
        else:
            for at in range(depth, depth + tokens):
                self.network.step(self._ids[at : at + 1], at, self._cache)
        return tokens / (time.perf_counter() - began)
