"""Passages: parts of held-out texts that fit a model's context, with the places of their code tokens.

Python's own tokenizer tells names from strings and comments. Knows text; a model's tokenizer only to count.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_LEAST = 6  # lines of a passage


@dataclass(frozen=True)
class Code:
    """One token of Python. kind: tokenize's type; start, end: characters of the passage."""

    kind: int
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Passage:
    """text: whole lines. code: its tokens in order; those of strings and comments are single ones."""

    text: str
    code: list[Code] = field(compare=False)

    def statements(self) -> list[list[Code]]:
        """Tokens of every logical line, without its end, indents and comments; those on one line of text only."""
        found: list[list[Code]] = []
        line: list[Code] = []
        for token in self.code:
            if token.kind == tokenize.NEWLINE:
                if line and "\n" not in self.text[line[0].start : line[-1].end]:
                    found.append(line)
                line = []
            elif token.kind not in (tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.NL):
                line.append(token)
        return found


def passages(texts: Sequence[str], tokenizer, budget: int, seed: int = 0) -> list[Passage]:
    """Passages of at most `budget` tokens each, one of every text before a second one of any."""
    rng = np.random.default_rng(seed)
    found = []  # (which passage of its text, a random number, its text, its tokens)
    for text in texts:
        parts = []
        for start, end in _cut(text, tokenizer, budget):
            part = text[start:end]
            if part.count("\n") >= _LEAST:
                parts.append(part)
        found += [(turn, rng.random(), parts[i]) for turn, i in enumerate(rng.permutation(len(parts)))]
    return [Passage(text, code_of(text)) for _, _, text in sorted(found)]


def _cut(text: str, tokenizer, budget: int) -> list[tuple[int, int]]:
    """Ranges of whole lines, none above budget; each begins at a line without indent, where a reader would begin."""
    ranges, start, at, used = [], None, 0, 0
    for line in text.splitlines(keepends=True):
        size = len(tokenizer.encode(line)) if len(line) <= 400 else budget + 1
        full = used + size > budget
        if start is not None and full:
            ranges.append((start, at))
            start = None
        if start is None and size <= budget and line.strip() and line[0] not in " \t)]}#\"'":
            start, used = at, 0
        used += size
        at += len(line)
    if start is not None:
        ranges.append((start, at))
    return ranges


def code_of(text: str) -> list[Code]:
    """Tokens of Python up to the end, or up to where the text stops being Python; offsets in characters."""
    starts = [0]
    for line in io.StringIO(text):
        starts.append(starts[-1] + len(line))
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.ENDMARKER, tokenize.ERRORTOKEN):
                break
            row, end = starts[token.start[0] - 1], starts[min(token.end[0], len(starts)) - 1]
            found.append(Code(token.type, token.string, row + token.start[1], end + token.end[1]))
    except (tokenize.TokenError, SyntaxError):
        pass  # the passage ends inside a statement
    return found
