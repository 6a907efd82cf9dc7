"""Rules for operators whose operands do not fit: text with numbers, None in arithmetic, a forgotten call or `await`."""

import ast
import re

from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.origins import kind, values
from runtime.code.errors.rules.nothing import none_finding
from runtime.code.errors.situation import Fact, Finding, Situation

_CONCATENATE = re.compile(r"can only concatenate (\w+) \(not \"(\w+)\"\) to (\w+)")

_UNSUPPORTED = re.compile(r"unsupported operand type\(s\) for ([^:]+): '([\w.]+)' and '([\w.]+)'")

_COMPARED = re.compile(r"'([<>=!]+)' not supported between instances of '([\w.]+)' and '([\w.]+)'")

_REPEATED = re.compile(r"can't multiply sequence by non-int of type '(\w+)'")

_FUNCTIONS = ("builtin_function_or_method", "function", "method", "type")

_SYMBOLS = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
    "**": ast.Pow,
    "&": ast.BitAnd,
    "|": ast.BitOr,
    "^": ast.BitXor,
    "<<": ast.LShift,
    ">>": ast.RShift,
}


def _binary(s: Situation, symbol: str, left: str, right: str) -> tuple[ast.expr, ast.expr] | None:
    """The two operands of the operation that failed, if the text leaves no doubt which it was."""
    symbol = symbol.split(" ")[0].rstrip("=") if symbol not in ("==", "<=", ">=") else symbol
    operator = _SYMBOLS.get(symbol)
    if operator is None:
        return None

    def fits(node: ast.BinOp) -> bool:
        sides = (kind(s.view, node.left, s.line), left), (kind(s.view, node.right, s.line), right)
        return isinstance(node.op, operator) and all(
            not known or known in (wanted, "number") for known, wanted in sides
        )

    node = s.the(ast.BinOp, fits)
    if node is not None:
        return node.left, node.right
    augmented = s.the(ast.AugAssign, lambda n: isinstance(n.op, operator))
    if augmented is not None:
        return augmented.target, augmented.value
    # In a chain without markers: the one whose both sides are known to be of these types.
    sure = s.nodes(
        ast.BinOp, lambda n: fits(n) and kind(s.view, n.right, s.line) == right and kind(s.view, n.left, s.line) == left
    )
    return (sure[0].left, sure[0].right) if len(sure) == 1 else None


def wrapped(s: Situation, node: ast.expr, function: str) -> tuple[Edit, ...]:
    text = s.text(node)
    return (s.replace(node, f"{function}({text})"),)


def concatenate(s: Situation) -> Finding | None:
    """can only concatenate str (not "int") to str."""
    found = _CONCATENATE.match(s.message)
    if not found:
        return None
    left, right, _ = found.groups()
    pair = _binary(s, "+", left, right)
    cause = f"`+` joins a {left} with a {left} only; what stands to the right of it is of type {right}."
    if right == "NoneType" and pair:
        return none_finding(s, pair[1], "it was added to a string")
    if pair is None:
        return Finding(cause)
    node = pair[1]
    text = s.text(node)
    facts = type_fact(s, node, right)
    if right in _FUNCTIONS:
        return _missing_call(s, node, right)
    if left == "str":
        return Finding(cause, facts, wrapped(s, node, "str"), f"Change `{text}` to `str({text})`", _is_now("str"))
    if left == "list":
        new = f"list({text})" if right in ("tuple", "set", "range", "dict_keys", "dict_values") else f"[{text}]"
        return Finding(cause, facts, (s.replace(node, new),), f"Change `{text}` to `{new}`", _is_now("list"))
    return Finding(cause, facts)


def _is_now(name: str):
    return f"both sides of `+` are now of type {name}"


def type_fact(s: Situation, node: ast.expr, said: str) -> tuple[Fact, ...]:
    text = " ".join(s.text(node).split())[:60]
    by_source = kind(s.view, node, s.line)
    facts = [
        Fact(f"type of `{text}`", f"{said}{', also by the source' if by_source == said else ''}", by_source == said)
    ]
    if isinstance(node, ast.Name):
        facts += [
            Fact(f"`{node.id}` comes from", f"`{s.text(v)[:80]}`, line {v.lineno}")
            for v in values(s.view, node.id, s.line)[-2:]
        ]
    return tuple(facts)


def _missing_call(s: Situation, node: ast.expr, said: str) -> Finding:
    text = s.text(node)
    return Finding(
        f"`{text}` is the function itself, not its result: the parentheses are missing.",
        type_fact(s, node, said),
        (insert(*s.view.end(node), "()"),) if isinstance(node, ast.Name | ast.Attribute) else (),
        f"Call `{text}()`",
        f"`{text}` is called",
    )


def unsupported(s: Situation) -> Finding | None:
    """unsupported operand type(s) for +: 'int' and 'str'."""
    found = _UNSUPPORTED.match(s.message) or _COMPARED.match(s.message)
    if not found:
        return None
    symbol, left, right = found.groups()
    compared = found.re is _COMPARED
    pair = _compared(s) if compared else _binary(s, symbol, left, right)
    verb = "compares" if compared else "works on"
    cause = f"`{symbol}` {verb} a {left} and a {right} here, and Python has no such operation."
    if pair is None:
        return Finding(cause)
    for node, type_name in zip(pair, (left, right), strict=True):
        if type_name == "NoneType":
            return none_finding(s, node, f"`{symbol}` was applied to it")
        if type_name == "coroutine":
            return awaited(s, node)
        if type_name in _FUNCTIONS and isinstance(node, ast.Name | ast.Attribute):
            return _missing_call(s, node, type_name)
    facts = type_fact(s, pair[0], left) + type_fact(s, pair[1], right)
    if {left, right} <= {"str", "int", "float"} and "str" in (left, right):
        text_side, number_side = pair if left == "str" else pair[::-1]
        return _text_and_number(
            s, symbol, text_side, number_side, cause, facts, "float" if "float" in (left, right) else "int"
        )
    return Finding(cause, facts)


def _compared(s: Situation) -> tuple[ast.expr, ast.expr] | None:
    node = s.the(ast.Compare, lambda n: len(n.ops) == 1)
    return (node.left, node.comparators[0]) if node is not None else None


def _text_and_number(
    s: Situation,
    symbol: str,
    text_side: ast.expr,
    number_side: ast.expr,
    cause: str,
    facts: tuple[Fact, ...],
    number: str,
) -> Finding:
    """A string with a number: which of the two was meant follows from the operator and from where the string comes."""
    plus = symbol in ("+", "+=")
    literal = isinstance(text_side, ast.Constant | ast.JoinedStr)
    if plus and (literal or not _read_as_text(s, text_side)):
        if not literal and not any(
            isinstance(n, ast.JoinedStr | ast.Constant) and (isinstance(n, ast.JoinedStr) or isinstance(n.value, str))
            for n in ast.walk(text_side)
        ):
            return Finding(cause + " Either `str(…)` around the number or `int(…)` around the text is missing.", facts)
        shown = s.text(number_side)
        return Finding(
            cause + " To join them the number has to become text.",
            facts,
            wrapped(s, number_side, "str"),
            f"Change `{shown}` to `str({shown})`",
            _is_now("str"),
        )
    if isinstance(text_side, ast.Constant):
        try:
            float(text_side.value)
        except (TypeError, ValueError):
            return Finding(cause, facts)
    shown = s.text(text_side)
    return Finding(
        cause + f" The text has to become a number first: `{number}({shown})`.",
        facts,
        wrapped(s, text_side, number),
        f"Change `{shown}` to `{number}({shown})`",
        "both sides of the operator are now numbers",
    )


def _read_as_text(s: Situation, node: ast.expr) -> bool:
    """Whether a string comes from where numbers arrive as text: input(), argv, environ, split()."""
    given = values(s.view, node.id, s.line) if isinstance(node, ast.Name) else [node]
    texts = [s.text(v) for v in given]
    return any(
        word in text for text in texts for word in ("input(", "argv", "environ", "split(", "readline(", "getenv")
    )


def awaited(s: Situation, node: ast.expr) -> Finding:
    """A coroutine where its result was meant."""
    given = values(s.view, node.id, s.line) if isinstance(node, ast.Name) else [node]
    call = given[-1] if given and isinstance(given[-1], ast.Call) else None
    function = s.view.function(s.line)
    inside = isinstance(function, ast.AsyncFunctionDef)
    text = s.text(call) if call is not None else s.text(node)
    edits: tuple[Edit, ...] = ()
    if call is not None and inside:
        edits = (s.replace(call, f"await {text}" if call is not node else f"(await {text})"),)
    return Finding(
        f"`{text}` gives a coroutine, and nobody waited for its result: `await` is missing"
        + ("." if inside else ", and it can only stand inside an `async def`."),
        (),
        edits,
        f"Add `await` before `{text}`",
        f"`{text}` stands in an `async def`",
    )


def repeated(s: Situation) -> Finding | None:
    """can't multiply sequence by non-int of type 'str' / 'float'."""
    found = _REPEATED.match(s.message)
    if not found:
        return None
    node = s.the(ast.BinOp, lambda n: isinstance(n.op, ast.Mult))
    cause = f"`*` repeats a sequence a whole number of times; the other side is a {found.group(1)}."
    if node is None:
        return Finding(cause)
    if found.group(1) == "str":  # both sides are text
        side = next((n for n in (node.right, node.left) if _read_as_text(s, n)), None)
    else:
        side = next((n for n in (node.left, node.right) if _read_as_text(s, n)), None)
    if side is None:
        return Finding(cause, type_fact(s, node.left, kind(s.view, node.left, s.line) or "a sequence"))
    text = s.text(side)
    number = "float" if found.group(1) == "float" else "int"
    return Finding(
        cause + f" `{text}` is text that was read, not a number.",
        type_fact(s, side, "str"),
        wrapped(s, side, number),
        f"Change `{text}` to `{number}({text})`",
        f"`{text}` is now a number",
    )
