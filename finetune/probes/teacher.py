"""Teacher-forced scores and greedy text of a model, over one cache that keeps what consecutive questions share.

Texts of one passage share their beginning: only what differs is computed. Knows ids and texts; no probes.
Shapes: V vocabulary; ids are lists of int.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

import numpy as np

from runtime.generate import Healer, TokenIndex

from ..measure import start_id

_LEAST = 1e-7  # probability of a token that is followed up
_HEALED = 4  # bytes before a caret that `chances` writes again: the ways to write a longer end are too many


class Teacher:
    """Questions to one model, one at a time. Raises ValueError for a model without tokenizer."""

    def __init__(self, model) -> None:
        if model.tokenizer is None:
            raise ValueError("the model has no tokenizer: it cannot be probed with text")
        self.tokenizer, self._network = model.tokenizer, model.network
        self.capacity = min(self._network.capacity, model.spec.max_context)
        self.index = TokenIndex(model.tokenizer)
        self._start = start_id(model)
        self.special = frozenset(model.tokenizer.special.values())
        self._cache, self._held = self._network.new_cache(), np.zeros(0, np.int32)

    def encode(self, text: str) -> list[int]:
        """Ids of a text that begins a document."""
        return ([] if self._start is None else [self._start]) + self.tokenizer.encode(text)

    def _rows(self, ids: Sequence[int], first: int) -> np.ndarray:
        """Scores float32 (len(ids) - first, V) after each id from `first` on."""
        ids = np.asarray(ids, np.int32)
        if not 0 <= first < len(ids) <= self.capacity:
            raise ValueError(f"{len(ids)} ids do not fit the context of {self.capacity}")
        shared = min(len(ids), len(self._held), first)
        differs = np.flatnonzero(ids[:shared] != self._held[:shared])
        at = int(differs[0]) if len(differs) else shared
        self._held = self._held[:at]
        rows = []
        while at < len(ids):
            end = min(at + self._network.max_rows, len(ids))
            wanted = end - max(at, first)
            if wanted > self._network.max_last:  # a large vocabulary: fewer rows of scores at once
                end -= wanted - self._network.max_last
                wanted = self._network.max_last
            scores, _ = self._network.step(ids[at:end], at, self._cache, last=max(1, wanted))
            if wanted > 0:
                rows.append(scores[-wanted:])
            at = end
        self._held = ids
        return np.concatenate(rows)

    def nats(self, ids: Sequence[int], first: int) -> float:
        """-log p(ids[first:] | ids[:first]); first >= 1."""
        rows = self._rows(ids[:-1], first - 1).astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        chosen = rows[np.arange(len(rows)), np.asarray(ids[first:])]
        return float((np.log(np.exp(rows).sum(axis=1)) - chosen).sum())

    def distribution(self, ids: Sequence[int]) -> np.ndarray:
        """float64 (V,): probabilities of the next id."""
        row = self._rows(ids, len(ids) - 1)[-1].astype(np.float64)
        p = np.exp(row - row.max())
        return p / p.sum()

    def chances(self, context: str, options: Sequence[str]) -> list[float]:
        """Probability that the text goes on with each option, by characters: summed over all ways to write it in
        tokens, a caret inside a token included. Options are a few characters long."""
        ids = self.encode(context)
        kept, rest = self.index.split(ids)
        if len(rest) > _HEALED:
            kept, rest = ids, b""
        known: dict[tuple[int, ...], np.ndarray] = {}

        def chance(added: tuple[int, ...], wanted: bytes) -> float:
            p = known.get(added)
            if p is None:
                p = known[added] = self.distribution([*kept, *added])
            total = 0.0
            for id in self.index.allowed(wanted).tolist():
                raw = self.tokenizer.token_bytes(id)
                if raw.startswith(wanted):
                    total += p[id]
                elif p[id] > _LEAST:
                    total += p[id] * chance((*added, id), wanted[len(raw) :])
            return total

        return [chance((), rest + option.encode()) for option in options]

    def write(self, context: str, enough: Callable[[str], bool], most: int) -> str:
        """Greedy text after the context, a token under the caret healed, until enough(text), a special token, `most`
        tokens or the end of the context."""
        kept, rest = self.index.split(self.encode(context))
        return self.write_ids(kept, enough, most, Healer(self.index, rest) if rest else None)

    def write_ids(
        self, ids: Sequence[int], enough: Callable[[str], bool], most: int, healer: Healer | None = None
    ) -> str:
        """As `write`, after ids."""
        ids, text = list(ids), ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for _ in range(min(most, self.capacity - len(ids) + 1)):
            scores = self._rows(ids, len(ids) - 1)[-1]
            allowed = healer.allowed() if healer else None
            id = int(scores.argmax() if allowed is None else allowed[scores[allowed].argmax()])
            if id in self.special or id >= self.tokenizer.vocab_size:
                break
            text += decoder.decode(healer.accept(id) if healer else self.tokenizer.token_bytes(id))
            if enough(text):
                break
            ids.append(id)
        return text
