"""Rules for NameError: misspelt names, missing imports, names that belong to another scope."""

import ast
import re

from runtime.code.errors import stdlib
from runtime.code.errors.definitions import attributes, class_around, self_name
from runtime.code.errors.edits import insert
from runtime.code.errors.scope import Binding, bound_anywhere, distance, nearest, plausible, visible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import Function, View

_UNDEFINED = re.compile(r"(?:free variable |cannot access free variable |name |global name )?'(\w+)'")

_OTHER_LANGUAGES = {
    "raw_input": "input",
    "xrange": "range",
    "unicode": "str",
    "long": "int",
    "unichr": "chr",
    "basestring": "str",
    "true": "True",
    "false": "False",
    "null": "None",
    "none": "None",
    "nil": "None",
    "undefined": "None",
}


def not_defined(s: Situation) -> Finding | None:
    """NameError: name 'x' is not defined."""
    found = _UNDEFINED.match(s.message)
    if not found or s.view.tree is None:
        return None
    name = found.group(1)
    for rule in (_own_attribute, _other_language, _missing_import, _too_early, _misspelt, _elsewhere):
        finding = rule(s, name)
        if finding is not None:
            return finding
    return Finding(
        f"Nothing gives the name `{name}` a value where this line can see it.",
        (Fact("names like it", "none can be seen here"),),
    )


def loads(view: View, name: str, within: ast.AST | None = None) -> list[ast.Name]:
    nodes = ast.walk(within or view.tree)
    return [n for n in nodes if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]


def _now_visible(name: str, line: int):
    """The proof that a name can be seen at a line (shifted by what the repair put above it)."""

    def proof(view: View, before: int = line) -> str | None:
        seen = visible(view, before).get(name)
        return f"`{name}` can be seen there ({seen})" if seen else None

    return proof


def _other_language(s: Situation, name: str) -> Finding | None:
    if name not in _OTHER_LANGUAGES:
        return None
    right = _OTHER_LANGUAGES[name]
    return Finding(
        f"`{name}` is not a name of Python 3; the same is written `{right}`.",
        edits=tuple(s.replace(n, right) for n in loads(s.view, name)),
        title=f"Change `{name}` to `{right}`",
        proof=f"`{right}` is part of Python",
    )


def _own_attribute(s: Situation, name: str) -> Finding | None:
    function, cls = s.view.function(s.line), class_around(s.view, s.line)
    own = self_name(function) if function is not None else None
    if cls is None or own is None or function not in cls.body:
        return None
    attribute = attributes(s.view, cls, lambda module: None).found.get(name)
    if attribute is None or not attribute.line:
        return None
    return Finding(
        f"`{name}` is an attribute of the class `{cls.name}`, not a variable: inside a method it is `{own}.{name}`.",
        (Fact(f"{cls.name}.{name}", str(attribute)),),
        tuple(s.replace(n, f"{own}.{name}") for n in loads(s.view, name, function)),
        f"Change `{name}` to `{own}.{name}`",
        f"`{cls.name}` has `{name}` ({attribute})",
    )


def _import_line(view: View) -> int:
    """Where a new import goes: after the docstring and `from __future__`, before the first other statement."""
    for statement in view.tree.body:
        docstring = isinstance(statement, ast.Expr) and isinstance(getattr(statement, "value", None), ast.Constant)
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not docstring and not future:
            return min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
    return len(view.lines) + 1


def _missing_import(s: Situation, name: str) -> Finding | None:
    if bound_anywhere(s.view, name):
        return None
    read = {
        n.attr
        for n in ast.walk(s.view.tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == name
    }
    known = stdlib.names(name) if stdlib.is_module(name) else frozenset()
    if read and read <= known:
        return _add_import(s, name, f"import {name}", f"the module `{name}` of Python's library", name)
    home = stdlib.HOMES.get(name)
    if home is None or name not in stdlib.names(home) or _slip_of_a_variable(s, name):
        return None
    imported = [b for b in bound_anywhere(s.view, home) if isinstance(b.node, ast.Import)]
    if imported and home in visible(s.view, s.line):
        return Finding(
            f"`{name}` stands in the module `{home}`, which is imported as a whole (line {imported[0].line}).",
            (Fact(f"{home}.{name}", "is there in Python's library"),),
            tuple(s.replace(n, f"{home}.{name}") for n in loads(s.view, name)),
            f"Change `{name}` to `{home}.{name}`",
            f"the module `{home}` holds `{name}`",
        )
    return _add_import(s, name, f"from {home} import {name}", f"`{name}` of the module `{home}`", home)


def _slip_of_a_variable(s: Situation, name: str) -> bool:
    """Whether a variable in view is one slip away: `date` for `data` is no missing import."""
    own = (b for b in s.visible().values() if b.line and b.kind != "import" and plausible(name, b.name))
    return any(distance(name, b.name) == 1 for b in own)


def _add_import(s: Situation, name: str, statement: str, what: str, module: str) -> Finding:
    line = _import_line(s.view)
    return Finding(
        f"`{name}` is used but never imported; it is {what}.",
        (Fact(f"module {module}", "part of Python's own library, read from its source"),),
        (insert(line, 0, statement + "\n"),),
        f"Add `{statement}`",
        _now_visible(name, s.line + 1),
    )


def _too_early(s: Situation, name: str) -> Finding | None:
    seen = s.visible().get(name)
    if seen is None or not seen.line:
        return None
    deleted = [
        n.lineno
        for n in ast.walk(s.view.tree)
        if isinstance(n, ast.Delete) and any(getattr(t, "id", "") == name for t in n.targets)
    ]
    if isinstance(seen.node, ast.ExceptHandler):
        why = f"Python deletes `{name}` at the end of the `except` block of line {seen.line}: use it inside the block."
    elif deleted:
        why = f"`{name}` was deleted by `del` in line {deleted[0]}."
    elif seen.line > s.line:
        why = f"`{name}` gets its value only in line {seen.line}, after line {s.line} has already asked for it."
    else:
        why = f"`{name}` is bound in line {seen.line}, but the program did not come through there before this line."
    return Finding(why, (Fact(f"`{name}` is bound", str(seen)),))


def _misspelt(s: Situation, name: str) -> Finding | None:
    names = {**s.visible(), "True": Binding("True", "constant", 0), "False": Binding("False", "constant", 0)}
    called = any(isinstance(n.func, ast.Name) and n.func.id == name for n in s.nodes(ast.Call))
    functions = _used_like_a_builtin(s.view, name)
    near = [
        n
        for n in nearest(name, names, 5)
        if plausible(name, n) and (functions or names[n].kind != "builtin" or n.endswith(("Error", "Exception")))
    ]
    for constant in ("True", "False", "None"):  # keywords, so not among the names of a scope
        if plausible(name, constant):
            near.append(constant)
    if not near:
        return None

    def rank(other: str) -> tuple:
        binding = names.get(other)
        where = 2 if binding is None or not binding.line else 0 if binding.kind != "import" else 1
        callable_kind = binding is None or binding.kind in ("function", "class", "import", "builtin")
        return distance(name.lower(), other.lower()), called and not callable_kind, where

    near.sort(key=rank)
    best = near[0]
    binding = names.get(best)
    facts = [Fact("nearest name", f"`{best}` ({binding or 'constant'})")]
    if near[1:]:
        facts.append(Fact("other names like it", listed(near[1:])))
    scope = s.view.function(s.line) if bound_anywhere(s.view, name) else None
    edits = tuple(
        s.replace(n, best)
        for n in loads(s.view, name, scope)
        if best in visible(s.view, n.lineno) or best in ("True", "False", "None")
    )
    return Finding(
        f"There is no `{name}` in view; `{best}` is, so `{name}` looks like a misspelling of it.",
        tuple(facts),
        edits,
        f"Change `{name}` to `{best}`",
        f"`{best}` is a constant of Python"
        if binding is None or best in ("True", "False")
        else _now_visible(best, s.line),
    )


_TAKE_FUNCTIONS = frozenset(("isinstance", "issubclass", "map", "filter", "defaultdict", "partial", "field"))


def _used_like_a_builtin(view: View, name: str) -> bool:
    """Whether the name stands where a function or type of Python would: called, passed on, in an annotation.

    `lst.append(1)` is no misspelt `list`.
    """

    def named(node: ast.AST | None) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    for node in ast.walk(view.tree):
        if isinstance(node, ast.Call):
            taking = getattr(node.func, "id", getattr(node.func, "attr", "")) in _TAKE_FUNCTIONS
            if (
                named(node.func)
                or (taking and any(map(named, node.args)))
                or any(named(k.value) for k in node.keywords)
            ):
                return True
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if part is not None and any(map(named, ast.walk(part))):
                return True
        if any(map(named, (*getattr(node, "decorator_list", ()), *getattr(node, "bases", ())))):
            return True
    return name.startswith("__")


def _elsewhere(s: Situation, name: str) -> Finding | None:
    """The name exists, but in a scope that this line cannot see."""
    found = bound_anywhere(s.view, name)
    if not found:
        return None
    first = found[0]
    inside = s.view.scopes(first.line)
    owner = next((c for c in reversed(inside) if isinstance(c, (*Function.__args__, ast.ClassDef))), None)
    if isinstance(owner, ast.ClassDef):
        cause = f"`{name}` is defined inside the class `{owner.name}`; from here it is `{owner.name}.{name}`."
        return Finding(
            cause,
            (Fact(f"`{name}` is bound", str(first)),),
            tuple(s.replace(n, f"{owner.name}.{name}") for n in s.nodes(ast.Name, lambda n: n.id == name)),
            f"Change `{name}` to `{owner.name}.{name}`",
            f"the class `{owner.name}` binds `{name}` (line {first.line})",
        )
    where = f"the function `{owner.name}`" if owner is not None else "another scope"
    return Finding(
        f"`{name}` exists only inside {where} (line {first.line}): this line is outside of it and cannot see it.",
        (Fact(f"`{name}` is bound", str(first)),),
    )
