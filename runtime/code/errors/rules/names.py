"""Rules for NameError and UnboundLocalError: misspelt names, missing imports, names of another scope."""

import ast
import re

from runtime.code.errors import stdlib
from runtime.code.errors.definitions import attributes, class_around, self_name
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.origins import assignments
from runtime.code.errors.scope import Binding, bindings, bound_anywhere, distance, nearest, plausible, visible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import Function, View

_UNDEFINED = re.compile(r"(?:free variable |cannot access free variable |name |global name )?'(\w+)'")
_OTHER_LANGUAGES = {
    "raw_input": "input", "xrange": "range", "unicode": "str", "long": "int", "unichr": "chr", "basestring": "str",
    "true": "True", "false": "False", "null": "None", "none": "None", "nil": "None", "undefined": "None",
}  # fmt: skip


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


def _loads(view: View, name: str, within: ast.AST | None = None) -> list[ast.Name]:
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
        edits=tuple(s.replace(n, right) for n in _loads(s.view, name)),
        title=f"Change `{name}` to `{right}`",
        proof=lambda view: f"`{right}` is part of Python",
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
        tuple(s.replace(n, f"{own}.{name}") for n in _loads(s.view, name, function)),
        f"Change `{name}` to `{own}.{name}`",
        lambda view: f"`{cls.name}` has `{name}` ({attribute})",
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
    read = {n.attr for n in ast.walk(s.view.tree)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == name}  # fmt: skip
    known = stdlib.names(name) if stdlib.is_module(name) else frozenset()
    if read and read <= known:
        return _add_import(s, name, f"import {name}", f"the module `{name}` of Python's library", name)
    home = stdlib.HOMES.get(name)
    if home is None or name not in stdlib.names(home):
        return None
    imported = [b for b in bound_anywhere(s.view, home) if isinstance(b.node, ast.Import)]
    if imported and home in visible(s.view, s.line):
        return Finding(
            f"`{name}` stands in the module `{home}`, which is imported as a whole (line {imported[0].line}).",
            (Fact(f"{home}.{name}", "is there in Python's library"),),
            tuple(s.replace(n, f"{home}.{name}") for n in _loads(s.view, name)),
            f"Change `{name}` to `{home}.{name}`",
            lambda view: f"the module `{home}` holds `{name}`",
        )
    return _add_import(s, name, f"from {home} import {name}", f"`{name}` of the module `{home}`", home)


def _add_import(s: Situation, name: str, statement: str, what: str, module: str) -> Finding:
    line = _import_line(s.view)
    return Finding(
        f"`{name}` is used but never imported; it is {what}.",
        (Fact(f"module {module}", "part of Python's own library, read from its source"),),
        (insert(line, 0, statement + "\n"),),
        f"Add `{statement}`",
        lambda view: _now_visible(name, s.line + 1)(view),
    )


def _too_early(s: Situation, name: str) -> Finding | None:
    seen = s.visible().get(name)
    if seen is None or not seen.line:
        return None
    deleted = [n.lineno for n in ast.walk(s.view.tree)
               if isinstance(n, ast.Delete) and any(getattr(t, "id", "") == name for t in n.targets)]  # fmt: skip
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
    near = [n for n in nearest(name, names, 5) if plausible(name, n)]
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
    edits = tuple(s.replace(n, best) for n in _loads(s.view, name, scope) if best in visible(s.view, n.lineno)
                  or best in ("True", "False", "None"))  # fmt: skip
    return Finding(
        f"There is no `{name}` in view; `{best}` is, so `{name}` looks like a misspelling of it.",
        tuple(facts), edits, f"Change `{name}` to `{best}`",
        (lambda view: "a constant of Python") if binding is None or best in ("True", "False") else
        _now_visible(best, s.line),
    )  # fmt: skip


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
            cause, (Fact(f"`{name}` is bound", str(first)),),
            tuple(s.replace(n, f"{owner.name}.{name}") for n in s.nodes(ast.Name, lambda n: n.id == name)),
            f"Change `{name}` to `{owner.name}.{name}`",
            lambda view: f"the class `{owner.name}` binds `{name}` (line {first.line})",
        )  # fmt: skip
    where = f"the function `{owner.name}`" if owner is not None else "another scope"
    return Finding(
        f"`{name}` exists only inside {where} (line {first.line}): this line is outside of it and cannot see it.",
        (Fact(f"`{name}` is bound", str(first)),),
    )


_UNBOUND = re.compile(r"(?:cannot access local variable|local variable) '(\w+)'")


def unbound_local(s: Situation) -> Finding | None:
    """UnboundLocalError: a name that is assigned somewhere in the function is read before that."""
    found = _UNBOUND.match(s.message)
    function = s.view.function(s.line)
    if not found or function is None:
        return None
    name = found.group(1)
    own = [b for b in bindings(function) if b.name == name]
    if not own:
        return None
    facts = [Fact(f"`{name}` in {function.name}()", ", ".join(str(b) for b in own[:4]))]
    outer = _outer(s, function, name)
    later = all(b.line >= s.line for b in own)
    if outer is not None and later:
        word, binding = outer
        facts.append(Fact(f"`{name}` outside", str(binding)))
        return Finding(
            f"`{function.name}` assigns `{name}`, which makes it a local variable of the whole function; the `{name}` of "
            f"line {binding.line} is hidden by it, and the local one has no value yet.",
            tuple(facts), _declare(s, function, f"{word} {name}"), f"Add `{word} {name}`",
            lambda view: f"`{name}` is no longer local to `{function.name}`" if not any(
                b.name == name for n in ast.walk(view.tree) if isinstance(n, Function) and n.name == function.name
                for b in bindings(n)) else None,
        )  # fmt: skip
    slip = _misspelt_before(s, function, name)
    if slip is not None:
        return slip
    if isinstance(own[0].node, ast.ExceptHandler):
        why = f"Python deletes `{name}` at the end of the `except` block (line {own[0].line}): copy it to another name."
    elif later:
        why = f"`{name}` is local to `{function.name}` and gets its first value in line {own[0].line}, after this read."
    else:
        way = _conditional(function, own[0].line)
        why = f"`{name}` is assigned only in line {own[0].line}, {way}, and this time the program did not pass there."
    return Finding(why + f" Give `{name}` a value before line {s.line} on every way.", tuple(facts))


def _outer(s: Situation, function: Function, name: str) -> tuple[str, Binding] | None:
    chain = s.view.scopes(s.line)
    for scope in reversed(chain[: chain.index(function)] if function in chain else []):
        binding = next((b for b in bindings(scope) if b.name == name), None)
        if binding is not None and not isinstance(scope, ast.ClassDef):
            return ("global" if isinstance(scope, ast.Module) else "nonlocal"), binding
    return None


def _declare(s: Situation, function: Function, statement: str) -> tuple[Edit, ...]:
    body = function.body
    docstring = isinstance(body[0], ast.Expr) and isinstance(getattr(body[0], "value", None), ast.Constant)
    first = body[1] if docstring and len(body) > 1 else body[0]
    line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
    if line == function.lineno or s.view.line(line)[: s.view.start(first)[1]].strip():
        return ()  # `def f(): x += 1` in one line
    return (insert(line, 0, f"{s.view.indentation(line)}{statement}\n"),)


def _misspelt_before(s: Situation, function: Function, name: str) -> Finding | None:
    """A variable that was set under a misspelt name and is never read."""
    for binding in bindings(function):
        if binding.line >= s.line or not plausible(name, binding.name) or binding.name == name:
            continue
        if binding.kind != "variable" or _loads(s.view, binding.name, function):
            continue
        stores = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == binding.name]
        return Finding(
            f"`{name}` has no value yet: line {binding.line} sets `{binding.name}`, which is never read and looks like "
            f"a misspelling of `{name}`.",
            (Fact(f"`{binding.name}`", f"{binding}, never read"),),
            tuple(s.replace(n, name) for n in stores), f"Change `{binding.name}` to `{name}`",
            lambda view: f"`{name}` gets a value in line {binding.line}" if any(
                b.line == binding.line for b in assignments(view, name, s.line)) else None,
        )  # fmt: skip
    return None


def _conditional(function: Function, line: int) -> str:
    """In which kind of block a line of a function stands, in words."""
    words = {ast.If: "inside an `if`", ast.For: "inside a loop", ast.While: "inside a loop", ast.Try: "inside a `try`",
             ast.ExceptHandler: "inside an `except`", ast.With: "inside a `with`"}  # fmt: skip
    best = "on another way"
    for node in ast.walk(function):
        if type(node) in words and node.lineno < line <= node.end_lineno:
            best = f"{words[type(node)]} (line {node.lineno})"
    return best
