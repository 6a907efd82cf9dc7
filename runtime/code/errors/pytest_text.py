"""Reads what pytest prints of a failure (long and short form) as the same frames and exception.

Long form: source lines with `>` at the failing one, `E   ` lines, then `file:line: Type`. Short form (`--tb=short`):
`file:line: in function`, the line, then the `E   ` lines. The last failure of the text counts.
"""

import re

from runtime.code.errors.traceback_text import MOST_FRAMES, Frame, Raised, clean

_PLACE = re.compile(r"^(\S[^:\n]{0,400}\.py):(\d{1,9}):(?: in (\S.*)| ([A-Za-z_][\w.]*))?$")
_ERROR = re.compile(r"^E\s{2,}(\S.*)$")
_TYPED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt|Iteration|Exit|Failed))(?:: ?(.*))?$")
_TITLE = re.compile(r"^_{3,} .+ _{3,}$")


def parse_pytest(text: str) -> tuple[Raised, ...]:
    """The last failure as a chain of one; empty if the text holds none."""
    found: list[Raised] = []
    frames: list[Frame] = []
    errors: list[str] = []
    pointed = ""
    inside = ""  # the function whose short-form line comes next

    def done() -> None:
        nonlocal frames, errors, pointed
        if frames and errors:
            found.append(_raised(frames, errors))
        frames, errors, pointed = [], [], ""

    for line in clean(text):
        if _TITLE.match(line):
            done()
        elif error := _ERROR.match(line):
            errors.append(error.group(1))
        elif line.startswith(">"):
            pointed = line[1:].strip()
        elif place := _PLACE.match(line):
            file, number, function, _ = place.groups()
            if function and errors:
                done()
            if len(frames) < MOST_FRAMES:
                frames.append(Frame(file, int(number), function or "", pointed))
            pointed, inside = "", function or ""
        elif inside and line.startswith("    "):
            if frames and not frames[-1].code:
                frames[-1] = Frame(frames[-1].file, frames[-1].line, inside, line.strip())
            inside = ""
    done()
    return (found[-1],) if found else ()


def _raised(frames: list[Frame], errors: list[str]) -> Raised:
    typed = _TYPED.match(errors[0])
    if typed:
        return Raised(typed.group(1), (typed.group(2) or "").strip(), tuple(frames), tuple(errors[1:]))
    return Raised("AssertionError", errors[0], tuple(frames), tuple(errors[1:]))
