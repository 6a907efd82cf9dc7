"""Probes of punctuation: which closing bracket, and whether a line ends in a colon.

The options' probabilities are compared by characters, not by tokens, and every right answer is asked for equally often
after the same kind of token: a model that prefers some mark, or some mark after a name, scores what guessing would.
"""

from __future__ import annotations

import keyword
import tokenize
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .passages import Code, Passage
from .teacher import Teacher

_CLOSING = (")", "]", "}")
_HEADERS = {"def", "class", "if", "elif", "for", "while", "with"}

Item = tuple[str, str, tuple[str, ...]]  # text before, right mark, all marks to choose from
Places = dict[str, dict[str, list[str]]]  # right mark, kind of the token before it, texts before


def brackets(parts: Sequence[Passage], most: int, seed: int = 0) -> list[Item]:
    """Before closing brackets of code that hold something, as many of each kind."""
    found: Places = {mark: defaultdict(list) for mark in _CLOSING}
    for part in parts:
        for before, token in zip(part.code, part.code[1:], strict=False):
            if token.kind == tokenize.OP and token.text in found and before.text not in ("(", "[", "{"):
                found[token.text][_kind(before)].append(part.text[: token.start])
    return _balanced(found, most, seed)


def colons(parts: Sequence[Passage], most: int, seed: int = 0) -> list[Item]:
    """Before the colon that ends a header, and before the end of a line that has none; as many of each."""
    found: Places = {":": defaultdict(list), "\n": defaultdict(list)}
    for part in parts:
        for line in part.statements():
            last = line[-1]
            if last.text == ":" and line[0].text in _HEADERS:
                found[":"][_kind(line[-2])].append(part.text[: last.start])
            elif last.text != ":" and len(line) > 1 and part.text[last.end : last.end + 1] == "\n":
                found["\n"][_kind(last)].append(part.text[: last.end])
    return _balanced(found, most, seed)


def _kind(token: Code) -> str:
    """Marks and keywords are kinds of their own, names are one, strings one, numbers one."""
    return token.text if token.kind == tokenize.OP or keyword.iskeyword(token.text) else tokenize.tok_name[token.kind]


def _balanced(found: Places, most: int, seed: int) -> list[Item]:
    """The commonest two marks, or more where that makes the probe no smaller."""
    common = sorted(found, key=lambda mark: -sum(map(len, found[mark].values())))
    choices = [_drawn({mark: found[mark] for mark in common[:k]}, most // k, seed) for k in range(2, len(common) + 1)]
    return max(reversed(choices), key=len)


def _drawn(found: Places, each: int, seed: int) -> list[Item]:
    """Up to `each` places of each mark, of every kind as many as the rarest mark has."""
    rng = np.random.default_rng(seed)
    marks = tuple(found)
    groups = []  # one place of each mark, after the same kind of token
    for kind in sorted(set.intersection(*(set(kinds) for kinds in found.values()))):
        orders = [rng.permutation(len(found[mark][kind])) for mark in marks]
        groups += [[found[m][kind][i] for m, i in zip(marks, row, strict=True)] for row in zip(*orders, strict=False)]
    picked = [groups[i] for i in rng.permutation(len(groups))[:each]]
    return sorted((text, mark, marks) for group in picked for text, mark in zip(group, marks, strict=True))


def run(teacher: Teacher, found: Sequence[Item]) -> list[bool]:
    right = []
    for context, mark, marks in found:
        p = teacher.chances(context, marks)
        right.append(marks[int(np.argmax(p))] == mark)
    return right
