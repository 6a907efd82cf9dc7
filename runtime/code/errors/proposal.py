"""What a syntax rule is given (the compiler's error in our counting) and what it proposes."""

import re
from dataclasses import dataclass

from runtime.code.errors.edits import Edit

BLOCK = re.compile(r"\s*(?:if|elif|else|for|while|def|class|with|try|except|finally|async|match|case)\b")


@dataclass(frozen=True)
class Proposal:
    """Edits and what they do, as a menu entry."""

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class CompilerError:
    """The compiler's error in our counting: `start` and `end` are (line, column)."""

    message: str
    start: tuple[int, int]
    end: tuple[int, int]


def code_end(text: str) -> int:
    """The column where the code of a line ends: before a comment and the white space in front of it."""
    quote = ""
    at = 0
    while at < len(text):
        c = text[at]
        if quote:
            if c == "\\":
                at += 1
            elif text.startswith(quote, at):
                at += len(quote) - 1
                quote = ""
        elif c in "\"'":
            quote = c * 3 if text.startswith(c * 3, at) else c
            at += len(quote) - 1
        elif c == "#":
            return len(text[:at].rstrip())
        at += 1
    return len(text.rstrip())
