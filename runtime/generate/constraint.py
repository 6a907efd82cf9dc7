"""Constraint: which tokens may come next in one request: those that fit a healed caret and then a grammar.

Knows tokens by their bytes (a TokenIndex) and a grammar by its Matcher; no logits.
"""

from __future__ import annotations

import numpy as np

from runtime.text._text import Matcher

from .healing import Healer, TokenIndex


class Constraint:
    """Bytes to be written again (healer), then a grammar (matcher); either may be None.

    tokenizer: None if the model has none; then tokens have no bytes. index: needed by a matcher only.
    stop_ids end the text; with a grammar they are allowed only where it can end, and other special tokens never.
    """

    def __init__(
        self,
        tokenizer,
        stop_ids: frozenset[int],
        healer: Healer | None = None,
        matcher: Matcher | None = None,
        index: TokenIndex | None = None,
    ) -> None:
        if matcher is not None and index is None:
            raise ValueError("a grammar needs a model with a tokenizer")
        self._tokenizer, self.stop_ids, self._matcher, self._index = tokenizer, stop_ids, matcher, index
        self._healer = healer if healer is not None and healer.active else None

    @property
    def healing(self) -> bool:
        """True while bytes before the caret are written again."""
        return self._healer is not None

    @property
    def binding(self) -> bool:
        """True if some tokens may be forbidden."""
        return self.healing or self._matcher is not None

    @property
    def finished(self) -> bool:
        """True if the text is complete and only its end may follow."""
        return self._matcher is not None and not self.healing and self._matcher.finished

    def allowed(self, id: int) -> bool:
        """True if the text may go on with `id`."""
        if not self.binding:
            return True
        if id in self.stop_ids:
            return not self.healing and self._matcher.accepting
        raw = self._index.ordinary(id)
        rest = self._healer.rest if self._healer is not None else b""
        if not raw or not (raw.startswith(rest) or rest.startswith(raw)):
            return False
        return self._matcher is None or self._matcher.allows(raw[len(rest) :])

    def mask(self, size: int) -> np.ndarray:
        """bool (size,): which ids may come next. size: entries of the model's table, at least those of the index.

        A rest that the vocabulary cannot spell is given up where no grammar asks for what follows it.
        """
        if self._matcher is None:
            ids = self._healer.allowed() if self._healer is not None else None
            out = np.full(size, ids is None)
            if ids is not None:
                out[ids] = True
            return out
        rest = self._healer.rest if self._healer is not None else b""
        out = np.frombuffer(bytearray(self._matcher.mask(self._index.trie, size, rest)), bool)
        if rest and not out.any():
            out = np.frombuffer(bytearray(self._matcher.mask(self._index.trie, size)), bool)
        if not rest and self._matcher.accepting:
            out[[id for id in self.stop_ids if id < size]] = True
        return out

    def accept(self, id: int) -> bytes:
        """The text goes on with `id`; the bytes that it adds beyond the caret (none for a stop id)."""
        if id in self.stop_ids:
            return b""
        if self._healer is not None:
            raw = self._healer.accept(id)
            if not self._healer.active:
                self._healer = None
        else:
            known = self._tokenizer is not None and id < self._tokenizer.vocab_size
            raw = self._tokenizer.token_bytes(id) if known else b""  # a padding row of the table has no text
        if self._matcher is not None and raw:
            self._matcher.feed(raw)
        return raw
