"""What a training run can be told: the [train] section of a recipe, checked. Knows no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from .adam import Adam, AdamW
from .muon import Muon
from .optim import Optimizer, OptimizerSettings
from .schedule import KINDS, Schedule
from .sgd import SGD
from .watch import WatchSettings

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "muon": Muon}
PRECISIONS = ("f32", "bf16")


class TrainingError(Exception):
    """The run cannot start or go on; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainSettings:
    """steps or minutes: the horizon (exactly one).

    accumulate: gradient accumulation, the number of passes in which the rows of a batch are computed; their gradients
    add up to that of the whole batch, in a part of its memory.
    optimizer: "sgd" (with momentum, nesterov), "adam", "adamw", or "muon": the matrices inside blocks learn with
    `muon_ratio` times the learning rate, the rest by AdamW. weight_decay: of matrices, see optim.decays.
    schedule: "cosine" or "wsd", whose rate falls in the last `decay` share of the steps (see schedule.py).
    precision: "f32", or "bf16" for products of bfloat16 with float32 sums; weights and moments stay float32.
    watch: what is done about NaN, loss spikes, a rising validation loss, and when to stop early (see watch.py).
    eval_every, checkpoint_every, sample_every: in steps; 0 = only at the end (samples: never).
    """

    steps: int | None = None
    minutes: float | None = None
    lr: float = 3e-3
    min_lr_ratio: float = 0.05
    warmup: int = 100
    schedule: str = "cosine"
    decay: float = 0.4
    accumulate: int = 1
    precision: str = "f32"
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0
    optimizer: str = "adamw"
    momentum: float = 0.9
    nesterov: bool = False
    muon_ratio: float = 10.0
    eval_every: int = 250
    checkpoint_every: int = 250
    sample_every: int = 500
    watch: WatchSettings = WatchSettings()

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
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, not {self.accumulate}")
        for key in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key} must be from 0 to below 1, not {getattr(self, key)}")
        if self.weight_decay < 0 or self.clip < 0:
            raise ValueError("weight_decay and clip must not be negative")
        if not 0 < self.muon_ratio < 1e4:
            raise ValueError(f"muon_ratio must be positive, not {self.muon_ratio}")
        self.schedule_of(None)

    def schedule_of(self, total: int | None, measured: int = 0) -> Schedule:
        """The schedule over `total` steps, of which `measured` are done; a short run warms up in a quarter of it."""
        warmup = self.warmup if total is None else min(self.warmup, max(total // 4, min(measured, total - 1)))
        return Schedule(self.lr, warmup, total, self.min_lr_ratio, self.schedule, self.decay)

    def optimizer_of(self, parameters: Mapping) -> Optimizer:
        known = {f.name for f in fields(OptimizerSettings)}
        options = {key: value for key, value in asdict(self).items() if key in known}
        return OPTIMIZERS[self.optimizer](parameters, OptimizerSettings(**options))
