"""The training loop: gradient accumulation, clipping, schedule, optimiser, evaluation, samples, checkpoints.

The model is anything with parameters() -> {name: Tensor}, loss(ids, targets) -> Tensor, zero_grad(); the batches are
an endless iterator of (ids, targets), int32 (B, T), with state_dict() and load_state_dict(). Knows no corpus, no
tokenizer and no terminal: what it has to say goes to a `listener`.
Exact resume: a run continued from a checkpoint computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from runtime.files.errors import FormatError

from . import checkpoint
from .evaluate import TokenScore
from .report import Metrics, write_curve
from .schedule import Schedule
from .settings import TrainingError, TrainSettings

PROBE_STEPS = 20  # steps measured before a budget in minutes becomes a number of steps


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
        self.facts = json.loads(json.dumps(facts or {}))  # as a checkpoint gives them back: lists for tuples
        self.stopping = False
        self.parameters = model.parameters()
        self.optimizer = settings.optimizer_of(self.parameters)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.best_val: float | None = None
        self.schedule = settings.schedule_of(settings.steps)

    # ---- the loop ------------------------------------------------------------------------------------------------

    def run(self, resume: bool = False) -> TokenScore | None:
        """Train to the horizon, or until stop(). Returns the last evaluation.

        resume: go on from the last checkpoint, unless resume() was called before. Raises TrainingError, FormatError
        (broken checkpoint).
        """
        if resume and not self.step:
            self.resume()
        if not self.step and checkpoint.latest(self.checkpoints):
            raise TrainingError(f"{self.out} holds a run already: continue it with --resume or choose another --out")
        metrics = Metrics(self.out / "metrics.jsonl", self.step)
        self.listener.started(self.step, self.schedule.total)
        score = None
        with contextlib.closing(metrics), arithmetic(self.settings.precision):
            while not self.stopping and (self.schedule.total is None or self.step < self.schedule.total):
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
                    self.schedule = self.settings.schedule_of(self._steps_in(self.settings.minutes), self.step)
                if self._due(self.settings.eval_every) and not self.stopping:
                    score = self._evaluate(metrics)
                every = self.settings.sample_every
                if self.sample and every and self.step % every == 0 and not self.stopping:
                    self.sample(self.step)
                if self._due(self.settings.checkpoint_every) or self.stopping or self._decay_begins():
                    self.save()
        return score

    def stop(self) -> None:
        """Finish the step, write a checkpoint and return from run(); safe to call from a signal handler."""
        self.stopping = True

    def _accumulate(self) -> tuple[float, int]:
        """Gradients of the mean loss over one batch, in several passes. Returns (loss, number of target tokens)."""
        ids, targets = next(self.batches)
        counted = int((targets >= 0).sum())
        if not counted:
            raise TrainingError(f"step {self.step}: the batch holds no target tokens")
        self.model.zero_grad()
        rows = -(-len(ids) // self.settings.accumulate)  # rounded up
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

    def _steps_in(self, minutes: float) -> int:
        """The last step of a run that shall take so long in all, by the time that its steps have taken so far."""
        per_step = self.seconds / self.step
        left = minutes * 60 - self.seconds
        if self.evaluate and self.settings.eval_every:  # evaluations take part of the time: measure one
            start = time.perf_counter()
            self.evaluate()
            per_step += (time.perf_counter() - start) / self.settings.eval_every
        total = self.step + max(1, int(left / per_step))
        self.listener.note(f"{per_step:.3f} s per step: {minutes:g} minutes are {total} steps")
        return total

    def move_horizon(self) -> None:
        """After resume(): take steps or minutes of the settings in place of the checkpoint's horizon; saved at once.

        Minutes count from the run's first step. Raises TrainingError if rates of steps that are done would have been
        others: with "cosine" always, with "wsd" once the decay has begun.
        """
        old, s = self.schedule, self.settings
        if s.steps is not None and s.steps == old.total:
            return
        if old.kind != "wsd" and old.total is not None:
            raise TrainingError(
                f'the schedule "{old.kind}" fixes its rates by the horizon: it stays at {old.total} steps; '
                'only "wsd" can be extended'
            )
        if old.total is not None and self.step > old.stable_until:
            hint = f"add --from stable to go on from {self.stable}" if self.stable.is_dir() else "start a new run"
            raise TrainingError(
                f"the decay of the learning rate began after step {old.stable_until}, step {self.step} is too late "
                f"for another horizon: {hint}"
            )
        if s.minutes is not None and s.minutes * 60 <= self.seconds:
            raise TrainingError(f"the run has taken {self.seconds / 60:.1f} minutes already: give more than that")
        total = s.steps if s.minutes is None else self._steps_in(s.minutes)
        try:
            new = replace(old, total=total)
        except ValueError as exc:
            raise TrainingError(str(exc)) from None
        if total <= self.step or (new.kind == "wsd" and new.stable_until < self.step):
            decay = f", and the decay would have begun after step {new.stable_until}" if new.kind == "wsd" else ""
            raise TrainingError(f"{total} steps are too few: {self.step} are done{decay}")
        self.schedule = new
        self.listener.note(f"the horizon moves from {old.total} to {total} steps")
        self.save()

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    @property
    def stable(self) -> Path:
        """The checkpoint before a wsd schedule's decay, from which a longer run goes on."""
        return self.checkpoints / "stable"

    def _decay_begins(self) -> bool:
        return self.schedule.kind == "wsd" and self.step == self.schedule.stable_until

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
        if self._decay_begins():
            checkpoint.keep_as(path, self.stable)
        self.listener.saved(self.step, path)
        return path

    def resume(self, which: str = "latest") -> None:
        """Take everything from a checkpoint: the latest one, or one kept by name.

        What the run holds beyond a named one is moved to out/left-STEP, not lost. Raises TrainingError without such a
        checkpoint or if it does not fit, FormatError for a broken one.
        """
        found = checkpoint.latest(self.checkpoints) if which == "latest" else self.checkpoints / which
        if found is None or not found.is_dir():
            kept = "checkpoint" if which == "latest" else f'checkpoint "{which}"'
            raise TrainingError(f"nothing to resume: {self.checkpoints} holds no {kept}")
        self._restore(checkpoint.load(found))
        newest = checkpoint.latest(self.checkpoints)
        if newest is not None and checkpoint.step_of(newest) > self.step:
            left = checkpoint.set_aside(self.checkpoints, self.step, self.out)
            self.listener.note(f"what came after step {self.step} now lies in {left}")

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


def arithmetic(precision: str):
    """The context in which products of a run are computed: "f32" or "bf16"."""
    if precision == "f32":
        return contextlib.nullcontext()
    from runtime.tensor.precision import compute

    return compute(precision)


def _brief(value) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:13] + "..."
