"""Rules for UnboundLocalError: a global or outer variable that is assigned, a value that is set on one way only."""

import ast
import re

from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.origins import assignments
from runtime.code.errors.rules.names import loads
from runtime.code.errors.scope import Binding, bindings, plausible
from runtime.code.errors.situation import Fact, Finding, Situation
from runtime.code.errors.view import Function

_UNBOUND = re.compile(r"(?:cannot access local variable|local variable) '(\w+)'")


def unbound_local(s: Situation) -> Finding | None:
    """UnboundLocalError: a name that is assigned somewhere in the function is read before that."""
    found = _UNBOUND.match(s.message)
    function = s.view.function(s.line)
    if not found or function is None:
        return None
    name = found.group(1)
    own = [b for b in bindings(function) if b.name == name]
    if not own:
        return None
    facts = [Fact(f"`{name}` in {function.name}()", ", ".join(str(b) for b in own[:4]))]
    outer = _outer(s, function, name)
    later = all(b.line >= s.line for b in own)
    if outer is not None and later:
        word, binding = outer
        facts.append(Fact(f"`{name}` outside", str(binding)))
        return Finding(
            f"`{function.name}` assigns `{name}`, which makes it a local variable of the whole function; the `{name}` "
            f"of "
            f"line {binding.line} is hidden by it, and the local one has no value yet.",
            tuple(facts),
            _declare(s, function, f"{word} {name}"),
            f"Add `{word} {name}`",
            lambda view: (
                f"`{name}` is no longer local to `{function.name}`"
                if not any(
                    b.name == name
                    for n in ast.walk(view.tree)
                    if isinstance(n, Function) and n.name == function.name
                    for b in bindings(n)
                )
                else None
            ),
        )
    slip = _misspelt_before(s, function, name)
    if slip is not None:
        return slip
    if isinstance(own[0].node, ast.ExceptHandler):
        why = f"Python deletes `{name}` at the end of the `except` block (line {own[0].line}): copy it to another name."
    elif later:
        why = f"`{name}` is local to `{function.name}` and gets its first value in line {own[0].line}, after this read."
    else:
        way = _conditional(function, own[0].line)
        why = f"`{name}` is assigned only in line {own[0].line}, {way}, and this time the program did not pass there."
    return Finding(why + f" Give `{name}` a value before line {s.line} on every way.", tuple(facts))


def _outer(s: Situation, function: Function, name: str) -> tuple[str, Binding] | None:
    chain = s.view.scopes(s.line)
    for scope in reversed(chain[: chain.index(function)] if function in chain else []):
        binding = next((b for b in bindings(scope) if b.name == name), None)
        if binding is not None and not isinstance(scope, ast.ClassDef):
            return ("global" if isinstance(scope, ast.Module) else "nonlocal"), binding
    return None


def _declare(s: Situation, function: Function, statement: str) -> tuple[Edit, ...]:
    body = function.body
    docstring = isinstance(body[0], ast.Expr) and isinstance(getattr(body[0], "value", None), ast.Constant)
    first = body[1] if docstring and len(body) > 1 else body[0]
    line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
    if line == function.lineno or s.view.line(line)[: s.view.start(first)[1]].strip():
        return ()  # `def f(): x += 1` in one line
    return (insert(line, 0, f"{s.view.indentation(line)}{statement}\n"),)


def _misspelt_before(s: Situation, function: Function, name: str) -> Finding | None:
    """A variable that was set under a misspelt name and is never read."""
    for binding in bindings(function):
        if binding.line >= s.line or not plausible(name, binding.name) or binding.name == name:
            continue
        if binding.kind != "variable" or loads(s.view, binding.name, function):
            continue
        stores = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == binding.name]
        return Finding(
            f"`{name}` has no value yet: line {binding.line} sets `{binding.name}`, which is never read and looks like "
            f"a misspelling of `{name}`.",
            (Fact(f"`{binding.name}`", f"{binding}, never read"),),
            tuple(s.replace(n, name) for n in stores),
            f"Change `{binding.name}` to `{name}`",
            lambda view, binding=binding: (
                f"`{name}` gets a value in line {binding.line}"
                if any(b.line == binding.line for b in assignments(view, name, s.line))
                else None
            ),
        )
    return None


def _conditional(function: Function, line: int) -> str:
    """In which kind of block a line of a function stands, in words."""
    words = {
        ast.If: "inside an `if`",
        ast.For: "inside a loop",
        ast.While: "inside a loop",
        ast.Try: "inside a `try`",
        ast.ExceptHandler: "inside an `except`",
        ast.With: "inside a `with`",
    }
    best = "on another way"
    for node in ast.walk(function):
        if type(node) in words and node.lineno < line <= node.end_lineno:
            best = f"{words[type(node)]} (line {node.lineno})"
    return best
