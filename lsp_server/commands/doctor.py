"""`hearth doctor`: what this machine offers, what was found on it, and what is missing.

Exit code 1 if ghost text cannot work: kernels or model missing.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from lsp_server.commands.options import make_parser


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "doctor",
        "Says which instructions the kernels use and why, and whether the model and the folders are there.",
        "hearth doctor --json",
    )
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    rows, problems = examine()
    if options.json:
        print(json.dumps({**dict(rows), "problems": problems}))
    else:
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            print(f"{name:{width}}  {value}")
        for problem in problems:
            print(f"problem: {problem}", file=sys.stderr)
        if not problems:
            print("everything that ghost text needs is there")
    return 1 if problems else 0


def examine() -> tuple[list[tuple[str, str]], list[str]]:
    """(name, value) pairs to show, and the problems found."""
    rows: list[tuple[str, str]] = []
    problems: list[str] = []
    rows.append(("python", f"{platform.python_version()} ({sys.executable})"))
    rows.append(("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} logical CPUs"))
    try:
        from runtime.machine import machine

        found = machine()
        rows.append(("instructions", found.instructions))
        rows.append(("why", found.why))
        rows.append(("available", ", ".join(found.available)))
        rows.append(("threads", str(found.threads)))
    except Exception as error:  # a broken build, or HEARTH_ISA above what the CPU has
        problems.append(f"the kernels cannot be used: {' '.join(str(error).split())}")
    rows.append(("HEARTH_ISA", os.environ.get("HEARTH_ISA", "(not set)")))
    for name, folder in _folders():
        rows.append((name, f"{folder}{'' if folder.is_dir() else ' (not made yet)'}"))
    if not problems:
        from lsp_server.commands.model_facts import describe
        from runtime.model import EMBEDDED

        model = describe("default", EMBEDDED)
        if model["error"]:
            problems.append(f"the model that comes with the program is unusable: {model['error']}")
        else:
            rows.append(("model", f"{model['parameters'] / 1e6:.2f} M parameters, context {model['context']}"))
            rows.append(("model folder", model["folder"]))
    return rows, problems


def _folders() -> list[tuple[str, Path]]:
    from runtime.folders import cache_folder, models_folder, state_folder

    return [("models", models_folder()), ("cache", cache_folder()), ("state", state_folder())]
