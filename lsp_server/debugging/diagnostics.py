"""Reads the diagnostics of other language servers as the exception that the line would raise.

Knows the wording of Pylance/pyright, mypy, pyflakes/ruff/flake8 and pylint for what the rules can repair, and Python's
own messages. What it does not know stays unexplained: nothing is guessed from other words.
"""

import ast
import re
from collections.abc import Callable

from runtime.code.errors.view import View

Problem = tuple[str, str]  # the type and message of an exception, as Python words them
_NAME = r"[\"'`](\w+)[\"'`]"
_DOTTED = r"[\"'`]([\w.]+)[\"'`]"


def _literal_type(text: str) -> str:
    """The type that pyright or mypy writes, as Python's runtime names it."""
    text = text.strip("\"'`")
    if found := re.match(r"Literal\[(.)", text):
        return "str" if found.group(1) in "'\"" else "bytes" if found.group(1) == "b" else "int"
    return {"None": "NoneType"}.get(text, text.partition("[")[0].removeprefix("type").strip("[]") or text)


def _callee(view: View, line: int, where: Callable[[ast.Call], bool]) -> str:
    """The name by which a call in this line is written; diagnostics of calls do not say it."""
    found = [n for n in view.parts(line) if isinstance(n, ast.Call) and n.lineno <= line <= n.end_lineno and where(n)]
    last = found[-1] if found else None
    return getattr(last.func, "attr", getattr(last.func, "id", "")) if last is not None else ""


def problem(message: str, view: View, line: int) -> Problem | None:
    """The exception that a diagnostic at `line` (from 1) stands for; None if its words are not known."""
    text = re.sub(r"^[A-Z]{1,4}\d{3,4}[: ]+", "", message[:1000].strip()).split("\n")[0]
    if found := re.match(r"([A-Z]\w*(?:Error|Exception)): (.+)", text):
        return found.group(1), found.group(2)
    for pattern, kind, words in _SIMPLE:
        if found := re.match(pattern, text):
            return kind, words.format(*found.groups())
    return _attribute(text) or _operands(text) or _call(text, view, line) or _import(text, view, line)


_SIMPLE = (
    (rf"{_NAME} is not defined$", "NameError", "name '{0}' is not defined"),
    (rf"(?:U|u)ndefined (?:name|variable) {_NAME}", "NameError", "name '{0}' is not defined"),
    (rf"Name {_NAME} is not defined", "NameError", "name '{0}' is not defined"),
    (rf"{_NAME} is (?:possibly )?unbound", "UnboundLocalError", "local variable '{0}' referenced before assignment"),
    (rf"(?:Using|local) variable {_NAME} .*before assignment", "UnboundLocalError",
     "local variable '{0}' referenced before assignment"),
    (rf"{_NAME} is not a known attribute of \"None\"", "AttributeError", "'NoneType' object has no attribute '{0}'"),
    (rf"{_NAME} is not a known attribute of module {_DOTTED}", "AttributeError", "module '{1}' has no attribute '{0}'"),
    (rf"Module {_DOTTED} has no {_NAME} member", "AttributeError", "module '{0}' has no attribute '{1}'"),
    (rf"Instance of {_NAME} has no {_NAME} member", "AttributeError", "'{0}' object has no attribute '{1}'"),
    (rf"Class {_NAME} has no {_NAME} member", "AttributeError", "type object '{0}' has no attribute '{1}'"),
    (rf"Import {_DOTTED} could not be resolved", "ModuleNotFoundError", "No module named '{0}'"),
    (rf"Unable to import {_DOTTED}", "ModuleNotFoundError", "No module named '{0}'"),
    (rf"Cannot find implementation or library stub for module named {_DOTTED}", "ModuleNotFoundError",
     "No module named '{0}'"),
    (rf"No name {_NAME} in module {_DOTTED}", "ImportError", "cannot import name '{0}' from '{1}'"),
    (rf"Module {_DOTTED} has no attribute {_NAME}", "ImportError", "cannot import name '{1}' from '{0}'"),
    (r"Object of type \"None\" is not subscriptable", "TypeError", "'NoneType' object is not subscriptable"),
)  # fmt: skip


def _attribute(text: str) -> Problem | None:
    found = re.match(rf"Cannot access (?:attribute|member) {_NAME} for (?:class|type) \"([^\"]+)\"", text)
    if found:
        name, owner = found.groups()
        if owner.startswith("type["):
            return "AttributeError", f"type object '{owner[5:-1]}' has no attribute '{name}'"
        return "AttributeError", f"'{_literal_type(owner)}' object has no attribute '{name}'"
    found = re.match(rf"\"([^\"]+)\" has no attribute {_NAME}", text)
    if found:
        return "AttributeError", f"'{_literal_type(found.group(1))}' object has no attribute '{found.group(2)}'"
    return None


def _operands(text: str) -> Problem | None:
    found = re.match(r"Operator \"(.+?)\" not supported for types \"(.+?)\" and \"(.+?)\"", text)
    found = found or re.match(r"Unsupported operand types for (\S+) \(\"(.+?)\" and \"(.+?)\"\)", text)
    if not found:
        return None
    symbol, left, right = found.group(1), _literal_type(found.group(2)), _literal_type(found.group(3))
    if symbol in ("+", "+=") and left in ("str", "list", "tuple"):
        return "TypeError", f'can only concatenate {left} (not "{right}") to {left}'
    if symbol in ("<", ">", "<=", ">="):
        return "TypeError", f"'{symbol}' not supported between instances of '{left}' and '{right}'"
    return "TypeError", f"unsupported operand type(s) for {symbol}: '{left}' and '{right}'"


def _call(text: str, view: View, line: int) -> Problem | None:
    if found := re.match(rf"(?:No parameter named|Unexpected keyword argument) {_NAME}(?: for {_NAME})?", text):
        keyword = found.group(1)
        name = found.group(2) or _callee(view, line, lambda call: any(k.arg == keyword for k in call.keywords))
        return ("TypeError", f"{name}() got an unexpected keyword argument '{keyword}'") if name else None
    found = re.match(r"(?:Arguments? missing for parameters?|No value for argument) (.+?)(?: in function call)?$", text)
    found = found or re.match(rf"Missing positional arguments? (.+?) in call to {_NAME}", text)
    if found:
        wanted = re.findall(r"[\"'](\w+)[\"']", found.group(1))
        name = found.group(2) if found.re.groups > 1 else _callee(view, line, lambda call: True)
        if not wanted or not name:
            return None
        listed = " and ".join(f"'{w}'" for w in wanted)
        return "TypeError", f"{name}() missing {len(wanted)} required positional arguments: {listed}"
    return None


def _import(text: str, view: View, line: int) -> Problem | None:
    found = re.match(rf"{_NAME} is unknown import symbol", text)
    statement = view.statement(line)
    if found and isinstance(statement, ast.ImportFrom) and statement.module:
        return "ImportError", f"cannot import name '{found.group(1)}' from '{statement.module}'"
    return None
