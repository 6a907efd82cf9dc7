"""Watches a run's numbers for what goes wrong: NaN, loss spikes, rising validation loss, no progress any more.

It sees losses and says what it saw as an Alarm; what is done about it is in recovery.py. Knows no model, no data and
no files; its state is JSON-able, so that a resumed run raises the same alarms.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

WINDOW = 100  # training losses that say what is normal
ENOUGH = 20  # of them, before anything is called a spike
LEAST_SPIKE = 0.5  # nats above the median: less is no spike, however quiet the run was
SIGMA = 1.4826  # median absolute deviation -> standard deviation of a normal distribution


@dataclass(frozen=True)
class WatchSettings:
    """What to look for, and what to do: "rollback", "stop", or "note" (say it and go on; not for NaN).

    spike: a training loss more than `spike_sigmas` robust standard deviations (median and median absolute deviation of
    the last 100) and half a nat above the median. rising: a validation loss that rose `rising_evals` times in a row.
    patience: stop early after so many evaluations without a better one; 0 = never.
    A rollback goes to the last good checkpoint, leaves out the batches since, and multiplies the learning rate by
    `factor`; after `rollbacks` of them the next alarm stops the run.
    """

    nan: str = "rollback"
    spike: str = "note"
    rising: str = "note"
    spike_sigmas: float = 8.0
    rising_evals: int = 3
    patience: int = 0
    factor: float = 0.5
    rollbacks: int = 3

    def __post_init__(self) -> None:
        for key in ("nan", "spike", "rising"):
            known = ("rollback", "stop") if key == "nan" else ("rollback", "stop", "note")
            if getattr(self, key) not in known:
                raise ValueError(f"{key} must be one of {', '.join(known)}, not {getattr(self, key)!r}")
        if not self.spike_sigmas > 0 or self.rising_evals < 1 or self.patience < 0 or self.rollbacks < 0:
            raise ValueError("spike_sigmas and rising_evals must be positive, patience and rollbacks not negative")
        if not 0 < self.factor <= 1:
            raise ValueError(f"factor must be above 0 and up to 1, not {self.factor}")


@dataclass(frozen=True)
class Alarm:
    """kind: "nan", "spike", "rising" or "early stop". step: where it was seen. text: what was seen. action: wanted."""

    kind: str
    step: int
    text: str
    action: str

    @property
    def is_fault(self) -> bool:
        """Whether the run cannot be trusted from here on; the other kinds end a run that went well so far."""
        return self.kind in ("nan", "spike")


class Watch:
    def __init__(self, settings: WatchSettings):
        self.settings = settings
        self.losses: deque[float] = deque(maxlen=WINDOW)
        self.in_spike = False
        self.validations: list[tuple[int, float, float | None]] = []  # step, loss, training loss then: the rise so far
        self.best: tuple[int, float] | None = None  # step and loss of the best validation
        self.waited = 0  # evaluations since

    def loss(self, step: int, loss: float) -> Alarm | None:
        """Look at a training loss, before its gradient is used. A spike that lasts is one alarm."""
        if not math.isfinite(loss):
            return Alarm("nan", step, f"the loss is {loss}", self.settings.nan)
        limit, middle = self._limit()
        was, self.in_spike = self.in_spike, bool(loss > limit)
        self.losses.append(loss)
        if not self.in_spike or was:
            return None
        text = f"the loss jumped to {loss:.3f}, far above the {middle:.3f} of the steps before (limit {limit:.3f})"
        return Alarm("spike", step, text, self.settings.spike)

    def gradient(self, step: int) -> Alarm:
        """A gradient that is not finite was met."""
        return Alarm("nan", step, "the gradient is not finite", self.settings.nan)

    def validation(self, step: int, loss: float) -> Alarm | None:
        """Look at a validation loss. best is up to date after it."""
        training = median(self.losses) if self.losses else None
        if self.validations and not loss > self.validations[-1][1]:
            self.validations = []
        self.validations.append((step, loss, training))
        if self.best is None or loss < self.best[1]:
            self.best, self.waited = (step, loss), 0
        else:
            self.waited += 1
        rises = len(self.validations) - 1
        if rises >= self.settings.rising_evals:
            first, self.validations = self.validations[0], self.validations[-1:]
            return Alarm("rising", step, _rising(rises, first, loss, training), self.settings.rising)
        if self.settings.patience and self.waited >= self.settings.patience:
            text = (
                f"no better validation loss than {self.best[1]:.4f} of step {self.best[0]} in {self.waited} evaluations"
            )
            return Alarm("early stop", step, text, "stop")
        return None

    def _limit(self) -> tuple[float, float]:
        """(loss above which it is a spike, median): infinite while too few losses are known."""
        if len(self.losses) < ENOUGH:
            return math.inf, math.nan
        middle = median(self.losses)
        spread = SIGMA * median(abs(loss - middle) for loss in self.losses)
        return middle + max(self.settings.spike_sigmas * spread, LEAST_SPIKE), middle

    def state_dict(self) -> dict:
        return {
            "losses": list(self.losses),
            "in_spike": self.in_spike,
            "validations": [list(row) for row in self.validations],
            "best": list(self.best) if self.best else None,
            "waited": self.waited,
        }

    def load_state_dict(self, state: dict) -> None:
        """Raises KeyError, TypeError or ValueError for what state_dict() did not write."""
        losses = deque((float(loss) for loss in state["losses"]), WINDOW)
        validations = [(int(s), float(v), None if t is None else float(t)) for s, v, t in state["validations"]]
        best = state["best"] and (int(state["best"][0]), float(state["best"][1]))
        self.losses, self.in_spike, self.validations = losses, bool(state["in_spike"]), validations
        self.best, self.waited = best or None, int(state["waited"])


def _rising(rises: int, first: tuple, loss: float, training: float | None) -> str:
    step, lowest, before = first
    text = f"the validation loss rose {rises} times in a row, from {lowest:.4f} (step {step}) to {loss:.4f}"
    if training is None or before is None:
        return text
    if training < before:
        return f"{text}, while the training loss fell from {before:.4f} to {training:.4f}: overfitting"
    return f"{text}, and the training loss did not fall ({before:.4f}, now {training:.4f}): no overfitting, it diverges"
