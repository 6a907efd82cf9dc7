"""Rules for KeyError: misspelt keys, keys of another type, counting into a dictionary that begins empty."""

import ast

from runtime.code.errors.origins import kind, values
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
            f"The environment variable {key!r} is not set where the program runs; `os.environ.get({key!r})` gives "
            f"None instead.",
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
                f"There is no key {key!r}; there is {near[0]!r}, so it looks like a misspelling.",
                tuple(facts),
                (s.replace(node.slice, f"{quote}{near[0]}{quote}"),)
                if near[0].isprintable() and quote not in near[0]
                else (),
                f"Change {key!r} to {near[0]!r}",
                f"the source writes the key {near[0]!r} in line {keys[near[0]]}",
            )
    other = next((k for k in keys if type(k) is not type(key) and str(k) == str(key)), None)
    if other is not None and isinstance(key, str | int) and type(other) in (str, int):
        function = type(other).__name__
        shown = s.text(node.slice)
        new = repr(other) if isinstance(node.slice, ast.Constant) else f"{function}({shown})"
        facts.insert(0, Fact("nearest key", f"{other!r}, line {keys[other]}"))
        return Finding(
            f"The key {key!r} is a {type(key).__name__}, and the keys are of type {function}: {other!r} is another "
            f"key than {key!r}.",
            tuple(facts),
            (s.replace(node.slice, new),),
            f"Change `{shown}` to `{new}`",
            f"the source writes the key {other!r} in line {keys[other]}",
        )
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
            f"`{text}[{index}]` is read before it was ever set: the first time a key comes there is nothing to add to.",
            (fact,),
            (s.replace(statement, new),),
            "Begin with a value for a new key",
            f"`{text}.get(…, {start})` has a value for a key that is new",
        )
    call = s.the(ast.Call, lambda n: isinstance(n.func, ast.Attribute) and n.func.value is node)
    first = {"append": "[]", "extend": "[]", "insert": "[]", "add": "set()", "update": "{}"}.get(
        call.func.attr if call else ""
    )
    if first is None:
        return None
    new = f"{text}.setdefault({index}, {first})"
    return Finding(
        f"`{text}[{index}]` is read before it was ever set: the first time a key comes there is no collection yet.",
        (fact,),
        (s.replace(node, new),),
        f"Change `{text}[{index}]` to `{new}`",
        "`setdefault` makes the collection for a key that is new",
    )


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
