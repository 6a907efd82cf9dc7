"""The held-out packages: what `unseen.txt` lists, and how a file is recognised as one of theirs.

By the name of its distribution, by a folder of its path that carries their import name (vendored copies), and by its
content (`near_copy` over the signatures of the held-out packages that are installed). Changes nothing on disk.
"""

import re
from functools import cache
from pathlib import Path

PROJECT = "codehearth"


@cache
def table() -> dict[str, tuple[str, ...]]:
    """{distribution name: import names}, distribution names as `canonical` writes them."""
    found = {}
    for line in (Path(__file__).parent / "unseen.txt").read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words:
            found[canonical(words[0])] = tuple(words[1:]) or (words[0].replace("-", "_"),)
    return found


def names() -> frozenset[str]:
    """The distribution names."""
    return frozenset(table())


@cache
def import_names() -> frozenset[str]:
    """The names they are imported under; those of this project only count at the top of a source (`is_unseen`)."""
    return frozenset(name for imports in table().values() for name in imports)


@cache
def _nested() -> frozenset[str]:
    # "runtime" is a common folder name, so the project's own count only where an import would find them.
    return import_names() - {name for name in table().get(PROJECT, ()) if name != PROJECT}


def canonical(distribution: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def is_unseen(distribution: str, relative: str) -> bool:
    """Whether a file belongs to a held-out package; relative: path from the folder that is on the import path."""
    if canonical(distribution) in table():
        return True
    *folders, name = relative.split("/")
    if (folders[0] if folders else name.removesuffix(".py")) in import_names():
        return True
    return not _nested().isdisjoint(folders)
