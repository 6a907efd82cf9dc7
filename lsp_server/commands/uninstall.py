"""`hearth uninstall`: removes what the program wrote outside its package: models, caches, state, the editor extension.

Shows what it found, with sizes, and asks; the package itself is pip's business, and the last line says how.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from lsp_server.commands.options import make_parser
from lsp_server.commands.vscode import EDITORS, EXTENSION_ID


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "uninstall",
        "Removes models, caches, state and the editor extension; the package itself is left to pip.",
        "hearth uninstall --keep-models",
    )
    p.add_argument("--keep-models", action="store_true", help="leave the installed models where they are")
    p.add_argument("--yes", action="store_true", help="do not ask")
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    folders = found(options.keep_models)
    editors = editors_with_extension()
    if not folders and not editors:
        print("nothing was written outside the package")
    else:
        for what, folder in folders:
            print(f"{what:10} {_megabytes(folder):9.1f} MB  {folder}")
        for editor in editors:
            print(f"extension  {EXTENSION_ID} in {editor}")
        if not options.yes and not confirmed():
            print("nothing was removed")
            return 1
        failed = [line for _, folder in folders if (line := remove(folder))]
        failed += [line for editor in editors if (line := remove_extension(editor))]
        for line in failed:
            print(line, file=sys.stderr)
        if failed:
            return 1
        print("removed")
    print("the package itself: pip uninstall codehearth")
    return 0


def found(keep_models: bool) -> list[tuple[str, Path]]:
    """(what it holds, folder) of everything that is there; a folder that serves several ends comes once."""
    from runtime.folders import models_folder, written_folders

    existing: dict[Path, str] = {}
    for what, folder in written_folders().items():
        if not folder.is_dir():
            continue
        if keep_models and models_folder().is_dir() and models_folder().is_relative_to(folder):
            others = [child for child in sorted(folder.iterdir()) if child != models_folder()]
            existing |= dict.fromkeys(others, what)
        else:
            existing.setdefault(folder, what)
    return [(what, folder) for folder, what in existing.items()]


def editors_with_extension() -> list[str]:
    """Editors on the PATH that list the extension as installed."""
    having = []
    for editor in filter(None, map(shutil.which, EDITORS)):
        try:
            listed = subprocess.run([editor, "--list-extensions"], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if EXTENSION_ID in listed.stdout.split():
            having.append(editor)
    return having


def confirmed() -> bool:
    if not sys.stdin.isatty():
        raise ValueError("there is no terminal to ask on: say --yes")
    return input("remove all of this? [y/N] ").strip().lower() in ("y", "yes")


def remove(path: Path) -> str | None:
    """Removes a folder or file; a link is removed, never followed. Returns a line if something stayed."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path)
    except OSError as error:
        return f"could not remove {path}: {error.strerror}"
    return None


def remove_extension(editor: str) -> str | None:
    done = subprocess.run([editor, "--uninstall-extension", EXTENSION_ID], capture_output=True, text=True)
    return None if done.returncode == 0 else f"{editor} could not remove {EXTENSION_ID}"


def _megabytes(path: Path) -> float:
    if path.is_symlink():
        return 0.0
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    return sum(file.stat().st_size for file in files) / 1e6
