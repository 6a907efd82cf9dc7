"""Pace: how fast this model runs on this machine, learned from the steps that were run. Knows only rows and seconds.

Both figures follow the machine (a laptop on battery, a busy core): each new step counts for a quarter.
"""

from __future__ import annotations

_NEW = 0.25  # weight of the latest step
_PROMPT_ROWS = 16  # from so many rows on a step is bound by arithmetic and says what a row of a prompt costs


class Pace:
    """row: seconds per row of a prompt; step: seconds of a step that reads the weights for a few rows only.

    Both are None until such a step was seen.
    """

    def __init__(self) -> None:
        self.row: float | None = None
        self.step: float | None = None

    def record(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long."""
        if rows >= _PROMPT_ROWS:
            self.row = _blend(self.row, seconds / rows)
        else:
            self.step = _blend(self.step, seconds)

    def expected(self, rows: int) -> float:
        """Seconds that a step of `rows` rows should take; 0 before anything is known."""
        return max(self.step or 0.0, rows * (self.row or 0.0))

    def rows_in(self, seconds: float) -> int | None:
        """Rows of a prompt that fit into so many seconds; None before anything is known."""
        return None if self.row is None else max(0, int(seconds / self.row))


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + _NEW * (new - old)
