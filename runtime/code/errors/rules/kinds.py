"""Rules for objects used as what they are not: called, indexed, iterated, unpacked, hashed or measured."""

import ast
import builtins
import re

from runtime.code.errors import stdlib
from runtime.code.errors.definitions import has_decorator, method
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.origins import assignments, kind, values
from runtime.code.errors.rules.attributes import none_finding
from runtime.code.errors.rules.operands import awaited
from runtime.code.errors.scope import bound_anywhere
from runtime.code.errors.situation import Fact, Finding, Situation

_CALLED = re.compile(r"'([\w.]+)' object is not callable")
_INDEXED = re.compile(r"'([\w.]+)' object is not subscriptable")
_ITERATED = re.compile(
    r"'([\w.]+)' object is not (iterable|an iterator)|argument of type '([\w.]+)' is not (?:iterable|a container)|cannot unpack non-iterable ([\w.]+) object"
)
_MEASURED = re.compile(r"object of type '([\w.]+)' has no len\(\)")
_HASHED = re.compile(r"unhashable type: '(\w+)'|cannot use '(\w+)' as a (?:set element|dict key)")
_ASSIGNED = re.compile(r"'(\w+)' object does not support item (assignment|deletion)")
_FUNCTIONS = ("builtin_function_or_method", "function", "method", "type")
_LAZY = ("generator", "map", "filter", "zip", "dict_keys", "dict_values", "dict_items", "reversed", "enumerate", "set")


def not_callable(s: Situation) -> Finding | None:
    """'X' object is not callable."""
    found = _CALLED.match(s.message)
    if not found or s.view.tree is None:
        return None
    said = found.group(1)
    calls = s.nodes(ast.Call)
    for call in calls:
        if isinstance(call.func, ast.Tuple | ast.List | ast.Dict | ast.Constant | ast.Set):
            return _missing_comma(s, call)
    for call in calls:
        if isinstance(call.func, ast.Name):
            name = call.func.id
            if hasattr(builtins, name) and bound_anywhere(s.view, name):
                return _hidden_builtin(s, name, said)
            if said == "module":
                return _module_called(s, call)
    call = calls[0] if len(calls) == 1 else None
    if call is None:
        return Finding(f"A {said} was called like a function.")
    text = s.text(call.func)
    if said == "NoneType":
        return none_finding(s, call.func, "it was called")
    if (
        isinstance(call.func, ast.Attribute)
        and not call.args
        and not call.keywords
        and (finding := _property(s, call, said))
    ):
        return finding
    if (
        said in ("list", "dict", "tuple", "str")
        and len(call.args) == 1
        and not call.keywords
        and isinstance(call.func, ast.Name)
    ):
        start, end = s.view.end(call.func), s.view.end(call)
        opening = s.view.between(start, (start[0], start[1] + 1))
        sure = kind(s.view, call.func, s.line) == said
        if opening == "(":
            return Finding(
                f"`{text}` is a {said}: its elements are read with brackets, `{text}[…]`.",
                (Fact(f"type of `{text}`", said, sure),),
                (Edit(start, (start[0], start[1] + 1), "["), Edit((end[0], end[1] - 1), end, "]")),
                "Change the parentheses to brackets", lambda view: f"`{text}` is indexed, not called",
            )  # fmt: skip
    facts = tuple(
        Fact(f"`{text}` is bound", str(b))
        for b in (assignments(s.view, text, s.line) if isinstance(call.func, ast.Name) else [])[:3]
    )
    return Finding(f"`{text}` is a {said} and cannot be called.", facts)


def _missing_comma(s: Situation, call: ast.Call) -> Finding:
    end = s.view.end(call.func)
    return Finding(
        f"`{s.text(call.func)}` is followed by parentheses, so Python takes it for a call: a comma is missing between two "
        "elements.", (Fact("what is called", f"a literal, line {call.func.lineno}"),),
        (insert(*end, ","),), "Add the missing comma",
        lambda view: "the literal is no longer called",
    )  # fmt: skip


def _hidden_builtin(s: Situation, name: str, said: str) -> Finding:
    bound = bound_anywhere(s.view, name)
    new = name + "_"
    called = {id(n.func) for n in ast.walk(s.view.tree) if isinstance(n, ast.Call)}
    notes = {id(inner) for n in ast.walk(s.view.tree) for part in (getattr(n, "annotation", None), getattr(n, "returns", None))
             if part is not None for inner in ast.walk(part)}  # fmt: skip
    uses = [n for n in ast.walk(s.view.tree) if isinstance(n, ast.Name) and n.id == name
            and id(n) not in called and id(n) not in notes]  # fmt: skip
    edits = tuple(s.replace(n, new) for n in uses)
    edits += tuple(Edit(s.view.start(b.node), (b.node.lineno, s.view.start(b.node)[1] + len(name)), new)
                   for b in bound if isinstance(b.node, ast.arg))  # fmt: skip
    if any(b.kind not in ("variable", "loop variable", "parameter", "variable of `with`") for b in bound):
        edits = ()
    return Finding(
        f"`{name}` is no longer Python's function: line {bound[0].line} gives the name to a {said}.",
        (Fact(f"`{name}` is bound", str(bound[0])), Fact(f"builtin `{name}`", "is hidden by it")), edits,
        f"Rename the variable `{name}` to `{new}`",
        lambda view: f"`{name}` is Python's own again" if not bound_anywhere(view, name) else None,
    )  # fmt: skip


def _module_called(s: Situation, call: ast.Call) -> Finding:
    name = call.func.id
    module = next(
        (
            a.name
            for n in ast.walk(s.view.tree)
            if isinstance(n, ast.Import)
            for a in n.names
            if (a.asname or a.name) == name
        ),
        name,
    )
    inner = module.rpartition(".")[2]
    known = inner in stdlib.names(module)
    return Finding(
        f"`{name}` is the module; what can be called stands in it" + (f": `{name}.{inner}`." if known else "."),
        (Fact(f"{module}.{inner}", "is there in Python's library"),) if known else (),
        (insert(*s.view.end(call.func), f".{inner}"),) if known else (), f"Change `{name}` to `{name}.{inner}`",
        lambda view: f"the module `{module}` holds `{inner}`",
    )  # fmt: skip


def _property(s: Situation, call: ast.Call, said: str) -> Finding | None:
    name = call.func.attr
    for cls in (n for n in ast.walk(s.view.tree) if isinstance(n, ast.ClassDef)):
        function = method(cls, name)
        if function is not None and has_decorator(function, "property", "cached_property"):
            return Finding(
                f"`{name}` is a property of `{cls.name}` (line {function.lineno}): it is read without parentheses, and what it "
                f"gave was a {said}.", (Fact(f"{cls.name}.{name}", f"property, line {function.lineno}"),),
                (Edit(s.view.end(call.func), s.view.end(call), ""),), f"Drop the parentheses after `{name}`",
                lambda view: f"`{name}` is read, not called",
            )  # fmt: skip
    return None


def not_subscriptable(s: Situation) -> Finding | None:
    """'X' object is not subscriptable."""
    found = _INDEXED.match(s.message)
    if not found:
        return None
    said = found.group(1)
    node = s.the(ast.Subscript)
    if node is None:
        return Finding(f"A {said} has no elements that could be read with brackets.")
    text = s.text(node.value)
    if said == "NoneType":
        return none_finding(s, node.value, "an element of it was asked for")
    if said == "coroutine":
        return awaited(s, node.value)
    if (
        said in _FUNCTIONS
        and isinstance(node.value, ast.Name | ast.Attribute)
        and not isinstance(node.slice, ast.Slice)
    ):
        start, end = s.view.end(node.value), s.view.end(node)
        return Finding(
            f"`{text}` is a {'class' if said == 'type' else 'function'}: it is called with parentheses, not brackets.",
            (Fact(f"type of `{text}`", said, False),),
            (Edit(start, (start[0], start[1] + 1), "("), Edit((end[0], end[1] - 1), end, ")")),
            "Change the brackets to parentheses", lambda view: f"`{text}` is called",
        )  # fmt: skip
    if said in _LAZY:
        return Finding(
            f"A {said} gives its elements one after the other and has no positions; a list of it has.",
            (Fact(f"type of `{text}`", said, kind(s.view, node.value, s.line) == said),),
            (s.replace(node.value, f"list({text})"),), f"Change `{text}` to `list({text})`",
            lambda view: "a list has positions",
        )  # fmt: skip
    facts = [Fact(f"`{text}` comes from", f"`{s.text(v)[:80]}`, line {v.lineno}")
             for v in (values(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else [])[-2:]]  # fmt: skip
    return Finding(f"`{text}` is a {said}, and a {said} has no elements.", tuple(facts))


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
    if said in _FUNCTIONS and isinstance(node, ast.Name | ast.Attribute):
        return Finding(
            f"`{text}` is the function itself; its result is `{text}()`.", (Fact(f"type of `{text}`", said, False),),
            (insert(*s.view.end(node), "()"),), f"Call `{text}()`", lambda view: f"`{text}` is called",
        )  # fmt: skip
    loop = isinstance(s.view.statement(s.line), ast.For | ast.AsyncFor)
    if said == "int" and found.group(1) and (loop or _in_comprehension(s, node)):
        return Finding(
            f"`{text}` is one number; the numbers up to it are `range({text})`.",
            (Fact(f"type of `{text}`", "int", kind(s.view, node, s.line) == "int"),),
            (s.replace(node, f"range({text})"),), f"Change `{text}` to `range({text})`",
            lambda view: f"`range({text})` can be gone through",
        )  # fmt: skip
    if found.group(4) and isinstance(s.view.statement(s.line), ast.For) and (finding := _enumerate(s, node, said)):
        return finding
    return Finding(f"`{text}` gives a {said}, and a {said} has no elements to go through." if not found.group(4) else
                   f"Several names are to be filled from one {said}.")  # fmt: skip


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
    call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") in (
        "list", "tuple", "set", "sum", "sorted", "max", "min", "enumerate", "any", "all", "iter", "next") and n.args)  # fmt: skip
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
        (), (s.replace(node, f"enumerate({text})"),) if counts else (), f"Change `{text}` to `enumerate({text})`",
        lambda view: "`enumerate` gives two values for each element",
    )  # fmt: skip


def _iterator(s: Situation, said: str) -> Finding:
    call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") == "next" and len(n.args) >= 1)
    cause = f"`next` needs an iterator, and a {said} is only something to iterate over."
    if call is None:
        return Finding(cause)
    text = s.text(call.args[0])
    return Finding(cause, (), (s.replace(call.args[0], f"iter({text})"),), f"Change `{text}` to `iter({text})`",
                   lambda view: f"`iter({text})` is an iterator")  # fmt: skip


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
    if said in _LAZY:
        inner = f"list({text})"
        return Finding(f"A {said} gives its elements one after the other and does not know how many there are.", (),
                       (s.replace(node, inner),), f"Change `{text}` to `{inner}`", lambda view: "a list has a length")  # fmt: skip
    if said == "int":
        return Finding(f"`{text}` is a number and has no length; the number of its digits would be `len(str({text}))`.")
    return Finding(f"`{text}` is a {said}, which has no length.")


def not_hashable(s: Situation) -> Finding | None:
    """unhashable type: 'list'."""
    found = _HASHED.match(s.message)
    if not found:
        return None
    said = found.group(1) or found.group(2)
    cause = f"Keys of a dictionary and elements of a set must not change; a {said} can."
    if said == "slice":
        return Finding("A dictionary has keys, not positions: it cannot be sliced.")
    if said != "list":
        return Finding(cause)
    candidates = [n.slice for n in s.nodes(ast.Subscript)]
    candidates += [
        n.args[0] for n in s.nodes(ast.Call) if getattr(n.func, "attr", "") in ("add", "setdefault", "get") and n.args
    ]
    candidates += [e for n in s.nodes(ast.Set) for e in n.elts] + [k for n in s.nodes(ast.Dict) for k in n.keys if k]
    fitting = [n for n in candidates if kind(s.view, n, s.line) == "list"] or candidates
    if len(fitting) != 1:
        return Finding(cause + " A tuple is the list that cannot change.")
    node, text = fitting[0], s.text(fitting[0])
    new = f"tuple({text})"
    if isinstance(node, ast.List):
        new = f"({text[1:-1]}{',' if len(node.elts) == 1 else ''})"
    return Finding(cause + " A tuple is the list that cannot change.", (Fact(f"type of `{text}`", "list", kind(s.view, node, s.line) == "list"),),
                   (s.replace(node, new),), f"Change `{text}` to `{new}`", lambda view: "a tuple can be a key")  # fmt: skip


def no_item_assignment(s: Situation) -> Finding | None:
    """'tuple' / 'str' object does not support item assignment."""
    found = _ASSIGNED.match(s.message)
    if not found:
        return None
    said = found.group(1)
    node = s.the(ast.Subscript, lambda n: isinstance(n.ctx, ast.Store | ast.Del))
    if node is None:
        return Finding(f"A {said} cannot be changed in place.")
    text = s.text(node.value)
    given = values(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else []
    facts = tuple(Fact(f"`{text}` comes from", f"`{s.text(v)[:80]}`, line {v.lineno}") for v in given[-2:])
    if said == "tuple" and len(given) == 1 and isinstance(given[0], ast.Tuple) and s.text(given[0]).startswith("("):
        value = given[0]
        inner = s.text(value)[1:-1].rstrip().rstrip(",")
        return Finding(
            f"`{text}` is a tuple, and a tuple cannot be changed; a list can.", facts, (s.replace(value, f"[{inner}]"),),
            f"Make `{text}` a list", lambda view: f"`{text}` is a list (line {value.lineno})",
        )  # fmt: skip
    if (
        said == "tuple"
        and len(given) == 1
        and isinstance(given[0], ast.Call)
        and getattr(given[0].func, "id", "") == "tuple"
    ):
        return Finding(f"`{text}` is a tuple, and a tuple cannot be changed; a list can.", facts,
                       (s.replace(given[0].func, "list"),), f"Make `{text}` a list",
                       lambda view: f"`{text}` is a list (line {given[0].lineno})")  # fmt: skip
    if said == "str":
        return Finding(
            f"`{text}` is a string, and strings cannot be changed: make a new one, or change `list({text})`.", facts
        )
    return Finding(f"`{text}` is a {said}, which cannot be changed in place.", facts)


def wrong_index(s: Situation) -> Finding | None:
    """list indices must be integers or slices, not str / tuple; string indices must be integers."""
    found = re.match(r"(\w+) indices must be integers(?: or slices)?(?:, not '?(\w+)'?)?", s.message)
    if not found:
        return None
    owner, said = found.group(1), found.group(2) or "str"
    owner = {"string": "str"}.get(owner, owner)
    node = s.the(ast.Subscript)
    if node is None:
        return Finding(f"A {owner} is indexed by whole numbers, and this index is a {said}.")
    text, index = s.text(node.value), s.text(node.slice)
    facts = [Fact("the index", f"`{index}`")]
    if said == "tuple" and isinstance(node.slice, ast.Tuple) and len(node.slice.elts) > 1:
        new = "][".join(s.text(e) for e in node.slice.elts)
        return Finding(
            f"`{text}` is a list of lists: each index has brackets of its own.", tuple(facts), (s.replace(node.slice, new),),
            f"Change to `{text}[{new}]`", lambda view: "each index is one number",
        )  # fmt: skip
    if said == "str" and isinstance(node.slice, ast.Name):
        given = values(s.view, node.slice.id, s.line)
        if any("input(" in s.text(v) or "argv" in s.text(v) for v in given):
            return Finding(
                f"`{index}` is text that was read (line {given[-1].lineno}), not a number.", tuple(facts),
                (s.replace(node.slice, f"int({index})"),), f"Change `{index}` to `int({index})`",
                lambda view: f"`int({index})` is a whole number",
            )  # fmt: skip
    loop = next(
        (
            b
            for b in (assignments(s.view, node.slice.id, s.line) if isinstance(node.slice, ast.Name) else [])
            if b.kind == "loop variable"
        ),
        None,
    )
    if (
        owner == "list"
        and loop is not None
        and isinstance(loop.node, ast.For)
        and ast.unparse(loop.node.iter) == ast.unparse(node.value)
    ):
        return Finding(
            f"`{index}` is already an element of `{text}` (loop in line {loop.line}), not its position.", tuple(facts),
            (s.replace(node, index),), f"Change `{text}[{index}]` to `{index}`",
            lambda view: f"`{index}` is the element",
        )  # fmt: skip
    inner = assignments(s.view, node.value.id, s.line) if isinstance(node.value, ast.Name) else []
    loop = next((b for b in inner if b.kind == "loop variable" and isinstance(b.node, ast.For)), None)
    if owner == "str" and loop is not None:
        what = s.text(loop.node.iter)
        facts.append(Fact(f"`{text}` comes from", f"the loop over `{what}`, line {loop.line}"))
        return Finding(
            f"`{text}` is a string: going through `{what}` gives strings, the keys if it is a dictionary and the characters if "
            "it is text.", tuple(facts),
        )  # fmt: skip
    return Finding(f"`{text}` is a {owner}: it is indexed by whole numbers, and `{index}` is a {said}.", tuple(facts))
