"""A light scanner of source text: which brackets, strings and comments are open at a place, and what closes them.

No parser: it knows strings, comments and brackets of Python and of C-like languages, and is content to be wrong about
exotic literals. A window of a Python file is read from the nearest `def` or `class` on, where nothing can be open: read
from its middle, a docstring would turn inside out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.code.caret import Caret

QUOTES = frozenset(("'", '"', "`", "'''", '"""'))
PAIRS = {")": "(", "]": "[", "}": "{"}
_CODE = re.compile(r"'''|\"\"\"|//|[\"'`#()\[\]{}\n]")
_SLASHES = frozenset(
    {"javascript", "typescript", "javascriptreact", "typescriptreact", "java", "c", "cpp", "csharp", "go", "rust"}
)


@dataclass(frozen=True)
class Closing:
    """A closer at `position` (its first character) that closed entry `depth` of the stack; -1: it closed nothing."""

    position: int
    closer: str
    depth: int


def scan(text: str, stack: tuple[str, ...] = (), language: str = "python") -> tuple[tuple[str, ...], list[Closing]]:
    """Reads `text` from the state `stack` (openers and quotes, the innermost last; ``#`` is an open comment).

    Returns the state after it and every closing that reached below the given state. A string in single quotes that
    is still open at the end of its line is dropped there.
    """
    state = list(stack)
    closings: list[Closing] = []
    floor = len(state)  # entries below this index were there before the text
    slashes = language in _SLASHES
    position = 0
    while position < len(text):
        top = state[-1] if state else ""
        if top == "#":
            end = text.find("\n", position)
            if end < 0:
                break
            state.pop()
            position = end
            floor = min(floor, len(state))
            continue
        if top in QUOTES:
            end, closed = _string_end(text, position, top)
            if end < 0:
                break
            state.pop()
            if len(state) < floor:
                floor = len(state)
                if closed:
                    closings.append(Closing(end - len(top), top, len(state)))
            position = end
            continue
        found = _CODE.search(text, position)
        if not found:
            break
        mark, position = found.group(), found.end()
        if mark in ("'", '"', "'''", '"""', "(", "[", "{") or (mark == "`" and slashes):
            if slashes and len(mark) == 3:
                mark, position = mark[0], found.start() + 1
            state.append(mark)
        elif (mark == "#" and not slashes) or (mark == "//" and slashes):
            state.append("#")
        elif mark in PAIRS:
            if state and state[-1] == PAIRS[mark]:
                state.pop()
                if len(state) < floor:
                    floor = len(state)
                    closings.append(Closing(found.start(), mark, len(state)))
            else:
                closings.append(Closing(found.start(), mark, -1))
    return tuple(state), closings


def _string_end(text: str, position: int, quote: str) -> tuple[int, bool]:
    """Where the string ends: (index after it, True), or (index of the line end, False), or (-1, False)."""
    single = len(quote) == 1 and quote != "`"
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote), True
        elif char == "\n" and single:
            return position, False
        else:
            position += 1
    return -1, False


_DEFINITION = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+[ \t]*[(:\[]")


def above_state(caret: Caret) -> tuple[str, ...]:
    """The state at the start of the caret's line."""
    lines: Sequence[str] = caret.above
    if caret.language == "python":
        for i in range(len(lines) - 1, -1, -1):
            if _DEFINITION.match(lines[i]):
                lines = lines[i:]
                break
    return scan("\n".join((*lines, "")), (), caret.language)[0]


def below_text(caret: Caret) -> str:
    """The lines below the caret as far as something left open above can be closed there."""
    lines: Sequence[str] = caret.below
    if caret.language == "python":
        for i, line in enumerate(lines):
            if _DEFINITION.match(line):
                lines = lines[:i]
                break
    return "\n".join(lines)
