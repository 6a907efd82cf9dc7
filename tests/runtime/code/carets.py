"""Makes a caret from a text with a mark in it, so that tests read as an editor looks."""

from runtime.code.caret import Caret
from runtime.code.lines import split_lines


def at(text: str, mark: str = "¦", **options) -> Caret:
    """The caret where `mark` stands; the mark itself is no part of the text."""
    before, after = text.split(mark)
    lines = split_lines(before + after)
    line = len(split_lines(before)) - 1
    return Caret(lines, line, len(split_lines(before)[-1]), **options)
