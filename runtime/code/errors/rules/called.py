"""Rules for what was called and is no function: hidden builtins, modules, properties, a missing comma."""

import ast
import builtins
import re

from runtime.code.errors import stdlib
from runtime.code.errors.definitions import has_decorator, method
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.origins import assignments, kind
from runtime.code.errors.rules.nothing import none_finding
from runtime.code.errors.scope import bound_anywhere
from runtime.code.errors.situation import Fact, Finding, Situation

_CALLED = re.compile(r"'([\w.]+)' object is not callable")


def not_callable(s: Situation) -> Finding | None:
    """'X' object is not callable."""
    found = _CALLED.match(s.message)
    if not found or s.view.tree is None:
        return None
    said = found.group(1)
    calls = s.nodes(ast.Call)
    for call in calls:
        if isinstance(call.func, ast.Tuple | ast.List | ast.Dict | ast.Constant | ast.Set):
            return _missing_comma(s, call)
    for call in calls:
        if isinstance(call.func, ast.Name):
            name = call.func.id
            if hasattr(builtins, name) and bound_anywhere(s.view, name):
                return _hidden_builtin(s, name, said)
            if said == "module":
                return _module_called(s, call)
    call = calls[0] if len(calls) == 1 else None
    if call is None:
        return Finding(f"A {said} was called like a function.")
    text = s.text(call.func)
    if said == "NoneType":
        return none_finding(s, call.func, "it was called")
    if (
        isinstance(call.func, ast.Attribute)
        and not call.args
        and not call.keywords
        and (finding := _property(s, call, said))
    ):
        return finding
    if (
        said in ("list", "dict", "tuple", "str")
        and len(call.args) == 1
        and not call.keywords
        and isinstance(call.func, ast.Name)
    ):
        start, end = s.view.end(call.func), s.view.end(call)
        opening = s.view.between(start, (start[0], start[1] + 1))
        sure = kind(s.view, call.func, s.line) == said
        if opening == "(":
            return Finding(
                f"`{text}` is a {said}: its elements are read with brackets, `{text}[…]`.",
                (Fact(f"type of `{text}`", said, sure),),
                (Edit(start, (start[0], start[1] + 1), "["), Edit((end[0], end[1] - 1), end, "]")),
                "Change the parentheses to brackets",
                f"`{text}` is indexed, not called",
            )
    facts = tuple(
        Fact(f"`{text}` is bound", str(b))
        for b in (assignments(s.view, text, s.line) if isinstance(call.func, ast.Name) else [])[:3]
    )
    return Finding(f"`{text}` is a {said} and cannot be called.", facts)


def _missing_comma(s: Situation, call: ast.Call) -> Finding:
    end = s.view.end(call.func)
    return Finding(
        f"`{s.text(call.func)}` is followed by parentheses, so Python takes it for a call: a comma is missing between "
        f"two "
        "elements.",
        (Fact("what is called", f"a literal, line {call.func.lineno}"),),
        (insert(*end, ","),),
        "Add the missing comma",
        "the literal is no longer called",
    )


def _hidden_builtin(s: Situation, name: str, said: str) -> Finding:
    bound = bound_anywhere(s.view, name)
    new = name + "_"
    called = {id(n.func) for n in ast.walk(s.view.tree) if isinstance(n, ast.Call)}
    notes = {
        id(inner)
        for n in ast.walk(s.view.tree)
        for part in (getattr(n, "annotation", None), getattr(n, "returns", None))
        if part is not None
        for inner in ast.walk(part)
    }
    uses = [
        n
        for n in ast.walk(s.view.tree)
        if isinstance(n, ast.Name) and n.id == name and id(n) not in called and id(n) not in notes
    ]
    edits = tuple(s.replace(n, new) for n in uses)
    edits += tuple(
        Edit(s.view.start(b.node), (b.node.lineno, s.view.start(b.node)[1] + len(name)), new)
        for b in bound
        if isinstance(b.node, ast.arg)
    )
    if any(b.kind not in ("variable", "loop variable", "parameter", "variable of `with`") for b in bound):
        edits = ()
    return Finding(
        f"`{name}` is no longer Python's function: line {bound[0].line} gives the name to a {said}.",
        (Fact(f"`{name}` is bound", str(bound[0])), Fact(f"builtin `{name}`", "is hidden by it")),
        edits,
        f"Rename the variable `{name}` to `{new}`",
        lambda view: f"`{name}` is Python's own again" if not bound_anywhere(view, name) else None,
    )


def _module_called(s: Situation, call: ast.Call) -> Finding:
    name = call.func.id
    module = next(
        (
            a.name
            for n in ast.walk(s.view.tree)
            if isinstance(n, ast.Import)
            for a in n.names
            if (a.asname or a.name) == name
        ),
        name,
    )
    inner = module.rpartition(".")[2]
    known = inner in stdlib.names(module)
    return Finding(
        f"`{name}` is the module; what can be called stands in it" + (f": `{name}.{inner}`." if known else "."),
        (Fact(f"{module}.{inner}", "is there in Python's library"),) if known else (),
        (insert(*s.view.end(call.func), f".{inner}"),) if known else (),
        f"Change `{name}` to `{name}.{inner}`",
        f"the module `{module}` holds `{inner}`",
    )


def _property(s: Situation, call: ast.Call, said: str) -> Finding | None:
    name = call.func.attr
    for cls in (n for n in ast.walk(s.view.tree) if isinstance(n, ast.ClassDef)):
        function = method(cls, name)
        if function is not None and has_decorator(function, "property", "cached_property"):
            return Finding(
                f"`{name}` is a property of `{cls.name}` (line {function.lineno}): it is read without parentheses, "
                f"and what it "
                f"gave was a {said}.",
                (Fact(f"{cls.name}.{name}", f"property, line {function.lineno}"),),
                (Edit(s.view.end(call.func), s.view.end(call), ""),),
                f"Drop the parentheses after `{name}`",
                f"`{name}` is read, not called",
            )
    return None
