"""The rules against real code: an answer that is exactly what a person wrote must come through unchanged.

Lines of Python's own library are taken apart at random places, and the rules get the missing text as if a
perfect model had written it, with the lines that follow, and with the rest of the line repeated half of the time.
"""

import random
import sysconfig
from pathlib import Path

import pytest

from runtime.code.caret import Caret
from runtime.code.lines import body, split_lines
from runtime.code.postprocess import Offer, apply

FILES = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def cut(kind: str, text: str, rng: random.Random) -> tuple[int, int] | None:
    """Where the missing text begins and ends in a line."""
    if kind == "line":
        return rng.choice((0, len(text) - len(text.lstrip()))), len(text)
    if kind == "rest":
        return rng.randrange(len(text)), len(text)
    if kind == "middle":
        start = rng.randrange(len(text))
        return start, rng.randrange(start, len(text) + 1)
    at = text.rfind("(")
    return (at + 1, len(text) - 1) if at >= 0 and text.endswith(")") else None


@pytest.mark.parametrize(
    ("kind", "least"), [("line", 0.98), ("rest", 0.98), ("middle", 0.95), ("closed bracket", 0.95)]
)
def test_what_a_person_wrote_comes_through(kind, least):
    rng = random.Random(kind)
    right = total = 0
    for path in rng.sample(FILES, min(60, len(FILES))):
        lines = split_lines(path.read_text(encoding="utf-8", errors="replace"))
        for number in rng.sample(range(len(lines)), min(10, len(lines))):
            text = body(lines[number])
            place = cut(kind, text, rng) if text.strip() else None
            if place is None or not text[slice(*place)].strip():
                continue
            start, end = place
            raw = text[start:end] + (text[end:] if kind == "closed bracket" or rng.random() < 0.5 else "")
            raw += "\n" + "".join(lines[number + 1 : number + 3])
            caret = Caret([*lines[:number], text[:start] + text[end:] + "\n", *lines[number + 1 :]], number, start)
            offer = apply(raw, caret)
            total += 1
            if isinstance(offer, Offer):
                shown = text[:start] + offer.text + text[end:][offer.replace :]
                right += shown.rstrip() == text.rstrip()
    assert total > 60
    assert right / total >= least, f"{right} of {total}"
