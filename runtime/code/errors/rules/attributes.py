"""Rules for AttributeError of objects: misspelt attributes of classes and builtin types, words of other languages."""

import ast
import re

from runtime.code.errors import stdlib
from runtime.code.errors.definitions import (
    Attributes,
    attributes,
    builtin_attributes,
    defines,
    find_class,
    method,
    stores,
)
from runtime.code.errors.edits import Edit
from runtime.code.errors.origins import kind, values
from runtime.code.errors.rules.nothing import short
from runtime.code.errors.scope import Binding, nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import Function

_OBJECT = re.compile(
    r"(?:type object )?'([\w.]+)' object has no attribute '(\w+)'|type object '([\w.]+)' has no attribute '(\w+)'"
)

# What other languages, or older Pythons, call an attribute of this type. `len` means the function.
_CALLED_ELSEWHERE = {
    "list": {
        "push": "append",
        "add": "append",
        "append_all": "extend",
        "length": "len",
        "size": "len",
        "len": "len",
        "addAll": "extend",
        "indexOf": "index",
        "unshift": "insert",
        "concat": "extend",
    },
    "str": {
        "length": "len",
        "size": "len",
        "len": "len",
        "toUpperCase": "upper",
        "toLowerCase": "lower",
        "trim": "strip",
        "startsWith": "startswith",
        "endsWith": "endswith",
        "indexOf": "index",
        "substr": "find",
    },
    "dict": {
        "iteritems": "items",
        "iterkeys": "keys",
        "itervalues": "values",
        "length": "len",
        "size": "len",
        "add": "update",
    },
    "set": {"append": "add", "push": "add", "extend": "update", "length": "len", "size": "len"},
    "tuple": {"length": "len", "size": "len"},
    "generator": {"next": "__next__"},
}

_ALREADY = {
    ("str", "decode"): "A `str` is text already; only `bytes` are decoded.",
    ("bytes", "encode"): "`bytes` are encoded already; only a `str` is encoded.",
}


def object_has_no_attribute(s: Situation) -> Finding | None:
    """'C' object has no attribute 'x'; type object 'C' has no attribute 'x'."""
    found = _OBJECT.match(s.message)
    if not found or s.view.tree is None:
        return None
    owner, name = (found.group(1), found.group(2)) if found.group(1) else (found.group(3), found.group(4))
    owner = owner.rpartition(".")[2]
    nodes = s.nodes(ast.Attribute, lambda n: n.attr == name)
    cls, known = _known(s, owner)
    if cls is not None and (finding := _misspelt_method(s, cls, owner, name)):
        return finding
    if owner in ("str", "dict") and (finding := _key_as_attribute(s, owner, name, nodes)):
        return finding
    if finding := _called_elsewhere(s, owner, name, nodes):
        return finding
    if known is None:
        return Finding(
            f"The object is of type `{owner}`, which has no attribute `{name}`.",
            (Fact(f"attributes of {owner}", "the type is not defined in a source that may be read", False),),
        )
    near = [n for n in nearest(name, (k for k in known.found if not k.startswith("__"))) if plausible(name, n)]
    if not near:
        return _nothing_near(s, owner, name, known, nodes)
    best = near[0]
    facts = [Fact("nearest attribute", f"`{best}` ({known.found[best]})")]
    if near[1:]:
        facts.append(Fact("other attributes like it", listed(near[1:])))
    edits = tuple(attribute_edit(s, n, best) for n in (nodes if len(nodes) == 1 else ()))
    return Finding(
        f"`{owner}` has no attribute `{name}`; it has `{best}`, so `{name}` looks like a misspelling.",
        tuple(facts),
        edits,
        f"Change `.{name}` to `.{best}`",
        f"`{owner}` has `{best}` ({known.found[best]})",
    )


def attribute_edit(s: Situation, node: ast.Attribute, name: str) -> Edit:
    line, column = s.view.end(node)
    return Edit((line, column - len(node.attr)), (line, column), name)


def _known(s: Situation, owner: str) -> tuple[ast.ClassDef | None, Attributes | None]:
    """(class, its attributes) if the class can be read: in this file, in the project, in Python itself."""
    modules = s.module
    cls = find_class(s.view, owner)
    if cls is not None:
        return cls, attributes(s.view, cls, modules)
    if own := builtin_attributes(owner):
        return None, Attributes({n: Binding(n, f"of every {owner}", 0) for n in own})
    for node in ast.walk(s.view.tree):
        for name in _imported(node):
            other = modules(name) or stdlib.view(name)
            cls = find_class(other, owner) if other is not None else None
            if cls is not None:
                return None, attributes(other, cls, lambda module: None)
    return None, None


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _misspelt_method(s: Situation, cls: ast.ClassDef, owner: str, name: str) -> Finding | None:
    """The attribute is set in a method whose name is a slip of `__init__`, or in one that was not called."""
    for function in (n for n in cls.body if isinstance(n, Function)):
        own = function.args.args[0].arg if function.args.args else ""
        if not any(stored == name for stored, _ in stores(function, own)):
            continue
        if (
            method(cls, "__init__") is None
            and plausible("__init__", function.name)
            or function.name in ("init", "_init")
        ):
            line = function.lineno
            at = s.view.line(line).index(function.name)
            return Finding(
                f"`{name}` is set in `{function.name}` (line {line}), which Python does not call by itself: the method "
                "that makes an object ready is `__init__`.",
                (Fact("nearest special method", f"`__init__` to `{function.name}` of `{owner}`"),),
                (Edit((line, at), (line, at + len(function.name)), "__init__"),),
                f"Rename `{function.name}` to `__init__`",
                defines(owner, name),
            )
        if function.name != "__init__" and not any(
            stored == name for stored, _ in stores(method(cls, "__init__"), own) if method(cls, "__init__")
        ):
            return Finding(
                f"`{name}` is set only in `{owner}.{function.name}` (line {function.lineno}), and that had not been "
                "called on this object.",
                (Fact(f"`{owner}.{name}`", f"set in `{function.name}`, line {function.lineno}"),),
            )
    return None


def _called_elsewhere(s: Situation, owner: str, name: str, nodes: list[ast.Attribute]) -> Finding | None:
    right = _CALLED_ELSEWHERE.get(owner, {}).get(name)
    if right is None:
        return None
    edits: tuple[Edit, ...] = ()
    if len(nodes) == 1:
        node = nodes[0]
        if right == "len":
            call = next((c for c in s.nodes(ast.Call) if c.func is node and not c.args), None)
            edits = (s.replace(call or node, f"len({s.text(node.value)})"),)
        else:
            edits = (attribute_edit(s, node, right),)
    shown = "len(…)" if right == "len" else f".{right}"
    return Finding(
        f"A `{owner}` of Python has no `{name}`; what does this here is `{shown}`.",
        (Fact(f"`{shown}`", f"is there for every {owner}"),),
        edits,
        f"Change `.{name}` to `{shown}`",
        f"every `{owner}` has it",
    )


def _key_as_attribute(s: Situation, owner: str, name: str, nodes: list[ast.Attribute]) -> Finding | None:
    if owner != "dict" or len(nodes) != 1 or not isinstance(nodes[0].value, ast.Name):
        return None
    for value in values(s.view, nodes[0].value.id, s.line):
        keys = (
            [k.value for k in getattr(value, "keys", ()) if isinstance(k, ast.Constant)]
            if isinstance(value, ast.Dict)
            else []
        )
        if name in keys:
            text = f'{s.text(nodes[0].value)}["{name}"]'
            return Finding(
                f"`{name}` is a key of the dictionary, and keys are read with brackets.",
                (Fact(f"key {name!r}", f"in the dictionary of line {value.lineno}"),),
                (s.replace(nodes[0], text),),
                f"Change to `{text}`",
                f"the dictionary of line {value.lineno} has the key {name!r}",
            )
    return None


def _nothing_near(s: Situation, owner: str, name: str, known: Attributes, nodes: list[ast.Attribute]) -> Finding:
    facts = [Fact(f"attributes of {owner}", listed(sorted(n for n in known.found if not n.startswith("_"))))]
    if not known.complete:
        facts.append(Fact(f"bases of {owner}", "not all of them can be read here", False))
    cause = f"`{owner}` has no attribute `{name}`, and none that looks like it."
    if owner in ("list", "tuple", "set", "dict_values") and name in builtin_attributes("str"):
        cause = f"`{name}` belongs to strings, and this is a {owner}: it has to be asked of each element."
        if nodes and kind(s.view, nodes[0].value, s.line) == owner:
            facts.append(Fact(f"`{s.text(nodes[0].value)}`", f"is a {owner} by the source"))
    elif owner in ("function", "method", "builtin_function_or_method") and nodes:
        text = s.text(nodes[0].value)
        cause = f"`{short(text)}` is the function itself; its result would be `{short(text)}(…)`."
    elif (owner, name) in _ALREADY:
        cause = _ALREADY[owner, name]
    return Finding(cause, tuple(facts))
