"""The training loop: micro-batches, clipping, schedule, optimiser, evaluation, samples, checkpoints.

The model is anything with parameters() -> {name: Tensor}, loss(ids, targets) -> Tensor, zero_grad(); the batches are
an endless iterator of (ids, targets), int32 (B, T), with state_dict() and load_state_dict(). Knows no corpus, no
tokenizer and no terminal: what it has to say goes to a `listener`.
Exact resume: a run continued from a checkpoint computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from runtime.files.errors import FormatError

from . import checkpoint
from .evaluate import TokenScore
from .muon import Muon
from .optim import AdamW, AdamWSettings
from .report import Metrics, write_curve
from .schedule import Schedule

PROBE_STEPS = 20  # steps measured before a budget in minutes becomes a number of steps


class TrainingError(Exception):
    """The run cannot start or go on; the message is one sentence for the user."""


@dataclass(frozen=True)
class TrainSettings:
    """steps or minutes: the horizon (exactly one). micro_batch: rows per forward pass, 0 = whole batches.

    optimizer: "adamw", or "muon" for the matrices inside blocks with `muon_ratio` times the learning rate.
    eval_every, checkpoint_every, sample_every: in steps; 0 = only at the end (samples: never).
    """

    steps: int | None = None
    minutes: float | None = None
    lr: float = 3e-3
    min_lr_ratio: float = 0.05
    warmup: int = 100
    micro_batch: int = 0
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
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f'optimizer must be "adamw" or "muon", not {self.optimizer!r}')
        if not 0 < self.muon_ratio < 1e4:
            raise ValueError(f"muon_ratio must be positive, not {self.muon_ratio}")


class Listener:
    """What a run reports; every method may be overridden. Steps count from 1, losses in nats per token."""

    def started(self, step: int, total: int | None) -> None: ...
    def stepped(self, step: int, total: int | None, row: dict) -> None: ...
    def evaluated(self, step: int, score: TokenScore) -> None: ...
    def saved(self, step: int, path: Path) -> None: ...
    def note(self, text: str) -> None: ...


class Trainer:
    """One run in the folder `out`: checkpoints/, metrics.jsonl, curve.png.

    evaluate: () -> TokenScore on validation data. sample: (step) -> None, called now and then. facts: what must be
    equal for a resume (tokenizer hash, model dimensions, data manifest, seed); it is kept in the checkpoint.
    """

    def __init__(
        self,
        model,
        batches,
        settings: TrainSettings,
        out: str | os.PathLike,
        evaluate: Callable[[], TokenScore] | None = None,
        sample: Callable[[int], None] | None = None,
        listener: Listener | None = None,
        facts: dict | None = None,
    ):
        self.model, self.batches, self.settings = model, batches, settings
        self.out = Path(out)
        self.evaluate, self.sample = evaluate, sample
        self.listener = listener or Listener()
        self.facts = facts or {}
        self.parameters = model.parameters()
        s = settings
        moments = AdamWSettings(beta1=s.beta1, beta2=s.beta2, weight_decay=s.weight_decay, clip=s.clip)
        if s.optimizer == "muon":
            self.optimizer: AdamW | Muon = Muon(self.parameters, moments, s.muon_ratio)
        else:
            self.optimizer = AdamW(self.parameters, moments)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.best_val: float | None = None
        self.schedule = self._schedule(s.steps)

    # ---- the loop ------------------------------------------------------------------------------------------------

    def run(self, resume: bool = False) -> TokenScore | None:
        """Train to the horizon. Returns the last evaluation. Raises TrainingError, FormatError (broken checkpoint)."""
        self._begin(resume)
        metrics = Metrics(self.out / "metrics.jsonl", self.step)
        self.listener.started(self.step, self.schedule.total)
        score = None
        try:
            while self.schedule.total is None or self.step < self.schedule.total:
                start = time.perf_counter()
                self.step += 1
                lr = self.schedule.rate(self.step)
                loss, tokens = self._accumulate()
                norm = self._update(lr)
                took = time.perf_counter() - start
                self.tokens += tokens
                self.seconds += took
                row = {"step": self.step, "loss": loss, "lr": lr, "grad_norm": norm, "tokens": self.tokens}
                row |= {"seconds": round(self.seconds, 3), "tokens_per_second": round(tokens / took)}
                metrics.write(**row)
                self.listener.stepped(self.step, self.schedule.total, row)
                if self.schedule.total is None and self.step >= PROBE_STEPS:
                    self._fix_horizon()
                if self._due(self.settings.eval_every):
                    score = self._evaluate(metrics)
                if self.sample and self.settings.sample_every and self.step % self.settings.sample_every == 0:
                    self.sample(self.step)
                if self._due(self.settings.checkpoint_every):
                    self.save()
        finally:
            metrics.close()
        return score

    def _accumulate(self) -> tuple[float, int]:
        """Gradients of the mean loss over one batch, in micro-batches. Returns (loss, number of target tokens)."""
        ids, targets = next(self.batches)
        counted = int((targets >= 0).sum())
        if not counted:
            raise TrainingError(f"step {self.step}: the batch holds no target tokens")
        self.model.zero_grad()
        rows = self.settings.micro_batch or len(ids)
        total = 0.0
        for at in range(0, len(ids), rows):
            part = targets[at : at + rows]
            share = int((part >= 0).sum()) / counted
            if share:
                loss = self.model.loss(ids[at : at + rows], part)
                loss.backward(np.full(loss.shape, share, np.float32))
                total += loss.item() * share
        if not math.isfinite(total):
            raise TrainingError(
                f"step {self.step}: the loss is {total}; training stopped. The last checkpoint is intact; resume it "
                "with a lower learning rate or a longer warm-up"
            )
        return total, counted

    def _update(self, lr: float) -> float:
        try:
            return self.optimizer.step(lr, self.step)
        except FloatingPointError as exc:
            raise TrainingError(f"step {self.step}: {exc}; training stopped, the last checkpoint is intact") from None

    def _due(self, every: int) -> bool:
        return self.step == self.schedule.total or bool(every and self.step % every == 0)

    def _evaluate(self, metrics: Metrics) -> TokenScore | None:
        score = self.evaluate() if self.evaluate else None
        if score is not None:
            metrics.write(
                step=self.step, val_loss=score.loss, val_bits_per_byte=score.bits_per_byte, val_top1=score.top1
            )
            self.best_val = score.loss if self.best_val is None else min(self.best_val, score.loss)
            self.listener.evaluated(self.step, score)
        note = write_curve(self.out / "metrics.jsonl", self.out / "curve.png")
        if note and self.step == self.schedule.total:
            self.listener.note(note)
        return score

    # ---- horizon -------------------------------------------------------------------------------------------------

    def _schedule(self, total: int | None, measured: int = 0) -> Schedule:
        s = self.settings
        warmup = s.warmup if total is None else min(s.warmup, max(total // 4, min(measured, total - 1)))
        return Schedule(s.lr, warmup, total, s.min_lr_ratio)

    def _fix_horizon(self) -> None:
        """Turn minutes into steps by the time measured so far, once; the checkpoint keeps the number."""
        per_step = self.seconds / self.step
        left = self.settings.minutes * 60 - self.seconds
        total = self.step + max(1, int(left / per_step))
        if self.evaluate and self.settings.eval_every:  # evaluations take part of the time: measure one
            start = time.perf_counter()
            self.evaluate()
            per_step += (time.perf_counter() - start) / self.settings.eval_every
            total = self.step + max(1, int(left / per_step))
        self.schedule = self._schedule(total, self.step)
        self.listener.note(f"{per_step:.3f} s per step: {self.settings.minutes:g} minutes are {total} steps")

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    def save(self) -> Path:
        state = {
            "tokens": self.tokens,
            "seconds": self.seconds,
            "best_val": self.best_val,
            "schedule": asdict(self.schedule),
            "settings": asdict(self.settings),
            "data": self.batches.state_dict(),
            "facts": self.facts,
        }
        weights = {name: p.data for name, p in self.parameters.items()}
        path = checkpoint.save(self.checkpoints, self.step, weights, self.optimizer.state(), state)
        self.listener.saved(self.step, path)
        return path

    def _begin(self, resume: bool) -> None:
        found = checkpoint.latest(self.checkpoints)
        if not resume:
            if found is not None:
                raise TrainingError(
                    f"{self.out} holds a run already: continue it with --resume or choose another --out"
                )
            return
        if found is None:
            raise TrainingError(f"nothing to resume: {self.checkpoints} holds no checkpoint")
        self._restore(checkpoint.load(found))

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        state, where = saved.state, saved.path / "state.json"
        before = state.get("facts", {})
        if not isinstance(before, dict):
            raise FormatError("checkpoint", where, None, "facts is not an object")
        for key, value in self.facts.items():
            if before.get(key) != value:
                raise TrainingError(
                    f"the checkpoint was made with another {key} ({_brief(before.get(key))}, now {_brief(value)})"
                )
        try:
            schedule = Schedule(**state["schedule"])
            self.tokens, self.seconds = int(state["tokens"]), float(state["seconds"])
            self.best_val = None if state["best_val"] is None else float(state["best_val"])
            data = state["data"]
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError("checkpoint", where, None, f"the state is incomplete ({exc})") from None
        checkpoint.copy_into({n: p.data for n, p in self.parameters.items()}, saved.weights, saved.path)
        checkpoint.copy_into(self.optimizer.state(), saved.moments, saved.path)
        try:
            self.batches.load_state_dict(data)
        except (KeyError, TypeError, ValueError) as exc:
            raise TrainingError(f"the checkpoint does not fit this data: {exc}") from None
        self.schedule, self.step = schedule, saved.step


def _brief(value) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:13] + "..."
