"""Which names can be seen at a line of a module, what bound each and where; and the nearest to a misspelt one.

Python's rules (function, enclosing functions, module, builtins; a class body only for itself) over the syntax tree.
Imports are names here, not modules: what they hold, `stdlib` and the caller know.
"""

import ast
import builtins
import difflib
import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runtime.code.errors.view import Function, View

MODULE_NAMES = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__builtins__"})
BUILTINS = frozenset(dir(builtins)) | MODULE_NAMES
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Binding:
    """What binds a name: `kind` in words, the line, and the node (assignment, import, definition, argument)."""

    name: str
    kind: str
    line: int
    node: ast.AST | None = None

    def __str__(self) -> str:
        return f"{self.kind}, line {self.line}" if self.line else self.kind


def bindings(scope: ast.AST) -> list[Binding]:
    """Everything that binds a name in a module, class or function itself, in the order of the text."""
    kept = getattr(scope, "_bindings", None)  # rules ask again and again: kept at the node itself
    if kept is None:
        kept = scope._bindings = _bindings(scope)
    return kept


def _bindings(scope: ast.AST) -> list[Binding]:
    found: list[Binding] = []
    if isinstance(scope, (*Function.__args__, ast.Lambda)):
        found += [Binding(a.arg, "parameter", a.lineno, a) for a in arguments(scope.args)]
    if isinstance(scope, ast.Lambda):
        return found
    outside = {name for node in _own(scope.body) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
    for node in _own(scope.body):
        found += [b for b in _bound(node) if b.name not in outside or isinstance(scope, ast.Module)]
    found.sort(key=lambda binding: binding.line)
    return found


def arguments(args: ast.arguments) -> list[ast.arg]:
    return [a for a in (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg) if a is not None]


def _own(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of a scope, without the insides of the functions, classes, lambdas and comprehensions in it."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, Function):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]
        elif isinstance(node, ast.ClassDef):
            todo += [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]
        elif isinstance(node, ast.Lambda):
            continue
        elif isinstance(node, _COMPREHENSIONS):
            todo += [inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        else:
            todo += ast.iter_child_nodes(node)


def _bound(node: ast.AST) -> Iterator[Binding]:
    if isinstance(node, Function):
        yield Binding(node.name, "function", node.lineno, node)
    elif isinstance(node, ast.ClassDef):
        yield Binding(node.name, "class", node.lineno, node)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            if alias.name != "*":
                name = alias.asname or (alias.name.split(".")[0] if isinstance(node, ast.Import) else alias.name)
                yield Binding(name, "import", node.lineno, node)
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield Binding(node.name, "exception of `except`", node.lineno, node)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if not isinstance(node, ast.AnnAssign) or node.value is not None:
            yield from (Binding(n.id, "variable", n.lineno, node) for n in _targets(targets))
    elif isinstance(node, ast.For | ast.AsyncFor):
        yield from (Binding(n.id, "loop variable", n.lineno, node) for n in _targets([node.target]))
    elif isinstance(node, ast.With | ast.AsyncWith):
        given = [item.optional_vars for item in node.items if item.optional_vars is not None]
        yield from (Binding(n.id, "variable of `with`", n.lineno, node) for n in _targets(given))
    elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        yield Binding(node.name, "capture of `match`", node.lineno, node)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield Binding(node.rest, "capture of `match`", node.lineno, node)


def _targets(nodes: Iterable[ast.AST]) -> list[ast.Name]:
    return [n for target in nodes for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def visible(view: View, line: int) -> dict[str, Binding]:
    """The names that code at `line` can read, the nearest binding of each; builtins last."""
    found: dict[str, Binding] = {}
    for node in view.parts(line):
        if isinstance(node, _COMPREHENSIONS):
            for name in _targets(generator.target for generator in node.generators):
                found.setdefault(name.id, Binding(name.id, "comprehension variable", name.lineno, node))
        elif isinstance(node, ast.Lambda):
            for binding in bindings(node):
                found.setdefault(binding.name, binding)
    chain = view.scopes(line)
    if chain and isinstance(chain[-1], Function) and line < chain[-1].body[0].lineno:
        chain = chain[:-1]  # decorators, defaults and annotations belong to the scope outside
    for scope in reversed(chain):
        if isinstance(scope, ast.ClassDef) and scope is not chain[-1]:
            continue
        for binding in bindings(scope):
            found.setdefault(binding.name, binding)
    for name, node in view.declared_globals.items():
        found.setdefault(name, Binding(name, "global variable", node.lineno, node))
    for name in sorted(BUILTINS):
        found.setdefault(name, Binding(name, "builtin", 0))
    return found


def bound_anywhere(view: View, name: str) -> list[Binding]:
    """All bindings of a name in the module, whatever the scope."""
    if view.tree is None:
        return []
    scopes = [view.tree, *(n for n in ast.walk(view.tree) if isinstance(n, (*Function.__args__, ast.ClassDef)))]
    return [binding for scope in scopes for binding in bindings(scope) if binding.name == name]


def nearest(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names that look most like `name`, best first; those that differ in case or underscores alone come first."""
    pool = [n for n in names if n != name and not keyword.iskeyword(n)]

    def plain(text: str) -> str:
        return text.replace("_", "").lower()

    same = sorted(n for n in pool if plain(n) == plain(name))
    others = difflib.get_close_matches(name, pool, most + len(same), 0.6 if len(name) > 3 else 0.65)
    # A neighbour by one typing slip counts more than one that shares many letters.
    others.sort(key=lambda n: (distance(name, n), -difflib.SequenceMatcher(None, name, n).ratio(), n))
    return [*same, *(n for n in others if n not in same)][:most]


def distance(a: str, b: str) -> int:
    """Typing slips between two names: letters added, dropped, changed, or two neighbours swapped (Damerau–Levenshtein,
    optimal string alignment)."""
    a, b = a[:64], b[:64]
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def plausible(name: str, candidate: str) -> bool:
    """Whether `candidate` is near enough to be what was meant: one slip, two in a name of 6 letters, three of 10.

    Names that differ on purpose are not: `row1` and `row2`, `start_x` and `start_y`, `encode` and `decode`.
    """
    name, candidate = name.lower(), candidate.lower()
    slips = distance(name, candidate)
    longest = max(len(name), len(candidate))
    if slips and _on_purpose(name, candidate):
        return False
    return slips == 0 or (longest >= 3 and slips <= (1 if longest < 6 else 2 if longest < 10 else 3))


_PARTS = re.compile(r"\d+|[^\W\d_]+")
_OPPOSITES = {
    frozenset(pair.split())
    for pair in (
        "encode decode", "import export", "include exclude", "increase decrease", "increment decrement", "min max",
        "row col", "rows cols", "left right", "first last", "lower upper", "enable disable", "input output", "get set",
        "load save", "push pull", "prev next", "old new", "src dst", "open close", "read write", "send recv",
    )
}  # fmt: skip


def _on_purpose(a: str, b: str) -> bool:
    """Whether the two differ in one part, and that by a number, a single letter or an opposite."""
    parts = _PARTS.findall(a), _PARTS.findall(b)
    if len(parts[0]) != len(parts[1]):
        return False
    differing = [pair for pair in zip(*parts, strict=True) if pair[0] != pair[1]]
    if len(differing) != 1:
        return False
    one, other = differing[0]
    single = len(one) == len(other) == 1 and len(parts[0]) > 1
    return frozenset((one, other)) in _OPPOSITES or (one.isdigit() and other.isdigit()) or single
