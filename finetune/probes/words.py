"""Probe: is a common word finished? A keyword, a built-in or a name of the passage is cut in its middle.

Right is the whole word and nothing more, written greedily. Knows passages and a teacher.
"""

from __future__ import annotations

import builtins
import keyword
import tokenize
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .passages import Passage
from .teacher import Teacher

_KNOWN = {word for word in (*keyword.kwlist, *dir(builtins)) if len(word) >= 4 and not word.startswith("_")} | {"self"}
_BEFORE = 3  # a name counts as common when it stood this often in the passage
_EACH = 6  # items of one word


def items(parts: Sequence[Passage], most: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text up to the middle of a word, its rest), half of them keywords and built-ins where there are enough."""
    rng = np.random.default_rng(seed)
    known, names = [], []
    for part in parts:
        seen: Counter[str] = Counter()
        for token in part.code:
            word = token.text
            if token.kind != tokenize.NAME or len(word) < 4:
                continue
            cut = len(word) // 2
            item = (part.text[: token.start + cut], word[cut:], word)
            if word in _KNOWN:
                known.append(item)
            elif seen[word] >= _BEFORE:
                names.append(item)
            seen[word] += 1
    picked = _pick(known, most - most // 2, rng) + _pick(names, most // 2, rng)
    return [(context, rest) for context, rest, _ in sorted(picked)]


def _pick(found: list[tuple[str, str, str]], most: int, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    out, used = [], Counter()
    for i in rng.permutation(len(found)):
        if len(out) == most:
            break
        if used[found[i][2]] < _EACH:
            used[found[i][2]] += 1
            out.append(found[i])
    return out


def run(teacher: Teacher, found: Sequence[tuple[str, str]]) -> list[bool]:
    return [_finished(teacher.write(context, _ended, 8), rest) for context, rest in found]


def _ended(text: str) -> bool:
    return any(not (c.isalnum() or c == "_") for c in text)


def _finished(text: str, rest: str) -> bool:
    word = next((text[:i] for i, c in enumerate(text) if not (c.isalnum() or c == "_")), text)
    return word == rest
