"""Rules for what was gone through, unpacked or measured and has no elements: numbers, None, functions, generators."""

import ast
import re

from runtime.code.errors.edits import insert
from runtime.code.errors.origins import kind
from runtime.code.errors.rules.indexed import FUNCTIONS, LAZY
from runtime.code.errors.rules.nothing import none_finding
from runtime.code.errors.rules.operands import awaited
from runtime.code.errors.situation import Fact, Finding, Situation

_ITERATED = re.compile(
    r"'([\w.]+)' object is not (iterable|an iterator)"
    r"|argument of type '([\w.]+)' is not (?:iterable|a container)"
    r"|cannot unpack non-iterable ([\w.]+) object"
)

_MEASURED = re.compile(r"object of type '([\w.]+)' has no len\(\)")


def not_iterable(s: Situation) -> Finding | None:
    """'X' object is not iterable; cannot unpack non-iterable X; argument of type 'X' is not iterable."""
    found = _ITERATED.match(s.message)
    if not found:
        return None
    said = next(part for part in (found.group(1), found.group(3), found.group(4)) if part)
    node = _iterated(s, said)
    if found.group(2) == "an iterator":
        return _iterator(s, said)
    if node is None:
        return Finding(f"A {said} has no elements to go through.")
    text = s.text(node)
    if said == "NoneType":
        return none_finding(s, node, "its elements were asked for")
    if said == "coroutine":
        return awaited(s, node)
    if said in FUNCTIONS and isinstance(node, ast.Name | ast.Attribute):
        return Finding(
            f"`{text}` is the function itself; its result is `{text}()`.",
            (Fact(f"type of `{text}`", said, False),),
            (insert(*s.view.end(node), "()"),),
            f"Call `{text}()`",
            f"`{text}` is called",
        )
    loop = isinstance(s.view.statement(s.line), ast.For | ast.AsyncFor)
    if said == "int" and found.group(1) and (loop or _in_comprehension(s, node)):
        return Finding(
            f"`{text}` is one number; the numbers up to it are `range({text})`.",
            (Fact(f"type of `{text}`", "int", kind(s.view, node, s.line) == "int"),),
            (s.replace(node, f"range({text})"),),
            f"Change `{text}` to `range({text})`",
            f"`range({text})` can be gone through",
        )
    if found.group(4) and isinstance(s.view.statement(s.line), ast.For) and (finding := _enumerate(s, node, said)):
        return finding
    return Finding(
        f"`{text}` gives a {said}, and a {said} has no elements to go through."
        if not found.group(4)
        else f"Several names are to be filled from one {said}."
    )


def _iterated(s: Situation, said: str) -> ast.expr | None:
    """The expression whose elements are asked for."""
    statement = s.view.statement(s.line)
    if isinstance(statement, ast.For | ast.AsyncFor) and statement.iter.lineno <= s.line <= statement.iter.end_lineno:
        return statement.iter
    for node in s.view.parts(s.line):
        if isinstance(node, ast.comprehension):
            return node.iter
    found = s.the(ast.Compare, lambda n: isinstance(n.ops[-1], ast.In | ast.NotIn))
    if found is not None:
        return found.comparators[-1]
    call = s.the(
        ast.Call,
        lambda n: (
            getattr(n.func, "id", "")
            in ("list", "tuple", "set", "sum", "sorted", "max", "min", "enumerate", "any", "all", "iter", "next")
            and n.args
        ),
    )
    if call is not None:
        return call.args[0]
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple | ast.List):
        return statement.value
    starred = s.the(ast.Starred)
    return starred.value if starred is not None else None


def _in_comprehension(s: Situation, node: ast.expr) -> bool:
    return any(isinstance(n, ast.comprehension) and n.iter is node for n in s.view.parts(s.line))


def _enumerate(s: Situation, node: ast.expr, said: str) -> Finding | None:
    statement = s.view.statement(s.line)
    target = statement.target
    if (
        not isinstance(target, ast.Tuple)
        or len(target.elts) != 2
        or isinstance(node, ast.Call)
        and ast.unparse(node.func) == "enumerate"
    ):
        return None
    text = s.text(node)
    first = getattr(target.elts[0], "id", "")
    counts = first in ("i", "j", "k", "n", "idx", "index", "number", "num", "count", "pos", "position", "row", "line")
    return Finding(
        f"Each element of `{text}` is one {said}, and the loop wants two values of it"
        + (f"; with the position it is `enumerate({text})`." if counts else "."),
        (),
        (s.replace(node, f"enumerate({text})"),) if counts else (),
        f"Change `{text}` to `enumerate({text})`",
        "`enumerate` gives two values for each element",
    )


def _iterator(s: Situation, said: str) -> Finding:
    call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") == "next" and len(n.args) >= 1)
    cause = f"`next` needs an iterator, and a {said} is only something to iterate over."
    if call is None:
        return Finding(cause)
    text = s.text(call.args[0])
    return Finding(
        cause,
        (),
        (s.replace(call.args[0], f"iter({text})"),),
        f"Change `{text}` to `iter({text})`",
        f"`iter({text})` is an iterator",
    )


def no_length(s: Situation) -> Finding | None:
    """object of type 'X' has no len()."""
    found = _MEASURED.match(s.message)
    if not found:
        return None
    said = found.group(1)
    call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") == "len" and len(n.args) == 1)
    if call is None:
        return Finding(f"A {said} has no length.")
    node, text = call.args[0], s.text(call.args[0])
    if said == "NoneType":
        return none_finding(s, node, "its length was asked for")
    if said in LAZY:
        inner = f"list({text})"
        return Finding(
            f"A {said} gives its elements one after the other and does not know how many there are.",
            (),
            (s.replace(node, inner),),
            f"Change `{text}` to `{inner}`",
            "a list has a length",
        )
    if said == "int":
        return Finding(f"`{text}` is a number and has no length; the number of its digits would be `len(str({text}))`.")
    return Finding(f"`{text}` is a {said}, which has no length.")
