"""Which sources an explanation may read: the file that was named, open documents, Python sources of the project folder.

A traceback comes from anywhere, so a path in it is a claim: it is read only if it resolves, links followed, to a Python
file below a folder that the user named or works in, and never if it belongs to an installed package. Runs nothing.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from runtime.code.errors.view import MOST_CHARACTERS
from runtime.code.source import read_source

SUFFIXES = (".py", ".pyw", ".pyi")
MOST_ENTRIES = 2000  # of a folder that is listed
_FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
_SIGNS = (".git", "pyproject.toml", "setup.py", "setup.cfg")  # of a project's top folder


def project_folder(start: Path) -> Path:
    """The nearest folder above that looks like the top of a project, else `start`; never the home folder or above."""
    start = start.resolve()
    home = Path(os.path.expanduser("~")).resolve()
    for folder in (start, *start.parents):
        if folder == home or folder == folder.parent:
            break
        if any((folder / sign).exists() for sign in _SIGNS):
            return folder
    return start


class Project:
    """`roots`: folders whose Python sources may be read. `given`: texts that count instead of what is on disk, by path
    (the file that the user named, the documents open in the editor). `here`: the folder that relative paths start from.
    """

    def __init__(self, roots: Sequence[Path], here: Path, given: Mapping[Path, str] | None = None):
        self.roots = [root.resolve() for root in roots]
        self.here = here.resolve()
        self.given = {_resolved(path): text for path, text in (given or {}).items()}

    def source(self, path: str) -> tuple[str, str] | None:
        """(name to show, text) of a path in a traceback; None if it may not or cannot be read."""
        if path.startswith("<") or "\0" in path or len(path) > 4096:
            return None
        whole = _resolved(self.here / path)
        if (found := self._read(whole)) is not None:
            return found
        if whole.exists():
            return None  # it exists here and may not be read: nothing of the same name counts as it
        # From another machine or container: the longest end of the path that exists here.
        parts = (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).parts
        for cut in range(1, min(len(parts), 30)):
            tail = parts[cut:]
            if ".." in tail:
                continue
            for root in self.roots:
                if (found := self._read(_resolved(root.joinpath(*tail)))) is not None:
                    return found
        same = [p for p in self.given if p.name == parts[-1]] if parts else []
        return self._read(same[0]) if len(same) == 1 else None

    def module(self, name: str, beside: str) -> tuple[str, str] | None:
        """(name to show, text) of a module as the file `beside` would find it."""
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        for folder in self._import_folders(beside):
            base = folder.joinpath(*parts)
            for path in (base.with_name(base.name + ".py"), base / "__init__.py"):
                if (found := self._read(_resolved(path))) is not None:
                    return found
        return None

    def modules(self, beside: str) -> list[str]:
        """Names that `beside` could import from its own folder and from the roots."""
        found: dict[str, None] = {}
        for folder in self._import_folders(beside):
            for name in self._entries(folder):
                stem, suffix = os.path.splitext(name)
                if suffix == ".py" and stem.isidentifier():
                    found.setdefault(stem)
                elif name.isidentifier() and (folder / name / "__init__.py").is_file():
                    found.setdefault(name)
        return list(found)

    def files(self, folder: str) -> list[str]:
        """Names in a folder, if it lies in the project."""
        return sorted(self._entries(_resolved(self.here / folder)))

    def _import_folders(self, beside: str) -> list[Path]:
        own = _resolved(self.here / beside).parent
        folders = [own, *(parent for parent in own.parents if self._inside(parent)), *self.roots]
        return list(dict.fromkeys(folder for folder in folders if self._inside(folder)))

    def _entries(self, folder: Path) -> list[str]:
        if not self._inside(folder):
            return []
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry, _ in zip(entries, range(MOST_ENTRIES), strict=False)
                        if not entry.name.startswith(".")]  # fmt: skip
        except OSError:
            return []

    def _inside(self, path: Path) -> bool:
        for root in self.roots:
            if path.is_relative_to(root):
                return not _FOREIGN & set(path.relative_to(root).parts)
        return False

    def _read(self, path: Path) -> tuple[str, str] | None:
        if path in self.given:
            return self._shown(path), self.given[path]
        if not self._inside(path) or path.suffix.lower() not in SUFFIXES:
            return None
        try:
            if not path.is_file() or path.stat().st_size > MOST_CHARACTERS:
                return None
            return self._shown(path), read_source(path).text
        except (OSError, ValueError):
            return None

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.here).as_posix() if path.is_relative_to(self.here) else str(path)


def _resolved(path: Path) -> Path:
    """The path with its links followed; a path that cannot be resolved stays as it is and will not be found."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path
