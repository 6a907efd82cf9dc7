"""Probes of punctuation: which closing bracket, and whether a line ends in a colon.

The options' probabilities are compared by characters, not by tokens, and every right answer is asked for equally
often: a model that always prefers the same mark scores what guessing would.
"""

from __future__ import annotations

import tokenize
from collections.abc import Sequence

import numpy as np

from .passages import Passage
from .teacher import Teacher

_CLOSING = (")", "]", "}")
_FEW = 20  # a mark with fewer places is not asked for: the others would have to be as few
_HEADERS = {"def", "class", "if", "elif", "for", "while", "with"}

Item = tuple[str, str, tuple[str, ...]]  # text before, right mark, all marks to choose from


def brackets(parts: Sequence[Passage], most: int, seed: int = 0) -> list[Item]:
    """Before closing brackets of code, as many of each kind."""
    found: dict[str, list[str]] = {mark: [] for mark in _CLOSING}
    for part in parts:
        for token in part.code:
            if token.kind == tokenize.OP and token.text in found:
                found[token.text].append(part.text[: token.start])
    return _balanced(found, most, seed)


def colons(parts: Sequence[Passage], most: int, seed: int = 0) -> list[Item]:
    """Before the colon that ends a header, and before the end of a line that has none; as many of each."""
    found: dict[str, list[str]] = {":": [], "\n": []}
    for part in parts:
        for line in part.statements():
            last = line[-1]
            if last.text == ":" and line[0].text in _HEADERS:
                found[":"].append(part.text[: last.start])
            elif last.text != ":" and len(line) > 1 and part.text[last.end : last.end + 1] == "\n":
                found["\n"].append(part.text[: last.end])
    return _balanced(found, most, seed)


def _balanced(found: dict[str, list[str]], most: int, seed: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    present = {mark: contexts for mark, contexts in found.items() if len(contexts) >= _FEW}
    if len(present) < 2:
        present = {mark: contexts for mark, contexts in found.items() if contexts}
    if len(present) < 2:
        return []
    each = min(most // len(present), *(len(contexts) for contexts in present.values()))
    marks = tuple(present)
    out = [
        (contexts[i], mark, marks) for mark, contexts in present.items() for i in rng.permutation(len(contexts))[:each]
    ]
    return sorted(out)  # neighbours share their passage's beginning


def run(teacher: Teacher, found: Sequence[Item]) -> list[bool]:
    right = []
    for context, mark, marks in found:
        p = teacher.chances(context, marks)
        right.append(marks[int(np.argmax(p))] == mark)
    return right
