"""Metrics as JSON lines, and the picture of a run as a PNG (matplotlib, the extra `report`).

One object per line, each with "step": {"loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_second"} for a step,
{"val_loss", "val_bits_per_byte", "val_top1"} for an evaluation, {"event", "seen", "action", "text", "tokens"} for an
alarm, {"undone", "undone_loss", "tokens"} for a step that a rollback took back. Knows nothing of models.
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

    def undo(self, after: int) -> None:
        """The run went back to step `after`: rows beyond it stay as undone ones, those of evaluations go."""
        self._file.close()
        rows = []
        for row in read_metrics(self.path):
            if row["step"] > after and "loss" in row:
                row = {"step": after, "undone": row["step"], "undone_loss": row["loss"], "tokens": row["tokens"]}
            elif row["step"] > after and ("event" in row or "undone" in row):
                row["step"] = after
            if row["step"] <= after:
                rows.append(row)
        atomic_write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        self._file = open(self.path, "a", encoding="utf-8")

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
    """Draw losses, gradient norm and learning rate over tokens, events marked. Returns None, or why there is none."""
    rows = read_metrics(metrics)
    train = [row for row in rows if "loss" in row]
    if len(train) < 2:
        return "no curve: fewer than two steps"
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter
    except ImportError:
        return "no curve: matplotlib is not installed (pip install matplotlib)"
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    losses, norms, rates = figure.subplots(3, 1, sharex=True, height_ratios=(5, 1.4, 1.2))
    x = [row["tokens"] / 1e6 for row in train]
    title += _draw_losses(losses, rows, train, x)
    norms.plot(x, [row["grad_norm"] for row in train], color="#7d6b9e", linewidth=0.7)
    norms.set(ylabel="gradient norm")
    low, high = min(row["grad_norm"] for row in train), max(row["grad_norm"] for row in train)
    if low > 0:
        norms.set_yscale("log")
        marks = (1, 2, 5) if high < 30 * low else (1,)
        norms.yaxis.set(major_locator=LogLocator(subs=marks, numticks=5), major_formatter="{x:g}")
        norms.yaxis.set_minor_formatter(NullFormatter())
    rates.plot(x, [row["lr"] for row in train], color="#3c7a4b", linewidth=1.4)
    rates.set(ylabel="learning rate", xlabel="tokens (millions)", ylim=(0, None))
    for event in (row for row in rows if "event" in row):
        at = event["tokens"] / 1e6
        for axes in (losses, norms, rates):
            axes.axvline(at, color="#555555", linestyle=":", linewidth=1)
        label = f"{event['event']} at step {event['seen']}: {event['action']}"
        losses.annotate(
            label, (at, 0.98), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right", size=7
        )
    for axes in (losses, norms, rates):
        axes.grid(alpha=0.25)
    losses.set_title(title, fontsize=11)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    with atomic_write(png) as file:
        canvas.print_png(file)
    return None


def _draw_losses(axes, rows: list[dict], train: list[dict], x: list[float]) -> str:
    """Training and validation; steps that were taken back in orange. Returns what the title says of the end."""
    smooth, value = [], 0.0
    for n, row in enumerate(train, 1):
        value = 0.95 * value + 0.05 * row["loss"]
        smooth.append(value / (1 - 0.95**n))  # as if the steps before the first did not count
    axes.plot(x, [row["loss"] for row in train], color="#9bb8d3", linewidth=0.6, label="training, each step")
    axes.plot(x, smooth, color="#1f4e79", linewidth=1.6, label="training, smoothed")
    undone = sorted((row for row in rows if "undone_loss" in row), key=lambda row: row["undone"])
    if undone:
        at = [row["tokens"] / 1e6 for row in undone]
        axes.plot(
            at, [row["undone_loss"] for row in undone], ".", color="#e07b00", markersize=4, zorder=4, label="taken back"
        )
    tokens = {row["step"]: row["tokens"] / 1e6 for row in train}
    val = [row for row in rows if "val_loss" in row and row["step"] in tokens]
    seen = [row["loss"] for row in train] + [row["undone_loss"] for row in undone]
    low, high = min(smooth + [row["val_loss"] for row in val]), max(seen)
    axes.set(ylabel="loss (nats per token)", ylim=(low * 0.95, high * 1.02))
    if not val:
        return ""
    at = [tokens[row["step"]] for row in val]
    axes.plot(at, [row["val_loss"] for row in val], "o-", color="#c0392b", markersize=3, label="validation")
    last, bits = val[-1], val[-1].get("val_bits_per_byte")
    return f": validation {last['val_loss']:.3f} nats per token" + (f", {bits:.3f} bits per byte" if bits else "")
