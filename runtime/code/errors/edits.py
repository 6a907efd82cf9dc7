"""Edits of a source text: applied together, shown as a unified diff, and judged by compiling the result.

Places are (line from 1, column from 0 in code points). A diff is made of lines as `patch` counts them (ended by
``\\n``); carriage returns are part of the line.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.code.lines import line_end, split_lines

NO_NEWLINE = "\\ No newline at end of file\n"


@dataclass(frozen=True)
class Edit:
    """Puts `text` (line ends as ``\\n``) in the place of what stands from `start` to `end`."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


def insert(line: int, column: int, text: str) -> Edit:
    return Edit((line, column), (line, column), text)


def apply(text: str, edits: Sequence[Edit]) -> str:
    """`text` after all edits, which name places in `text` as it was. Raises ValueError if two of them overlap."""
    lines = split_lines(text)
    end_of_line = line_end(lines)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(place: tuple[int, int]) -> int:
        line, column = place
        return starts[line - 1] + column if line <= len(lines) else len(text)

    out, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        first, last = offset(edit.start), offset(edit.end)
        if first < at or last < first:
            raise ValueError("two edits overlap")
        out += [text[at:first], edit.text.replace("\n", end_of_line)]
        at = last
    return "".join([*out, text[at:]])


def edits_between(before: str, after: str) -> tuple[Edit, ...]:
    """Edits of whole lines that turn one text into the other."""
    old, new = split_lines(before), split_lines(after)
    found = []
    for kind, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            ending = (last + 1, 0) if last < len(old) else (len(old), len(old[-1]))
            beginning = (first + 1, 0) if first < len(old) else ending
            text = "".join(new[start:end])
            found.append(Edit(beginning, ending, text.replace("\r\n", "\n").replace("\r", "\n")))
    return tuple(found)


def unified_diff(before: str, after: str, name: str) -> str:
    """The diff that `patch -p1` and `git apply` take; empty if nothing differs."""
    old, new = _split(before), _split(after)
    name = name.replace("\\", "/").lstrip("/")
    rows = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
    return "".join(row if row.endswith("\n") else row + "\n" + NO_NEWLINE for row in rows)


def _split(text: str) -> list[str]:
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
