"""The learning rate over the steps: linear warm-up, then a cosine, or a plateau with a linear decay at its end.

    cosine  warm-up, then half a cosine from the peak to min_ratio of it (Loshchilov & Hutter 2017, no restarts)
    wsd     warm-up, stable, decay: the peak until the last `decay` share of the steps, then straight down to min_ratio
            of it (Hu et al. 2024, MiniCPM). Until the decay begins nothing depends on the horizon, so it may be moved.

Knows nothing of models or time; a run whose horizon is still being measured has total=None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

KINDS = ("cosine", "wsd")


@dataclass(frozen=True)
class Schedule:
    """peak: highest rate. warmup: steps until it. total: last step (None: unknown). min_ratio: last rate / peak.

    kind: "cosine" or "wsd"; decay: the share of all steps, from 0 to 1, in which wsd goes down.
    """

    peak: float
    warmup: int
    total: int | None
    min_ratio: float = 0.05
    kind: str = "cosine"
    decay: float = 0.4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise ValueError(f"the learning rate must be positive, not {self.peak}")
        if not 0 <= self.min_ratio <= 1:
            raise ValueError(f"min_ratio must be from 0 to 1, not {self.min_ratio}")
        if self.kind not in KINDS:
            raise ValueError(f"schedule must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be a share above 0 and up to 1, not {self.decay}")
        if self.warmup < 0 or (self.total is not None and self.warmup >= self.total):
            raise ValueError(f"warm-up of {self.warmup} steps does not fit into {self.total} steps")

    @property
    def stable_until(self) -> int | None:
        """The last step whose rate does not depend on the horizon; None while that is unknown."""
        if self.total is None or self.kind == "cosine":
            return None if self.total is None else self.warmup
        return max(self.warmup, self.total - max(1, round(self.decay * self.total)))

    def rate(self, step: int) -> float:
        """Rate of step 1, 2, ... total; after the end it stays at the minimum."""
        if step < 1:
            raise ValueError(f"steps count from 1, not {step}")
        if step <= self.warmup:
            return self.peak * step / self.warmup
        if self.total is None or step <= self.stable_until:
            return self.peak
        done = min(1.0, (step - self.stable_until) / (self.total - self.stable_until))
        fall = 0.5 * (1 + math.cos(math.pi * done)) if self.kind == "cosine" else 1 - done
        return self.peak * (self.min_ratio + (1 - self.min_ratio) * fall)
