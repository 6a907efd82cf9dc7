"""What a rule is given (one exception at one place of one source) and what it gives back (a cause, facts, a repair)."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from runtime.code.errors.edits import Edit
from runtime.code.errors.scope import Binding, visible
from runtime.code.errors.view import View

Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True)
class Fact:
    """`checked`: looked up here, in the source or in Python itself; otherwise what the traceback says, or likely."""

    name: str
    value: str
    checked: bool = True


class Sources(Protocol):
    """What may be read, decided by the caller. None of these may read outside the project."""

    def source(self, path: str) -> tuple[str, str] | None:
        """(name to show, text) of a source that a traceback names, or None."""

    def module(self, name: str, beside: str) -> tuple[str, str] | None:
        """(name to show, text) of a module of the project, looked up as from the file `beside`."""

    def modules(self, beside: str) -> list[str]:
        """Names of the modules that `beside` could import from the project."""

    def files(self, folder: str) -> list[str]:
        """Names in a folder of the project, relative to where the program ran; empty outside of it."""


class NoSources:
    """Sources of somebody who allows nothing to be read."""

    def source(self, path: str) -> tuple[str, str] | None:
        return None

    def module(self, name: str, beside: str) -> tuple[str, str] | None:
        return None

    def modules(self, beside: str) -> list[str]:
        return []

    def files(self, folder: str) -> list[str]:
        return []


@dataclass(frozen=True)
class Finding:
    """What a rule found. `title` names the repair as a menu entry. `proof` is the reason for the repair, or better a
    look at the repaired source that says what is true of it; None from that look refutes the repair."""

    cause: str
    facts: tuple[Fact, ...] = ()
    edits: tuple[Edit, ...] = ()
    title: str = ""
    proof: Callable[[View], str | None] | str = ""


@dataclass
class Situation:
    """`line` from 1 in `view`; `marks` are the columns of the expression that Python pointed at; `here` says that this
    very line raised, and not something that it called."""

    view: View
    line: int
    type: str
    message: str
    marks: tuple[int, int] | None = None
    here: bool = True
    sources: Sources = field(default_factory=NoSources)

    def nodes(self, kind: type[Node], where: Callable[[Node], bool] = lambda node: True) -> list[Node]:
        """Nodes of this kind that the statement evaluates, those that Python marked first, then those on the line."""
        found = [n for n in self.view.parts(self.line) if isinstance(n, kind) and hasattr(n, "lineno")]
        found = [n for n in found if n.lineno <= self.line <= n.end_lineno and where(n)] or [
            n for n in found if where(n)
        ]
        if self.marks is not None:
            exact = [n for n in found if self._marked(n)]
            inside = [n for n in found if self._inside(n)]
            found = exact or inside or found
        return sorted(found, key=self.view.start)

    def the(self, kind: type[Node], where: Callable[[Node], bool] = lambda node: True) -> Node | None:
        """The one node of this kind that can be meant; None if there is none or the text leaves it open."""
        found = self.nodes(kind, where)
        return found[0] if len(found) == 1 else None

    def _marked(self, node: ast.AST) -> bool:
        end = self.view.end(node)
        return self.view.start(node) == (self.line, self.marks[0]) and (end[0] > self.line or end[1] == self.marks[1])

    def _inside(self, node: ast.AST) -> bool:
        start, end = self.view.start(node), self.view.end(node)
        return start[0] == end[0] == self.line and self.marks[0] <= start[1] and end[1] <= self.marks[1]

    def visible(self) -> dict[str, Binding]:
        return visible(self.view, self.line)

    def replace(self, node: ast.AST, text: str) -> Edit:
        """Puts `text` in the place of a node. The parentheses of a call around a sole generator count as the
        generator's, so they are given back."""
        if isinstance(node, ast.GeneratorExp) and self._is_sole_argument(node):
            text = f"({text})"
        return Edit(self.view.start(node), self.view.end(node), text)

    def _is_sole_argument(self, node: ast.GeneratorExp) -> bool:
        calls = [n for n in self.view.parts(self.line) if isinstance(n, ast.Call) and n.args == [node]]
        return any(self.view.end(call) == self.view.end(node) for call in calls)

    def text(self, node: ast.AST) -> str:
        return self.view.source(node)

    def module(self, name: str) -> View | None:
        """A module of the project."""
        found = self.sources.module(name, self.view.path)
        return View(found[1], found[0]) if found else None


Rule = Callable[[Situation], Finding | None]


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in a row for people; "none" for none."""
    if not names:
        return "none"
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
