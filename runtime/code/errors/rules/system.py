"""Rules for files, recursion, collections changed while iterated, division by zero and assertions."""

import ast
import os.path
import re

from runtime.code.errors.definitions import class_around, find_function
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.origins import assignments, returns, values
from runtime.code.errors.scope import nearest, plausible
from runtime.code.errors.situation import Fact, Finding, Situation, listed

_OS = re.compile(r"\[(?:Errno|WinError) (\d+)\] ([^:]+): '(.+?)'(?: -> '(.+)')?$")


def no_file(s: Situation) -> Finding | None:
    """FileNotFoundError, FileExistsError, IsADirectoryError, PermissionError …"""
    found = _OS.match(s.message)
    if not found:
        return None
    path = found.group(3)
    folder, name = os.path.split(path)
    facts = [Fact("the path", f"{path!r}", False)]
    if s.type == "FileExistsError":
        return _exists(s, facts)
    if s.type == "IsADirectoryError":
        return Finding(f"{path!r} is a folder, and a file was to be opened.", tuple(facts))
    if s.type == "NotADirectoryError":
        return Finding(f"A part of {path!r} is a file where a folder should be.", tuple(facts))
    if s.type == "PermissionError":
        return Finding(
            f"The system does not let this program do that with {path!r}: its rights do not suffice.", tuple(facts)
        )
    if s.type != "FileNotFoundError":
        return None
    if not os.path.isabs(path):
        facts.append(
            Fact("looked for", "from the folder that the program was started in, not from the file's own", False)
        )
    there = s.sources.files(folder)
    near = [n for n in nearest(name, there) if plausible(name, n)]
    literals = (
        [n for n in s.view.parts(s.line) if isinstance(n, ast.Constant) and n.value == path] if s.view.tree else []
    )
    if not literals and s.view.tree is not None:
        literals = [n for n in ast.walk(s.view.tree) if isinstance(n, ast.Constant) and n.value == path]
    if near:
        facts.insert(0, Fact("nearest file", f"{near[0]!r} in {'the folder ' + folder if folder else 'that folder'}"))
        edits: tuple[Edit, ...] = ()
        if len(literals) == 1 and (text := s.text(literals[0])).count(name) == 1:
            edits = (s.replace(literals[0], text.replace(name, near[0])),)
        return Finding(
            f"There is no file {path!r}; there is {near[0]!r}, so the name looks misspelt.",
            tuple(facts),
            edits,
            f"Change {name!r} to {near[0]!r}",
            f"the file {near[0]!r} is there",
        )
    if there:
        facts.append(Fact("files there", listed(there)))
    return Finding(f"There is no file {path!r} where the program looked.", tuple(facts))


def _exists(s: Situation, facts: list[Fact]) -> Finding:
    call = s.the(ast.Call, lambda n: getattr(n.func, "attr", getattr(n.func, "id", "")) in ("makedirs", "mkdir"))
    cause = "It is there already."
    if call is None or any(k.arg == "exist_ok" for k in call.keywords):
        return Finding(cause, tuple(facts))
    text = s.text(call.func)
    line, column = s.view.end(call)
    edits = [insert(line, column - 1, (", " if call.args else "") + "exist_ok=True")]
    if text == "os.mkdir":
        edits.append(s.replace(call.func, "os.makedirs"))
    return Finding(
        cause,
        tuple(facts),
        tuple(edits),
        "Allow that the folder exists",
        "`exist_ok=True` accepts a folder that is there",
    )


def too_deep(s: Situation) -> Finding | None:
    """RecursionError: maximum recursion depth exceeded."""
    function = s.view.function(s.line)
    if function is None:
        return Finding("Functions called each other until Python's limit for nested calls was reached.")
    calls = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Call) and function.name in (getattr(n.func, "id", ""), getattr(n.func, "attr", ""))
    ]
    facts = [
        Fact(f"`{function.name}` calls itself", ", ".join(f"line {n.lineno}" for n in calls[:4]) or "not directly")
    ]
    own = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
    for call in calls:
        if [ast.unparse(a) for a in call.args] == own and own and not call.keywords:
            return Finding(
                f"`{function.name}` calls itself with the very same arguments ({listed(own)}) in line {call.lineno}: "
                f"nothing "
                "changes from one call to the next, so it never ends.",
                tuple(facts),
            )
    ends = [r for r in returns(function) if not any(c for c in calls if r.lineno <= c.lineno <= r.end_lineno)]
    if calls and not ends:
        facts.append(Fact(f"`return` of `{function.name}` without another call", "none"))
        return Finding(f"`{function.name}` has no way to end: every `return` of it calls it again.", tuple(facts))
    cls = class_around(s.view, s.line)
    if not calls and cls is not None and (finding := _setter(s, function, facts)):
        return finding
    if ends:
        facts.append(Fact("it ends at", ", ".join(f"line {r.lineno}" for r in ends[:4])))
    return Finding(
        f"`{function.name}` calls itself deeper than Python's limit (1000 by default): the case that ends it was not "
        f"reached.",
        tuple(facts),
    )


def _setter(s: Situation, function: ast.FunctionDef, facts: list[Fact]) -> Finding | None:
    name = function.name
    hits = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Attribute) and n.attr == name and getattr(n.value, "id", "") == "self"
    ]
    if not hits or not function.decorator_list:
        return None
    return Finding(
        f"The property `{name}` reads or sets `self.{name}`, which is the property again; the value needs a name of "
        f"its own, "
        f"such as `self._{name}`.",
        tuple(facts),
    )


def changed_size(s: Situation) -> Finding | None:
    """RuntimeError: dictionary changed size during iteration."""
    found = re.match(
        r"(?:(dictionary|OrderedDict) (?:changed size|keys changed)|(Set) changed size|(deque) mutated)", s.message
    )
    if not found:
        return None
    loop = s.view.statement(s.line)
    if not isinstance(loop, ast.For):
        loop = next((n for n in s.view.parts(s.line) if isinstance(n, ast.comprehension)), None)
    if loop is None:
        return Finding("A collection was changed while a loop went through it.")
    text = s.text(loop.iter)
    return Finding(
        f"The loop goes through `{text}` and changes it on the way; a copy, `list({text})`, stays as it is.",
        (Fact("changed while iterated", f"`{text}`, line {loop.iter.lineno}"),),
        (s.replace(loop.iter, f"list({text})"),),
        f"Change `{text}` to `list({text})`",
        "the loop goes through a copy",
    )


def division_by_zero(s: Situation) -> Finding | None:
    """ZeroDivisionError."""
    node = s.the(ast.BinOp, lambda n: isinstance(n.op, ast.Div | ast.FloorDiv | ast.Mod))
    divisor = node.right if node is not None else None
    if divisor is None:
        augmented = s.the(ast.AugAssign, lambda n: isinstance(n.op, ast.Div | ast.FloorDiv | ast.Mod))
        divisor = augmented.value if augmented is not None else None
    if divisor is None:
        return Finding("A divisor was 0.")
    text = s.text(divisor)
    facts = []
    if isinstance(divisor, ast.Name):
        for binding in assignments(s.view, divisor.id, s.line)[-3:]:
            facts.append(Fact(f"`{text}` comes from", str(binding)))
            loop = binding.node
            if (
                isinstance(loop, ast.For)
                and isinstance(loop.iter, ast.Call)
                and getattr(loop.iter.func, "id", "") == "range"
            ):
                arguments = loop.iter.args
                if len(arguments) == 1:
                    return Finding(
                        f"`{text}` begins at 0: `{s.text(loop.iter)}` in line {loop.lineno} counts from 0.",
                        tuple(facts),
                        (insert(*s.view.start(arguments[0]), "1, "),),
                        f"Begin `{text}` at 1",
                        f"`{text}` is at least 1 in the loop",
                    )
        given = values(s.view, divisor.id, s.line)
        lengths = [v for v in given if isinstance(v, ast.Call) and getattr(v.func, "id", "") in ("len", "sum")]
        if lengths:
            divisor = lengths[-1]
    if isinstance(divisor, ast.Call) and getattr(divisor.func, "id", "") == "len" and divisor.args:
        inner = s.text(divisor.args[0])
        facts += [
            Fact(f"`{inner}` comes from", str(b))
            for b in (assignments(s.view, inner, s.line) if isinstance(divisor.args[0], ast.Name) else [])[-2:]
        ]
        return Finding(
            f"`{text}` was 0, so `{inner}` was empty. Say what the result is then, for example `if not {inner}: …`.",
            tuple(facts),
        )
    return Finding(f"The divisor `{text}` was 0.", tuple(facts))


def assertion(s: Situation) -> Finding | None:
    """AssertionError: which condition did not hold."""
    statement = s.view.statement(s.line)
    if not isinstance(statement, ast.Assert):
        return None
    test = s.text(statement.test)
    facts = [Fact("the condition", f"`{test[:200]}`")]
    if s.message.startswith("assert "):
        facts.append(Fact("with its values", f"`{s.message[7:]}`", False))
    for call in [n for n in ast.walk(statement.test) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)][:2]:
        function = find_function(s.view, call.func.id)
        if function is not None:
            facts.append(Fact(f"`{call.func.id}`", f"defined in line {function.lineno}"))
    return Finding(f"The condition `{test[:200]}` did not hold.", tuple(facts))


def not_implemented(s: Situation) -> Finding | None:
    """NotImplementedError: a method that a subclass has to define."""
    function, cls = s.view.function(s.line), class_around(s.view, s.line)
    if function is None or cls is None:
        return None
    heirs = [
        n.name
        for n in ast.walk(s.view.tree)
        if isinstance(n, ast.ClassDef) and any(getattr(b, "id", "") == cls.name for b in n.bases)
    ]
    without = [name for name in heirs if find_function(s.view, f"{name}.{function.name}") is None]
    facts = (
        Fact(f"subclasses of `{cls.name}` here", listed(heirs)),
        *((Fact(f"without `{function.name}`", listed(without)),) if without else ()),
    )
    return Finding(
        f"`{cls.name}.{function.name}` is only a place holder: the class that is used has to define it.", facts
    )


def stopped(s: Situation) -> Finding | None:
    """StopIteration: next() at the end of an iterator."""
    call = s.the(ast.Call, lambda n: getattr(n.func, "id", "") == "next")
    if call is None:
        return None
    text = s.text(call.args[0]) if call.args else "it"
    return Finding(f"`{text}` has no further element; `next({text}, None)` gives None then.")


def event_loop(s: Situation) -> Finding | None:
    """RuntimeErrors of asyncio, generators and threads."""
    known = {
        "asyncio.run() cannot be called from a running event loop": (
            "An event loop runs already (as in a notebook): use `await` instead."
        ),
        "no running event loop": (
            "This needs a running event loop: call it from an `async def` that `asyncio.run` started."
        ),
        "generator raised StopIteration": (
            "Inside a generator `next()` came to the end of another iterator; `return` ends a generator."
        ),
        "threads can only be started once": "A thread object can be started once; make a new one.",
        "super(): no arguments": "`super()` needs the object: the method has no first parameter.",
    }
    return Finding(known[s.message]) if s.message in known else None
