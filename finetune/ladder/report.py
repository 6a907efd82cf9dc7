"""The ladder's table for a terminal and its picture: how every rung learned, and where it ended.

Takes the results of `run.py`; knows no models.
"""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from runtime.files.atomic import atomic_write
from runtime.terminal import printable

from ..report import read_metrics

COLOURS = ("#7f8c8d", "#c98a1b", "#2e8b57", "#1f4e79", "#8e44ad", "#c0392b")


def table_of(results: dict, width: int = 100) -> Table:
    """One row per rung under the floors. A value that does not compare with the others stands in brackets."""
    table = Table(title=f"{results['text']['train_bytes'] / 1e6:.1f} MB of text: {results['text']['source']}")
    for name in ("rung", "parameters", "tokens/s", "perplexity", "bits per byte", "seconds"):
        table.add_column(name, justify="left" if name == "rung" else "right", no_wrap=True)
    wide = width >= 110
    if wide:
        table.add_column("it writes", no_wrap=True)
    for floor in results["floors"]:
        table.add_row(floor["name"], "", "", "", f"{floor['bits_per_byte']:.3f}", "", style="dim")
    for row in results["rungs"]:
        bits = f"{row['bits_per_byte']:.3f}"
        cells = [
            row["name"],
            f"{row['parameters']:,}",
            f"{row['tokens_per_second']:,}",
            f"{row['perplexity']:.1f}",
            bits if row["comparable"] else f"({bits})",
            f"{row['seconds']:.0f}",
        ]
        table.add_row(*cells, *([_one_line(row["sample"], width - 82)] if wide else []))
    if not all(row["comparable"] for row in results["rungs"]):
        table.caption = "(in brackets: per byte of masked tokens, seen from both sides; not comparable)"
    return table


def _one_line(text: str, width: int) -> Text:
    """The first two lines with letters, their blanks narrowed, in at most `width` columns."""
    lines = [" ".join(line.split()) for line in printable(text).splitlines() if any(c.isalnum() for c in line)]
    shown = Text(" ⏎ ".join(lines[:2]))
    shown.truncate(width, overflow="ellipsis")
    return shown


def samples_of(results: dict) -> str:
    """What every rung writes, under its name."""
    parts = []
    for row in results["rungs"]:
        how = "writes" if row["comparable"] else "guesses [right] or [wrong|right]"
        parts.append(f"---- {row['name']} {how}\n{printable(row['sample'].rstrip())}")
    return "\n\n".join(parts)


def curve_of(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of training and bits per byte on the held-out text at each evaluation of a rung's folder."""
    rows = read_metrics(folder / "metrics.jsonl")
    seconds = {row["step"]: row["seconds"] for row in rows if "seconds" in row}
    shown = [row for row in rows if row.get("val_bits_per_byte") is not None and row["step"] in seconds]
    return [seconds[row["step"]] for row in shown], [row["val_bits_per_byte"] for row in shown]


def write_picture(results: dict, folders: list[Path], png: Path) -> str | None:
    """Left: bits per byte over training time, every rung. Right: where each ended. None, or why there is no picture."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture: matplotlib is not installed (pip install matplotlib)"
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for n, (row, folder) in enumerate(zip(results["rungs"], folders, strict=True)):
        if row["comparable"]:
            seconds, bits = curve_of(folder)
            colour = COLOURS[n % len(COLOURS)]
            left.plot(seconds, bits, "o-", color=colour, markersize=3, label=row["name"])
    counts = results["floors"][-1]
    left.axhline(counts["bits_per_byte"], color="#aaaaaa", linestyle="--", linewidth=1, label=counts["name"])
    left.set(xlabel="seconds of training", ylabel="bits per byte on held-out text", xscale="log")
    left.xaxis.set_major_formatter("{x:g}")
    left.grid(alpha=0.25, which="both")
    left.legend()
    names = [floor["name"] for floor in results["floors"]] + [row["name"] for row in results["rungs"]]
    bits = [row["bits_per_byte"] for row in (*results["floors"], *results["rungs"])]
    colours = ["#cccccc"] * len(results["floors"])
    colours += [COLOURS[n % len(COLOURS)] for n in range(len(results["rungs"]))]
    bars = right.barh(names, bits, color=colours)
    for bar, value, row in zip(bars, bits, [*results["floors"], *results["rungs"]], strict=True):
        note = "" if row.get("comparable", True) else " of masked bytes,\n not comparable"
        if note:
            bar.set(facecolor="white", edgecolor=bar.get_facecolor(), hatch="///")
        right.text(value, bar.get_y() + bar.get_height() / 2, f" {value:.2f}{note}", va="center", fontsize=9)
    right.invert_yaxis()
    right.set(xlabel="bits per byte, lower is better", xlim=(0, max(bits) * 1.12))
    figure.suptitle(f"The ladder: {results['text']['train_bytes'] / 1e6:.1f} MB of Python, one trainer")
    with atomic_write(png) as file:
        canvas.print_png(file)
    return None
