"""Chooses what the next step runs: which sequences, and how many rows of each. Pure functions of what is active.

Completion goes before chat, chat before background work. Sequences of one class share a step: a row for each that
generates, and the rest of the rows for prompts, first come first served. Lower classes ride along where it costs the
higher one little, and one that has waited too long gets a turn of its own. Knows no networks, threads or clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

PATIENCE = 0.5  # seconds without a turn after which a request of a lower class may get one
LEAST_ROWS = 16  # of a prompt in a step: fewer waste the reading of the weights, and have kernels of their own


class Task(Protocol):
    """An active sequence. rank: 0 is served first; wanted: rows it could use."""

    rank: int
    submitted: float
    served: float  # when it last had a turn, or became active
    decoding: bool
    wanted: int
    adapter: object


@dataclass(frozen=True)
class Limits:
    """Of one step. rows: what the network takes. The others are rows of prompts: alone: in a step where nothing
    generates; mixed: beside sequences of their own class that generate; beside: under those of a higher class.
    ride: sequences that generate may ride along with completions. spare: a starving request may have this turn."""

    rows: int
    alone: int
    mixed: int
    beside: int = 0
    ride: bool = False
    spare: bool = True


@dataclass(frozen=True)
class Step:
    """turns: (task, rows) to run together; spare: it is the turn of one that starved."""

    turns: list[tuple[Task, int]]
    spare: bool = False

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.turns)


def choose(tasks: Sequence[Task], limits: Limits, now: float) -> Step:
    """The next step. `tasks` is not empty; every turn has at least one row."""
    order = sorted(tasks, key=lambda task: (task.rank, task.submitted))
    lead = order[0]
    starving = [task for task in order if now - task.served > PATIENCE and task.rank > lead.rank]
    spare = bool(starving) and limits.spare
    if spare:
        lead = min(starving, key=lambda task: task.served)
        order.sort(key=lambda task: task is not lead)
    alike = [task for task in order if task.adapter == lead.adapter]  # a step has one set of adapters
    ride = limits.ride or lead.rank > 0
    kept = 0 if lead.decoding else min(lead.wanted, LEAST_ROWS, limits.rows)  # of the rows, for the lead's prompt
    generating = [task for task in alike if task.decoding and (task.rank == lead.rank or ride)]
    turns = _decoders(generating, limits.rows - kept)
    left = limits.rows - sum(rows for _, rows in turns)
    mixed = limits.mixed if turns or spare else limits.alone
    beside = limits.beside if lead.rank > 0 and not spare else 0
    for task in alike:
        if not task.decoding:
            rows = portion(task.wanted, mixed if task.rank == lead.rank else beside, left)
            if rows > 0:
                turns.append((task, rows))
                left, mixed, beside = left - rows, mixed - rows, beside - rows
    return Step(turns, spare)


def portion(wanted: int, budget: int, left: int) -> int:
    """Rows of a prompt to run now: about `budget`, at most `left`, 0 if that is too few to be worth it.

    A prompt is never cut into parts of less than LEAST_ROWS. Kernels sum up a few rows in another order than many, so
    where it is cut would show in the last bits of the scores; cut like this it does not.
    """
    rows = min(wanted, budget, left)
    if wanted <= left and wanted - rows < LEAST_ROWS:
        rows = wanted  # rather a little more now than a short rest
    elif wanted - rows < LEAST_ROWS and left >= 2 * LEAST_ROWS:
        rows = wanted - LEAST_ROWS  # rather a little less
    return rows if rows >= min(wanted, LEAST_ROWS, left) and budget > 0 else 0


def _decoders(tasks: Sequence[Task], most: int) -> list[tuple[Task, int]]:
    """A row for each, then rows for drafts as far as they fit."""
    chosen = list(tasks)[:most]
    left = most - len(chosen)
    turns = []
    for task in chosen:
        more = min(task.wanted - 1, left)
        left -= more
        turns.append((task, 1 + more))
    return turns
