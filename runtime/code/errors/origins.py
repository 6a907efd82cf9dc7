"""Where a value may come from: the assignments of a name, the type of an expression as far as it can be read off,
and the ways in which it may be None.

Reads the text alone, so the answers are what the source allows, not what happened: callers word them so.
"""

import ast

from runtime.code.errors.definitions import class_around, find_class, find_function, method
from runtime.code.errors.scope import Binding, bindings, visible
from runtime.code.errors.view import Function, View

ALWAYS_NONE = {
    "list": {"append", "extend", "insert", "remove", "clear", "sort", "reverse"},
    "dict": {"update", "clear"}, "set": {"add", "discard", "remove", "update", "clear"},
}  # fmt: skip
_CHANGERS = set().union(*ALWAYS_NONE.values())
_NONE_FUNCTIONS = {"print", "setattr", "shuffle", "sleep", "seed", "makedirs", "chdir", "exit"}
_MAYBE_NONE = {
    "get": "`.get()` gives None for a key that is not there", "match": "it gives None where nothing matches",
    "search": "it gives None where nothing matches", "fullmatch": "it gives None where nothing matches",
    "find": "it may give None where nothing is found", "which": "it gives None for a program that is not found",
    "getenv": "it gives None for a variable that is not set", "group": "a group that took no part is None",
}  # fmt: skip
_CALLS = {
    "input": "str", "str": "str", "repr": "str", "len": "int", "int": "int", "ord": "int", "sum": "number",
    "float": "float", "list": "list", "sorted": "list", "dict": "dict", "set": "set", "tuple": "tuple", "chr": "str",
    "range": "range", "bool": "bool", "defaultdict": "defaultdict", "Counter": "Counter", "map": "map", "zip": "zip",
    "filter": "filter", "round": "number", "enumerate": "enumerate", "bytes": "bytes", "format": "str",
}  # fmt: skip
_METHODS = {
    "split": "list", "splitlines": "list", "readlines": "list", "keys": "dict_keys", "values": "dict_values",
    "items": "dict_items", "strip": "str", "join": "str", "lower": "str", "upper": "str", "replace": "str",
    "read": "str", "readline": "str", "format": "str", "title": "str", "rstrip": "str", "lstrip": "str",
}  # fmt: skip
_DISPLAYS = {
    ast.List: "list", ast.ListComp: "list", ast.Dict: "dict", ast.DictComp: "dict", ast.Set: "set", ast.SetComp: "set",
    ast.Tuple: "tuple", ast.JoinedStr: "str", ast.GeneratorExp: "generator", ast.Lambda: "function",
}  # fmt: skip


def assignments(view: View, name: str, line: int) -> list[Binding]:
    """All bindings of `name` in the scope that code at `line` reads it from, in the order of the text."""
    seen = visible(view, line).get(name)
    if seen is None or not seen.line:
        return []
    for scope in reversed(view.scopes(line)):
        found = [b for b in bindings(scope) if b.name == name]
        if any(b.line == seen.line for b in found):
            return found
    return [seen]


def values(view: View, name: str, line: int) -> list[ast.expr]:
    """The expressions that are assigned to `name` as a whole."""
    return [value for b in assignments(view, name, line) if (value := assigned(b)) is not None]


def assigned(binding: Binding) -> ast.expr | None:
    """The value that a binding gives its name as a whole, where that is an expression of the source."""
    node = binding.node
    if isinstance(node, ast.Assign):
        whole = any(isinstance(t, ast.Name) and t.id == binding.name for t in node.targets)
        if whole:
            return node.value
        for target in node.targets:  # a, b = 1, 2
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                if len(target.elts) == len(node.value.elts):
                    for one, value in zip(target.elts, node.value.elts, strict=True):
                        if isinstance(one, ast.Name) and one.id == binding.name:
                            return value
        return None
    if isinstance(node, ast.AnnAssign | ast.NamedExpr):
        return node.value
    return None


def kind(view: View, node: ast.expr | None, line: int, depth: int = 0) -> str:
    """The type of an expression as far as the source shows it, as `type(x).__name__` would give it, else ""."""
    if node is None or depth > 6:
        return ""
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    for display, name in _DISPLAYS.items():
        if isinstance(node, display):
            return name
    if isinstance(node, ast.Call):
        return _call_kind(view, node, line, depth)
    if isinstance(node, ast.Name):
        kinds = {kind(view, value, line, depth + 1) for value in values(view, node.id, line)}
        kinds |= {_parameter(b) for b in assignments(view, node.id, line) if b.kind == "parameter"}
        return kinds.pop() if len(kinds) == 1 else ""
    if isinstance(node, ast.BinOp):
        sides = {kind(view, side, line, depth + 1) for side in (node.left, node.right)}
        if isinstance(node.op, ast.Mod | ast.Add) and "str" in sides:
            return "str"
        if isinstance(node.op, ast.Div) and sides <= {"int", "float", "number"}:
            return "float"
        return sides.pop() if len(sides) == 1 else ""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
        return "str" if ast.unparse(node.value) in ("sys.argv", "os.environ") else ""
    return ""


def _parameter(binding: Binding) -> str:
    note = getattr(binding.node, "annotation", None)
    name = ast.unparse(note).partition("[")[0] if note is not None else ""
    return name if name in ("str", "int", "float", "list", "dict", "set", "tuple", "bytes") else ""


def _call_kind(view: View, node: ast.Call, line: int, depth: int) -> str:
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in ("Counter", "defaultdict"):
            return node.func.attr
        return _METHODS.get(node.func.attr, "")
    if isinstance(node.func, ast.Name):
        seen = visible(view, line).get(node.func.id)
        if seen is not None and isinstance(seen.node, ast.ClassDef):
            return seen.node.name
        if seen is not None and seen.kind == "function":
            if isinstance(seen.node, ast.AsyncFunctionDef):
                return "coroutine"
            if is_generator(seen.node):
                return "generator"
            kinds = {kind(view, r.value, r.lineno, depth + 1) for r in returns(seen.node) if r.value is not None}
            return kinds.pop() if len(kinds) == 1 else ""
        return _CALLS.get(node.func.id, "")
    return ""


def returns(function: Function) -> list[ast.Return]:
    """The `return` statements of a function itself."""
    found, todo = [], list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            found.append(node)
        elif not isinstance(node, (*Function.__args__, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return sorted(found, key=lambda r: r.lineno)


def is_generator(function: Function) -> bool:
    return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(function))


def falls_through(body: list[ast.stmt]) -> bool:
    """Whether control can reach the end of these statements (loops and `with` are taken to end)."""
    if not body:
        return True
    last = body[-1]
    if isinstance(last, ast.Return | ast.Raise | ast.Continue | ast.Break):
        return False
    if isinstance(last, ast.If):
        return falls_through(last.body) or falls_through(last.orelse)
    if isinstance(last, ast.With | ast.AsyncWith):
        return falls_through(last.body)
    if isinstance(last, ast.Try):
        ends = [last.orelse or last.body, *(handler.body for handler in last.handlers)]
        return any(map(falls_through, ends)) and falls_through(last.finalbody)
    if isinstance(last, ast.While) and isinstance(last.test, ast.Constant) and last.test.value:
        return any(isinstance(n, ast.Break) for n in ast.walk(last))
    if isinstance(last, ast.Match):
        return True
    return True


def none_from(view: View, node: ast.expr, line: int, depth: int = 0) -> list[str]:
    """The ways in which an expression may be None, each a clause with its line; empty if the source shows none."""
    if depth > 4:
        return []
    if isinstance(node, ast.Constant) and node.value is None:
        return [f"None is assigned in line {node.lineno}"]
    if isinstance(node, ast.Name):
        return _none_of_name(view, node.id, line, depth)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return _none_of_attribute(view, node, line)
    if isinstance(node, ast.IfExp):
        return none_from(view, node.body, line, depth + 1) + none_from(view, node.orelse, line, depth + 1)
    if isinstance(node, ast.Call):
        return _none_of_call(view, node, line)
    return []


def _none_of_name(view: View, name: str, line: int, depth: int) -> list[str]:
    found = []
    for binding in assignments(view, name, line):
        if binding.kind == "parameter":
            if _defaults_to_none(view, binding):
                found.append(f"the parameter `{name}` (line {binding.line}) is None unless the caller gives it")
        elif (value := assigned(binding)) is not None:
            if isinstance(value, ast.Constant) and value.value is None:
                found.append(f"`{name}` is set to None in line {binding.line}")
            else:
                found += [f"`{name}` comes from line {binding.line}: {way}"
                          for way in none_from(view, value, binding.line, depth + 1)]  # fmt: skip
    return found


def _defaults_to_none(view: View, binding: Binding) -> bool:
    for node in ast.walk(view.tree):
        if isinstance(node, (*Function.__args__, ast.Lambda)):
            positional = [*node.args.posonlyargs, *node.args.args]
            pairs = list(zip(reversed(positional), reversed(node.args.defaults), strict=False))
            pairs += list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
            for argument, default in pairs:
                if argument is binding.node:
                    return isinstance(default, ast.Constant) and default.value is None
    return False


def _none_of_attribute(view: View, node: ast.Attribute, line: int) -> list[str]:
    cls = class_around(view, line)
    if cls is None:
        return []
    found = []
    for statement in ast.walk(cls):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            named = any(ast.unparse(t) in (ast.unparse(node), node.attr) for t in targets)
            if statement.value.value is None and named:
                found.append(f"`{ast.unparse(node)}` is set to None in line {statement.lineno}")
    return found


def _none_of_call(view: View, node: ast.Call, line: int) -> list[str]:
    text = f"`{ast.unparse(node.func)}()`"
    if isinstance(node.func, ast.Attribute):
        name = node.func.attr
        own = class_around(view, line)
        function = method(own, name) if own is not None and ast.unparse(node.func.value) == "self" else None
        if function is None and (owner := kind(view, node.func.value, line)) and (cls := find_class(view, owner)):
            function = method(cls, name)
        if function is not None:
            return _none_of_function(text, function)
        if name in _CHANGERS and len(node.args) <= 2:
            return [f"{text} changes the object itself and gives None"]
        if name in _NONE_FUNCTIONS:
            return [f"{text} always gives None"]
        if name in _MAYBE_NONE and (name != "get" or len(node.args) < 2):
            return [f"{text}: {_MAYBE_NONE[name]}"]
        return []
    if isinstance(node.func, ast.Name):
        function = find_function(view, node.func.id)
        if function is not None and function.name == node.func.id:
            return _none_of_function(text, function)
        if node.func.id in _NONE_FUNCTIONS:
            return [f"{text} always gives None"]
        if node.func.id in ("match", "search", "fullmatch", "getenv", "which"):
            return [f"{text}: {_MAYBE_NONE[node.func.id]}"]
    return []


def _none_of_function(text: str, function: Function) -> list[str]:
    if is_generator(function) or isinstance(function, ast.AsyncFunctionDef):
        return []
    given = [r for r in returns(function) if r.value is not None]
    explicit = [r.lineno for r in returns(function) if r.value is None or getattr(r.value, "value", 0) is None]
    if not given:
        return [f"{text} (line {function.lineno}) has no `return` with a value, so it gives None"]
    if explicit:
        return [f"{text} returns None in line {explicit[0]}"]
    if falls_through(function.body):
        return [f"{text} (line {function.lineno}) can reach its end without a `return`, and then gives None"]
    return []
