"""The training loop: gradient accumulation, clipping, schedule, optimiser, evaluation, samples, checkpoints.

The model is anything with parameters() -> {name: Tensor}, loss(ids, targets) -> Tensor, zero_grad(); the batches are
an endless iterator of (ids, targets), int32 (B, T), with state_dict() and load_state_dict(). Knows no corpus, no
tokenizer and no terminal: what it has to say goes to a `listener`. What goes wrong is seen by watch.py and handled by
recovery.py.
Exact resume: a run continued from a checkpoint computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from runtime.files.errors import FormatError
from runtime.tensor.precision import compute

from . import checkpoint, horizon, recovery
from .evaluate import TokenScore
from .report import Metrics, write_curve
from .schedule import Schedule
from .settings import TrainingError, TrainSettings
from .watch import Watch


class Listener:
    """What a run reports; every method may be overridden. Steps count from 1, losses in nats per token."""

    def started(self, step: int, total: int | None) -> None: ...
    def stepped(self, step: int, total: int | None, row: dict) -> None: ...
    def evaluated(self, step: int, score: TokenScore) -> None: ...
    def saved(self, step: int, path: Path) -> None: ...
    def note(self, text: str) -> None: ...


class Trainer:
    """One run in the folder `out`: checkpoints/ (the newest; "best" by validation; "stable" before a wsd schedule's
    decay), metrics.jsonl, curve.png.

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
        self.schedule = settings.schedule_of(settings.steps)
        self.watch = Watch(settings.watch)
        self.rollbacks, self.rate_factor = 0, 1.0

    # ---- the loop ------------------------------------------------------------------------------------------------

    def run(self, resume: bool = False) -> TokenScore | None:
        """Train to the horizon, to a stop by the watch, or until stop(). Returns the last evaluation.

        resume: go on from the last checkpoint, unless resume() was called before. Raises TrainingError, FormatError
        (broken checkpoint).
        """
        if resume and not self.step:
            self.resume()
        if not self.step and checkpoint.latest(self.checkpoints):
            raise TrainingError(f"{self.out} holds a run already: continue it with --resume or choose another --out")
        score, s = None, self.settings
        self.listener.started(self.step, self.schedule.total)
        with (
            contextlib.closing(Metrics(self.out / "metrics.jsonl", self.step)) as metrics,
            compute(self.settings.precision),
        ):
            while not self.stopping and (self.schedule.total is None or self.step < self.schedule.total):
                if not self._take_step(metrics):
                    continue  # back at an earlier step
                horizon.fix(self)
                best = False
                if self._due(s.eval_every) and not self.stopping:
                    score, best, went_back = self._evaluate(metrics)
                    if went_back:
                        continue
                if self.sample and s.sample_every and self.step % s.sample_every == 0 and not self.stopping:
                    self.sample(self.step)
                if self._due(s.checkpoint_every) or best or self.stopping or self._decay_begins():
                    self.save(best)
        return score

    def stop(self) -> None:
        """Finish the step, write a checkpoint and return from run(); safe to call from a signal handler."""
        self.stopping = True

    def _take_step(self, metrics: Metrics) -> bool:
        """One batch, one update. False if an alarm took the run back to a checkpoint instead."""
        start, step = time.perf_counter(), self.step + 1
        lr = self.rate_factor * self.schedule.rate(step)
        loss, tokens = self._gradients(step)
        alarm = self.watch.loss(step, loss)
        if alarm and recovery.handle(self, alarm, metrics):
            return False
        try:
            norm = self.optimizer.step(lr, step)
        except FloatingPointError:
            return not recovery.handle(self, self.watch.gradient(step), metrics)
        took = time.perf_counter() - start
        self.step, self.tokens, self.seconds = step, self.tokens + tokens, self.seconds + took
        row = {"step": step, "loss": loss, "lr": lr, "grad_norm": norm, "tokens": self.tokens}
        row |= {"seconds": round(self.seconds, 3), "tokens_per_second": round(tokens / took)}
        metrics.write(**row)
        self.listener.stepped(step, self.schedule.total, row)
        return True

    def _gradients(self, step: int) -> tuple[float, int]:
        """Of the mean loss over one batch, added up over several passes. Returns (loss, number of target tokens)."""
        ids, targets = next(self.batches)
        counted = int((targets >= 0).sum())
        if not counted:
            raise TrainingError(f"step {step}: the batch holds no target tokens")
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
        return total, counted

    def _evaluate(self, metrics: Metrics) -> tuple[TokenScore | None, bool, bool]:
        """(score, whether it is the best so far, whether an alarm took the run back)."""
        score = self.evaluate() if self.evaluate else None
        best = back = False
        if score is not None:
            row = {"val_loss": score.loss, "val_bits_per_byte": score.bits_per_byte, "val_top1": score.top1}
            metrics.write(step=self.step, **row)
            self.listener.evaluated(self.step, score)
            alarm = self.watch.validation(self.step, score.loss)
            best = self.watch.best[0] == self.step
            back = bool(alarm) and recovery.handle(self, alarm, metrics)
        note = write_curve(self.out / "metrics.jsonl", self.out / "curve.png")
        if note and self.step == self.schedule.total:
            self.listener.note(note)
        return score, best, back

    def _due(self, every: int) -> bool:
        return self.step == self.schedule.total or bool(every and self.step % every == 0)

    def _decay_begins(self) -> bool:
        return self.schedule.kind == "wsd" and self.step == self.schedule.stable_until

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    def save(self, best: bool = False) -> Path:
        """Write a checkpoint of this step; best: keep it under that name too."""
        state = {
            "tokens": self.tokens,
            "seconds": self.seconds,
            "schedule": asdict(self.schedule),
            "settings": asdict(self.settings),
            "watch": self.watch.state_dict(),
            "rollbacks": self.rollbacks,
            "rate_factor": self.rate_factor,
            "data": self.batches.state_dict(),
            "facts": self.facts,
        }
        weights = {name: p.data for name, p in self.parameters.items()}
        path = checkpoint.save(self.checkpoints, self.step, weights, self.optimizer.state(), state)
        for name, wanted in (("best", best), ("stable", self._decay_begins())):
            if wanted:
                checkpoint.keep_as(path, self.checkpoints / name)
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
        self.restore(checkpoint.load(found))
        newest = checkpoint.latest(self.checkpoints)
        if newest is not None and checkpoint.step_of(newest) > self.step:
            left = checkpoint.set_aside(self.checkpoints, self.step, self.out)
            self.listener.note(f"what came after step {self.step} now lies in {left}")

    def restore(self, saved: checkpoint.Checkpoint, data: dict | None = None) -> None:
        """Everything as in a checkpoint; data: another state of the batches. Raises TrainingError, FormatError."""
        state, where = saved.state, saved.path / "state.json"
        before = state.get("facts", {})
        if not isinstance(before, dict):
            raise FormatError("checkpoint", where, None, "facts is not an object")
        for key, value in self.facts.items():
            if before.get(key) != value:
                raise TrainingError(
                    f"the checkpoint was made with another {key} ({_brief(before.get(key))}, now {_brief(value)})"
                )
        watch = Watch(self.settings.watch)
        try:
            schedule = Schedule(**state["schedule"])
            tokens, seconds = int(state["tokens"]), float(state["seconds"])
            rollbacks, rate_factor = int(state.get("rollbacks", 0)), float(state.get("rate_factor", 1.0))
            if "watch" in state:
                watch.load_state_dict(state["watch"])
            data = data or state["data"]
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError("checkpoint", where, None, f"the state is incomplete ({exc})") from None
        checkpoint.copy_into({n: p.data for n, p in self.parameters.items()}, saved.weights, saved.path)
        checkpoint.copy_into(self.optimizer.state(), saved.moments, saved.path)
        try:
            self.batches.load_state_dict(data)
        except (KeyError, TypeError, ValueError) as exc:
            raise TrainingError(f"the checkpoint does not fit this data: {exc}") from None
        self.schedule, self.watch, self.step = schedule, watch, saved.step
        self.tokens, self.seconds, self.rollbacks, self.rate_factor = tokens, seconds, rollbacks, rate_factor


def _brief(value) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:13] + "..."
