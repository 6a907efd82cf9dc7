"""`hearth models`: lists, imports, inspects, quantises and removes models, and chooses the default one.

Reads headers, never weights, except where it writes a smaller model. What is known of a model is gathered in
`lsp_server/commands/model_facts.py`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lsp_server.commands.model_facts import describe, inspect
from lsp_server.commands.options import make_parser
from runtime.terminal import printable

TYPES = ("F16", "Q8_0", "Q6_K", "Q4_K_M", "Q4_0")


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "models",
        "Lists the model that comes with the program and the installed ones, and looks after them.",
        "hearth models import ~/Downloads/qwen2.5-coder-0.5b-q8_0.gguf --name qwen\n  hearth models default qwen",
    )
    actions = p.add_subparsers(dest="action", metavar="list|import|inspect|quantise|default|remove")
    one = actions.add_parser("list", help="the models that can be named (what happens if nothing is said)")
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print a JSON array")
    one = actions.add_parser("import", help="check a model folder or a .gguf file and copy it to the models folder")
    one.add_argument("path", metavar="PATH", help="a folder with config.json and *.safetensors, or a .gguf file")
    one.add_argument("--name", metavar="N", help="its name here (default: the folder's or the file's)")
    one = actions.add_parser("inspect", help="what a model is made of; nothing is loaded")
    one.add_argument("model", metavar="MODEL", nargs="?", default="default", help="name, folder or .gguf file")
    one.add_argument("--tensors", action="store_true", help="also every tensor: name, type, shape")
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")
    one = actions.add_parser("quantise", aliases=["quantize"], help="write a smaller copy of a model as GGUF")
    one.add_argument("model", metavar="MODEL", help="name, folder or .gguf file")
    one.add_argument("--type", choices=TYPES, default="Q4_K_M", help="storage of the matrices (default Q4_K_M)")
    one.add_argument("--out", metavar="FILE", help="the file to write (default: install it as NAME)")
    one.add_argument("--name", metavar="N", help="its name here (default: the model's name and the type)")
    one = actions.add_parser("default", help="the model that is used where none is named; without NAME: say which")
    one.add_argument("name", metavar="NAME", nargs="?", help="an installed model, or “default” for the embedded one")
    one = actions.add_parser("remove", help="delete an installed model")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--yes", action="store_true", help="do not ask")
    p.add_argument("--json", action="store_true", help="with no action: as `list --json`")
    p.set_defaults(action="list")
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    action = {"list": _list, "import": _import, "inspect": _inspect, "quantise": _quantise, "quantize": _quantise}
    action |= {"default": _default, "remove": _remove}
    return action[options.action](options) or 0


def _list(options: argparse.Namespace) -> None:
    from runtime.folders import models_folder
    from runtime.installed import EMBEDDED_NAME, default_model, installed, place_of
    from runtime.model import EMBEDDED

    places = [(EMBEDDED_NAME, EMBEDDED), *((name, place_of(name)) for name in installed())]
    found = [describe(name, folder) for name, folder in places]
    chosen = default_model()
    for model in found:
        model["default"] = model["name"] == chosen
    if options.json:
        print(json.dumps(found))
        return
    for model in found:
        mark = "*" if model["default"] else " "
        if model["error"]:
            print(f"{mark} {model['name']:24} unusable: {printable(model['error'])}")
            continue
        print(
            f"{mark} {model['name']:24} {model['parameters'] / 1e6:9.2f} M  {model['bytes'] / 1e6:9.1f} MB  "
            f"{model['storage']:8} context {model['context']:<8} {model['folder']}"
        )
    print(f"(* the default; more models: `hearth models import PATH`, they go to {models_folder()})")


def _import(options: argparse.Namespace) -> None:
    from runtime.installed import install

    with progress_bar("copying") as progress:
        name = install(options.path, options.name, progress)
    print(f"installed as {name}; `hearth models default {name}` makes it the one that is used")


def _inspect(options: argparse.Namespace) -> int:
    facts = inspect(options.model, options.tensors)
    if options.json:
        print(json.dumps(facts))
    else:
        for key, value in facts.items():
            if key == "tensors":
                for tensor in value:
                    print(
                        f"  {tensor['type']:8} {'x'.join(map(str, tensor['shape'])):>16}  {printable(tensor['name'])}"
                    )
            elif value is not None:
                shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
                print(f"{key:14} {printable(str(shown))}")
    return 1 if facts["error"] else 0


def _quantise(options: argparse.Namespace) -> None:
    import runtime
    from runtime.folders import models_folder
    from runtime.installed import check_name
    from runtime.model import find_model

    source = find_model(options.model)
    if options.out and options.name:
        raise ValueError("--out writes a file, --name installs a model: give one of them")
    if options.out:
        target, said = Path(options.out), options.out
    else:
        stem = source.stem if source.is_file() else "embedded" if options.model == "default" else source.name
        name = check_name(options.name or f"{stem}-{options.type}")
        if (models_folder() / name).exists():
            raise ValueError(f"a model {name!r} is installed already: remove it first, or choose another --name")
        target, said = models_folder() / name / f"{name}.gguf", f"the model {name}"
    made = [folder for folder in (target.parent,) if not options.out and not folder.exists()]
    try:
        with progress_bar("quantising") as progress:
            runtime.quantize(source, target, options.type, progress)
    except BaseException:
        for folder in made:
            if folder.is_dir():
                folder.rmdir()  # it is empty: the file appears only when it is complete
        raise
    print(f"wrote {said} ({target.stat().st_size / 1e6:.1f} MB)")


def _default(options: argparse.Namespace) -> None:
    from runtime.installed import default_model, set_default

    if options.name is not None:
        set_default(options.name)
    print(default_model())


def _remove(options: argparse.Namespace) -> int:
    from runtime.installed import place_of, remove

    folder = place_of(options.name)
    if not options.yes:
        if not sys.stdin.isatty():
            raise ValueError("there is no terminal to ask on: say --yes")
        if input(f"remove {folder}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was removed")
            return 1
    remove(options.name)
    print(f"removed {options.name}")
    return 0


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, where that is a terminal; yields what to call with (bytes done, bytes in all)."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(text), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
