"""`hearth vscode`: installs the VS Code extension into an editor and notes which Python shall run the server.

The extension is built with npm from the folder `vscode-extension` of the checkout that this installation was made
from, or given as a built file (`--vsix`). Changes no settings of the editor: the interpreter stands in a small JSON
file of the user's state folder, which the extension reads as its default.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from lsp_server.commands.options import busy, make_parser

EXTENSION_ID = "codehearth.codehearth"
EDITORS = ("code", "codium", "code-server", "code-insiders")
MOST_MANIFEST_BYTES = 1 << 20
# VS Code on macOS is an application first; its command line need not be on the PATH.
MAC_PROGRAM = "/Applications/Visual Studio Code.app/Contents/Resources/app/bin/code"
STEP_SECONDS = 600
LEAST_NODE = 20


class InstallError(Exception):
    """One line for the user: what is missing, and what to do."""


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "vscode",
        "Installs the VS Code extension into the editor found on the PATH and tells it to use this Python.",
        "hearth vscode --editor codium",
    )
    p.add_argument("--editor", metavar="E", help=f"program of the editor: {', '.join(EDITORS)}, or a path")
    p.add_argument("--vsix", metavar="FILE", type=Path, help="install this built extension instead of building one")
    p.add_argument("--build", action="store_true", help="build anew; also accepts the current folder as the checkout")
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if options.vsix and options.build:
        raise InstallError("--vsix and --build exclude each other")
    editor = find_editor(options.editor)
    source = installed_from()
    if options.vsix:
        vsix = options.vsix
    else:
        folder = find_extension(source, Path.cwd() if options.build else None)
        vsix = folder / "codehearth.vsix"
        if options.build or is_stale(vsix, folder):
            with busy("building the extension"):
                build(folder)
    version = check_vsix(vsix)
    with busy(f"installing into {editor}"):
        run([editor, "--install-extension", str(vsix.resolve()), "--force"], "the editor did not take the extension")
    record = write_record(source)
    print(f"{EXTENSION_ID} {version} is installed in {editor}")
    print(f"it runs the server with {sys.executable} (noted in {record})")
    print("reload the editor's window if it is open")
    return 0


def find_editor(wanted: str | None) -> str:
    """The editor's program as a full path. Raises InstallError if there is none."""
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise InstallError(f"the editor {wanted!r} was not found on the PATH, nor as a file")
        return found
    for found in filter(None, [*map(shutil.which, EDITORS), shutil.which(MAC_PROGRAM)]):
        return found
    raise InstallError(
        f"no editor on the PATH ({', '.join(EDITORS)}): install VS Code (or, inside it, the command-line program: "
        "“Shell Command: Install 'code' command”), or name it with --editor"
    )


def installed_from() -> Path | None:
    """The checkout or wheel that this installation was made from, if it is known and still there (PEP 610)."""
    own = Path(__file__).resolve().parents[2]
    if (own / "pyproject.toml").is_file():
        return own  # used from the checkout itself
    try:
        text = metadata.distribution("codehearth").read_text("direct_url.json")
        url = urlsplit(json.loads(text)["url"]) if text else None
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return None
    if url is None or url.scheme != "file":
        return None
    path = Path(url2pathname(url.path) if os.name == "nt" else unquote(url.path))
    return path if path.exists() else None


def find_extension(source: Path | None, here: Path | None) -> Path:
    """The folder with the extension's sources: in the checkout, or in `here` or one of its parents if that is given."""
    for checkout in filter(None, [source, here, *(here.parents if here else ())]):
        folder = checkout / "vscode-extension"
        if (folder / "package.json").is_file():
            return folder
    raise InstallError(
        "the extension's sources are not known: run `hearth vscode --build` in a checkout of Codehearth, "
        "or name a built extension with --vsix"
    )


def is_stale(vsix: Path, folder: Path) -> bool:
    """True if the built extension is missing or older than one of its sources."""
    if not vsix.is_file():
        return True
    sources = [*folder.glob("*.json"), *folder.glob("*.m*"), *folder.glob("src/**/*"), *folder.glob("media/*")]
    return any(path.stat().st_mtime > vsix.stat().st_mtime for path in sources)


def build(folder: Path) -> None:
    """Makes `codehearth.vsix` in the extension's folder. Raises InstallError with the failing step."""
    npm = shutil.which("npm")
    if npm is None:
        raise InstallError(
            "building the extension needs npm (Debian: apt-get install npm), or name a built one: --vsix"
        )
    check_node()
    if not (folder / "node_modules" / ".bin").is_dir():
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        run(install, "npm could not install what the build needs", folder)
    for step in ("bundle", "package"):
        run([npm, "run", "--silent", step], f"the step “{step}” of the build failed", folder)


def check_node() -> None:
    """Raises InstallError if the node on the PATH is older than the build tools need; npm only fails inside of them."""
    node = shutil.which("node")
    if node is None:
        return  # npm may bring its own
    done = subprocess.run([node, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    major = done.stdout.strip().lstrip("v").split(".")[0]
    if major.isdigit() and int(major) < LEAST_NODE:
        raise InstallError(
            f"building the extension needs Node.js {LEAST_NODE} or newer, {node} is {done.stdout.strip()}; "
            "or name a built extension: --vsix"
        )


def run(command: list[str], failure: str, folder: Path | None = None) -> None:
    """Runs a program. Raises InstallError with the last line that it wrote if it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=STEP_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{failure}: no end after {STEP_SECONDS} s") from error
    except OSError as error:
        raise InstallError(f"{failure}: {error.strerror}: {command[0]}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise InstallError(f"{failure}: {lines[-1] if lines else f'exit code {done.returncode}'}")


def check_vsix(path: Path) -> str:
    """The version in a built extension. Raises InstallError if the file is not Codehearth's extension."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("extension/package.json") as file:
            manifest = json.loads(file.read(MOST_MANIFEST_BYTES))
        name = f"{manifest['publisher']}.{manifest['name']}"
        version = str(manifest["version"])
    except FileNotFoundError:
        raise InstallError(f"no such file: {path}") from None
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise InstallError(f"{path} is not a VS Code extension: {error}") from error
    if name != EXTENSION_ID:
        raise InstallError(f"{path} is the extension {name}, not {EXTENSION_ID}")
    return version


def write_record(source: Path | None) -> Path:
    """Notes this interpreter, and what can be installed from, for the extension; returns the file."""
    from runtime.files.atomic import atomic_write_text
    from runtime.folders import state_folder

    path = state_folder() / "vscode.json"
    # Not resolved: in a virtual environment the path itself, a link, is what selects the environment.
    record = {"interpreter": os.path.abspath(sys.executable), "source": str(source) if source else None}
    atomic_write_text(path, json.dumps(record, indent=1) + "\n")
    return path
