"""What `hearth tune` prints: the plan of a tuning and its proof, from the reports of `tuning/report.py`."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tuning.report import listed, rows, shown


def show_plan(report: dict) -> None:
    """What would be trained on, what was left out and why, how long it would take."""
    sides, plan, secrets = report["sides"], report["plan"], report["secrets"]
    body = [
        [what, f"{sides[side]['files']}", f"{sides[side]['bytes']:,}", f"{sides[side]['tokens']:,}"]
        for side, what in (
            ("train", "trained on"),
            ("choose", "held out to choose when to stop"),
            ("judge", "held out to judge"),
        )
    ]
    body.append([f"general code from {report['replay']['from']}", "", "", f"{report['replay']['tokens']:,}"])
    base = report["base"]
    title = f"{shown(report['repository'])} for the model {base['name']} ({base['parameters'] / 1e6:.1f} M parameters)"
    table(title, ["", "files", "bytes", "tokens"], body)
    say = [f"left out: {listed(report['left_out']) or 'nothing'}"]
    if report["other_files"]:
        top = dict(list(report["other_files"].items())[:6])
        say.append(f"other kinds of file, not read: {shown(listed(top))}")
    lines = secrets["lines"]
    if lines or secrets["files"]:
        most = sorted(lines, key=lambda path: -lines[path])
        names = ", ".join(shown(path) for path in most[:4]) + (" …" if len(most) > 4 else "")
        text = f"secrets: {sum(lines.values())} lines in {len(lines)} files left out" + (f" ({names})" if names else "")
        say.append(text + f", {len(secrets['files'])} files that keep some")
    if report["held_out_in_corpus"]:
        say.append(f"note: the corpus holds {report['held_out_in_corpus']} of the files held out to judge")
    carets = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in report["carets"].items())
    say.append(f"held-out carets: {carets}")
    say.append(
        f"plan: {plan['steps']} steps of {plan['rows']} x {plan['context']} tokens, {plan['epochs']:.1f} passes "
        f"(bounded by the {plan['limited_by']}), learning rate {plan['lr']:.2g}, {plan['precision']}; about "
        f"{plan['seconds'] / 60:.1f} min at {plan['tokens_per_second']:,} tokens/s and "
        f"{report['measure_seconds'] / 60:.1f} min to measure; {plan['memory_bytes'] / 2**30:.1f} GiB of memory"
    )
    for line in say:
        print(line)


def show(report: dict, name: str, place: Path) -> None:
    """What came out, and how to use it."""
    print()
    if report["proof"]:
        table("before and after, on held-out files", *rows(report["proof"]))
    for sentence in report["words"]:
        print(sentence)
    if report["installed"]:
        worse = "" if report["better"] else " although it is not better, as --keep asked"
        print(f"Installed{worse}: hearth try FILE --model {name}")
    else:
        print("Nothing was installed" + (" (--keep installs it all the same)." if report["proof"] else "."))
    if report["proof"]:
        print(f"Report: {place / 'README.md'}")


def table(title: str, head: list[str], body: list[list[str]]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    made = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for n, cell in enumerate(head):
        made.add_column(Text(cell), justify="right" if n else "left")
    for row in body:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)
