"""Installed models: what lies in the models folder, copying a model there, removing it, and which one is the default.

A model is a folder of its own: a Hugging Face folder, or one that holds a .gguf file. A model is checked before it is
copied, and appears under its name only when all of it is there. Knows no editor and no command line.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from runtime.files.atomic import atomic_write_text, fsync_folder
from runtime.files.errors import FormatError
from runtime.files.reader import read_bytes
from runtime.folders import models_folder, state_folder
from runtime.model import find_model, has_tokenizer
from runtime.models.families import open_model

EMBEDDED_NAME = "default"  # what load_model calls the model that comes with the program
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_PARTS = (
    "*.safetensors",
    "*.json",
    "*.model",
    "merges.txt",
    "vocab.txt",
    "*.jinja",
    "LICENSE*",
    "NOTICE*",
    "README.md",
)
_PIECE = 16 << 20


def check_name(name: str) -> str:
    """The name, if it may be one: it becomes a folder. ValueError otherwise."""
    if not _NAME.match(name) or name in (EMBEDDED_NAME, "embedded"):
        raise ValueError(
            f"{name!r:.60} cannot be the name of a model: letters, digits, . _ - (at most 100), not “default”"
        )
    return name


def installed() -> list[str]:
    """Names of the installed models, sorted."""
    folder = models_folder()
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and _NAME.match(path.name))


def place_of(name: str) -> Path:
    """Folder of an installed model; FileNotFoundError if there is none of this name."""
    if not _NAME.match(name) or not (models_folder() / name).is_dir():
        raise FileNotFoundError(f"no installed model is called {name!r:.60}; `hearth models list` shows them")
    return models_folder() / name


def install(
    source: str | os.PathLike, name: str | None = None, progress: Callable[[int, int], None] | None = None
) -> str:
    """Copy a model folder or .gguf (all parts of a split one) to the models folder; its name there.

    Everything that can be checked without computing is checked first. Code, pickles and links are not copied. Raises
    FormatError, FileNotFoundError, ValueError (name taken or not allowed). progress(bytes copied, bytes in all).
    """
    path = find_model(source)
    name = check_name(name if name is not None else path.stem if path.is_file() else path.name)
    target = models_folder() / name
    if target.exists():
        raise ValueError(f"a model {name!r} is installed already: remove it first, or choose another name")
    stored = open_model(path)
    if not has_tokenizer(path, stored.weights.file):
        raise FormatError("tokenizer", path, None, "the model has no tokenizer: it could not read text")
    if path.is_file():
        files = [Path(file) for file, _ in stored.weights.file.files()]
    else:
        found = {file for pattern in _PARTS for file in path.glob(pattern)}
        files = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    total, done = sum(file.stat().st_size for file in files), 0
    models_folder().mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=models_folder()))
    try:
        for file in files:
            with open(file, "rb") as read, open(making / file.name, "wb") as write:
                while piece := read.read(_PIECE):
                    write.write(piece)
                    done += len(piece)
                    if progress:
                        progress(done, total)
                write.flush()
                os.fsync(write.fileno())
        making.chmod(0o755)
        making.rename(target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    fsync_folder(models_folder())
    return name


def remove(name: str) -> None:
    """Delete an installed model; the default becomes the embedded one if it was this. FileNotFoundError if absent."""
    folder = place_of(name)
    if default_model() == name:
        set_default(EMBEDDED_NAME)
    shutil.rmtree(folder)


def default_model() -> str:
    """Name of the model that commands and the server use if they are told none."""
    try:
        name = read_bytes(_default_file(), 200, "the name of the default model").decode("utf-8", "replace").strip()
    except (FileNotFoundError, FormatError):
        return EMBEDDED_NAME
    return name if _NAME.match(name) and (models_folder() / name).is_dir() else EMBEDDED_NAME


def set_default(name: str) -> None:
    """Use this installed model, or "default" for the embedded one. FileNotFoundError if it is not installed."""
    if name == EMBEDDED_NAME:
        _default_file().unlink(missing_ok=True)
        return
    place_of(name)
    atomic_write_text(_default_file(), name + "\n")


def _default_file() -> Path:
    return state_folder() / "default-model"
