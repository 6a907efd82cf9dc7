"""Measures a subject on texts: token scores, and its offers at carets; compares two subjects on the same ones.

A subject has `name`, `score` (see evaluate.Scorer) and `offer(caret)`: what a user would be shown. The network's offer
is made by the very functions that serve the terminal and the editor. Knows no files and no terminal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runtime import Engine
from runtime.code.caret import Caret
from runtime.code.complete import complete, prompt_at
from runtime.code.postprocess import Offer, Silence, apply

from .carets import KINDS, Place, similarity
from .evaluate import FEW, DocumentScore, Evaluation, difference, logit_scorer, proportion, ratio, sign_test, units
from .floor import Reader

Progress = Callable[[int, int, str], None]


class Network:
    """The model as the product uses it. Close it: it holds an engine."""

    def __init__(self, model, name: str | None = None) -> None:
        self.name, self._model, self._engine = name or model.name, model, Engine(model)
        self.score = logit_scorer(model.logits)

    def offer(self, caret: Caret) -> Offer | Silence:
        return complete(self._model, self._engine, caret).result

    def close(self) -> None:
        self._engine.close()


class Opponent:
    """A reader of `floor.py` with the prompts that `model` would get: the same text, cut to the same budget."""

    def __init__(self, reader: Reader, model) -> None:
        self.name, self.score, self._reader, self._model = reader.name, reader.score, reader, model

    def offer(self, caret: Caret) -> Offer | Silence:
        prompt = prompt_at(self._model, caret)
        if not prompt.prefix.strip() and not prompt.suffix.strip():
            return Silence("there is no text to go by")
        return apply(self._reader.raw(prompt, caret), caret)

    def close(self) -> None:
        pass


def narrow(model, context: int) -> None:
    """Let `model` see at most `context` tokens from now on, so that it is measured with what another one has."""
    model.spec = replace(model.spec, max_context=min(model.spec.max_context, context))


@dataclass(frozen=True)
class Measurement:
    """Scores of the texts, and for each place whether the offer was exactly right and how similar it was (0 to 1).

    vocabulary: hash of the tokenizer that the scores are in tokens of.
    """

    documents: list[DocumentScore]
    tokens: dict
    places: Sequence[Place]
    exact: np.ndarray
    similar: np.ndarray
    vocabulary: str | None = None

    def results(self) -> dict:
        """bits_per_byte, perplexity, top1, line_exact_match by kind, edit_similarity; each {"value", "n", "low",
        "high"}: 95 % intervals, Wilson's for exact match, documents resampled for the others."""
        kinds = np.array([place.kind for place in self.places])
        lines = {kind: proportion(int(self.exact[kinds == kind].sum()), int((kinds == kind).sum())) for kind in KINDS}
        return self.tokens | {
            "line_exact_match": lines,
            "edit_similarity": ratio(*_by_document(self.similar, self.places)),
        }


def start_id(model) -> int | None:
    """The id that begins a document for this model, if it has one."""
    start = model.tokenizer.special.get("<|endoftext|>", model.config.get("bos_token_id"))
    return start if isinstance(start, int) else None


def measure(subject, model, texts: Sequence[str], places: Sequence[Place], progress: Progress | None = None):
    """Measurement of `subject` on texts and on places in them, with the tokens and the context of `model`.

    Texts are parts of files: no end marker is scored. Raises ValueError for a model without tokenizer or texts without
    content.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ValueError("the model has no tokenizer: it cannot be evaluated on text")
    special = set(tokenizer.special.values())
    tokens = [b"" if i in special else tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
    evaluation = Evaluation(subject.score, tokens, model.spec.max_context, start=start_id(model))
    total = len(texts) + len(places)
    for n, text in enumerate(texts):
        if progress:
            progress(n, total, subject.name)
        evaluation.add(tokenizer.encode(text))
    exact, similar = np.zeros(len(places), bool), np.zeros(len(places))
    for n, place in enumerate(places):
        if progress:
            progress(len(texts) + n, total, subject.name)
        offer = subject.offer(place.caret)
        if isinstance(offer, Offer):
            exact[n] = offer.text.rstrip() == place.wanted
            similar[n] = similarity(offer.text.strip(), place.wanted.strip())
    found = evaluation.results()
    return Measurement(evaluation.documents, found, places, exact, similar, tokenizer.sha256)


def paired(ours: Measurement, theirs: Measurement) -> dict:
    """Differences ours - theirs on the same texts and places; for carets also how many only one of the two got right.

    {"value", "n", "low", "high"} (95 %, documents resampled), "better", "worse" (of edit_similarity: got nearer) and
    "p", the exact sign test's. top1 is left out between two vocabularies: their tokens are not the same ones.
    Raises ValueError if the places are not the same.
    """
    if list(ours.places) != list(theirs.places):
        raise ValueError("only measurements of the same carets can be compared")
    other = {d.index: d for d in theirs.documents}
    pairs = [(a, other[a.index]) for a in ours.documents if a.index in other]
    split = units([a for a, _ in pairs]), units([b for _, b in pairs])
    if ours.vocabulary == theirs.vocabulary and len(split[0]) == len(split[1]):  # else windows do not match
        pairs = list(zip(*split, strict=True))
    column = lambda side, key: np.array([getattr(pair[side], key) for pair in pairs], np.float64)  # noqa: E731
    kinds = np.array([place.kind for place in ours.places])
    exact = ours.exact.astype(np.float64) - theirs.exact
    bits = [(column(side, "nats") / math.log(2), column(side, "bytes")) for side in (0, 1)]
    found = {"bits_per_byte": difference(*bits[0], *bits[1])}
    if ours.vocabulary == theirs.vocabulary:
        found["top1"] = difference(*(column(side, key) for side in (0, 1) for key in ("hits", "tokens")))
    return found | {
        "line_exact_match": {kind: _difference(exact, ours.places, kinds == kind) for kind in KINDS},
        "edit_similarity": _difference(ours.similar - theirs.similar, ours.places, np.ones(len(kinds), bool)),
    }


def _difference(values: np.ndarray, places: Sequence[Place], chosen: np.ndarray) -> dict:
    values, places = values[chosen], [place for place, keep in zip(places, chosen, strict=True) if keep]
    better, worse = int((values > 0).sum()), int((values < 0).sum())
    counts = {"better": better, "worse": worse, "p": sign_test(better, worse)}
    return ratio(*_by_document(values, places)) | counts


def _by_document(values: np.ndarray, places: Sequence[Place]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of values for each document that has a place; for each place, where documents are too few."""
    names = sorted({place.document for place in places})
    if len(names) < FEW:
        return np.asarray(values, np.float64), np.ones(len(values))
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    row = {name: i for i, name in enumerate(names)}
    for value, place in zip(values, places, strict=True):
        sums[row[place.document]] += value
        counts[row[place.document]] += 1
    return sums, counts
