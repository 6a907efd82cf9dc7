"""Probe: which name stands here? One that the text used before, against names of other texts of the same length.

Right and wrong names come from the same population (each is right in its own passage) and have as many tokens, so that
neither frequency nor length decides: a model that knows nothing scores 1 in 4. Knows passages and a teacher.
"""

from __future__ import annotations

import builtins
import keyword
import tokenize
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .passages import Passage
from .teacher import Teacher

CHOICES = 4
_APART = 8  # code tokens between a name and its last use: repeating what has just been said is no memory
_EACH = 3  # items of one passage
_NEAR = 2  # characters that lengths may differ by

Item = tuple[int, list[list[int]]]  # first id of the name, ids of the texts with each choice; the right one first


def items(parts: Sequence[Passage], teacher: Teacher, most: int, seed: int = 0) -> list[Item]:
    """Up to `most` items with four choices each."""
    rng = np.random.default_rng(seed)
    places = [(part, token) for part in parts for token in _repeated(part, rng)]
    names = sorted({token.text for _, token in places})
    inside = {id(part): {t.text for t in part.code if t.kind == tokenize.NAME} for part in parts}
    found = []
    for i in rng.permutation(len(places)):
        if len(found) == most:
            break
        part, token = places[i]
        before, after = part.text[: token.start], part.text[token.end : token.end + 1]
        right = _ids(teacher, before, token.text, after)
        if right is None:
            continue
        choices = [right]
        for k in rng.permutation(len(names)):
            name = names[k]
            if name in inside[id(part)] or abs(len(name) - len(token.text)) > _NEAR:
                continue
            other = _ids(teacher, before, name, after)
            if other and (other[0], len(other[1])) == (right[0], len(right[1])):
                choices.append(other)
            if len(choices) == CHOICES:
                found.append((before, (right[0], [ids for _, ids in choices])))
                break
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


def _repeated(part: Passage, rng: np.random.Generator) -> list:
    """Some names of a passage that stood in it before, each with its place; keywords and built-ins are none."""
    last: dict[str, int] = {}
    by_name = defaultdict(list)
    for n, token in enumerate(part.code):
        name = token.text
        if token.kind != tokenize.NAME or len(name) < 3 or keyword.iskeyword(name) or hasattr(builtins, name):
            continue
        if name != "self" and n - last.get(name, n) >= _APART:
            by_name[name].append(token)
        last[name] = n
    chosen = rng.permutation(sorted(by_name))[:_EACH]
    return [by_name[name][int(rng.integers(len(by_name[name])))] for name in chosen]


def _ids(teacher: Teacher, before: str, name: str, after: str) -> tuple[int, list[int]] | None:
    """(first id of the name, ids up to its end), or None if the name does not end where a token does."""
    ids = teacher.encode(before + name + after)
    start, end = len(before.encode()), len((before + name).encode())
    at, first = 0, None
    for n, token in enumerate(ids):
        at += 0 if token in teacher.special else len(teacher.tokenizer.token_bytes(token))
        if first is None and at > start:
            first = n
        if at == end:
            return first, ids[: n + 1]
        if at > end:
            return None
    return None


def run(teacher: Teacher, found: Sequence[Item]) -> list[bool]:
    right = []
    for first, choices in found:
        nats = [teacher.nats(ids, first) for ids in choices]
        right.append(min(nats[1:]) > nats[0])
    return right
