"""Rules for classes that cannot be made: no `__init__` or a misspelt one, abstract methods that are not defined."""

import re

from runtime.code.errors.definitions import defines, find_class
from runtime.code.errors.edits import Edit
from runtime.code.errors.scope import bindings, nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import Function

_NONE_TAKEN = re.compile(r"(\w+)\(\) takes no arguments")


def takes_no_arguments(s: Situation) -> Finding | None:
    """C() takes no arguments: the class has no `__init__`, or one under a misspelt name."""
    found = _NONE_TAKEN.match(s.message)
    cls = find_class(s.view, found.group(1)) if found and s.view.tree is not None else None
    if cls is None:
        return None
    for function in (n for n in cls.body if isinstance(n, Function)):
        if plausible("__init__", function.name) or function.name in ("init", "_init", "__init", "constructor"):
            line = function.lineno
            at = s.view.line(line).index(function.name)
            return Finding(
                f"`{cls.name}` has no `__init__`; its method `{function.name}` (line {line}) looks like one.",
                (Fact("nearest special method", f"`__init__` to `{function.name}`"),),
                (Edit((line, at), (line, at + len(function.name)), "__init__"),),
                f"Rename `{function.name}` to `__init__`",
                defines(cls.name, "__init__"),
            )
    own = [b.name for b in bindings(cls) if b.kind == "function"]
    return Finding(
        f"`{cls.name}` (line {cls.lineno}) has no `__init__` that could take arguments.",
        (Fact(f"methods of {cls.name}", listed(own)),),
    )


def abstract(s: Situation) -> Finding | None:
    """Can't instantiate abstract class C with abstract method(s) x."""
    found = re.match(
        r"Can't instantiate abstract class (\w+) (?:with|without an implementation for) abstract methods? (.+)",
        s.message,
    )
    cls = find_class(s.view, found.group(1)) if found and s.view.tree is not None else None
    if cls is None:
        return None
    wanted = re.findall(r"\w+", found.group(2))
    own = {b.name: b for b in bindings(cls) if b.kind == "function"}
    for name in wanted:
        near = [n for n in nearest(name, own) if plausible(name, n) and n not in wanted]
        if near:
            line = own[near[0]].line
            at = s.view.line(line).index(near[0])
            return Finding(
                f"`{cls.name}` has to define `{name}`; its method `{near[0]}` (line {line}) looks like a slip of it.",
                (Fact("nearest method", f"`{near[0]}`, line {line}"),),
                (Edit((line, at), (line, at + len(near[0])), name),),
                f"Rename `{near[0]}` to `{name}`",
                defines(cls.name, name),
            )
    return Finding(
        f"`{cls.name}` (line {cls.lineno}) has to define {listed(wanted)} before objects of it can be made.",
        (Fact(f"methods of {cls.name}", listed(sorted(own))),),
    )
