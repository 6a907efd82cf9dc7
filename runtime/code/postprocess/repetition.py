"""Rule: no loops, and nothing that stands right above or below already.

Works on text alone. Short lines that code repeats by nature (``pass``, closing brackets, ``else:``) are not held
against it.
"""

from runtime.code.caret import Caret

_NATURAL = 4  # lines of up to this many characters (without white space) may repeat
_TIMES = 4  # a unit that stands this often in a row is a loop
_LONGEST_UNIT = 60


def cut_loop(text: str) -> str:
    """`text` with one round left of a unit that stands four times in a row, and of a line that stands three times."""
    lines = text.split("\n")
    for i in range(2, len(lines)):
        line = lines[i].strip()
        if len(line) > 0 and line == lines[i - 1].strip() == lines[i - 2].strip():
            lines = lines[: i - 1]
            break
    return "\n".join(_cut_unit(line) for line in lines)


def _cut_unit(line: str) -> str:
    """The text before a run of one repeated unit, with the unit once.

    Runs of one mark (``====``, ``----``, ``))))``) are left alone: they are often meant.
    """
    n = len(line)
    for size in range(1, min(_LONGEST_UNIT, n // _TIMES) + 1):
        run = 0
        for i in range(size, n):
            run = run + 1 if line[i] == line[i - size] else 0
            if run >= size * (_TIMES - 1) and run >= 12:
                start = i - run - size + 1
                unit = line[start : start + size]
                if len(set(unit)) > 1 or unit.isalnum():
                    return line[: start + size].rstrip()
    return line


def repeats_neighbour(text: str, caret: Caret) -> str | None:
    """Why the offer would only say again what its neighbours say, or None."""
    first = (caret.line_prefix + text.split("\n", 1)[0] + caret.line_suffix).strip()
    if len(first) <= _NATURAL:
        return None
    if first == caret.previous_line.strip():
        return "repeats the line above"
    if first == caret.next_line.strip():
        return "repeats the line below"
    return None


def cut_at_next_line(text: str, caret: Caret) -> str:
    """An offer of several lines, up to the line that equals the next one in the file."""
    following = caret.next_line.strip()
    if len(following) <= _NATURAL:
        return text
    lines = text.split("\n")
    for i in range(1, len(lines)):
        if lines[i].strip() == following:
            return "\n".join(lines[:i]).rstrip("\n")
    return text
