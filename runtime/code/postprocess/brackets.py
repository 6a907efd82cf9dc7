"""Rule: brackets and quotes stay balanced with the text on both sides of the caret.

A closer that the text to the right already has is not written twice: it is cut where the offer ends with it, and
replaced where the offer goes on after it. A closer that nothing opened ends the offer. A light scanner, not a parser:
it knows strings, comments and brackets of Python and of C-like languages, and is content to be wrong about exotic
literals.
"""

import re
from dataclasses import dataclass

from runtime.code.caret import Caret

_QUOTES = frozenset(("'", '"', "`", "'''", '"""'))
_PAIRS = {")": "(", "]": "[", "}": "{"}
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
        if top in _QUOTES:
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
        elif mark in _PAIRS:
            if state and state[-1] == _PAIRS[mark]:
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


def balance(text: str, caret: Caret) -> tuple[str, int]:
    """(text to insert, characters right of the caret that it replaces).

    The offer may close what is open left of the caret and not closed to its right. A closer that stands right of the
    caret already is matched with it instead, in order, as long as only closers stand there.
    """
    before = "\n".join((*caret.above, caret.line_prefix))
    stack, _ = scan(before, (), caret.language)
    after = "\n".join((caret.line_suffix, *caret.below))
    _, closed_by_suffix = scan(after, stack, caret.language)
    taken = {closing.depth for closing in closed_by_suffix if closing.depth >= 0}

    state, closings = scan(text, stack, caret.language)
    if not closings or _fits(text, state, after, closed_by_suffix, caret):
        return text, 0
    suffix = caret.line_suffix
    replaced = 0  # characters of the suffix that closers of the offer stand for
    kept_until = len(text)
    last_overlay_end = -1
    first_overlay = -1
    overlay_from = 0
    for closing in closings:
        if closing.depth >= 0 and closing.depth not in taken:
            continue
        rest = suffix[replaced:]
        blank = len(rest) - len(rest.lstrip(" "))
        if rest.startswith(closing.closer, blank):
            if first_overlay < 0 or text[last_overlay_end : closing.position].strip(" "):
                first_overlay, overlay_from = closing.position, replaced
            replaced += blank + len(closing.closer)
            last_overlay_end = closing.position + len(closing.closer)
        else:
            kept_until = closing.position
            break
    text = text[:kept_until]
    if first_overlay < 0:
        return text, 0
    if text[last_overlay_end:].strip() == "":
        # The offer ends with closers that are there already: leave them to the file.
        return text[:first_overlay], overlay_from
    return text, replaced


def _fits(text: str, state: tuple[str, ...], after: str, before: list[Closing], caret: Caret) -> bool:
    """Whether the line is balanced with the whole offer in it, and the text below is no worse off than without it."""
    left, on_line = scan(caret.line_prefix + text + caret.line_suffix, (), caret.language)
    _, then = scan(after, state, caret.language)
    open_string = any(mark in _QUOTES for mark in left)
    return not on_line and not open_string and _strays(then) <= _strays(before)


def _strays(closings: list[Closing]) -> int:
    return sum(closing.depth < 0 for closing in closings)
