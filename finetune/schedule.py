"""The learning rate over the steps: linear warm-up, then a cosine to a share of the peak.

After Loshchilov & Hutter 2017 (SGDR, without restarts).

Knows nothing of models or time; a run whose horizon is still being measured has total=None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """peak: highest rate. warmup: steps until it. total: last step (None: unknown). min_ratio: last rate / peak."""

    peak: float
    warmup: int
    total: int | None
    min_ratio: float = 0.05

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise ValueError(f"the learning rate must be positive, not {self.peak}")
        if not 0 <= self.min_ratio <= 1:
            raise ValueError(f"min_ratio must be from 0 to 1, not {self.min_ratio}")
        if self.warmup < 0 or (self.total is not None and self.warmup >= self.total):
            raise ValueError(f"warm-up of {self.warmup} steps does not fit into {self.total} steps")

    def rate(self, step: int) -> float:
        """Rate of step 1, 2, ... total; after the end it stays at the minimum."""
        if step < 1:
            raise ValueError(f"steps count from 1, not {step}")
        if step <= self.warmup:
            return self.peak * step / self.warmup
        if self.total is None:
            return self.peak
        done = min(1.0, (step - self.warmup) / (self.total - self.warmup))
        return self.peak * (self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * done)))
