"""Probes of syntax: is a valid line more probable than a broken one, and does what the model writes parse?

A broken line is a line of the text with two neighbouring tokens exchanged: the same tokens, so that no preference for
some token decides. Nothing that is parsed is executed. Knows passages and a teacher.
"""

from __future__ import annotations

import ast
import codeop
import textwrap
import tokenize
import warnings
from collections.abc import Sequence

import numpy as np

from .passages import Passage
from .teacher import Teacher

_INCOMPLETE = getattr(codeop, "PyCF_ALLOW_INCOMPLETE_INPUT", 0x4000)
_AFTER = {
    "elif": "if _:\n    pass\n",
    "else": "if _:\n    pass\n",
    "except": "try:\n    pass\n",
    "finally": "try:\n    pass\n",
    "case": "match _:\n ",
}
_LINE_TOKENS, _BLOCK_TOKENS = 40, 64


def parses_so_far(code: str, whole: bool = False) -> bool:
    """Whether `code` is Python, or (unless it has to be whole) the beginning of some: an open bracket, string or block
    may still be closed."""
    flags = ast.PyCF_ONLY_AST | (0 if whole else _INCOMPLETE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, "<probe>", "exec", flags, dont_inherit=True)
        except SyntaxError as error:
            return not whole and "incomplete input" in str(error)
        except (ValueError, RecursionError, MemoryError):
            return False
    return True


def valid_line(line: str) -> bool:
    """Whether one line without its indent is a statement or the beginning of one; a blank line is none."""
    line = line.strip()
    if not line:
        return False
    word = line.split(":")[0].split("(")[0].split(" ")[0]
    return any(parses_so_far(before + line + "\n") for before in {"", _AFTER.get(word, "")})


def pairs(parts: Sequence[Passage], teacher: Teacher, most: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """(text before a line, the line, the line broken), both with the same number of the model's tokens."""
    rng = np.random.default_rng(seed)
    lines = [(part, line) for part in parts for line in part.statements() if len(line) >= 3]
    found = []
    for i in rng.permutation(len(lines)):
        if len(found) == most:
            break
        part, line = lines[i]
        start, end = line[0].start, part.text.find("\n", line[-1].end) + 1
        good = part.text[start:end]
        if not end or not valid_line(good) or any(t.kind == tokenize.STRING and "\n" in t.text for t in line):
            continue
        size = len(teacher.encode(part.text[:start] + good))
        for k in rng.permutation(len(line) - 1)[:6]:
            a, b = line[k], line[k + 1]
            between = part.text[a.end : b.start]
            bad = part.text[start : a.start] + b.text + between + a.text + part.text[b.end : end]
            if bad != good and not valid_line(bad) and len(teacher.encode(part.text[:start] + bad)) == size:
                found.append((part.text[:start], good, bad))
                break
    return sorted(found)


def run_pairs(teacher: Teacher, found: Sequence[tuple[str, str, str]]) -> list[bool]:
    right = []
    for context, good, bad in found:
        ids = [teacher.encode(context + line) for line in (good, bad)]
        first = max(1, next(i for i, (a, b) in enumerate(zip(*ids, strict=True)) if a != b))
        nats = [teacher.nats(each, first) for each in ids]
        right.append(nats[0] < nats[1])
    return right


def line_starts(parts: Sequence[Passage], most: int, seed: int = 0) -> list[str]:
    """Texts that end where a statement begins, after its indent; not the first of a passage."""
    found = [part.text[: line[0].start] for part in parts for line in part.statements()[1:]]
    return sorted(found[i] for i in np.random.default_rng(seed).permutation(len(found))[:most])


def run_lines(teacher: Teacher, found: Sequence[str]) -> list[bool]:
    texts = (teacher.write(context, lambda text: "\n" in text, _LINE_TOKENS) for context in found)
    return [valid_line(text.split("\n")[0]) for text in texts]


def headers(parts: Sequence[Passage], most: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text up to the body of a function with the body's indent, the header's own line)."""
    found = []
    for part in parts:
        for line in part.statements():
            after = part.text[line[-1].end :]
            if line[0].text != "def" or line[-1].text != ":" or not after.startswith("\n"):
                continue
            column = line[0].start - (part.text.rfind("\n", 0, line[0].start) + 1)
            context = part.text[: line[-1].end + 1] + " " * (column + 4)
            found.append((context, part.text[line[0].start : line[-1].end]))
    return sorted(found[i] for i in np.random.default_rng(seed).permutation(len(found))[:most])


def run_blocks(teacher: Teacher, found: Sequence[tuple[str, str]]) -> list[bool]:
    right = []
    for context, header in found:
        indent = context[context.rfind("\n") + 1 :]
        text = teacher.write(context, lambda text, indent=indent: _left(text, indent) is not None, _BLOCK_TOKENS)
        end = _left(text, indent)
        cut = end is None  # by the number of tokens: its last line is not whole, what it opened may still be closed
        body = textwrap.dedent(indent + text[: (text.rfind("\n") + 1 or len(text)) if cut else end])
        right.append(_block_parses(header, body, whole=not cut))
    return right


def _left(text: str, indent: str) -> int | None:
    """Where the block ends: the first line that is indented less, once it has begun; None while it goes on."""
    at = text.find("\n") + 1
    while at:
        rest = text[at:]
        line = rest.split("\n")[0]
        begun = line.strip()
        if begun and not line.startswith(indent):
            return at
        at = text.find("\n", at) + 1
    return None


def _block_parses(header: str, body: str, whole: bool) -> bool:
    code = header + "\n" + textwrap.indent(body, "    ") + ("" if body.endswith("\n") else "\n")
    return bool(body.strip()) and parses_so_far(code, whole)
