"""Rules for calls that do not fit their function: misspelt keywords, missing and surplus arguments, no `self`."""

import ast
import builtins
import inspect
import re

from runtime.code.errors.definitions import (
    fields,
    find_class,
    find_function,
    has_decorator,
    is_static,
    method,
    parameters,
    self_name,
    signature,
)
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.scope import nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import Function, View

_KEYWORD = re.compile(r"([\w.<>]+)\(\) got an unexpected keyword argument '(\w+)'")

_INVALID = re.compile(r"'(\w+)' is an invalid keyword argument for (\w+)\(\)")

_MISSING = re.compile(r"([\w.<>]+)\(\) missing \d+ required (?:positional|keyword-only) arguments?: (.+)")

_TOO_MANY = re.compile(
    r"([\w.<>]+)\(\) takes (?:from \d+ to )?(\d+) positional arguments? but (\d+) (?:was|were) given"
)

_MULTIPLE = re.compile(r"([\w.<>]+)\(\) got multiple values for argument '(\w+)'")


def _last(name: str) -> str:
    """The name by which a call writes a qualified function: of `C.__init__`, `C`."""
    parts = [part for part in name.split(".") if part != "<locals>"]
    return parts[-2] if parts[-1] in ("__init__", "__new__") and len(parts) > 1 else parts[-1]


def _definition(s: Situation, name: str) -> tuple[View, Function | None]:
    """(view, function) of the project that has this qualified name; looked up in the file, then in its imports."""
    function = find_function(s.view, name)
    if function is not None or s.view.tree is None:
        return s.view, function
    for node in ast.walk(s.view.tree):
        for module in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else ([node.module] if isinstance(node, ast.ImportFrom) and node.module else [])
        ):
            other = s.module(module)
            function = find_function(other, name) if other is not None else None
            if function is not None:
                return other, function
    return s.view, None


def _calls(s: Situation, name: str) -> list[ast.Call]:
    """Calls of the statement that are written with this function's name; all calls if none is."""
    last = _last(name)
    named = s.nodes(ast.Call, lambda n: getattr(n.func, "id", getattr(n.func, "attr", "")) == last)
    return named or s.nodes(ast.Call)


def _described(view: View, function: Function, s: Situation) -> Fact:
    file = "" if view is s.view else f" of {view.path}"
    return Fact("definition", f"`{signature(function)}`, line {function.lineno}{file}")


def unexpected_keyword(s: Situation) -> Finding | None:
    """f() got an unexpected keyword argument 'x'."""
    if found := _KEYWORD.match(s.message):
        name, keyword = found.groups()
    elif found := _INVALID.match(s.message):
        keyword, name = found.groups()
    else:
        return None
    view, function = _definition(s, name)
    facts: list[Fact] = []
    if function is not None:
        facts.append(_described(view, function, s))
        known = parameters(function, bound=_is_method(view, function))
    else:
        known = _fields(s, name) or _builtin_parameters(_last(name))
    call = next((c for c in _calls(s, name) if any(k.arg == keyword for k in c.keywords)), None)
    taken = {k.arg for k in call.keywords} if call is not None else set()
    near = [n for n in nearest(keyword, known) if plausible(keyword, n) and n not in taken]
    if not near:
        facts.append(Fact(f"parameters of {_last(name)}", listed(known) if known else "not known here", bool(known)))
        return Finding(f"`{_last(name)}` has no parameter `{keyword}`, and none that looks like it.", tuple(facts))
    facts.insert(0, Fact("nearest parameter", f"`{near[0]}`"))
    edits: tuple[Edit, ...] = ()
    if call is not None:
        node = next(k for k in call.keywords if k.arg == keyword)
        line, column = s.view.start(node)
        edits = (Edit((line, column), (line, column + len(keyword)), near[0]),)
    return Finding(
        f"`{_last(name)}` has no parameter `{keyword}`; it has `{near[0]}`.",
        tuple(facts),
        edits,
        f"Change `{keyword}=` to `{near[0]}=`",
        f"`{_last(name)}` has the parameter `{near[0]}`",
    )


def _is_method(view: View, function: Function) -> bool:
    return any(isinstance(n, ast.ClassDef) and function in n.body for n in ast.walk(view.tree)) and not is_static(
        function
    )


def _fields(s: Situation, name: str) -> list[str]:
    cls = find_class(s.view, _last(name)) if s.view.tree is not None else None
    return fields(cls) if cls is not None else []


def _builtin_parameters(name: str) -> list[str]:
    """Keywords of one of Python's own functions or of a method of a builtin type, as far as Python tells."""
    owners = (list, str, dict, bytes)
    target = getattr(builtins, name, None) or next((getattr(t, name) for t in owners if hasattr(t, name)), None)
    try:
        found = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "self"]


def missing_argument(s: Situation) -> Finding | None:
    """f() missing 1 required positional argument: 'x'."""
    found = _MISSING.match(s.message)
    if not found:
        return None
    name = found.group(1)
    wanted = re.findall(r"'(\w+)'", found.group(2))
    view, function = _definition(s, name)
    facts = [_described(view, function, s)] if function is not None else []
    calls = _calls(s, name)
    call = calls[0] if len(calls) == 1 else None
    if call is not None:
        facts.append(Fact("the call", f"`{s.text(call)[:100]}` gives {len(call.args) + len(call.keywords)}"))
    if function is not None and (finding := _on_class(s, view, function, wanted, call, facts)):
        return finding
    edits: tuple[Edit, ...] = ()
    seen = s.visible()
    if call is not None and all(w in seen and seen[w].line for w in wanted):
        text = ", ".join(f"{w}={w}" for w in wanted)
        edits = (_append(s, call, text),)
    cause = (
        f"`{_last(name)}` needs {listed(wanted)}, and the call does not give {'it' if len(wanted) == 1 else 'them'}."
    )
    if edits:
        cause += f" {'A variable' if len(wanted) == 1 else 'Variables'} of that name can be seen here."
    return Finding(
        cause,
        tuple(facts),
        edits,
        f"Pass {listed(wanted)}",
        ", ".join(f"`{w}` can be seen at the call ({seen[w]})" for w in wanted if w in seen),
    )


def _append(s: Situation, call: ast.Call, text: str) -> Edit:
    """Puts another argument at the end of a call."""
    line, column = s.view.end(call)
    inside = s.view.between(s.view.end(call.func), (line, column - 1)).strip()[1:].rstrip()
    lead = "" if not inside else " " if inside.endswith(",") else ", "
    return insert(line, column - 1, lead + text)


def _on_class(
    s: Situation, view: View, function: Function, wanted: list[str], call: ast.Call | None, facts: list[Fact]
) -> Finding | None:
    """A method that was called on the class: `C.method(x)` where `C().method(x)` was meant."""
    if not _is_method(view, function) or self_name(function) not in wanted or call is None:
        return None
    if not isinstance(call.func, ast.Attribute) or not isinstance(call.func.value, ast.Name):
        return None
    cls = find_class(view, call.func.value.id)
    if cls is None:
        return None
    init = method(cls, "__init__")
    ready = not fields(cls) and (init is None or len(init.args.args) - len(init.args.defaults) <= 1)
    end = s.view.end(call.func.value)
    return Finding(
        f"`{function.name}` was called on the class `{cls.name}` itself: it needs an object, "
        f"`{cls.name}(…).{function.name}()`.",
        tuple(facts),
        (insert(*end, "()"),) if ready else (),
        f"Make an object of `{cls.name}` first",
        f"`{cls.name}()` needs no arguments",
    )


def too_many_arguments(s: Situation) -> Finding | None:
    """f() takes 0 positional arguments but 1 was given."""
    found = _TOO_MANY.match(s.message)
    if not found:
        return None
    name, most, given = found.group(1), int(found.group(2)), int(found.group(3))
    view, function = _definition(s, name)
    if function is None:
        return Finding(f"`{_last(name)}` takes {most} positional arguments, and the call gives {given}.")
    if given == most + 1 and (finding := _forgotten_self(s, view, function)):
        return finding
    facts = [_described(view, function, s)]
    only = [a.arg for a in function.args.kwonlyargs]
    if only:
        facts.append(Fact("only by keyword", listed(only)))
    own = 1 if _is_method(view, function) else 0
    return Finding(
        f"`{_last(name)}` takes {most - own} positional argument{'' if most - own == 1 else 's'}, and the call gives "
        f"{given - own}{' (the object itself not counted)' if own else ''}.",
        tuple(facts),
    )


def _forgotten_self(s: Situation, view: View, function: Function) -> Finding | None:
    if not _is_method(view, function) or has_decorator(function, "classmethod", "staticmethod"):
        return None
    first = self_name(function)
    if first in ("self", "cls", "mcs"):
        return None
    facts = (_described(view, function, s),)
    cause = (
        f"`{function.name}` (line {function.lineno}) is a method and gets the object as its first argument, but its "
        "parameters do not begin with `self`."
    )
    if view is not s.view:
        return Finding(cause, facts)
    line = function.lineno
    at = view.line(line).find("(", view.start(function)[1])
    edits = (insert(line, at + 1, "self" if first is None else "self, "),) if at >= 0 else ()
    return Finding(
        cause,
        facts,
        edits,
        "Add the parameter `self`",
        lambda fixed: (
            f"`{function.name}` now begins with `self`"
            if (now := find_function(fixed, function.name)) is None or self_name(now) == "self"
            else None
        ),
    )


def multiple_values(s: Situation) -> Finding | None:
    """f() got multiple values for argument 'x'."""
    found = _MULTIPLE.match(s.message)
    if not found:
        return None
    name, argument = found.groups()
    view, function = _definition(s, name)
    if function is not None and (finding := _forgotten_self(s, view, function)):
        return finding
    facts = (_described(view, function, s),) if function is not None else ()
    return Finding(f"The call gives `{argument}` twice: by its position and by its name.", facts)
