"""The text around a caret, as the prompt builder and the post-processing rules see it.

Holds a reference to an immutable list of lines (see `runtime.code.lines`); every property is bounded in size, so that a
5 MB line or a file of a million lines costs no more than a small one. Knows nothing about models or editors.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runtime.code.lines import body, line_end

LINES_SEEN = 200  # lines above and below the caret that rules look at
COLUMNS_SEEN = 4096  # characters of one line that rules look at


@dataclass(frozen=True)
class Indent:
    """How a file indents: with tabs or not, and the columns of one step."""

    tabs: bool
    width: int

    @property
    def unit(self) -> str:
        return "\t" if self.tabs else " " * self.width


@dataclass(frozen=True)
class Caret:
    """A place in a text: `line` from 0, `column` from 0 in code points, `lines` as `split_lines` gives them.

    Raises ValueError if the place is not in the text.
    """

    lines: Sequence[str]
    line: int
    column: int
    language: str = "python"
    multiline: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.line < len(self.lines):
            raise ValueError(f"line {self.line} is outside the text of {len(self.lines)} lines")
        length = len(body(self.lines[self.line]))
        if not 0 <= self.column <= length:
            raise ValueError(f"column {self.column} is outside line {self.line} of {length} characters")

    @cached_property
    def line_prefix(self) -> str:
        """What stands left of the caret on its line (the last 4096 characters of it)."""
        return self.lines[self.line][max(0, self.column - COLUMNS_SEEN) : self.column]

    @cached_property
    def line_suffix(self) -> str:
        """What stands right of the caret on its line, without the line end (the first 4096 characters of it)."""
        return body(self.lines[self.line][self.column : self.column + COLUMNS_SEEN])

    @cached_property
    def above(self) -> tuple[str, ...]:
        """Up to 200 lines above, the nearest last, without line ends, each cut to 4096 characters."""
        return tuple(body(line[:COLUMNS_SEEN]) for line in self.lines[max(0, self.line - LINES_SEEN) : self.line])

    @cached_property
    def below(self) -> tuple[str, ...]:
        """Up to 200 lines below, the nearest first, without line ends, each cut to 4096 characters."""
        return tuple(body(line[:COLUMNS_SEEN]) for line in self.lines[self.line + 1 : self.line + 1 + LINES_SEEN])

    @cached_property
    def line_end(self) -> str:
        return line_end(self.lines)

    @cached_property
    def previous_line(self) -> str:
        """The nearest line above that is not blank, or an empty string."""
        return next((line for line in reversed(self.above) if line.strip()), "")

    @cached_property
    def next_line(self) -> str:
        """The nearest line below that is not blank, or an empty string."""
        return next((line for line in self.below if line.strip()), "")

    @cached_property
    def indent(self) -> Indent:
        """The file's indentation, read from the lines around the caret; four spaces where nothing is indented."""
        # The first indented line of a file may be the caret's own: its tabs count, its spaces may be half typed.
        own = (leading(self.line_prefix) + "x",) if self.line_prefix.startswith("\t") else ()
        return find_indent(self.above + self.below + own)


def find_indent(lines: Sequence[str]) -> Indent:
    """Counts which step of indentation follows a smaller one most often (the method of detect-indent)."""
    tabs = spaces = before = 0
    steps: Counter[int] = Counter()
    for line in lines:
        text = line.lstrip(" \t")
        if not text:
            continue
        lead = line[: len(line) - len(text)]
        if lead.startswith("\t"):
            tabs += 1
        elif lead:
            spaces += 1
        width = len(lead)
        if width > before and not lead.startswith("\t") and width - before in (2, 3, 4, 8):
            steps[width - before] += 1
        before = width
    if tabs > spaces:
        return Indent(tabs=True, width=4)
    return Indent(tabs=False, width=steps.most_common(1)[0][0] if steps else 4)


def leading(line: str) -> str:
    """The white space that a line starts with."""
    return line[: len(line) - len(line.lstrip(" \t"))]
