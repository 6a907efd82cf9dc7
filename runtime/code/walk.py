"""Walks a repository: the files of its authors, and what was left out with the reason.

Left out: what git ignores, version control, virtual environments, other repositories inside, vendored and generated
code, caches and build output, links, files too large, and files that exist to keep a secret. No link is followed, so
the walk cannot leave the tree or run in circles. Reads names, sizes and .gitignore files, no contents.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from runtime.code.ignore import Ignores
from runtime.code.secret_rules import is_secret_file

MAX_BYTES = 1 << 20
MAX_ENTRIES = 1_000_000  # of the whole tree: somebody gave / or a home folder

_VERSION_CONTROL = {".git", ".hg", ".svn", ".bzr", ".jj"}
_VENDORED = {
    "_vendor", "vendor", "vendored", "_vendored", "third_party", "thirdparty", "extern", "externals", "node_modules",
    "bower_components", "site-packages", "dist-packages",
}  # fmt: skip
_CACHES = {
    "__pycache__", ".tox", ".nox", ".eggs", ".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
    ".ipynb_checkpoints", "htmlcov",
}  # fmt: skip
_OUTPUT = {"build", "dist"}  # at the root, and no package there: a project may well have a package of that name
_GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$|\.min\.(js|css)$|\.designer\.\w+$", re.I)


@dataclass(frozen=True)
class File:
    """path: relative to the root, with "/". size: bytes, when the walk saw it."""

    path: str
    file: Path
    size: int


@dataclass
class Tree:
    """files: by path. left_out: (path, reason), folders end with "/". others: how many of other kinds, by suffix."""

    root: Path
    files: list[File] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def walk(root: str | os.PathLike, suffixes: tuple[str, ...] = (".py",), max_bytes: int = MAX_BYTES) -> Tree:
    """The files under `root` that end with one of `suffixes` and belong to its authors.

    Raises FileNotFoundError, NotADirectoryError, and ValueError for a tree of more than a million entries.
    """
    root = Path(root)
    if not root.is_dir():
        kind = NotADirectoryError if root.exists() else FileNotFoundError
        raise kind(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    root = root.resolve()
    tree = Tree(root)
    seen = 0
    stack = [(root, "", Ignores.at(root))]
    while stack:
        folder, prefix, ignores = stack.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda e: e.name)
        except OSError as error:
            tree.left_out.append((prefix or "./", f"cannot be read ({error.strerror or 'error'})"))
            continue
        seen += len(found)
        if seen > MAX_ENTRIES:
            raise ValueError(f"{root} holds more than {MAX_ENTRIES:,} entries: give the folder of one repository")
        for entry in found:
            path, relative = Path(entry.path), prefix + entry.name
            if not _is_text(entry.name):
                tree.left_out.append((relative.encode("utf-8", "replace").decode(), "name is not UTF-8"))
            elif entry.is_symlink():
                if _wanted(entry.name, suffixes) or path.is_dir():
                    tree.left_out.append((relative, "link"))
            elif entry.is_dir(follow_symlinks=False):
                reason = _folder_reason(path, prefix, ignores)
                if reason:
                    tree.left_out.append((relative + "/", reason))
                else:
                    stack.append((path, relative + "/", ignores.inside(path)))
            else:
                _file(tree, entry, relative, ignores, suffixes, max_bytes)
    tree.files.sort(key=lambda file: file.path)
    tree.left_out.sort()
    return tree


def _is_text(name: str) -> bool:
    """Whether the file system's bytes of a name were UTF-8: others have no text that could be shown or hashed."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes)


def _file(tree: Tree, entry: os.DirEntry, relative: str, ignores: Ignores, suffixes, max_bytes: int) -> None:
    name = entry.name
    if is_secret_file(name):  # told whatever its kind, ignored or not
        tree.left_out.append((relative, "secret file"))
    elif not _wanted(name, suffixes):
        tree.others[Path(name).suffix.lower() or "(no suffix)"] += 1
    elif not entry.is_file(follow_symlinks=False):
        tree.left_out.append((relative, "not a regular file"))
    elif ignores.match(Path(entry.path), False):
        tree.left_out.append((relative, "ignored by git"))
    elif _GENERATED.search(name):
        tree.left_out.append((relative, "generated"))
    else:
        try:
            size = entry.stat(follow_symlinks=False).st_size
        except OSError:
            tree.left_out.append((relative, "cannot be read"))
            return
        if size > max_bytes:
            tree.left_out.append((relative, "too large"))
        else:
            tree.files.append(File(relative, Path(entry.path), size))


def _folder_reason(path: Path, prefix: str, ignores: Ignores) -> str | None:
    name = path.name
    if name in _VERSION_CONTROL:
        return "version control"
    if name in _CACHES or name.endswith((".egg-info", ".dist-info")):
        return "cache"
    if (path / "pyvenv.cfg").exists() or (path / "conda-meta").is_dir():
        return "virtual environment"
    if ignores.match(path, True):
        return "ignored by git"
    if name.lower() in _VENDORED:
        return "vendored"
    if not prefix and name in _OUTPUT and not (path / "__init__.py").exists():
        return "build output"
    if (path / ".git").exists():
        return "another repository"
    return None
