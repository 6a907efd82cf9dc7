"""Rule: an offer is indented as its file is, and fits the white space that is already left of the caret.

Knows steps of indentation and tabs; of syntax only what the scanner sees, and that a colon indents.
"""

import re

from runtime.code.caret import Caret, Indent, leading
from runtime.code.scanner import above_state


def fit_indentation(text: str, caret: Caret) -> str:
    """`text` with the file's tabs or spaces, and with no white space at its start that would be there twice.

    After text on the line, one blank before the caret swallows one at the answer's start. On a blank line the answer's
    own white space may only fill up to what the line above allows a statement.
    """
    lines = text.split("\n")
    lines[1:] = [_restyle(line, caret.indent) for line in lines[1:]]
    first = lines[0]
    if caret.line_prefix.strip():
        if _BLANK_TWICE.match(caret.line_prefix[-2:] + "|" + first):
            first = first.lstrip(" \t")
    elif first.strip():
        lead = leading(first)
        columns = _columns(lead, caret.indent)
        most = _most(caret)
        if most is not None:
            columns = min(columns, max(0, most - _columns(caret.line_prefix, caret.indent)))
        first = _white(columns, caret.indent) + first[len(lead) :]
    lines[0] = first
    return "\n".join(lines)


# One blank on each side of the caret is one too many; several are somebody's alignment.
_BLANK_TWICE = re.compile(r"\S[ \t]\|[ \t]\S")


def _most(caret: Caret) -> int | None:
    """The deepest column at which a statement under the previous line may start; None where none starts.

    Inside brackets, strings and after a line that goes on, white space is a matter of taste.
    """
    above = caret.previous_line
    code = _without_comment(above).rstrip() if caret.language == "python" else above.rstrip()
    if above_state(caret) or code.endswith("\\"):
        return None
    depth = _columns(leading(above), caret.indent)
    return depth + caret.indent.width if code[-1:] in (":", "{") else depth


def _without_comment(line: str) -> str:
    """A line of Python without its comment; a ``#`` in a string begins none."""
    return _STRING_OR_COMMENT.sub(lambda found: "" if found.group().startswith("#") else found.group(), line)


_STRING_OR_COMMENT = re.compile(r"'(?:\\.|[^'\\])*+'|\"(?:\\.|[^\"\\])*+\"|#.*")


def _columns(white: str, indent: Indent) -> int:
    return sum(indent.width if char == "\t" else 1 for char in white)


def _white(columns: int, indent: Indent) -> str:
    if not indent.tabs:
        return " " * columns
    return "\t" * (columns // indent.width) + " " * (columns % indent.width)


def _restyle(line: str, indent: Indent) -> str:
    lead = leading(line)
    if indent.tabs == ("\t" in lead) or not lead:
        return line
    return _white(_columns(lead, indent), indent) + line[len(lead) :]
