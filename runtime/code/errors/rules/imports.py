"""Rules for ImportError: misspelt modules and names, names that moved, circular imports, what is not installed."""

import ast
import re

from runtime.code.errors import stdlib
from runtime.code.errors.edits import Edit
from runtime.code.errors.rules.modules import like, misspelt, module_names
from runtime.code.errors.scope import bindings, nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation, listed
from runtime.code.errors.view import View

_NO_MODULE = re.compile(r"No module named '([\w.]+)'(; '([\w.]+)' is not a package)?")
_CANNOT = re.compile(r"cannot import name '(\w+)' from (partially initialized module )?'([\w.]+)'")
_ABSTRACT = frozenset(
    "Mapping MutableMapping Sequence MutableSequence Iterable Iterator Callable Hashable Set MutableSet Generator "
    "Container Sized Awaitable Coroutine".split()
)  # moved from collections to collections.abc


def no_module(s: Situation) -> Finding | None:
    """ModuleNotFoundError: No module named 'x'."""
    found = _NO_MODULE.match(s.message)
    if not found or s.view.tree is None:
        return None
    wanted, not_package = found.group(1), found.group(3)
    if not_package:
        hidden = s.module(not_package)
        if hidden is not None and stdlib.is_module(wanted):
            return Finding(
                f"The file `{hidden.path}` hides Python's own package `{not_package}`. Rename the file.",
                (Fact(f"module {wanted}", "part of Python's own library"),),
            )
        return Finding(f"`{not_package}` is a single module, not a package: nothing can be imported from inside it.")
    top, _, rest = wanted.partition(".")
    pool = {*(n for n in _library() if not n.startswith("_")), *s.sources.modules(s.view.path)}
    if rest and stdlib.is_module(top):
        parent = wanted.rpartition(".")[0]
        near = [
            f"{parent}.{n}"
            for n in nearest(wanted.rpartition(".")[2], stdlib.names(parent))
            if plausible(wanted.rpartition(".")[2], n) and stdlib.is_module(f"{parent}.{n}")
        ]
    else:
        near = [n for n in nearest(top, pool) if plausible(top, n)]
    if near:
        return _rename_module(s, wanted if rest and near[0].count(".") else top, near)
    facts = [
        Fact("Python's own library", f"has no module `{top}`"),
        Fact("the project", f"has no module `{top}` in view"),
    ]
    if top in stdlib.DISTRIBUTIONS:
        name = stdlib.DISTRIBUTIONS[top]
        facts.append(Fact("installed as", f"`{name}`: python -m pip install {name}"))
        return Finding(f"`{top}` is not installed for this Python; its distribution is called `{name}`.", tuple(facts))
    facts.append(Fact("installed as", f"probably `{top}`: python -m pip install {top}", False))
    return Finding(
        f"`{top}` is neither Python's own nor the project's, and it is not installed for this Python.", tuple(facts)
    )


def _library() -> frozenset[str]:
    import sys

    return sys.stdlib_module_names


def _rename_module(s: Situation, wanted: str, near: list[str]) -> Finding:
    best = near[0]
    edits: list[Edit] = []
    for node in s.nodes(ast.Import):
        edits += [s.replace(a, best + s.text(a)[len(wanted) :]) for a in node.names if _starts(a.name, wanted)]
    for node in s.nodes(ast.ImportFrom):
        if node.module and _starts(node.module, wanted) and not node.level:
            line, column = s.view.start(node)
            at = s.view.line(line).find(wanted, column)
            if at >= 0:
                edits.append(Edit((line, at), (line, at + len(wanted)), best))
    if any(isinstance(n, ast.Import) for n in s.nodes(ast.Import)):  # uses of the misspelt name go along
        edits += [s.replace(n, best) for n in ast.walk(s.view.tree) if isinstance(n, ast.Name) and n.id == wanted]
    where = "the project" if best in s.sources.modules(s.view.path) else "Python's own library"
    facts = [Fact("nearest module", f"`{best}` of {where}")]
    if near[1:]:
        facts.append(Fact("other modules like it", listed(near[1:])))
    return Finding(
        f"There is no module `{wanted}`; `{best}` exists in {where}.",
        tuple(facts),
        tuple(edits),
        f"Change `{wanted}` to `{best}`",
        f"the module `{best}` exists in {where}",
    )


def _starts(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(wanted + ".")


def cannot_import(s: Situation) -> Finding | None:
    """ImportError: cannot import name 'x' from 'm'."""
    found = _CANNOT.match(s.message)
    if not found or s.view.tree is None:
        return None
    name, partial, module = found.groups()
    own = s.module(module)
    known = module_names(own, module)
    if partial or (own is not None and name in known):
        return _circular(s, name, module, own)
    near = like(name, known)
    home = stdlib.HOMES.get(name)
    if module == "collections" and name in _ABSTRACT:
        home = "collections.abc"
    statement = s.the(ast.ImportFrom, lambda n: n.module is not None and any(a.name == name for a in n.names))
    if home is not None and home != module and name in stdlib.names(home):
        edits: tuple[Edit, ...] = ()
        if statement is not None and len(statement.names) == 1 and not statement.level:
            line, column = s.view.start(statement)
            at = s.view.line(line).find(statement.module, column + 5)
            edits = (Edit((line, at), (line, at + len(statement.module)), home),) if at >= 0 else ()
        return Finding(
            f"`{module}` has no `{name}`; it stands in `{home}`.",
            (Fact(f"{home}.{name}", "is there in Python's library"),),
            edits,
            f"Import it from `{home}`",
            f"the module `{home}` holds `{name}`",
        )
    if not near:
        return Finding(
            f"The module `{module}` exists, but it has no `{name}`.",
            (
                Fact(f"names of {module}", listed(sorted(k for k in known if not k.startswith("_"))))
                if known
                else Fact(
                    f"names of {module}", "cannot be read here: the module is neither the project's nor Python's", False
                ),
            ),
        )
    edits = ()
    if statement is not None:
        alias = next(a for a in statement.names if a.name == name)
        edits = (s.replace(alias, near[0] + s.text(alias)[len(name) :]),)
        if alias.asname is None:
            edits += tuple(
                s.replace(n, near[0]) for n in ast.walk(s.view.tree) if isinstance(n, ast.Name) and n.id == name
            )
    return misspelt(module, name, near, edits)


def _circular(s: Situation, name: str, module: str, own: View | None) -> Finding:
    facts = []
    if own is not None and own.tree is not None:
        bound = next((b for b in bindings(own.tree) if b.name == name), None)
        facts.append(Fact(f"{module}.{name}", str(bound) if bound else "is not bound in the module"))
        backs = [n.lineno for n in own.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        if backs:
            facts.append(Fact(f"`{own.path}`", f"imports others in line {backs[0]}, before it is complete"))
    return Finding(
        f"`{module}` was still being imported when `{name}` was asked of it: the two modules import each other in a "
        "circle. Import it inside the function that needs it, or move what both need into a third module.",
        tuple(facts),
    )


def relative(s: Situation) -> Finding | None:
    """ImportError: attempted relative import with no known parent package."""
    if "relative import" not in s.message:
        return None
    return Finding(
        "The file was run as a program, so Python does not know which package it belongs to and what the leading dot "
        "stands for. Run it as `python -m package.module` from the folder above the package.",
    )
