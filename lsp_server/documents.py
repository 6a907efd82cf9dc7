"""Open documents: text kept in step with the editor, and positions exact to the code unit.

Written here rather than taken from pygls, which splits lines at form feeds and U+2028 (editors do not) and walks a
5 MB line character by character. A document's list of lines is never changed in place: a snapshot is a reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.code.lines import body, split_lines

UNITS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_BYTES = {"utf-8": 1, "utf-16": 2, "utf-32": 4}


def join_surrogates(text: str) -> str:
    """`text` with each pair of surrogates as the one character that it stands for; lone ones stay."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def glue(left: str, right: str) -> str:
    """`left + right`, where the halves of a pair that come to stand side by side are one character."""
    if "\ud800" <= left[-1:] <= "\udbff" and "\udc00" <= right[:1] <= "\udfff":
        return left[:-1] + join_surrogates(left[-1] + right[0]) + right[1:]
    return left + right


def column_from_units(line: str, units: int, encoding: str) -> tuple[int, bool]:
    """(column in code points, whether it points between the two halves of that character's UTF-16 pair).

    Beyond the line's text: its end. Inside a character otherwise: the character's start. `line` has no line end.
    """
    units = max(0, units)
    if line.isascii() or encoding == "utf-32":
        return min(units, len(line)), False
    # A code point has at least one unit: nothing after `units` code points can matter.
    size = _BYTES[encoding]
    raw = line[:units].encode(UNITS[encoding], "surrogatepass")[: units * size]
    if encoding == "utf-8":
        return len(_whole_utf8(raw).decode("utf-8", "surrogatepass")), False
    column = 0
    if raw and 0xD8 <= raw[-1] <= 0xDB:  # the last unit is a high surrogate: it may be half of a character
        raw = raw[:-2]
        column = len(raw.decode("utf-16-le", "surrogatepass"))
        if ord(line[column]) > 0xFFFF:
            return column, True
        return column + 1, False
    return len(raw.decode("utf-16-le", "surrogatepass")), False


def _whole_utf8(raw: bytes) -> bytes:
    """`raw` without a character at its end that is cut off."""
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0xC0 != 0x80:
            needed = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return raw if needed <= back else raw[:-back]
    return raw


def units_from_column(line: str, column: int, encoding: str) -> int:
    """The position of a column in the client's units."""
    head = line[:column]
    if encoding == "utf-32" or head.isascii():
        return len(head)
    return len(head.encode(UNITS[encoding], "surrogatepass")) // _BYTES[encoding]


@dataclass(frozen=True)
class Document:
    """One state of one document. `change` gives the next one and leaves this one as it was."""

    uri: str
    language: str
    version: int
    lines: Sequence[str]
    encoding: str = "utf-16"

    @classmethod
    def open(cls, uri: str, language: str, version: int, text: str, encoding: str = "utf-16") -> "Document":
        return cls(uri, language, version, split_lines(join_surrogates(text)), encoding)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def place(self, line: int, units: int) -> tuple[int, int]:
        """(line, column in code points) of a position of the client; beyond the end of a line or text: that end."""
        if line >= len(self.lines):
            return len(self.lines) - 1, len(body(self.lines[-1]))
        column, _ = column_from_units(body(self.lines[max(0, line)]), units, self.encoding)
        return max(0, line), column

    def units(self, line: int, column: int) -> int:
        """The column in the client's units."""
        return units_from_column(self.lines[line], column, self.encoding)

    def replaced(self, version: int, text: str) -> "Document":
        return replace(self, version=version, lines=split_lines(join_surrogates(text)))

    def change(self, version: int, start: tuple[int, int], end: tuple[int, int], text: str) -> "Document":
        """The document after one incremental change; `start` and `end` are (line, units) as the client counts.

        Raises ValueError if the range is reversed.
        """
        first, head = self._cut(start, tail=False)
        last, tail = self._cut(end, tail=True)
        if (first, -len(head)) > (last, 0) or start > end:
            raise ValueError(f"the change ends at {end} before it starts at {start}")
        middle = glue(glue(head, join_surrogates(text)), tail)
        lines = self.lines
        # A line end may be completed by its neighbours: "\r" and "\n" that come to stand side by side are one.
        if first > 0 and middle[:1] == "\n" and lines[first - 1][-1:] == "\r":
            first -= 1
            middle = lines[first] + middle
        after = last + 1
        if after < len(lines) and (middle[-1:] not in ("\r", "\n") or (middle[-1] == "\r" and lines[after] == "\n")):
            middle += lines[after]
            after += 1
        inserted = split_lines(middle)
        if after < len(lines):
            inserted.pop()  # the text goes on: the empty line after the last line end is the next line's place
        return replace(self, version=version, lines=[*lines[:first], *inserted, *lines[after:]])

    def _cut(self, position: tuple[int, int], tail: bool) -> tuple[int, str]:
        """(line, its text before the position or from it on), cutting through a UTF-16 pair where the client does."""
        number, units = position
        if number >= len(self.lines):
            number, units = len(self.lines) - 1, len(self.lines[-1]) * 4
        line = self.lines[number]
        column, split = column_from_units(body(line), units, self.encoding)
        if not split:
            return number, line[column:] if tail else line[:column]
        high, low = join_pair(line[column])
        return number, low + line[column + 1 :] if tail else line[:column] + high


def join_pair(char: str) -> tuple[str, str]:
    """The two halves of a character's UTF-16 pair."""
    value = ord(char) - 0x10000
    return chr(0xD800 + (value >> 10)), chr(0xDC00 + (value & 0x3FF))
