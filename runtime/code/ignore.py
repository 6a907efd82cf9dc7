"""Which paths git would ignore: .gitignore files, nested, with negation, and .git/info/exclude.

Git itself is not asked: a repository's own configuration can name programs that git would run. Patterns are those of
gitignore(5), matched by the library pathspec. Does not know the user's global ignore file.
"""

from __future__ import annotations

from pathlib import Path

from pathspec import GitIgnoreSpec

_MOST_BYTES = 1 << 20
_MOST_PARENTS = 32


class Ignores:
    """The rules in force in one folder: its own .gitignore and those of the folders above it in the same work tree."""

    def __init__(self, chain: list[tuple[Path, GitIgnoreSpec]]):
        self._chain = chain  # (folder of the rules, rules), outermost first

    @classmethod
    def at(cls, root: Path) -> Ignores:
        """Rules for `root`, which may lie inside a work tree. Outside of one only its own count, and so they do where
        the tree ignores `root`: it was asked for by name."""
        above = [root, *list(root.parents)[:_MOST_PARENTS]]
        top = next((n for n, folder in enumerate(above) if (folder / ".git").exists()), 0)
        rules = cls(_rules(above[top], above[top] / ".git" / "info" / "exclude"))
        for folder in reversed(above[: top + 1]):
            if rules.match(folder, True):
                return cls(_rules(root, root / ".gitignore"))
            rules = rules.inside(folder)
        return rules

    def inside(self, folder: Path) -> Ignores:
        """The rules one folder further down."""
        own = _rules(folder, folder / ".gitignore")
        return Ignores([*self._chain, *own]) if own else self

    def match(self, path: Path, is_folder: bool) -> bool:
        """Whether `path` is ignored: the last matching pattern of the innermost .gitignore decides."""
        for folder, rules in reversed(self._chain):
            if path == folder:
                continue
            name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
            found = rules.check_file(name).include
            if found is not None:
                return found
        return False


def _rules(folder: Path, file: Path) -> list[tuple[Path, GitIgnoreSpec]]:
    """[(folder, rules of the file)], or [] where there is none. What is no pattern is passed over, as git does."""
    if file.is_symlink() or not file.is_file():
        return []
    try:
        with open(file, "rb") as stream:
            lines = stream.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    good = [line for line in lines if line.strip() and not line.startswith("#") and _is_pattern(line)]
    return [(folder, GitIgnoreSpec.from_lines(good))] if good else []


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
