"""Fill-in-the-middle holes (Bavarian et al. 2022), one per piece of text, as character positions and as ids.

Kinds of holes: a random span of characters (the model must see broken sub-tokens at all three borders), the rest of
a line, one whole line, a few whole lines. Half are written suffix first (SPM), half prefix first (PSM). Everything
is a function of the random state handed in. Knows nothing about documents or batches (`packing.py`).
"""

import random
from dataclasses import dataclass

import numpy as np

from runtime.text import FimFormat, Tokenizer

MAX_BLOCK = 12  # lines of the longest whole-line hole


@dataclass(frozen=True)
class FimSettings:
    """rate: share of pieces with a hole; the weights say how often a hole is of each kind; spm: share written
    suffix first."""

    rate: float = 0.5
    span: float = 0.4
    line_rest: float = 0.3
    line: float = 0.2
    block: float = 0.1
    spm: float = 0.5

    def __post_init__(self):
        if not 0 <= self.rate <= 1 or not 0 <= self.spm <= 1:
            raise ValueError("fim rate and spm are shares from 0 to 1")
        if min(self.span, self.line_rest, self.line, self.block) < 0 or not self.weights_sum:
            raise ValueError("fim weights must not be negative, and not all zero")

    @property
    def weights_sum(self) -> float:
        return self.span + self.line_rest + self.line + self.block


def choose_hole(text: str, settings: FimSettings, rng: random.Random) -> tuple[int, int]:
    """(start, end) of the hole, 0 <= start <= end <= len(text), so that text[:start], [start:end], [end:] are the
    three parts."""
    kind = rng.random() * settings.weights_sum
    if kind < settings.span or not text:
        a, b = rng.randint(0, len(text)), rng.randint(0, len(text))
        return min(a, b), max(a, b)
    if kind < settings.span + settings.line_rest:
        at = rng.randrange(len(text))  # uniform over characters, so long lines are met more often, as by a caret
        end = text.find("\n", at)
        return at, len(text) if end < 0 else end
    start = text.rfind("\n", 0, rng.randrange(len(text)) + 1) + 1
    many = 1 if kind < settings.span + settings.line_rest + settings.line else rng.randint(2, MAX_BLOCK)
    end = start - 1
    for _ in range(many):
        nxt = text.find("\n", end + 1)
        if nxt < 0:
            end = len(text)
            break
        end = nxt
    if rng.random() < 0.5:  # the caret usually stands after the indent
        while start < end and text[start] in " \t":
            start += 1
    return start, max(start, end)


def fim_ids(
    text: str, tokenizer: Tokenizer, markers: FimFormat, settings: FimSettings, rng: random.Random
) -> np.ndarray:
    """Ids int32 of the piece with one hole, ended by the end-of-text token. Parts are encoded apart, as at
    inference."""
    start, end = choose_hole(text, settings, rng)
    prefix, middle, suffix = (tokenizer.encode_array(part) for part in (text[:start], text[start:end], text[end:]))
    pre, suf, mid, eot = (
        np.array([i], np.int32) for i in (markers.prefix, markers.suffix, markers.middle, markers.end)
    )
    if rng.random() < settings.spm:
        return np.concatenate([pre, suf, suffix, mid, prefix, middle, eot])
    return np.concatenate([pre, prefix, suf, suffix, mid, middle, eot])
