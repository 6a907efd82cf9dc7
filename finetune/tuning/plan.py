"""How a tuning will go, decided before it starts: rows and steps, learning rate, replay, time and memory.

The time comes from steps that are really computed, on a copy, with weights that do not change. Knows text and models;
writes nothing.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass

import numpy as np

from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.tensor.precision import compute

from ..data.fim import FimSettings
from ..horizon import PROBE_STEPS
from ..settings import PRECISIONS
from .base import Base

PEAK_RATE, PEAK_WIDTH = 3e-3, 256  # of pre-training at this width; wider models take less
RATE_SHARE = 1 / 6  # of the pre-training peak
REPLAY = 0.20  # of the tokens are general code
CHAT_RATE = 0.10  # of the rows begin with a chat document, where the model has the tokens
MAX_ROWS, MAX_CONTEXT = 8, 1024
STEPS_PER_PASS = 40  # that a small repository shall have at least, as far as its rows allow
EVALUATIONS = 10
LARGE = 50_000_000  # parameters
TRAINED_BYTES = 16  # a parameter, its gradient and two moments, float32


@dataclass(frozen=True)
class Plan:
    """tokens: of one pass, replay included. steps: of all passes, or as many as fit into the minutes. seconds: of
    training, evaluations included; seconds_per_row: of scoring one.
    limited_by: "epochs" or "minutes". memory_bytes: weights and activations.
    precision: of products, whichever is faster here. accumulate: passes that a step's rows are cut into."""

    tokens: int
    rows: int
    context: int
    steps: int
    epochs: float
    lr: float
    seconds: float
    seconds_per_step: float
    seconds_per_row: float
    limited_by: str
    eval_every: int
    memory_bytes: int
    precision: str
    accumulate: int
    minutes: float

    @property
    def horizon(self) -> dict:
        """steps or minutes for the Trainer, which measures the time of a step again in the run itself."""
        if self.limited_by == "minutes" and self.steps >= 3 * PROBE_STEPS:
            return {"minutes": self.minutes}
        return {"steps": self.steps}

    def to_dict(self) -> dict:
        return asdict(self) | {"tokens_per_second": round(self.rows * self.context / self.seconds_per_step)}


def make_plan(base: Base, tokens: int, minutes: float, epochs: int, lr: float | None, choose_rows: int) -> Plan:
    """tokens: of one pass. choose_rows: rows of the text that decides when to stop.

    Raises MemoryError with a sentence if the model is too large to be trained here.
    """
    context = min(base.spec.max_context, MAX_CONTEXT)
    rows = max(1, min(MAX_ROWS, tokens // (context * STEPS_PER_PASS)))
    needed = memory_of(base.spec, rows, context)
    free = available_memory()
    if free is not None and needed > free:
        raise MemoryError(
            f"tuning the model {base.name!r} takes about {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB "
            "are free"
        )
    timed = {precision: time_of_a_step(base, rows, context, precision) for precision in PRECISIONS}
    precision = min(timed, key=timed.get)
    per_step, per_row = timed[precision]
    whole = max(1, round(epochs * tokens / (rows * context)))
    eval_seconds = choose_rows * per_row
    fitting = int(max(1, (minutes * 60 - EVALUATIONS * eval_seconds) / per_step))
    steps = min(whole, fitting)
    return Plan(
        tokens=tokens,
        rows=rows,
        context=context,
        steps=steps,
        epochs=steps * rows * context / tokens,
        lr=lr or PEAK_RATE * RATE_SHARE * min(1.0, PEAK_WIDTH / base.spec.d_model) * (rows / MAX_ROWS) ** 0.5,
        seconds=steps * per_step + EVALUATIONS * eval_seconds,
        seconds_per_step=per_step,
        seconds_per_row=per_row,
        limited_by="epochs" if whole <= fitting else "minutes",
        eval_every=max(1, -(-steps // EVALUATIONS)),
        memory_bytes=needed,
        precision=precision,
        accumulate=rows if base.spec.n_params() > LARGE else 1,
        minutes=minutes,
    )


def fim_settings(base: Base) -> FimSettings:
    """Holes as in pre-training, in the order in which completion asks this model."""
    return FimSettings(rate=0.6, span=0.25, line_rest=0.4, line=0.2, block=0.15, spm=0.8 if base.suffix_first else 0.0)


def time_of_a_step(base: Base, rows: int, context: int, precision: str) -> tuple[float, float]:
    """Seconds of one training step of so many rows, and of one row that is only scored. Takes about three steps;
    of a large model rows are computed one at a time anyway."""
    if base.spec.n_params() > LARGE and rows > 1:
        step, row = time_of_a_step(base, 1, context, precision)
        return step * rows, row
    model = Decoder(base.spec, weights=base.weights)
    ids = np.random.default_rng(0).integers(0, base.spec.vocab_size, (rows, context + 1)).astype(np.int32)
    ids, targets = np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])
    took = []
    for _ in range(3):
        with compute(precision):
            start = time.perf_counter()
            model.zero_grad()
            loss = model.loss(ids, targets)
            scored = time.perf_counter()
            loss.backward()
        took.append((time.perf_counter() - start, (scored - start) / rows))
    return min(t for t, _ in took) * 1.08, min(t for _, t in took)  # and the optimiser


def memory_of(spec: DecoderSpec, rows: int, context: int) -> int:
    """Bytes that training takes, roughly: what belongs to the parameters, and the activations of the rows."""
    rows = 1 if spec.n_params() > LARGE else rows
    a_token = spec.n_layers * (10 * spec.d_model + 2 * spec.qkv_width + 4 * spec.d_ff) + 3 * spec.vocab_size
    return TRAINED_BYTES * spec.n_params() + 4 * rows * context * a_token


def available_memory() -> int | None:
    """Bytes that could be taken now; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
