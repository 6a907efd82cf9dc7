"""The report of a tuning as a Markdown page, which is the tuned model's card, and as a picture (extra `report`)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write

from .. import tables
from ..carets import KINDS
from .report import listed, rows, shown


def page(report: dict, name: str, pictures: list[str]) -> str:
    """The report as Markdown; it is the card of the tuned model."""
    plan, training, sides = report["plan"], report["training"], report["sides"]
    head, body = rows(report["proof"])
    secrets, found = report["secrets"], report["proof"]["verdict"]
    lines = [
        f"# {name}",
        "",
        f"The model {report['base']['name']} ({report['base']['parameters']:,} parameters), trained further on the "
        f"Python files of the repository {shown(report['repository'])}. It was made on this machine and stays there.",
        "",
        f"**{found['head']}** " + " ".join(found["words"]),
        "",
        *tables.markdown(head, body),
        "",
        "Before and after: the same texts, the same carets, each model as it is served. Bits per byte and top-1 left",
        "to right; lines as completion offers them (greedy, fill in the middle, the rest of the caret's line taken",
        "away). New lines: carets in lines that stand in no file trained on. Intervals: files resampled; exact match:",
        "exact sign test. No file that resembles one held out was trained on.",
        "",
        *(f"![{Path(picture).stem.replace('_', ' ')}]({picture})" for picture in pictures),
        "",
        "## Data and training",
        "",
        "| | files | bytes | tokens |",
        "|---|---|---|---|",
        *(f"| {what} | {sides[side]['files']} | {sides[side]['bytes']:,} | {sides[side]['tokens']:,} |"
          for side, what in (("train", "trained on"), ("choose", "held out to choose when to stop"),
                             ("judge", "held out to judge"))),
        "",
        f"General code mixed in: {report['replay']['tokens']:,} tokens of {report['replay']['from']}, "
        f"{report['replay']['chats']:,} chat documents.",
        f"Left out: {listed(report['left_out']) or 'nothing'}. Lines that look like secrets: "
        f"{sum(secrets['lines'].values())} in {len(secrets['lines'])} files; files that keep secrets: "
        f"{len(secrets['files'])}.",
        "",
        _training_words(training, plan),
        "",
    ]  # fmt: skip
    if report["held_out_in_corpus"]:
        lines += [
            f"{report['held_out_in_corpus']} of the files held out to judge stand in the corpus: both models may have",
            "seen them before.",
            "",
        ]
    return "\n".join(lines)


def _training_words(training: dict, plan: dict) -> str:
    kept = training["blends"][0]
    words = (
        f"{training['steps']} steps of {plan['rows']} x {plan['context']} tokens ({training['epochs']:.1f} passes) in "
        f"{training['seconds'] / 60:.1f} minutes, learning rate {plan['lr']:.2g}, products in {plan['precision']}"
        + (", stopped early" if training["stopped_early"] else "")
        + f". On the files held out to choose step {training['best_step']} was the best: {training['best_loss']:.4f} "
        f"nats per token instead of {training['base_loss']:.4f}. Taken were {100 * kept['share']:.0f} % of what it "
        "learnt (a point on the line between the weights of both)"
    )
    if kept["general"] is None:
        return words + "."
    return words + f"; the general code to choose by changed by {100 * kept['general']:+.1f} % there."


def picture(proof: dict, png: str | os.PathLike) -> str | None:
    """Before and after of a proof with their intervals as a PNG. Returns None, or a note why there is none."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture: matplotlib is not installed (pip install matplotlib)"
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    bits = {"repository\n(held out)": {s: proof["results"][s]["bits_per_byte"] for s in ("before", "after")}}
    if proof["general"]:
        bits["general code"] = {s: proof["general"][s]["bits_per_byte"] for s in ("before", "after")}
    exact = {
        tables.name_of(kind).replace(" or a blank", " …"): {
            side: proof["results"][side]["line_exact_match"][kind] for side in ("before", "after")
        }
        for kind in KINDS
    }
    exact["new lines"] = proof["novel_lines"]
    for axes, groups, scale, title in (
        (left, bits, 1, "bits per byte (less is better)"),
        (right, exact, 100, "lines completed exactly, %"),
    ):
        for n, side in enumerate(("before", "after")):
            found = [group[side] for group in groups.values()]
            at = np.arange(len(found)) + (n - 0.5) * 0.38
            values = np.array([scale * (r["value"] or 0) for r in found])
            spread = np.array(
                [
                    [v - scale * (r["low"] or 0), scale * (r["high"] or 0) - v]
                    for v, r in zip(values, found, strict=True)
                ]
            )
            axes.bar(at, values, 0.36, label=side, color=("#9bb8d3", "#c0562b")[n])
            axes.errorbar(at, values, np.maximum(spread.T, 0), fmt="none", ecolor="#333333", elinewidth=1, capsize=3)
        axes.set_xticks(range(len(groups)), list(groups), fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.grid(axis="y", alpha=0.25)
    right.legend()
    with atomic_write(png) as file:
        canvas.print_png(file)
    return None
