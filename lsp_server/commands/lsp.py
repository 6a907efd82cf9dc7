"""`hearth lsp`: the language server on standard input and output.

Gets the protocol's pipes from the caller, who claimed them before any import. Logs to standard error, or to the file
that HEARTH_LOG names; source text is never logged.
"""

import argparse
import logging
import os
import sys
from typing import BinaryIO

from lsp_server.commands.options import make_parser, positive


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "lsp",
        "The language server on standard input and output; an editor starts it.",
        "hearth lsp --model ~/models/mine",
    )
    p.add_argument("--model", metavar="M", help="folder or name of a model; overrides the setting codehearth.model")
    p.add_argument(
        "--threads", type=positive, metavar="N", help="threads of the engine; overrides the setting codehearth.threads"
    )
    return p


def main(argv: list[str]) -> int:
    """Only reached for `--help`: everything else goes to `serve` with the pipes."""
    parser().parse_args(argv)
    print("hearth lsp: start it through `hearth lsp` or `python -P -m lsp_server`", file=sys.stderr)
    return 2


def serve(argv: list[str], stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Runs the server until the client says exit or closes the pipe."""
    options = parser().parse_args(argv)
    if stdin.isatty():
        print("hearth lsp: waiting for an editor's messages on standard input; Ctrl-C ends", file=sys.stderr)
    set_up_log(os.environ.get("HEARTH_LOG"))
    from lsp_server.server import create_server

    server = create_server(model=options.model, threads=options.threads)
    server.start_io(stdin, stdout)
    return 0


def set_up_log(path: str | None) -> None:
    """One line per event on standard error or at the end of the file `path`."""
    level = os.environ.get("HEARTH_LOG_LEVEL", "INFO").upper()
    target = {"stream": sys.stderr}
    if path:
        try:
            open(path, "a", encoding="utf-8").close()
            target = {"filename": path, "encoding": "utf-8"}
        except OSError as error:
            print(f"hearth: cannot write the log {path}: {error.strerror}", file=sys.stderr)
    known = level in logging.getLevelNamesMapping()
    logging.basicConfig(
        level=level if known else "INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True, **target
    )
    # pygls logs whole messages, and with them source text, at INFO: only its warnings are wanted, whatever the level.
    logging.getLogger("pygls").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
