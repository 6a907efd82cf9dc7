"""Splits text into lines the way editors count them.

Only ``\\n``, ``\\r\\n`` and ``\\r`` end a line. `str.splitlines` is not used: it also splits at form feed, U+2028 and
others, and every position after such a character would be off by a line. Knows nothing about languages or carets.
"""

import re

_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]++\Z")


def split_lines(text: str) -> list[str]:
    """Lines of `text`, each with its own line end; the last one has none and may be empty. Never an empty list."""
    lines = _LINE.findall(text)
    if not lines or lines[-1][-1] in "\r\n":
        lines.append("")
    return lines


def body(line: str) -> str:
    """`line` without its line end."""
    return line.rstrip("\r\n") if line[-1:] in ("\r", "\n") else line


def line_end(lines: list[str]) -> str:
    """The line end that the text uses (that of its first line; ``\\n`` where there is none yet)."""
    first = lines[0] if lines else ""
    return first[len(body(first)) :] or "\n"


def replace_lone_surrogates(text: str) -> str:
    """`text` with each half of a broken UTF-16 pair replaced by U+FFFD, one for one, so that columns stay true."""
    return _LONE.sub("\ufffd", text)


_LONE = re.compile("[\ud800-\udfff]")
