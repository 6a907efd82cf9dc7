"""Rule: brackets and quotes stay balanced with the text on both sides of the caret.

A closer that the text to the right already has is not written twice: it is cut where the offer ends with it, and
replaced where the offer goes on after it. A closer that nothing opened ends the offer.
"""

from runtime.code.caret import Caret
from runtime.code.scanner import PAIRS, QUOTES, Closing, above_state, below_text, scan


def balance(text: str, caret: Caret) -> tuple[str, int]:
    """(text to insert, characters right of the caret that it replaces).

    The offer may close what is open left of the caret and not closed to its right. A closer that stands right of the
    caret already is matched with it instead, in order, as long as only closers stand there.
    """
    above = above_state(caret)
    stack, closed = scan(caret.line_prefix, above, caret.language)
    taken = _taken(stack, len(above) - sum(closing.depth >= 0 for closing in closed), caret)
    suffix = caret.line_suffix
    if stack and stack[-1] in ("'''", '"""', "#"):
        # Prose: no bracket counts, but what stands there already is not said again.
        rest = suffix.rstrip()
        if rest and text.endswith(rest) and not rest[0].isalnum():
            return text[: -len(rest)], 0

    replaced = 0  # characters of the suffix that closers of the offer stand for
    first, first_replaced, last_end = -1, 0, -1
    for closing in scan(text, stack, caret.language)[1]:
        if closing.depth >= 0 and closing.depth not in taken:
            continue
        rest = suffix[replaced:]
        blank = len(rest) - len(rest.lstrip(" "))
        if not rest.startswith(closing.closer, blank):
            text = text[: closing.position]
            break
        if first < 0 or text[last_end : closing.position].strip(" "):
            first, first_replaced = closing.position, replaced
        replaced += blank + len(closing.closer)
        last_end = closing.position + len(closing.closer)
    if first < 0:
        return _in_string(text, suffix) if stack and stack[-1] in QUOTES else (text, 0)
    if not text[last_end:].strip():
        # The offer ends with closers that are there already: leave them to the file.
        return text[:first], first_replaced
    return text, replaced


def _in_string(text: str, suffix: str) -> tuple[str, int]:
    """The same for an offer that stays in its string: the scanner sees no brackets there, but a field of an f-string
    has its closer right of the caret as soon as the editor pairs brackets."""
    closer = suffix[:1]
    opener = PAIRS.get(closer)
    if opener is None or text.count(closer) <= text.count(opener):
        return text, 0
    return (text[:-1], 0) if text.endswith(closer) else (text, 1)


def _taken(stack: tuple[str, ...], low: int, caret: Caret) -> set[int]:
    """Entries of `stack` that the text right of the caret closes; those from `low` on were opened on the caret's line.

    What comes right of the caret closes the outermost, because the offer comes first and closes the innermost: in
    ``foo(bar(|)`` one is left to the offer. The line is settled for itself, then the lines below.
    """
    state, on_line = scan(caret.line_suffix + "\n", stack, caret.language)
    _, later = scan(below_text(caret), state, caret.language)
    return _outermost(stack, low, len(stack), on_line) | _outermost(stack, 0, low, later)


def _outermost(stack: tuple[str, ...], start: int, end: int, closings: list[Closing]) -> set[int]:
    """The outermost of stack[start:end] if the closings fit them, else the entries that the scanner found closed."""
    closers = [closing.closer for closing in closings if closing.depth >= 0]
    outer = stack[start : min(end, start + len(closers))]
    if [PAIRS.get(closer, closer) for closer in closers] == list(reversed(outer)):
        return set(range(start, start + len(closers)))
    return {closing.depth for closing in closings if closing.depth >= 0}
