"""What a training run can be told: the [train] section of a recipe, checked. Knows no training."""

from __future__ import annotations

from dataclasses import dataclass

from .schedule import KINDS, Schedule

OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("f32", "bf16")


class TrainingError(Exception):
    """The run cannot start or go on; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainSettings:
    """steps or minutes: the horizon (exactly one). micro_batch: rows per forward pass, 0 = whole batches.

    optimizer: "adamw", or "muon" for the matrices inside blocks with `muon_ratio` times the learning rate.
    schedule: "cosine" or "wsd", whose rate falls in the last `decay` share of the steps (see schedule.py).
    precision: "f32", or "bf16" for products of bfloat16 with float32 sums; weights and moments stay float32.
    eval_every, checkpoint_every, sample_every: in steps; 0 = only at the end (samples: never).
    """

    steps: int | None = None
    minutes: float | None = None
    lr: float = 3e-3
    min_lr_ratio: float = 0.05
    warmup: int = 100
    schedule: str = "cosine"
    decay: float = 0.4
    micro_batch: int = 0
    precision: str = "f32"
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0
    optimizer: str = "adamw"
    muon_ratio: float = 10.0
    eval_every: int = 250
    checkpoint_every: int = 250
    sample_every: int = 500

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give the horizon either in steps or in minutes")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        if self.minutes is not None and not 0 < self.minutes < 1e6:
            raise ValueError(f"minutes must be positive, not {self.minutes}")
        for key, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS), ("schedule", KINDS)):
            if getattr(self, key) not in known:
                listed = ", ".join(f'"{name}"' for name in known)
                raise ValueError(f"{key} must be one of {listed}, not {getattr(self, key)!r}")
        if not 0 < self.muon_ratio < 1e4:
            raise ValueError(f"muon_ratio must be positive, not {self.muon_ratio}")
        self.schedule_of(None)

    def schedule_of(self, total: int | None, measured: int = 0) -> Schedule:
        """The schedule over `total` steps, of which `measured` are done; a short run warms up in a quarter of it."""
        warmup = self.warmup if total is None else min(self.warmup, max(total // 4, min(measured, total - 1)))
        return Schedule(self.lr, warmup, total, self.min_lr_ratio, self.schedule, self.decay)
