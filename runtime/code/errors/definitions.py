"""Classes and functions of a module as written: attributes, signatures, fields, what an instance can be asked for.

Bases are followed inside the module and into modules that `modules` gives (name -> View or None); where a base stays
unknown the answer says that it is not complete. Runs nothing.
"""

import ast
import builtins
import types
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.code.errors.scope import Binding, bindings
from runtime.code.errors.view import Function, View

Modules = Callable[[str], View | None]
_TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
_TYPES |= {"generator": types.GeneratorType, "function": types.FunctionType, "method": types.MethodType}
_TYPES |= {"coroutine": types.CoroutineType, "NoneType": type(None), "builtin_function_or_method": type(len)}
_TYPES |= {"dict_keys": type({}.keys()), "dict_values": type({}.values()), "dict_items": type({}.items())}


@dataclass
class Attributes:
    """Names that instances of a class have, with the place that gives each; `complete` if no base stayed unknown."""

    found: dict[str, Binding] = field(default_factory=dict)
    complete: bool = True


def builtin_attributes(name: str) -> frozenset[str]:
    """The attributes of one of Python's own types; empty for any other name."""
    return frozenset(dir(_TYPES[name])) if name in _TYPES else frozenset()


def find_class(view: View, name: str) -> ast.ClassDef | None:
    """The last class of that name, wherever it stands; `name` may be qualified."""
    name = name.rpartition(".")[2]
    found = [n for n in ast.walk(view.tree) if isinstance(n, ast.ClassDef) and n.name == name] if view.tree else []
    return found[-1] if found else None


def find_function(view: View, qualified: str) -> Function | None:
    """The function with this qualified name ("f", "Class.method", "outer.<locals>.inner"); of a class, its `__init__`.

    A bare name that only a method has is taken for that method if it is the only one.
    """
    if view.tree is None:
        return None
    scope: ast.AST = view.tree
    for part in qualified.split("."):
        if part == "<locals>":
            continue
        inner = [b.node for b in bindings(scope) if b.name == part and isinstance(b.node, Function | ast.ClassDef)]
        if not inner:
            every = [n for n in ast.walk(view.tree) if isinstance(n, Function) and n.name == qualified]
            return every[0] if len(every) == 1 else None
        scope = inner[-1]
    if isinstance(scope, ast.ClassDef):
        return method(scope, "__init__")
    return scope


def method(cls: ast.ClassDef, name: str) -> Function | None:
    return next((n for n in reversed(cls.body) if isinstance(n, Function) and n.name == name), None)


def class_around(view: View, line: int) -> ast.ClassDef | None:
    """The class whose method (not a nested function's class) surrounds a line."""
    return next((s for s in reversed(view.scopes(line)) if isinstance(s, ast.ClassDef)), None)


def defines(owner: str, name: str) -> Callable[[View], str | None]:
    """The proof that a class of the module has an attribute or method."""

    def proof(view: View) -> str | None:
        cls = find_class(view, owner)
        found = attributes(view, cls, lambda module: None).found.get(name) if cls is not None else None
        return f"`{owner}` has `{name}` ({found})" if found is not None else None

    return proof


def self_name(function: Function) -> str | None:
    """The name of the first parameter of a method; None for static methods and functions without parameters."""
    if is_static(function):
        return None
    positional = (*function.args.posonlyargs, *function.args.args)
    return positional[0].arg if positional else None


def is_static(function: Function) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)


def has_decorator(node: Function | ast.ClassDef, *names: str) -> bool:
    """Whether one of the decorators is, or is a call of, one of these names."""
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        last = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if last in names:
            return True
    return False


def parameters(function: Function, bound: bool = False) -> list[str]:
    """Names that a call may use as keywords; without the first where `bound`."""
    names = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    return names[1:] if bound and function.args.args else names


def signature(function: Function) -> str:
    """`name(parameters)` as written, on one line."""
    return f"{function.name}({ast.unparse(function.args)})"


def fields(cls: ast.ClassDef) -> list[str]:
    """The fields of a dataclass or NamedTuple, in order."""
    return [
        n.target.id for n in cls.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        and "ClassVar" not in ast.unparse(n.annotation)
    ]  # fmt: skip


def attributes(view: View, cls: ast.ClassDef, modules: Modules, depth: int = 0) -> Attributes:
    """What instances of `cls` have: names of the body, `self.x = …` in any method, and the same of its bases."""
    result = Attributes()
    for binding in bindings(cls):
        result.found.setdefault(binding.name, binding)
    for name in fields(cls):
        result.found.setdefault(name, Binding(name, "field", cls.lineno))
    for function in cls.body:
        if isinstance(function, Function) and (own := self_name(function)):
            for name, node in stores(function, own):
                result.found.setdefault(name, Binding(name, f"set in {function.name}", node.lineno, function))
    result.complete = not cls.decorator_list or has_decorator(cls, "dataclass", "total_ordering")
    result.complete &= not any(k.arg == "metaclass" for k in cls.keywords)
    result.complete &= method(cls, "__getattr__") is None and method(cls, "__getattribute__") is None
    for base in cls.bases:
        inherited = _base(view, base, modules, depth + 1)
        for name, binding in inherited.found.items():
            result.found.setdefault(name, binding)
        result.complete &= inherited.complete
    for name in dir(object):
        result.found.setdefault(name, Binding(name, "of every object", 0))
    return result


def stores(function: Function, own: str) -> list[tuple[str, ast.Attribute]]:
    """(name, node) of each `own.name = …` in a method."""
    return [
        (n.attr, n) for n in ast.walk(function)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name)
        and n.value.id == own
    ]  # fmt: skip


def _base(view: View, base: ast.expr, modules: Modules, depth: int) -> Attributes:
    name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
    if depth > 8 or not name:
        return Attributes(complete=False)
    if isinstance(base, ast.Name):
        known = find_class(view, name)
        if known is not None:
            return attributes(view, known, modules, depth)
        if name in _TYPES:
            return Attributes({n: Binding(n, f"of {name}", 0) for n in dir(_TYPES[name])})
    other = modules(_home(view, base))
    known = find_class(other, name) if other is not None else None
    return attributes(other, known, modules, depth) if known is not None else Attributes(complete=False)


def _home(view: View, base: ast.expr) -> str:
    """The module that a name of the module, or the left side of an attribute, was imported from."""
    root = base.id if isinstance(base, ast.Name) else ast.unparse(base.value)
    for node in ast.walk(view.tree):
        if isinstance(node, ast.ImportFrom) and isinstance(base, ast.Name):
            if any((alias.asname or alias.name) == root for alias in node.names):
                return node.module or ""
        elif isinstance(node, ast.Import) and isinstance(base, ast.Attribute):
            for alias in node.names:
                if (alias.asname or alias.name) == root:
                    return alias.name
    return ""
