"""What a run shows: a progress bar on a terminal, plain lines elsewhere. Knows no training."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime.terminal import printable

from .trainer import Listener

_PLAIN_EVERY = 20.0  # seconds between plain lines


class ProgressListener(Listener):
    """Use as a context manager. console: rich console (standard error by default, so that output stays clean)."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task = None
        self._last_line = 0.0
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> ProgressListener:
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.start()
            self._task = self._bar.add_task("training", total=None, status="")
        return self

    def __exit__(self, *exc) -> None:
        if self._bar:
            self._bar.stop()

    def started(self, step: int, total: int | None) -> None:
        if step:
            self.note(f"resumed after step {step}" + (f" of {total}" if total else ""))

    def stepped(self, step: int, total: int | None, row: dict) -> None:
        status = f"loss {row['loss']:.3f}  {row['tokens_per_second']:,} tokens/s"
        if self._bar:
            self._bar.update(self._task, completed=step, total=total, status=status)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        if now - self._last_line >= _PLAIN_EVERY or step == total:
            self._last_line = now
            left = ""
            if total and step > self._first[0]:
                seconds = (now - self._first[1]) / (step - self._first[0]) * (total - step)
                left = f"  {seconds / 60:.1f} min left"
            self.console.print(f"step {step}/{total or '?'}  {status}{left}", markup=False)

    def evaluated(self, step: int, score) -> None:
        self.note(f"step {step}: validation loss {score.loss:.4f}, {score.bits_per_byte:.4f} bits per byte")

    def note(self, text: str) -> None:
        self.console.print(printable(text), markup=False)

    def saved(self, step: int, path: Path) -> None:
        pass
