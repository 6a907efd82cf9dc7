"""Where a run ends: minutes turned into steps by measuring, and an end that is moved when a run is resumed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .settings import TrainingError

if TYPE_CHECKING:
    from .trainer import Trainer

PROBE_STEPS = 20  # steps measured before a budget in minutes becomes a number of steps


def fix(trainer: Trainer) -> None:
    """Turn the settings' minutes into steps, once, when enough steps were measured; the checkpoint keeps the number."""
    if trainer.schedule.total is None and trainer.step >= PROBE_STEPS:
        settings = trainer.settings
        trainer.schedule = settings.schedule_of(_steps_in(trainer, settings.minutes), trainer.step)


def _steps_in(trainer: Trainer, minutes: float) -> int:
    """The last step of a run that shall take so long in all, by the time that its steps have taken so far."""
    per_step = trainer.seconds / trainer.step
    left = minutes * 60 - trainer.seconds
    if trainer.evaluate and trainer.settings.eval_every:  # evaluations take part of the time: measure one
        start = time.perf_counter()
        trainer.evaluate()
        per_step += (time.perf_counter() - start) / trainer.settings.eval_every
    total = trainer.step + max(1, int(left / per_step))
    trainer.listener.note(f"{per_step:.3f} s per step: {minutes:g} minutes are {total} steps")
    return total


def move(trainer: Trainer) -> None:
    """After a resume: steps or minutes of the settings in place of the checkpoint's horizon; saved at once.

    Minutes count from the run's first step. Raises TrainingError if rates of steps that are done would have been
    others: with "cosine" always, with "wsd" once the decay has begun.
    """
    old, wanted = trainer.schedule, trainer.settings
    if wanted.steps is not None and wanted.steps == old.total:
        return
    if old.kind != "wsd" and old.total is not None:
        raise TrainingError(
            f'the schedule "{old.kind}" fixes its rates by the horizon: it stays at {old.total} steps; '
            'only "wsd" can be extended'
        )
    if old.total is not None and trainer.step > old.stable_until:
        stable = trainer.checkpoints / "stable"
        hint = f"add --from stable to go on from {stable}" if stable.is_dir() else "start a new run"
        raise TrainingError(
            f"the decay of the learning rate began after step {old.stable_until}, step {trainer.step} is too late "
            f"for another horizon: {hint}"
        )
    if wanted.minutes is not None and wanted.minutes * 60 <= trainer.seconds:
        raise TrainingError(f"the run has taken {trainer.seconds / 60:.1f} minutes already: give more than that")
    total = wanted.steps if wanted.minutes is None else _steps_in(trainer, wanted.minutes)
    try:
        new = replace(old, total=total)
    except ValueError as exc:
        raise TrainingError(str(exc)) from None
    if total <= trainer.step or (new.kind == "wsd" and new.stable_until < trainer.step):
        decay = f", and the decay would have begun after step {new.stable_until}" if new.kind == "wsd" else ""
        raise TrainingError(f"{total} steps are too few: {trainer.step} are done{decay}")
    trainer.schedule = new
    trainer.listener.note(f"the horizon moves from {old.total} to {total} steps")
    trainer.save()
