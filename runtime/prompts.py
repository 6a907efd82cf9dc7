"""From a text, ids or a pair to fill in between to the ids of a prompt, cut to the positions that there are.

A source is encoded once (`PromptWriter.write`) and can then be cut to any number of ids (`Draft.fit`): the context of
the model decides it, or a deadline. Far ends go first: the start of what stands before the caret, the end of what
stands after it. Knows tokenizers and FIM formats; what the windows of a file should contain is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.generate import Healer, TokenIndex
from runtime.text import FimFormat

_ANCHOR = 64  # a prompt that is too long is cut in steps of this many ids, so that typing does not move its start
_MARKERS = 4  # ids of a FIM prompt that are no text, and the first new one


@dataclass
class Prompt:
    """Token ids of a prompt, bytes of a token under the caret that are to be generated again, and what was cut."""

    ids: np.ndarray  # int32 (T,)
    healer: Healer | None = None
    cut: str | None = None


@dataclass(frozen=True)
class Draft:
    """An encoded source. `before`: ids up to the caret (or the whole prompt); `after`: ids that follow it.

    `lead`: ids before a prompt without FIM markers; `fill`: the source is a pair.
    """

    writer: PromptWriter
    before: Sequence[int] | np.ndarray
    after: Sequence[int] = ()
    lead: Sequence[int] = ()
    fill: bool = False

    def __len__(self) -> int:
        """Most ids that `fit` can give."""
        return len(self.before) + len(self.after) + (_MARKERS if self.fill else 0)

    def fit(self, room: int, cut: str = "prompt") -> Prompt:
        """The prompt in at most `room` ids (a few more where `room` is tiny); `cut` is what to call a loss.

        ValueError if there is nothing to continue, or ids lie outside the vocabulary.
        """
        writer = self.writer
        if not self.fill:
            kept = self.before[_overflow(len(self.before), room) :]
            return Prompt(writer.check_ids(kept), cut=cut if len(kept) < len(self.before) else None)
        room -= _MARKERS
        after = self.after[: max(room // 4, room - len(self.before), 0)]
        before = self.before[_overflow(len(self.before), max(1, room - len(after))) :]
        short = (len(before), len(after)) != (len(self.before), len(self.after))
        # The first id of `split` is never dropped, so a leading id lets a caret after the very first token be healed.
        healed, rest = writer.index().split([*self.lead, *before])
        healer = Healer(writer.index(), rest) if rest else None
        if len(after):
            healed = writer.fim.prompt(healed[len(self.lead) :], after, order=writer.fim_order)
        if not healed:
            raise ValueError("nothing to continue: prefix and suffix are empty")
        return Prompt(writer.check_ids(healed), healer, cut if short else None)


class PromptWriter:
    """Encodes sources for one model. fim: None where the vocabulary has no markers; fim_order: one of fim.ORDERS.

    check_ids: ids -> int32 array, or ValueError. name: the model's, for messages.
    """

    def __init__(
        self, tokenizer, fim: FimFormat | None, fim_order: str, check_ids: Callable[..., np.ndarray], name: str
    ) -> None:
        self.tokenizer, self.fim, self.fim_order, self.check_ids, self.name = tokenizer, fim, fim_order, check_ids, name
        self._index: TokenIndex | None = None

    def index(self) -> TokenIndex:
        """The tokens by their bytes, made on first use."""
        if self._index is None:
            self._index = TokenIndex(self.tokenizer)
        return self._index

    def write(self, source) -> Draft:
        """Draft of a text, of ids, or of a pair (prefix, suffix) of texts to fill in between.

        ValueError for anything else, an empty text, or a text where the model has no tokenizer.
        """
        if isinstance(source, tuple) and not (source and all(isinstance(i, (int, np.integer)) for i in source)):
            if len(source) != 2 or not all(isinstance(part, str) for part in source):
                raise ValueError("a pair to fill in must be two texts (prefix, suffix)")
            return self._write_pair(*source)
        if isinstance(source, str):
            source = self._need_tokenizer().encode(source, add_special=True)
            if not source:
                raise ValueError("the prompt is empty")
        return Draft(self, np.asarray(source))

    def _need_tokenizer(self):
        if self.tokenizer is None:
            raise ValueError(f"the model {self.name!r} has no tokenizer: give token ids")
        return self.tokenizer

    def _write_pair(self, prefix: str, suffix: str) -> Draft:
        """Suffix first for models trained for it (typing then only appends), prefix first for the others."""
        tokenizer = self._need_tokenizer()
        before = tokenizer.encode(prefix)
        after = tokenizer.encode(suffix) if suffix.strip() and self.fim else []
        lead = [self.fim.end] if self.fim and self.fim.end is not None else []
        return Draft(self, before, after, lead, fill=True)


def _overflow(length: int, room: int) -> int:
    """How many leading ids to drop so that at most `room` stay, in steps of _ANCHOR (fewer where room is small)."""
    if length <= room:
        return 0
    step = min(_ANCHOR, max(1, room // 4))
    return min(length - 1, -(-(length - room) // step) * step)
