"""Rules for None where an object was meant: says where the None may come from, and repairs `x = x.sort()`."""

import ast
import re

from runtime.code.errors.edits import Edit
from runtime.code.errors.origins import none_from, values
from runtime.code.errors.situation import Fact, Finding, Situation


def none_has_no_attribute(s: Situation) -> Finding | None:
    """'NoneType' object has no attribute 'x'."""
    found = re.match(r"'NoneType' object has no attribute '(\w+)'", s.message)
    if not found:
        return None
    node = s.the(ast.Attribute, lambda n: n.attr == found.group(1))
    if node is None:
        return Finding(f"An object was None where one with `.{found.group(1)}` was expected.")
    return none_finding(s, node.value, f"`.{node.attr}` was asked of it")


def none_finding(s: Situation, node: ast.expr, asked: str) -> Finding:
    """An expression was None; says where the None may come from, and repairs `x = x.sort()`."""
    text = s.text(node)
    ways = none_from(s.view, node, s.line)
    facts = tuple(Fact(f"how `{short(text)}` can be None", way) for way in ways[:4])
    cause = f"`{short(text)}` was None when {asked}."
    cause += f" {ways[0][0].upper()}{ways[0][1:]}." if ways and ways[0][0] != "`" else f" {ways[0]}." if ways else ""
    if not ways:
        facts = (Fact(f"how `{short(text)}` can be None", "the source in view does not show it", False),)
    sort = _sorted_in_place(s, node)
    return sort and Finding(cause, facts, *sort) or Finding(cause, facts)


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def _sorted_in_place(s: Situation, node: ast.expr) -> tuple | None:
    """The repair of `y = x.sort()` or `y = x.append(v)`."""
    given = values(s.view, node.id, s.line) if isinstance(node, ast.Name) else [node]
    call = given[-1] if given else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    inside = s.text(call)[len(s.text(call.func)) + 1 : -1]
    owner = s.text(call.func.value)
    arguments = owner + (f", {inside}" if inside.strip() else "")
    if call.func.attr == "sort":
        text = f"sorted({arguments})"
    elif call.func.attr == "reverse" and not inside.strip():
        text = f"list(reversed({owner}))"
    else:
        return _without_assignment(s, node, call)
    return (s.replace(call, text),), f"Change to `{short(text)}`", f"`{short(text)}` gives a list"


def _without_assignment(s: Situation, node: ast.expr, call: ast.Call) -> tuple | None:
    """`x = x.append(v)`: the call alone."""
    statement = s.view.statement(call.lineno)
    if not isinstance(statement, ast.Assign) or statement.value is not call or not isinstance(node, ast.Name):
        return None
    same = len(statement.targets) == 1 and ast.unparse(statement.targets[0]) == ast.unparse(call.func.value) == node.id
    if not same or call.func.attr not in ("append", "extend", "insert", "update", "add", "remove", "clear"):
        return None
    edit = Edit(s.view.start(statement), s.view.start(call), "")
    return (
        (edit,),
        "Drop the assignment",
        f"`{node.id}` is no longer set to what `.{call.func.attr}` gives",
    )
