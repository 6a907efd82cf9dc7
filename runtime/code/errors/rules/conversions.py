"""Rules for values that a function takes only in another type: `/` for `//`, text for numbers, join and write."""

import ast
import re

from runtime.code.errors.edits import Edit
from runtime.code.errors.origins import kind, values
from runtime.code.errors.rules.operands import type_fact, wrapped
from runtime.code.errors.situation import Fact, Finding, Situation

_INDEX = re.compile(r"'(\w+)' object cannot be interpreted as an integer")

_JOIN = re.compile(r"sequence item \d+: expected str instance, (\w+) found")

_WRITE = re.compile(r"write\(\) argument must be str, not (\w+)")


def not_an_integer(s: Situation) -> Finding | None:
    """'float' object cannot be interpreted as an integer."""
    found = _INDEX.match(s.message)
    if not found:
        return None
    said = found.group(1)
    cause = f"A whole number is needed here, and this is a {said}."
    if said == "NoneType":
        return Finding(cause)
    candidates = [
        a
        for call in s.nodes(ast.Call)
        for a in call.args
        if getattr(call.func, "id", "") in ("range", "chr", "bin", "hex")
    ]
    if said == "float" and (finding := _floor(s, candidates, cause)):
        return finding
    fitting = [a for a in candidates if kind(s.view, a, s.line) == said] or (candidates if len(candidates) == 1 else [])
    if len(fitting) != 1 or said not in ("float", "str"):
        return Finding(cause)
    text = s.text(fitting[0])
    return Finding(
        cause,
        type_fact(s, fitting[0], said),
        wrapped(s, fitting[0], "int"),
        f"Change `{text}` to `int({text})`",
        f"`int({text})` is a whole number",
    )


def _floor(s: Situation, nodes: list[ast.expr], cause: str) -> Finding | None:
    """`/` gives a float: `//` was meant. Looked for in the expressions and, through names, in their assignments."""
    for node in nodes:
        given = [node, *(values(s.view, node.id, s.line)[-1:] if isinstance(node, ast.Name) else [])]
        for value in given:
            for part in ast.walk(value):
                if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div):
                    between = (s.view.end(part.left), s.view.start(part.right))
                    gap = s.view.between(*between)
                    if between[0][0] != between[1][0] or "/" not in gap:
                        continue
                    line, column = between[0]
                    at = column + gap.index("/")
                    text = s.text(part)
                    return Finding(
                        cause + f" `/` always gives a float: `{text}` in line {line}.",
                        (Fact(f"`{text}`", "a division by `/`"),),
                        (Edit((line, at), (line, at + 1), "//"),),
                        "Change `/` to `//`",
                        "`//` of whole numbers gives a whole number",
                    )
    return None


def index_is_float(s: Situation) -> Finding | None:
    """list indices must be integers or slices, not float."""
    if not re.match(r"(?:\w+ indices must be integers|slice indices must be integers).*", s.message) or (
        "float" not in s.message and not s.message.startswith("slice")
    ):
        return None
    nodes: list[ast.expr] = []
    for node in s.nodes(ast.Subscript):
        cut = node.slice
        nodes += [n for n in (cut.lower, cut.upper, cut.step) if n] if isinstance(cut, ast.Slice) else [cut]
    return _floor(s, nodes, "An index has to be a whole number, and this one is a float.")


def join_needs_text(s: Situation) -> Finding | None:
    """sequence item 0: expected str instance, int found."""
    found = _JOIN.match(s.message)
    if not found:
        return None
    call = s.the(ast.Call, lambda n: isinstance(n.func, ast.Attribute) and n.func.attr == "join" and len(n.args) == 1)
    cause = f"`join` takes strings only, and the sequence holds a {found.group(1)}."
    if call is None:
        return Finding(cause)
    argument = call.args[0]
    text = s.text(argument)
    new = f"map(str, {text})"
    return Finding(
        cause,
        type_fact(s, argument, kind(s.view, argument, s.line) or "a sequence"),
        (s.replace(argument, new),),
        f"Change to `{new}`",
        "`map(str, …)` gives strings",
    )


def write_needs_text(s: Situation) -> Finding | None:
    """write() argument must be str, not int."""
    found = _WRITE.match(s.message)
    if not found:
        return None
    call = s.the(ast.Call, lambda n: isinstance(n.func, ast.Attribute) and n.func.attr == "write" and len(n.args) == 1)
    cause = f"A text file takes strings only, and this is a {found.group(1)}."
    if call is None or found.group(1) == "NoneType":
        return Finding(cause)
    text = s.text(call.args[0])
    if found.group(1) == "bytes":
        return Finding(
            cause + " Bytes are written to a file opened with mode `wb`.", type_fact(s, call.args[0], "bytes")
        )
    return Finding(
        cause,
        type_fact(s, call.args[0], found.group(1)),
        wrapped(s, call.args[0], "str"),
        f"Change `{text}` to `str({text})`",
        "`str(…)` gives a string",
    )
