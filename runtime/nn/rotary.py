"""RopeSpec: one kind of rotary positions (Su et al. 2021), its scaling, and the tables of cosines and sines they mean.

Every scaling that decoders in use have: linear, dynamic NTK, YaRN, Llama 3's and LongRoPE, with the numbers as the
transformers library computes them (`modeling_rope_utils`). Knows positions and frequencies, no queries and no keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

KINDS = ("default", "linear", "dynamic", "yarn", "llama3", "longrope")

_RANGES = {  # far beyond what any model has, and within what float32 can divide by
    "theta": (1e-3, 1e12),
    "factor": (1e-6, 1e6),
    "attention_factor": (1e-6, 1e6),
    "beta_fast": (1e-6, 1e6),
    "beta_slow": (1e-6, 1e6),
    "low_freq_factor": (1e-6, 1e6),
    "high_freq_factor": (1e-6, 1e6),
}


@dataclass(frozen=True)
class RopeSpec:
    """theta: base of the frequencies; dim: rotated values at the front of each head (even; others stay as they are).

    interleaved: pairs are (0, 1), (2, 3), ... instead of (i, i + dim/2). attention_factor multiplies cos and sin.
    original_context: positions the model was first trained for. kind names the scaling, which uses: linear factor;
    dynamic factor, original_context; yarn factor, original_context, beta_fast, beta_slow, truncate; llama3 factor,
    original_context, low_freq_factor, high_freq_factor; longrope original_context and the divisors (dim/2) of each
    frequency for short and for long texts.
    """

    theta: float = 10000.0
    dim: int = 64
    interleaved: bool = False
    kind: str = "default"
    factor: float = 1.0
    attention_factor: float = 1.0
    original_context: int = 0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()
    counted: int = 0  # what exponents of the frequencies are divided by; 0: dim

    def __post_init__(self) -> None:
        if self.counted and self.kind not in ("default", "linear", "llama3"):
            raise ValueError(f"rope type {self.kind} needs an even number of rotated values, got {self.counted}")
        if self.kind not in KINDS:
            raise ValueError(f"rope type {self.kind!r} is not supported; supported: {', '.join(KINDS)}")
        if not isinstance(self.dim, int) or self.dim < 2 or self.dim % 2:
            raise ValueError(f"rotary positions need an even number of values of a head, got {self.dim!r}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if type(value) not in (int, float) or not low <= value <= high:
                raise ValueError(f"{name} of the rotary positions must lie within {low} .. {high}, got {value!r:.40}")
        if self.kind in ("dynamic", "yarn", "llama3", "longrope") and self.original_context < 1:
            raise ValueError(f"rope type {self.kind} needs original_max_position_embeddings")
        if self.kind == "dynamic" and self.dim < 4:
            raise ValueError("rope type dynamic needs at least four rotated values")
        if self.kind == "yarn" and self.theta == 1:
            raise ValueError("rope type yarn needs a theta other than 1")
        if self.kind == "llama3" and self.low_freq_factor == self.high_freq_factor:
            raise ValueError("rope type llama3 needs low_freq_factor and high_freq_factor to differ")
        for name in ("short_factors", "long_factors"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if self.kind == "longrope" and len(values) != self.dim // 2:
                raise ValueError(f"{name} of longrope must be {self.dim // 2} numbers, got {len(values)}")
            if not all(type(v) in (int, float) and _RANGES["factor"][0] <= v <= _RANGES["factor"][1] for v in values):
                raise ValueError(f"{name} of longrope must be positive numbers")

    def regime(self, length: int) -> int:
        """A number that is equal for two lengths of text whose frequencies are equal (0 for most kinds).

        longrope has two (short 0, long 1); dynamic has one for each length beyond original_context.
        """
        if self.kind == "longrope" and self.short_factors != self.long_factors:
            return int(length > self.original_context)
        if self.kind == "dynamic" and length > self.original_context:
            return length
        return 0

    def frequencies(self, length: int = 1) -> np.ndarray:
        """Radians per position of each pair, float32 (dim/2,), for a text of `length` positions in all."""
        steps = np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.counted or self.dim)
        theta = self.theta
        if self.kind == "dynamic":
            grown = max(length, self.original_context) / self.original_context
            theta *= (self.factor * grown - (self.factor - 1)) ** (self.dim / (self.dim - 2))
            theta = min(theta, 1e38)
        powers = np.float32(theta) ** steps
        if self.kind == "longrope":
            factors = self.long_factors if length > self.original_context else self.short_factors
            return np.float32(1) / (np.asarray(factors, np.float32) * powers)
        plain = np.float32(1) / powers
        if self.kind == "linear":
            return plain / np.float32(self.factor)
        if self.kind == "yarn":
            return self._yarn(plain)
        if self.kind == "llama3":
            return self._llama3(plain)
        return plain

    def _yarn(self, plain: np.ndarray) -> np.ndarray:
        """Fast pairs keep their frequency, slow ones are divided by factor, a ramp between (Peng et al. 2023)."""

        def pair_of(rotations: float) -> float:
            turns = self.original_context / (rotations * 2 * math.pi)
            return self.dim * math.log(turns) / (2 * math.log(self.theta))

        low, high = pair_of(self.beta_fast), pair_of(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.dim - 1)
        if low == high:
            high += 0.001
        ramp = (np.arange(self.dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
        slow = np.clip(ramp, 0, 1).astype(np.float32)
        return (plain / np.float32(self.factor) * slow + plain * (1 - slow)).astype(np.float32)

    def _llama3(self, plain: np.ndarray) -> np.ndarray:
        """Waves longer than the first context are stretched by factor, short ones kept, smooth between."""
        turns = self.original_context * plain / np.float32(2 * math.pi)  # of each pair within the first context
        smooth = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        mixed = (1 - smooth) * plain / np.float32(self.factor) + smooth * plain
        stretched = np.where(turns < self.low_freq_factor, plain / np.float32(self.factor), mixed)
        return np.where(turns > self.high_freq_factor, plain, stretched).astype(np.float32)

    def tables(self, positions, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin, each float32 (P, dim/2), both times attention_factor.

        positions: integers (P,), or how many from 0 on. length: positions of the whole text, by default one more than
        the last position; it matters for the kinds that have more than one `regime`.
        """
        if isinstance(positions, int | np.integer):
            positions = np.arange(positions)
        positions = np.asarray(positions)
        if length is None:
            length = int(positions.max(initial=0)) + 1
        angles = positions.astype(np.float32)[:, None] * self.frequencies(length)[None, :]
        factor = np.float32(self.attention_factor)
        return np.cos(angles) * factor, np.sin(angles) * factor
