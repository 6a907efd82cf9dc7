"""What a run does about an alarm of its watch: go back to a good checkpoint with a lower rate, stop, or only say so.

Every alarm becomes one sentence and one event in metrics.jsonl: {"step", "event", "seen", "action", "text", "tokens"}.
The batches are not rewound, so what led to the alarm is not seen again in this pass.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import checkpoint
from .settings import TrainingError
from .watch import Alarm

if TYPE_CHECKING:
    from .report import Metrics
    from .trainer import Trainer

SETTLED = 10  # steps after which a checkpoint without an alarm counts as good


def handle(trainer: Trainer, alarm: Alarm, metrics: Metrics) -> bool:
    """Act on the alarm. True if the run went back to a checkpoint.

    A stop for a fault raises TrainingError; one for the validation loss asks the trainer to stop.
    """
    action, why = alarm.action, ""
    target = good_checkpoint(trainer, alarm) if action == "rollback" else None
    if action == "rollback" and trainer.rollbacks >= trainer.settings.watch.rollbacks:
        action, why = "stop", f" after {trainer.rollbacks} rollbacks"
    elif action == "rollback" and target is None:
        action, why = "stop", ", for there is no earlier checkpoint to go back to"
    seen = f"step {alarm.step}: {alarm.text}"
    row = {"event": alarm.kind, "seen": alarm.step, "action": action, "tokens": trainer.tokens}
    if action == "rollback":
        roll_back(trainer, target, metrics)
        share = f"{trainer.rate_factor:.3g} of the schedule's"
        text = f"{seen}; went back to step {trainer.step}, left out the batches since, learning rate now {share}"
    elif action == "stop":
        text = f"{seen}; training stopped{why}. {_what_is_left(trainer, alarm)}"
    else:
        text = f"{seen}; training goes on"
    metrics.write(step=trainer.step, **row, text=text)
    if action == "stop" and alarm.is_fault:
        raise TrainingError(text)
    trainer.listener.note(text)
    if action == "stop":
        trainer.stop()
    return action == "rollback"


def good_checkpoint(trainer: Trainer, alarm: Alarm) -> Path | None:
    """The best one for a rising validation loss; else the newest that ten steps proved, or the oldest there is."""
    best = trainer.checkpoints / "best"
    if alarm.kind == "rising" and best.is_dir():
        return best
    steps = checkpoint.list_steps(trainer.checkpoints)
    settled = [path for path in steps if checkpoint.step_of(path) <= alarm.step - SETTLED]
    return settled[-1] if settled else steps[0] if steps else None


def roll_back(trainer: Trainer, target: Path, metrics: Metrics) -> None:
    """Weights, moments, step and watch as in the checkpoint; data, time, best validation and counts go on from now."""
    data, seconds, best = trainer.batches.state_dict(), trainer.seconds, trainer.watch.best
    rollbacks, rate_factor = trainer.rollbacks + 1, trainer.rate_factor * trainer.settings.watch.factor
    trainer.restore(checkpoint.load(target), data=data)
    trainer.seconds, trainer.watch.best = seconds, best
    trainer.rollbacks, trainer.rate_factor = rollbacks, rate_factor
    trainer.save()
    checkpoint.remove_after(trainer.checkpoints, trainer.step)
    metrics.undo(trainer.step)


def _what_is_left(trainer: Trainer, alarm: Alarm) -> str:
    if not alarm.is_fault:
        return f"The best weights are in {trainer.checkpoints / 'best'}"
    last = checkpoint.latest(trainer.checkpoints)
    if last is None:
        return "No checkpoint was written yet; start again with a lower learning rate or a longer warm-up"
    return f"The checkpoint of step {checkpoint.step_of(last)} is intact; resume it with a lower learning rate"
