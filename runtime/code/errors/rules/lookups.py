"""Rules for KeyError and IndexError: misspelt keys, counting into an empty dictionary, loops one step too far."""

import ast
import re

from runtime.code.errors.edits import Edit
from runtime.code.errors.origins import assignments, kind, values
from runtime.code.errors.scope import nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation


def no_key(s: Situation) -> Finding | None:
    """KeyError: 'x'."""
    if s.view.tree is None:
        return None
    key = _literal(s.message)
    node = _subscript(s, key)
    if node is None:
        return _popped(s, key)
    text = s.text(node.value)
    if text == "os.environ":
        return Finding(
            f"The environment variable {key!r} is not set where the program runs; `os.environ.get({key!r})` gives None instead.",
        )
    if finding := _counting(s, node, text):
        return finding
    keys = _keys(s, node)
    facts = []
    if keys:
        shown = ", ".join(repr(k) for k in list(keys)[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        facts.append(Fact(f"keys of `{text}`", f"{shown} (as the source writes them)"))
    if isinstance(node.slice, ast.Constant) and isinstance(key, str):
        near = [k for k in nearest(key, [k for k in keys if isinstance(k, str)]) if plausible(key, k)]
        if near:
            quote = s.text(node.slice)[0] if s.text(node.slice)[0] in "'\"" else '"'
            facts.insert(0, Fact("nearest key", f"{near[0]!r}, line {keys[near[0]]}"))
            return Finding(
                f"There is no key {key!r}; there is {near[0]!r}, so it looks like a misspelling.", tuple(facts),
                (s.replace(node.slice, f"{quote}{near[0]}{quote}"),) if near[0].isprintable() and quote not in near[0] else (),
                f"Change {key!r} to {near[0]!r}",
                lambda view: f"the source writes the key {near[0]!r} in line {keys[near[0]]}",
            )  # fmt: skip
    other = next((k for k in keys if type(k) is not type(key) and str(k) == str(key)), None)
    if other is not None and isinstance(key, str | int) and type(other) in (str, int):
        function = type(other).__name__
        shown = s.text(node.slice)
        new = repr(other) if isinstance(node.slice, ast.Constant) else f"{function}({shown})"
        facts.insert(0, Fact("nearest key", f"{other!r}, line {keys[other]}"))
        return Finding(
            f"The key {key!r} is a {type(key).__name__}, and the keys are of type {function}: {other!r} is another key than {key!r}.",
            tuple(facts), (s.replace(node.slice, new),), f"Change `{shown}` to `{new}`",
            lambda view: f"the source writes the key {other!r} in line {keys[other]}",
        )  # fmt: skip
    return Finding(
        f"`{text}` has no key {key!r}. `{text}.get(…)` gives None for a key that is not there.", tuple(facts)
    )


def _literal(text: str) -> object:
    """The key that a message shows, as a value where it is a plain literal."""
    try:
        value = ast.literal_eval(text[:1000])
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
    return value if isinstance(value, str | int | float | bool | tuple | type(None)) else text


def _subscript(s: Situation, key: object) -> ast.Subscript | None:
    """The subscript that asked for the key: the one with this literal, else the only one."""
    same = s.the(ast.Subscript, lambda n: isinstance(n.slice, ast.Constant) and n.slice.value == key)
    return (
        same
        or s.the(ast.Subscript, lambda n: not isinstance(n.slice, ast.Constant | ast.Slice))
        or s.the(ast.Subscript)
    )


def _keys(s: Situation, node: ast.Subscript) -> dict[object, int]:
    """Keys that the source gives this dictionary, with their lines; where the dictionary cannot be traced, those of all
    dictionaries of the module."""
    found: dict[object, int] = {}
    text = s.text(node.value)
    given = values(s.view, text, s.line) if isinstance(node.value, ast.Name) else []
    traced = [v for v in given if isinstance(v, ast.Dict)]
    for part in traced or [n for n in ast.walk(s.view.tree) if isinstance(n, ast.Dict)]:
        for k in part.keys:
            if isinstance(k, ast.Constant) and isinstance(k.value, str | int | float):
                found.setdefault(k.value, k.lineno)
    for n in ast.walk(s.view.tree):
        if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) and isinstance(n.slice, ast.Constant):
            if isinstance(n.slice.value, str) and (not traced or s.text(n.value) == text):
                found.setdefault(n.slice.value, n.lineno)
    return found


def _counting(s: Situation, node: ast.Subscript, text: str) -> Finding | None:
    """`d[k] += 1` and `d[k].append(v)` into a dictionary that begins empty."""
    given = values(s.view, text, s.line) if isinstance(node.value, ast.Name) else []
    empty = [
        v
        for v in given
        if isinstance(v, ast.Dict) and not v.keys or isinstance(v, ast.Call) and ast.unparse(v) == "dict()"
    ]
    if not empty:
        return None
    index = s.text(node.slice)
    fact = Fact(f"`{text}` begins", f"empty, line {empty[0].lineno}")
    statement = s.view.statement(s.line)
    if (
        isinstance(statement, ast.AugAssign)
        and statement.target is node
        and not isinstance(statement.op, ast.Div | ast.FloorDiv | ast.Mod)
    ):
        start = {"str": '""', "list": "[]", "float": "0.0"}.get(kind(s.view, statement.value, s.line), "0")
        between = s.view.between(s.view.end(node), s.view.start(statement.value))
        operator = between.strip().removesuffix("=")
        new = f"{text}[{index}] = {text}.get({index}, {start}) {operator} {s.text(statement.value)}"
        if isinstance(statement.value, ast.BinOp | ast.IfExp | ast.BoolOp | ast.Compare | ast.Lambda):
            new = f"{text}[{index}] = {text}.get({index}, {start}) {operator} ({s.text(statement.value)})"
        return Finding(
            f"`{text}[{index}]` is read before it was ever set: the first time a key comes there is nothing to add to.", (fact,),
            (s.replace(statement, new),), "Begin with a value for a new key",
            lambda view: f"`{text}.get(…, {start})` has a value for a key that is new",
        )  # fmt: skip
    call = s.the(ast.Call, lambda n: isinstance(n.func, ast.Attribute) and n.func.value is node)
    first = {"append": "[]", "extend": "[]", "insert": "[]", "add": "set()", "update": "{}"}.get(
        call.func.attr if call else ""
    )
    if first is None:
        return None
    new = f"{text}.setdefault({index}, {first})"
    return Finding(
        f"`{text}[{index}]` is read before it was ever set: the first time a key comes there is no collection yet.", (fact,),
        (s.replace(node, new),), f"Change `{text}[{index}]` to `{new}`",
        lambda view: "`setdefault` makes the collection for a key that is new",
    )  # fmt: skip


def _popped(s: Situation, key: object) -> Finding | None:
    call = s.the(ast.Call, lambda n: getattr(n.func, "attr", "") in ("pop", "remove"))
    if call is None:
        return Finding(f"A dictionary or set has no {key!r}.", (Fact("where", "not to be seen in this line", False),))
    text = s.text(call.func.value)
    if call.func.attr == "remove":
        return Finding(
            f"The set `{text}` does not hold {key!r}; `discard` takes out what is there and does not mind if it is not."
        )
    return Finding(f"`{text}` has no key {key!r}; `pop` takes a second argument for that case.")


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
        f"`{index}` is not a position of `{text}`: positions go from 0 to `len({text}) - 1`, and an empty one has none.",
        tuple(facts),
    )


def _argv(s: Situation, node: ast.Subscript) -> Finding | None:
    if s.text(node.value) not in ("sys.argv", "argv"):
        return None
    return Finding(
        f"The program was started without the argument that `{s.text(node)}` reads (`{s.text(node.value)}[0]` is the program itself).",
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
        (Fact("the index", f"`{s.text(hit)}`, line {hit.lineno}"),), (s.replace(hit, f"{s.text(hit)} - 1"),),
        f"Change `{s.text(hit)}` to `{s.text(hit)} - 1`",
        lambda view: f"`len({owner}) - 1` is the last position",
    )  # fmt: skip


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
                    f"The loop in line {limit.lineno} goes up to `{s.text(limit)}`, and `{name}` becomes larger than the last "
                    f"position, `len({owner}) - 1`.", (Fact("the bound", f"`{s.text(limit)}`, line {limit.lineno}"),),
                    (s.replace(limit, text),), f"Change `{s.text(limit)}` to `{text}`",
                    lambda view: f"`range({text})` ends at the last position",
                )  # fmt: skip
        for test in _while_tests(s, name, owner):
            at = s.view.end(test.left)
            gap = s.view.between(at, s.view.start(test.comparators[0]))
            if "<=" in gap:
                column = at[1] + gap.index("<=")
                return Finding(
                    f"The loop in line {test.lineno} goes on while `{s.text(test)}`, so `{name}` reaches `len({owner})`, one beyond the "
                    "last position.", (Fact("the condition", f"`{s.text(test)}`, line {test.lineno}"),),
                    (Edit((at[0], column), (at[0], column + 2), "<"),), "Change `<=` to `<`",
                    lambda view: f"`{name}` stays below `len({owner})`",
                )  # fmt: skip
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
                f"`{s.text(node)}` looks beyond `{index.left.id}`, which the loop in line {limit.lineno} takes to the last position.",
                (Fact("the bound", f"`{s.text(limit)}`, line {limit.lineno}"),), (s.replace(limit, new),),
                f"Change `{s.text(limit)}` to `{new}`",
                lambda view: f"`{s.text(index)}` stays within the positions",
            )  # fmt: skip
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
        f"`{text}` is empty (line {given[0].lineno}), and assigning to a position does not make one: `append` adds at the end.",
        (Fact(f"`{text}` begins", f"empty, line {given[0].lineno}"),), (s.replace(statement, f"{text}.append({value})"),),
        f"Change to `{text}.append(…)`", lambda view: "`append` works on a list of any length",
    )  # fmt: skip


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
        f"`{s.text(node.value)}` is written with {size} elements (line {given[0].lineno}): the last position is {size - 1}."
        if size else f"`{s.text(node.value)}` is written empty (line {given[0].lineno}).",
        (Fact("elements in the source", str(size)),),
    )  # fmt: skip


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
            (Fact("the condition", f"`{s.text(test)}`, line {test.lineno}"),), (s.replace(test, text),),
            f"Change `while {s.text(test)}` to `while {text}`", lambda view: f"the loop ends when `{text}` is empty",
        )  # fmt: skip
    return Finding(f"`{text}` was empty: there was nothing to take. Ask `if {text}:` first.")
