"""What the commands share: the parser, one clear line for an error, numbers on the command line, progress bars."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"hearth {name}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def command(name: str, run: Callable[[Sequence[str]], int]) -> Callable[[Sequence[str] | None], int]:
    """One clear line for what a user can cause; a traceback with HEARTH_TRACEBACK=1."""

    def main(argv: Sequence[str] | None = None) -> int:
        try:
            return run(sys.argv[1:] if argv is None else argv)
        except KeyboardInterrupt:
            print(f"hearth {name}: interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            if os.environ.get("HEARTH_TRACEBACK"):
                raise
            text = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, FileNotFoundError) and error.filename:
                text = f"no such file: {error.filename}"
            elif isinstance(error, (KeyError, AttributeError, IndexError, AssertionError)):
                text = f"internal error ({type(error).__name__}: {text}); HEARTH_TRACEBACK=1 shows where"
            print(f"hearth {name}: {text}", file=sys.stderr)
            return 1

    return main


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive integer")
    return value


def default_corpus() -> Path:
    from runtime.folders import cache_folder

    return cache_folder() / "corpus"


@contextlib.contextmanager
def bar(title: str):
    """progress(done, total, what) on a terminal; silent elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, what="": bar.update(task, completed=done, total=total)
