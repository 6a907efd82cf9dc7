"""`hearth models`: the models that can be named, with their sizes. Reads headers only, never weights."""

import argparse
import json
from pathlib import Path
from typing import Any

from lsp_server.commands.options import make_parser


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "models",
        "Lists the model that comes with the program and those in the models folder.",
        "hearth models list --json",
    )
    p.add_argument("action", nargs="?", choices=["list"], default="list", help="list (default)")
    p.add_argument("--json", action="store_true", help="print a JSON array")
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from runtime.folders import models_folder
    from runtime.model import EMBEDDED

    folders = [("default", EMBEDDED)]
    installed = models_folder()
    if installed.is_dir():
        folders += [(folder.name, folder) for folder in sorted(installed.iterdir()) if folder.is_dir()]
    found = [describe(name, folder) for name, folder in folders]
    if options.json:
        print(json.dumps(found))
        return 0
    for model in found:
        if model["error"]:
            print(f"{model['name']:20} unusable: {model['error']}")
        else:
            millions = model["parameters"] / 1e6
            print(f"{model['name']:20} {millions:8.2f} M parameters   context {model['context']}   {model['folder']}")
    print(f"(more models go to {installed}, one folder each)")
    return 0


def describe(name: str, folder: Path) -> dict[str, Any]:
    """One model from its config and the header of its weights; `error` says why it cannot be used."""
    from runtime.files.errors import FormatError
    from runtime.models.families import open_model

    entry: dict[str, Any] = {"name": name, "folder": str(folder), "parameters": None, "context": None, "error": None}
    try:
        spec = open_model(folder).spec
        if not (folder / "tokenizer.json").is_file():
            raise ValueError("no tokenizer.json: the model cannot read text")
        entry.update(parameters=spec.n_params(), context=spec.max_context)
    except (FormatError, OSError, ValueError) as error:
        entry["error"] = " ".join(str(error).split())
    return entry
