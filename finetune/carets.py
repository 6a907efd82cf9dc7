"""Carets in held-out files: where they stand, what the user would have typed there, how near an offer comes.

Three kinds, on characters and not on tokens: `line_start` after a line's indent, `mid_line` at any character inside a
line, `trigger` after one of . ( = , or a blank. The rest of the caret's line is taken away, the lines below stay, as
they do while somebody writes. Knows text; no models and no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.code.caret import Caret
from runtime.code.lines import body, split_lines

KINDS = ("line_start", "mid_line", "trigger")
_TRIGGERS = ".(=, "
_LONGEST = 400  # characters: longer lines are data


@dataclass(frozen=True)
class Place:
    """A caret of one kind in text number `document`, and the rest of the line that was taken away there."""

    document: int
    kind: str
    caret: Caret
    wanted: str


def choose(texts: Sequence[str], per_kind: int, seed: int = 0) -> list[Place]:
    """Up to `per_kind` places of each kind, drawn evenly from all that there are; in the order of the texts.

    Blank lines, lines over 400 characters and a last line without an end have none. Raises ValueError for
    per_kind < 1.
    """
    if per_kind < 1:
        raise ValueError(f"per_kind must be at least 1, not {per_kind}")
    found: dict[str, list[tuple[int, int, int]]] = {kind: [] for kind in KINDS}
    lines = [split_lines(text) for text in texts]
    for document, every in enumerate(lines):
        for n, line in enumerate(every[:-1]):
            content = body(line).rstrip()
            if not content or len(content) > _LONGEST:
                continue
            indent = len(content) - len(content.lstrip())
            found["line_start"].append((document, n, indent))
            for column in range(indent + 1, len(content)):
                found["mid_line"].append((document, n, column))
                if content[column - 1] in _TRIGGERS:
                    found["trigger"].append((document, n, column))
    rng = np.random.default_rng(seed)
    places = []
    for kind in KINDS:
        picked = rng.permutation(len(found[kind]))[:per_kind]
        for document, n, column in sorted(found[kind][i] for i in picked):
            every = lines[document]
            line = every[n]
            content = body(line)
            shown = [*every[:n], line[:column] + line[len(content) :], *every[n + 1 :]]
            places.append(Place(document, kind, Caret(shown, n, column), content[column:].rstrip()))
    return sorted(places, key=lambda place: place.document)


def similarity(a: str, b: str) -> float:
    """1 - Levenshtein distance / length of the longer one; 1 for equal texts, 0 for nothing in common."""
    longest = max(len(a), len(b))
    if not longest:
        return 1.0
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return 1 - row[-1] / longest
