"""Options and messages that several commands share: the model to load, and a word while something takes its time."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def make_parser(command: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser in the one style that all commands have: what it does, its options, an example."""
    return argparse.ArgumentParser(
        prog=f"hearth {command}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="M", help="folder, .gguf file or name of a model (default: as `hearth models default` says)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of the engine")


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return value


def load_engine(name: str | None, threads: int | None) -> tuple[Any, Any, float]:
    """(model, engine, milliseconds it took), with a spinner on a terminal. Raises what `runtime.load_model` raises."""
    with busy("loading the model"):
        began = time.perf_counter()
        import runtime
        from runtime.installed import default_model

        model = runtime.load_model(name or default_model(), threads=threads)
        if model.tokenizer is None:
            raise ValueError(f"the model {model.name!r} has no tokenizer.json: it cannot read text")
        return model, runtime.Engine(model), (time.perf_counter() - began) * 1000


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A spinner on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
