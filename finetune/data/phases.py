"""Batches whose kind changes at given steps: longer rows, other holes, more chat towards the end of a run.

Each phase reads the documents by its own RowStreams with a seed of its own: it begins a new pass in another order.
One batch is one step; a batch that a run skips counts. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from finetune.data.fim import FimSettings


@dataclass(frozen=True)
class PhaseSettings:
    """What rows are like from step `step` (counted from 1) on; the other fields as in a recipe's [data]."""

    step: int
    context: int
    batch: int
    chat_rate: float
    section_lines: int
    fim: FimSettings

    def __post_init__(self) -> None:
        if self.step < 1:
            raise ValueError(f"step must be at least 1, not {self.step}")
        if not 8 <= self.context <= 1 << 20 or not 1 <= self.batch <= 1 << 16:
            raise ValueError("context must be at least 8 and batch at least 1")
        if self.section_lines < 0:
            raise ValueError("section_lines must not be negative")
        if not 0 <= self.chat_rate <= 1:
            raise ValueError("chat_rate must be from 0 to 1")


def phase_seed(seed: int, number: int) -> int:
    """Seed of phase 0, 1, ...: the first keeps the run's own."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) if number else seed


class Phases:
    """Endless iterator of (inputs, targets), int32 (B, T) of the phase that is on.

    phases: in order, the first from step 1 on. begin: (number, settings) -> stream, called when a phase begins; a
    stream is an iterator of batches with state_dict() and load_state_dict(). Raises ValueError for phases out of order.
    """

    def __init__(self, phases: Sequence[PhaseSettings], begin: Callable[[int, PhaseSettings], Iterator]):
        steps = [phase.step for phase in phases]
        if not steps or steps[0] != 1 or any(a >= b for a, b in zip(steps, steps[1:], strict=False)):
            raise ValueError(f"phases must begin at step 1 and come in order, not at {steps}")
        self.phases, self.begin = list(phases), begin
        self.made, self.number = 0, 0
        self.stream = begin(0, self.phases[0])

    @property
    def settings(self) -> PhaseSettings:
        """Of the batch handed out last."""
        return self.phases[self.number]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        self._enter(self._number(self.made + 1))
        batch = next(self.stream)
        self.made += 1
        return batch

    def _number(self, step: int) -> int:
        return max(i for i, phase in enumerate(self.phases) if phase.step <= max(step, 1))

    def _enter(self, number: int) -> None:
        if number != self.number:
            self.stream = self.begin(number, self.phases[number])
            self.number = number

    def state_dict(self) -> dict:
        """JSON-able: batches handed out, the phases that have begun, the cursor of the last one."""
        begun = [asdict(phase) for phase in self.phases[: self.number + 1]]
        return {"made": self.made, "begun": begun, "stream": self.stream.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Continue where state_dict() was taken. Raises ValueError if a phase that has begun was another one; phases to
        come may differ."""
        made, begun = int(state["made"]), state["begun"]
        number = self._number(made)
        for mine, saved in zip([asdict(phase) for phase in self.phases[: number + 1]], begun, strict=False):
            for key, value in mine.items():
                if saved.get(key) != value:
                    raise ValueError(f"the saved rows had {key} {saved.get(key)}, these have {value}")
        if len(begun) != number + 1:
            raise ValueError(f"after {made} batches it was in phase {len(begun)}, these would be in {number + 1}")
        self._enter(number)
        self.stream.load_state_dict(state["stream"])
        self.made = made
