"""Rules for brackets that do not fit: functions or generators indexed, wrong indices, impossible keys and items."""

import ast
import re

from runtime.code.errors.edits import Edit
from runtime.code.errors.origins import assignments, kind, values
from runtime.code.errors.rules.nothing import none_finding
from runtime.code.errors.rules.operands import awaited
from runtime.code.errors.situation import Fact, Finding, Situation

_INDEXED = re.compile(r"'([\w.]+)' object is not subscriptable")

_HASHED = re.compile(r"unhashable type: '(\w+)'|cannot use '(\w+)' as a (?:set element|dict key)")

_ASSIGNED = re.compile(r"'(\w+)' object does not support item (assignment|deletion)")

FUNCTIONS = ("builtin_function_or_method", "function", "method", "type")

LAZY = ("generator", "map", "filter", "zip", "dict_keys", "dict_values", "dict_items", "reversed", "enumerate", "set")


def not_subscriptable(s: Situation) -> Finding | None:
    """'X' object is not subscriptable."""
    found = _INDEXED.match(s.message)
    if not found:
        return None
    said = found.group(1)
    node = s.the(ast.Subscript)
    if node is None:
        return Finding(f"A {said} has no elements that could be read with brackets.")
    text = s.text(node.value)
    if said == "NoneType":
        return none_finding(s, node.value, "an element of it was asked for")
    if said == "coroutine":
        return awaited(s, node.value)
    if said in FUNCTIONS and isinstance(node.value, ast.Name | ast.Attribute) and not isinstance(node.slice, ast.Slice):
        start, end = s.view.end(node.value), s.view.end(node)
        return Finding(
            f"`{text}` is a {'class' if said == 'type' else 'function'}: it is called with parentheses, not brackets.",
            (Fact(f"type of `{text}`", said, False),),
            (Edit(start, (start[0], start[1] + 1), "("), Edit((end[0], end[1] - 1), end, ")")),
            "Change the brackets to parentheses",
            f"`{text}` is called",
        )
    if said in LAZY:
        return Finding(
            f"A {said} gives its elements one after the other and has no positions; a list of it has.",
            (Fact(f"type of `{text}`", said, kind(s.view, node.value, s.line) == said),),
            (s.replace(node.value, f"list({text})"),),
            f"Change `{text}` to `list({text})`",
            "a list has positions",
        )
    facts = [
        Fact(f"`{text}` comes from", f"`{s.text(v)[:80]}`, line {v.lineno}")
        for v in (values(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else [])[-2:]
    ]
    return Finding(f"`{text}` is a {said}, and a {said} has no elements.", tuple(facts))


def not_hashable(s: Situation) -> Finding | None:
    """unhashable type: 'list'."""
    found = _HASHED.match(s.message)
    if not found:
        return None
    said = found.group(1) or found.group(2)
    cause = f"Keys of a dictionary and elements of a set must not change; a {said} can."
    if said == "slice":
        return Finding("A dictionary has keys, not positions: it cannot be sliced.")
    if said != "list":
        return Finding(cause)
    candidates = [n.slice for n in s.nodes(ast.Subscript)]
    candidates += [
        n.args[0] for n in s.nodes(ast.Call) if getattr(n.func, "attr", "") in ("add", "setdefault", "get") and n.args
    ]
    candidates += [e for n in s.nodes(ast.Set) for e in n.elts] + [k for n in s.nodes(ast.Dict) for k in n.keys if k]
    fitting = [n for n in candidates if kind(s.view, n, s.line) == "list"] or candidates
    if len(fitting) != 1:
        return Finding(cause + " A tuple is the list that cannot change.")
    node, text = fitting[0], s.text(fitting[0])
    new = f"tuple({text})"
    if isinstance(node, ast.List):
        new = f"({text[1:-1]}{',' if len(node.elts) == 1 else ''})"
    return Finding(
        cause + " A tuple is the list that cannot change.",
        (Fact(f"type of `{text}`", "list", kind(s.view, node, s.line) == "list"),),
        (s.replace(node, new),),
        f"Change `{text}` to `{new}`",
        "a tuple can be a key",
    )


def no_item_assignment(s: Situation) -> Finding | None:
    """'tuple' / 'str' object does not support item assignment."""
    found = _ASSIGNED.match(s.message)
    if not found:
        return None
    said = found.group(1)
    node = s.the(ast.Subscript, lambda n: isinstance(n.ctx, ast.Store | ast.Del))
    if node is None:
        return Finding(f"A {said} cannot be changed in place.")
    text = s.text(node.value)
    given = values(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else []
    facts = tuple(Fact(f"`{text}` comes from", f"`{s.text(v)[:80]}`, line {v.lineno}") for v in given[-2:])
    if said == "tuple" and len(given) == 1 and isinstance(given[0], ast.Tuple) and s.text(given[0]).startswith("("):
        value = given[0]
        inner = s.text(value)[1:-1].rstrip().rstrip(",")
        return Finding(
            f"`{text}` is a tuple, and a tuple cannot be changed; a list can.",
            facts,
            (s.replace(value, f"[{inner}]"),),
            f"Make `{text}` a list",
            f"`{text}` is a list (line {value.lineno})",
        )
    if (
        said == "tuple"
        and len(given) == 1
        and isinstance(given[0], ast.Call)
        and getattr(given[0].func, "id", "") == "tuple"
    ):
        return Finding(
            f"`{text}` is a tuple, and a tuple cannot be changed; a list can.",
            facts,
            (s.replace(given[0].func, "list"),),
            f"Make `{text}` a list",
            f"`{text}` is a list (line {given[0].lineno})",
        )
    if said == "str":
        return Finding(
            f"`{text}` is a string, and strings cannot be changed: make a new one, or change `list({text})`.", facts
        )
    return Finding(f"`{text}` is a {said}, which cannot be changed in place.", facts)


def wrong_index(s: Situation) -> Finding | None:
    """list indices must be integers or slices, not str / tuple; string indices must be integers."""
    found = re.match(r"(\w+) indices must be integers(?: or slices)?(?:, not '?(\w+)'?)?", s.message)
    if not found:
        return None
    owner, said = found.group(1), found.group(2) or "str"
    owner = {"string": "str"}.get(owner, owner)
    node = s.the(ast.Subscript)
    if node is None:
        return Finding(f"A {owner} is indexed by whole numbers, and this index is a {said}.")
    text, index = s.text(node.value), s.text(node.slice)
    facts = [Fact("the index", f"`{index}`")]
    if said == "tuple" and isinstance(node.slice, ast.Tuple) and len(node.slice.elts) > 1:
        new = "][".join(s.text(e) for e in node.slice.elts)
        return Finding(
            f"`{text}` is a list of lists: each index has brackets of its own.",
            tuple(facts),
            (s.replace(node.slice, new),),
            f"Change to `{text}[{new}]`",
            "each index is one number",
        )
    if said == "str" and isinstance(node.slice, ast.Name):
        given = values(s.view, node.slice.id, s.line)
        if any("input(" in s.text(v) or "argv" in s.text(v) for v in given):
            return Finding(
                f"`{index}` is text that was read (line {given[-1].lineno}), not a number.",
                tuple(facts),
                (s.replace(node.slice, f"int({index})"),),
                f"Change `{index}` to `int({index})`",
                f"`int({index})` is a whole number",
            )
    loop = next(
        (
            b
            for b in (assignments(s.view, node.slice.id, s.line) if isinstance(node.slice, ast.Name) else [])
            if b.kind == "loop variable"
        ),
        None,
    )
    if (
        owner == "list"
        and loop is not None
        and isinstance(loop.node, ast.For)
        and ast.unparse(loop.node.iter) == ast.unparse(node.value)
    ):
        return Finding(
            f"`{index}` is already an element of `{text}` (loop in line {loop.line}), not its position.",
            tuple(facts),
            (s.replace(node, index),),
            f"Change `{text}[{index}]` to `{index}`",
            f"`{index}` is the element",
        )
    inner = assignments(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else []
    loop = next((b for b in inner if b.kind == "loop variable" and isinstance(b.node, ast.For)), None)
    if owner == "str" and loop is not None:
        what = s.text(loop.node.iter)
        facts.append(Fact(f"`{text}` comes from", f"the loop over `{what}`, line {loop.line}"))
        return Finding(
            f"`{text}` is a string: going through `{what}` gives strings, the keys if it is a dictionary and the "
            f"characters if "
            "it is text.",
            tuple(facts),
        )
    return Finding(f"`{text}` is a {owner}: it is indexed by whole numbers, and `{index}` is a {said}.", tuple(facts))
