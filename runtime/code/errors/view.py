"""One source text as the rules see it: lines, syntax tree, the statement and the expression at a place.

Lines count from 1 and columns from 0 in code points (`ast` counts bytes; converted here). A text that does not compile
has no tree but the error. Reads no files.
"""

import ast
import threading
import warnings
from collections.abc import Iterator
from functools import cached_property

from runtime.code.caret import leading
from runtime.code.lines import body, split_lines

MOST_CHARACTERS = 2 << 20  # a larger source is shown but not analysed
Function = ast.FunctionDef | ast.AsyncFunctionDef
Place = tuple[int, int]
_COMPILING = threading.Lock()  # `catch_warnings` changes what the whole process does with warnings


def compile_error(text: str) -> SyntaxError | None:
    """Why `text` does not compile, or None. The text is compiled and thrown away, never run."""
    if len(text) > MOST_CHARACTERS:
        return None
    try:
        with _COMPILING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<source>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error
    except (RecursionError, MemoryError, OverflowError):
        return SyntaxError("the source is nested too deeply to be compiled", ("<source>", 1, 1, "", 1, 1))
    except ValueError as error:  # null bytes, lone surrogates
        return SyntaxError(str(error), ("<source>", 1, 1, "", 1, 1))
    return None


class View:
    """A text with its tree; every question is answered from these alone."""

    def __init__(self, text: str, path: str = ""):
        self.text, self.path = text, path
        self.lines = split_lines(text)

    @cached_property
    def error(self) -> SyntaxError | None:
        return compile_error(self.text)

    @cached_property
    def tree(self) -> ast.Module | None:
        if self.error is not None or len(self.text) > MOST_CHARACTERS:
            return None
        try:
            with _COMPILING, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    @cached_property
    def declared_globals(self) -> dict[str, ast.Global]:
        """Names that some function declares `global`, with the statement."""
        nodes = ast.walk(self.tree) if self.tree is not None else ()
        return {name: node for node in nodes if isinstance(node, ast.Global) for name in node.names}

    def line(self, number: int) -> str:
        """The text of a line without its end; empty beyond the text."""
        return body(self.lines[number - 1]) if 1 <= number <= len(self.lines) else ""

    def _column(self, number: int, offset: int) -> int:
        line = self.line(number)
        return (
            offset if line.isascii() else len(line.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore"))
        )

    def start(self, node: ast.AST) -> Place:
        return node.lineno, self._column(node.lineno, node.col_offset)

    def end(self, node: ast.AST) -> Place:
        return node.end_lineno, self._column(node.end_lineno, node.end_col_offset)

    def source(self, node: ast.AST) -> str:
        """The text of a node as it stands."""
        return self.between(self.start(node), self.end(node))

    def between(self, start: Place, end: Place) -> str:
        if start[0] == end[0]:
            return self.line(start[0])[start[1] : end[1]]
        middle = self.lines[start[0] : end[0] - 1]
        return self.lines[start[0] - 1][start[1] :] + "".join(middle) + self.line(end[0])[: end[1]]

    def indentation(self, number: int) -> str:
        return leading(self.line(number))

    def scopes(self, number: int) -> list[ast.AST]:
        """The module and the classes and functions around a line, the innermost last. The line of a `def` is inside."""
        if self.tree is None:
            return []
        chain: list[ast.AST] = [self.tree]
        while True:
            inner = next((node for node in _direct(chain[-1]) if _first(node) <= number <= node.end_lineno), None)
            if inner is None:
                return chain
            chain.append(inner)

    def function(self, number: int) -> Function | None:
        """The innermost function around a line, unless the line is only its head."""
        for node in reversed(self.scopes(number)):
            if isinstance(node, Function) and number >= node.body[0].lineno:
                return node
        return None

    def statements(self, number: int) -> list[ast.stmt]:
        """The innermost statements that cover a line; more than one where semicolons put several on it."""
        found: list[ast.stmt] = []
        todo = [self.tree.body] if self.tree is not None else []
        while todo:
            for statement in todo.pop():
                if not _covers(statement, number):
                    continue
                inner = [block for block in _bodies(statement) if any(_covers(one, number) for one in block)]
                todo += inner
                if not inner or statement.lineno == number:
                    found.append(statement)
        return found

    def statement(self, number: int) -> ast.stmt | None:
        """The innermost statement that covers a line; of several on one line the first."""
        found = self.statements(number)
        return min(found, key=self.start) if found else None

    def parts(self, number: int) -> list[ast.AST]:
        """The nodes that the statements at a line evaluate themselves: of a compound statement only its head."""
        statements = self.statements(number)
        nodes: list[ast.AST] = []
        todo: list[ast.AST] = list(statements)
        while todo and len(nodes) < 20_000:
            node = todo.pop()
            nodes.append(node)
            for name, value in ast.iter_fields(node):
                if name in _BLOCKS and node in statements and isinstance(value, list):
                    continue
                todo += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST)]
        return nodes


_BLOCKS = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})


def _covers(statement: ast.stmt, number: int) -> bool:
    return _first(statement) <= number <= statement.end_lineno


def _first(node: ast.stmt) -> int:
    """The first line of a statement with its decorators."""
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        value = getattr(statement, name, None)
        if isinstance(value, list):
            yield value
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _direct(scope: ast.AST) -> Iterator[ast.AST]:
    """Classes and functions directly inside a scope, also those below `if` or `try`."""
    todo: list[list[ast.stmt]] = [scope.body]
    while todo:
        for statement in todo.pop():
            if isinstance(statement, Function | ast.ClassDef):
                yield statement
            else:
                todo += _bodies(statement)
