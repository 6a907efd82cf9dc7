"""Probes: small questions to a model with known answers, each a share with its interval and what guessing would reach.

common_words, brackets and colons (punctuation), valid_pairs, lines_parse and blocks_parse (syntax), cloze, questions.
All but the last are drawn from the texts that the model is measured on, so they fit any model and need no data files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..evaluate import proportion
from . import cloze, punctuation, questions, syntax, words
from .passages import passages
from .teacher import Teacher

ITEMS = 120  # at most, of one probe
BLOCKS = 60  # completed blocks are dear
PASSAGES = 64  # more would only be read for their own few items; brackets are rare enough to need all
ROOM = 72  # tokens of the context that are left for what is written or chosen
LEAST, LONGEST = 32, 700  # tokens of a passage

Progress = Callable[[int, int, str], None]


def run_probes(
    model, texts: Sequence[str], items: int = ITEMS, seed: int = 0, progress: Progress | None = None
) -> dict:
    """{probe: {"value", "n", "low", "high", "chance"}}: Wilson's 95 % intervals; chance is None where guessing has no
    rate. A probe that the texts or the context hold no items for has n = 0. Raises ValueError without tokenizer."""
    teacher = Teacher(model)
    room = min(teacher.capacity - ROOM, LONGEST)
    every = passages(texts, model.tokenizer, room, seed) if room >= LEAST else []
    parts = every[:PASSAGES]
    marks = punctuation.brackets(every, items, seed)
    jobs = {
        "common_words": (0.0, lambda: words.run(teacher, words.items(parts, items, seed))),
        "brackets": (1 / len(marks[0][2]) if marks else None, lambda: punctuation.run(teacher, marks)),
        "colons": (0.5, lambda: punctuation.run(teacher, punctuation.colons(parts, items, seed))),
        "valid_pairs": (0.5, lambda: syntax.run_pairs(teacher, syntax.pairs(parts, teacher, items, seed))),
        "lines_parse": (None, lambda: syntax.run_lines(teacher, syntax.line_starts(parts, items, seed))),
        "blocks_parse": (None, lambda: syntax.run_blocks(teacher, syntax.headers(parts, min(items, BLOCKS), seed))),
        "cloze": (1 / cloze.CHOICES, lambda: cloze.run(teacher, cloze.items(parts, teacher, items, seed))),
        "questions": (0.0, lambda: questions.run(model, teacher)),
    }
    found = {}
    for n, (name, (chance, job)) in enumerate(jobs.items()):
        if progress:
            progress(n, len(jobs), name)
        right = job()
        found[name] = proportion(sum(right), len(right)) | {"chance": chance}
    found["questions"]["words"] = questions.words(found["questions"])
    return found
