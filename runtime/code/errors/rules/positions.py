"""Rules for IndexError: loops one step too far, neighbours beyond the end, assignment to a list that is still empty."""

import ast
import re

from runtime.code.errors.edits import Edit
from runtime.code.errors.origins import assignments, values
from runtime.code.errors.situation import Fact, Finding, Situation


def index_out_of_range(s: Situation) -> Finding | None:
    """IndexError: list index out of range."""
    if (
        s.view.tree is None
        or "out of range" not in s.message
        or not s.message.startswith(("list", "string", "tuple", "range", "bytes", "array"))
    ):
        return None
    for node in s.nodes(ast.Subscript):
        for rule in (_argv, _len_itself, _bound_too_high, _next_neighbour, _append_instead, _literal_length):
            finding = rule(s, node)
            if finding is not None:
                return finding
    node = s.the(ast.Subscript)
    if node is None:
        return Finding("An index is larger than the last one; the last is one less than the length.")
    text, index = s.text(node.value), s.text(node.slice)
    facts = [
        Fact(f"`{index}` comes from", str(b))
        for b in (assignments(s.view, index, s.line) if isinstance(node.slice, ast.Name) else [])[:3]
    ]
    return Finding(
        f"`{index}` is not a position of `{text}`: positions go from 0 to `len({text}) - 1`, and an empty one has "
        f"none.",
        tuple(facts),
    )


def _argv(s: Situation, node: ast.Subscript) -> Finding | None:
    if s.text(node.value) not in ("sys.argv", "argv"):
        return None
    return Finding(
        f"The program was started without the argument that `{s.text(node)}` reads (`{s.text(node.value)}[0]` is the "
        f"program itself).",
    )


def _len_of(node: ast.expr, owner: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node) == f"len({owner})"


def _len_itself(s: Situation, node: ast.Subscript) -> Finding | None:
    """x[len(x)]"""
    owner = ast.unparse(node.value)
    given = [node.slice, *(values(s.view, node.slice.id, s.line) if isinstance(node.slice, ast.Name) else [])]
    hit = next((n for n in given if _len_of(n, owner)), None)
    if hit is None:
        return None
    return Finding(
        f"Positions go from 0 to `len({owner}) - 1`: `len({owner})` is one beyond the last.",
        (Fact("the index", f"`{s.text(hit)}`, line {hit.lineno}"),),
        (s.replace(hit, f"{s.text(hit)} - 1"),),
        f"Change `{s.text(hit)}` to `{s.text(hit)} - 1`",
        f"`len({owner}) - 1` is the last position",
    )


def _loop(s: Situation, name: str) -> ast.For | None:
    binding = next((b for b in assignments(s.view, name, s.line) if isinstance(b.node, ast.For | ast.AsyncFor)), None)
    return binding.node if binding is not None else None


def _bound_too_high(s: Situation, node: ast.Subscript) -> Finding | None:
    """for i in range(len(x) + 1); while i <= len(x)"""
    names = [n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)]
    owner = ast.unparse(node.value)
    for name in names:
        for limit in _range_ends(s, name):
            if (
                isinstance(limit, ast.BinOp)
                and isinstance(limit.op, ast.Add)
                and _len_of(limit.left, owner)
                and isinstance(limit.right, ast.Constant)
            ):
                text = s.text(limit.left)
                return Finding(
                    f"The loop in line {limit.lineno} goes up to `{s.text(limit)}`, and `{name}` becomes larger than "
                    f"the last "
                    f"position, `len({owner}) - 1`.",
                    (Fact("the bound", f"`{s.text(limit)}`, line {limit.lineno}"),),
                    (s.replace(limit, text),),
                    f"Change `{s.text(limit)}` to `{text}`",
                    f"`range({text})` ends at the last position",
                )
        for test in _while_tests(s, name, owner):
            at = s.view.end(test.left)
            gap = s.view.between(at, s.view.start(test.comparators[0]))
            if "<=" in gap:
                column = at[1] + gap.index("<=")
                return Finding(
                    f"The loop in line {test.lineno} goes on while `{s.text(test)}`, so `{name}` reaches "
                    f"`len({owner})`, one beyond the "
                    "last position.",
                    (Fact("the condition", f"`{s.text(test)}`, line {test.lineno}"),),
                    (Edit((at[0], column), (at[0], column + 2), "<"),),
                    "Change `<=` to `<`",
                    f"`{name}` stays below `len({owner})`",
                )
    return None


def _range_ends(s: Situation, name: str) -> list[ast.expr]:
    """The end of each `range` that a loop or comprehension runs this name through."""
    loop = _loop(s, name)
    iterated = [loop.iter] if loop is not None else []
    iterated += [
        n.iter for n in s.view.parts(s.line) if isinstance(n, ast.comprehension) and getattr(n.target, "id", "") == name
    ]
    found = []
    for node in iterated:
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range" and node.args:
            found.append(node.args[1] if len(node.args) > 1 else node.args[0])
    return found


def _while_tests(s: Situation, name: str, owner: str) -> list[ast.Compare]:
    found = []
    for loop in ast.walk(s.view.tree):
        if isinstance(loop, ast.While) and loop.lineno <= s.line <= loop.end_lineno:
            for test in ast.walk(loop.test):
                if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.LtE):
                    if getattr(test.left, "id", "") == name and _len_of(test.comparators[0], owner):
                        found.append(test)
    return found


def _next_neighbour(s: Situation, node: ast.Subscript) -> Finding | None:
    """for i in range(len(x)): … x[i + 1]"""
    index = node.slice
    owner = ast.unparse(node.value)
    if not (
        isinstance(index, ast.BinOp)
        and isinstance(index.op, ast.Add)
        and isinstance(index.left, ast.Name)
        and isinstance(index.right, ast.Constant)
    ):
        return None
    for limit in _range_ends(s, index.left.id):
        if _len_of(limit, owner):
            new = f"{s.text(limit)} - {s.text(index.right)}"
            return Finding(
                f"`{s.text(node)}` looks beyond `{index.left.id}`, which the loop in line {limit.lineno} takes to the "
                f"last position.",
                (Fact("the bound", f"`{s.text(limit)}`, line {limit.lineno}"),),
                (s.replace(limit, new),),
                f"Change `{s.text(limit)}` to `{new}`",
                f"`{s.text(index)}` stays within the positions",
            )
    return None


def _append_instead(s: Situation, node: ast.Subscript) -> Finding | None:
    """x = []; x[i] = v"""
    statement = s.view.statement(s.line)
    if (
        not isinstance(node.ctx, ast.Store)
        or not isinstance(node.value, ast.Name)
        or not isinstance(statement, ast.Assign)
    ):
        return None
    given = values(s.view, node.value.id, s.line)
    if not given or not all(isinstance(v, ast.List) and not v.elts for v in given) or statement.targets != [node]:
        return None
    text, value = s.text(node.value), s.text(statement.value)
    return Finding(
        f"`{text}` is empty (line {given[0].lineno}), and assigning to a position does not make one: `append` adds at "
        f"the end.",
        (Fact(f"`{text}` begins", f"empty, line {given[0].lineno}"),),
        (s.replace(statement, f"{text}.append({value})"),),
        f"Change to `{text}.append(…)`",
        "`append` works on a list of any length",
    )


def _literal_length(s: Situation, node: ast.Subscript) -> Finding | None:
    given = values(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else [node.value]
    if (
        len(given) != 1
        or not isinstance(given[0], ast.List | ast.Tuple)
        or any(isinstance(e, ast.Starred) for e in given[0].elts)
    ):
        return None
    size = len(given[0].elts)
    return Finding(
        f"`{s.text(node.value)}` is written with {size} elements (line {given[0].lineno}): the last position is "
        f"{size - 1}."
        if size
        else f"`{s.text(node.value)}` is written empty (line {given[0].lineno}).",
        (Fact("elements in the source", str(size)),),
    )


def from_empty(s: Situation) -> Finding | None:
    """pop from empty list."""
    found = re.match(r"pop.* from (?:an )?empty|pop index out of range|popitem\(\): dictionary is empty", s.message)
    if not found:
        return None
    call = s.the(ast.Call, lambda n: getattr(n.func, "attr", "") in ("pop", "popleft", "popitem"))
    text = s.text(call.func.value) if call is not None else "it"
    loops = (
        [n for n in ast.walk(s.view.tree) if isinstance(n, ast.While) and n.lineno <= s.line <= n.end_lineno]
        if s.view.tree
        else []
    )
    endless = [n for n in loops if isinstance(n.test, ast.Constant) and n.test.value]
    if call is not None and endless:
        test = endless[-1].test
        return Finding(
            f"The loop in line {test.lineno} goes on for ever and takes from `{text}` until nothing is left.",
            (Fact("the condition", f"`{s.text(test)}`, line {test.lineno}"),),
            (s.replace(test, text),),
            f"Change `while {s.text(test)}` to `while {text}`",
            f"the loop ends when `{text}` is empty",
        )
    return Finding(f"`{text}` was empty: there was nothing to take. Ask `if {text}:` first.")
