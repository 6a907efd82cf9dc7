"""Rules for attributes of modules: misspelt names, submodules not imported, files that hide a module, circles."""

import ast
import re

from runtime.code.errors import stdlib
from runtime.code.errors.edits import Edit
from runtime.code.errors.rules.attributes import attribute_edit
from runtime.code.errors.scope import bindings, nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import View

_MODULE = re.compile(r"(partially initialized )?module '([\w.]+)' has no attribute '(\w+)'")


def module_has_no_attribute(s: Situation) -> Finding | None:
    """module 'm' has no attribute 'x', also of a file that hides a module of the library, and of circular imports."""
    found = _MODULE.match(s.message)
    if not found or s.view.tree is None:
        return None
    partial, module, name = found.groups()
    own = s.module(module)
    top = module.partition(".")[0]
    if own is not None and stdlib.is_module(top) and name in stdlib.names(module):
        return Finding(
            f"The file `{own.path}` hides Python's own module `{module}`, which has `{name}`: Python imports the file "
            "first. Rename it (and delete its `__pycache__`).",
            (
                Fact(f"module {module}", f"`{own.path}` of the project comes before Python's own"),
                Fact(f"{module}.{name}", "is there in Python's library"),
            ),
        )
    known = module_names(own, module)
    if partial:
        bound = [str(b) for b in bindings(own.tree) if b.name == name] if own is not None and own.tree else []
        facts = (Fact(f"{module}.{name}", bound[0] if bound else "is not bound in the module", bool(own)),)
        return Finding(
            f"`{module}` was still being imported when `{name}` was asked of it: two modules import each other in a "
            "circle. Import it inside the function that needs it, or move what both need into a third module.",
            facts,
        )
    nodes = s.nodes(ast.Attribute, lambda n: n.attr == name)
    submodule = f"{module}.{name}"
    if stdlib.is_module(submodule) and len(nodes) == 1:
        imported = [
            n for n in ast.walk(s.view.tree) if isinstance(n, ast.Import) and any(a.name == module for a in n.names)
        ]
        edits = (
            (
                Edit(
                    (imported[0].lineno, 0),
                    (imported[0].lineno, 0),
                    f"{s.view.indentation(imported[0].lineno)}import {submodule}\n",
                ),
            )
            if imported
            else ()
        )
        return Finding(
            f"`{submodule}` is a module of its own and has to be imported by its full name.",
            (Fact(submodule, "part of Python's own library"),),
            edits,
            f"Add `import {submodule}`",
            f"`{submodule}` is imported",
        )
    near = like(name, known)
    if not near:
        return Finding(
            f"The module `{module}` has no `{name}`, and nothing that looks like it.",
            (Fact(f"names of {module}", f"{len(known)} are known" if known else "cannot be read here", bool(known)),),
        )
    edits = tuple(attribute_edit(s, n, near[0]) for n in nodes) if len(nodes) == 1 else ()
    return misspelt(module, name, near, edits, ".")


def module_names(own: View | None, module: str) -> frozenset[str]:
    """What the project's module binds at its top, or without one of that name what Python's own holds."""
    if own is None:
        return stdlib.names(module)
    return frozenset(b.name for b in bindings(own.tree)) if own.tree is not None else frozenset()


def like(name: str, known: frozenset[str]) -> list[str]:
    """Names of a module that `name` may have been meant for, the nearest first."""
    return [n for n in nearest(name, (k for k in known if not k.startswith("__"))) if plausible(name, n)]


def misspelt(module: str, name: str, near: list[str], edits: tuple[Edit, ...], dot: str = "") -> Finding:
    """A name that a module does not have but for another spelling; dot: what stands before it in the source."""
    return Finding(
        f"The module `{module}` has no `{name}`; it has `{near[0]}`.",
        (
            Fact("nearest name of the module", f"`{near[0]}`"),
            *((Fact("other names like it", listed(near[1:])),) if near[1:] else ()),
        ),
        edits,
        f"Change `{dot}{name}` to `{dot}{near[0]}`",
        f"the module `{module}` holds `{near[0]}`",
    )
