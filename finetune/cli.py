"""The commands that change or measure weights, by name; each lives in its own file under `commands/`.

`commands` maps a name to main(argv) -> exit code; a command's file is imported when it is called, and heavy modules
inside it, so that --help is quick. Errors are one line on standard error and an exit code that is not 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from .commands.common import command

NAMES = ("corpus", "pretrain", "tune", "eval", "export")


def _lazy(name: str) -> Callable[[Sequence[str] | None], int]:
    return command(name, lambda argv: import_module(f"finetune.commands.{name}").run(argv))


commands: dict[str, Callable[[Sequence[str] | None], int]] = {name: _lazy(name) for name in NAMES}


def main(argv: Sequence[str] | None = None) -> int:
    """python -m finetune.cli COMMAND ..., for a checkout without the console script."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] not in commands:
        print(f"usage: python -m finetune.cli {{{','.join(commands)}}} ...", file=sys.stderr)
        return 0 if argv[:1] in (["-h"], ["--help"]) else 2
    return commands[argv[0]](argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
