"""Metrics as JSON lines, and the curve of a run as a PNG (matplotlib, the extra `report`).

One object per line: {"step", "loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_second"} for a step,
{"step", "val_loss", "val_bits_per_byte"} for an evaluation. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from runtime.files.atomic import atomic_write, atomic_write_text


class Metrics:
    """Append-only log. Resuming drops what lies after the checkpoint, so that every step appears once."""

    def __init__(self, path: str | os.PathLike, resume_step: int = 0):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_metrics(self.path) if row["step"] <= resume_step] if resume_step else []
        atomic_write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = open(self.path, "a", encoding="utf-8")

    def write(self, **row) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(path: str | os.PathLike) -> list[dict]:
    """The rows; a last line that a kill cut off is dropped. An absent file has none."""
    rows = []
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def write_curve(metrics: str | os.PathLike, png: str | os.PathLike, title: str = "training") -> str | None:
    """Draw training and validation loss over tokens. Returns None, or a note why there is no picture."""
    rows = read_metrics(metrics)
    train = [row for row in rows if "loss" in row]
    val = [row for row in rows if "val_loss" in row]
    if len(train) < 2:
        return "no curve: fewer than two steps"
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "no curve: matplotlib is not installed (pip install 'codehearth[report]')"
    tokens = {row["step"]: row["tokens"] / 1e6 for row in train}
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    smooth, value = [], None
    for row in train:
        value = row["loss"] if value is None else 0.95 * value + 0.05 * row["loss"]
        smooth.append(value)
    x = list(tokens.values())
    axes.plot(x, [row["loss"] for row in train], color="#9bb8d3", linewidth=0.6, label="training, each step")
    axes.plot(x, smooth, color="#1f4e79", linewidth=1.6, label="training, smoothed")
    shown = [row for row in val if row["step"] in tokens]
    if shown:
        axes.plot(
            [tokens[row["step"]] for row in shown],
            [row["val_loss"] for row in shown],
            "o-",
            color="#c0392b",
            markersize=3,
            label="validation",
        )
        last = shown[-1]
        if last.get("val_bits_per_byte") is not None:
            title += (
                f": validation {last['val_loss']:.3f} nats per token, {last['val_bits_per_byte']:.3f} bits per byte"
            )
    low, high = min(smooth + [row["val_loss"] for row in shown]), max(row["loss"] for row in train)
    axes.set(xlabel="tokens (millions)", ylabel="loss (nats per token)", title=title, ylim=(low * 0.95, high * 1.02))
    axes.grid(alpha=0.25)
    axes.legend()
    with atomic_write(png) as file:
        canvas.print_png(file)
    return None
