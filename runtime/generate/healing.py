"""Token healing: a caret inside a token.

The text before the caret is tokenised as if it ended there ("retu" -> "ret", "u"), though the model knows the longer
token ("return"). Healing drops the last tokens and lets the model choose again among the tokens that fit the dropped
bytes: those that begin with them, or that are a proper beginning of them. Knows a tokenizer only by vocab_size,
token_bytes(id) and special (literal -> id); special tokens are never offered nor dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from runtime.text._text import ByteTrie

_CACHED_RESTS = 512
_MAX_DROP = 4


class TokenIndex:
    """Sorted byte strings of a vocabulary; built once per tokenizer (about 0.2 s for 150k tokens), then shared."""

    def __init__(self, tokenizer):
        special = set(tokenizer.special.values())
        pairs = [(tokenizer.token_bytes(id), id) for id in range(tokenizer.vocab_size) if id not in special]
        pairs = sorted(pair for pair in pairs if pair[0])
        self._bytes = [b for b, _ in pairs]
        self._ids = np.array([id for _, id in pairs], np.int64)
        self._exact: dict[bytes, list[int]] = {}
        for b, id in pairs:
            self._exact.setdefault(b, []).append(id)
        self._special = special
        self._token_bytes = tokenizer.token_bytes
        self._size = tokenizer.vocab_size
        self._cache: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._contained: tuple[tuple[bytes, ...], frozenset[int]] = ((), frozenset())

    @cached_property
    def trie(self) -> ByteTrie:
        """The same tokens for the masks of grammars."""
        return ByteTrie(self._bytes, self._ids.astype(np.int32).tobytes())

    def ordinary(self, id: int) -> bytes:
        """Bytes of a token that is not special; none for special ones and for ids beyond the vocabulary."""
        return b"" if id in self._special or id >= self._size else self._token_bytes(id)

    def containing(self, texts: tuple[bytes, ...]) -> frozenset[int]:
        """Ids of the tokens that contain one of the texts; those of the latest texts are kept."""
        if self._contained[0] != texts:
            pairs = zip(self._bytes, self._ids.tolist(), strict=True)
            found = frozenset(id for token, id in pairs if any(text in token for text in texts))
            self._contained = (texts, found)
        return self._contained[1]

    def _range(self, rest: bytes) -> tuple[int, int]:
        """Positions of the tokens that begin with `rest`."""
        low = bisect_left(self._bytes, rest)
        after = rest.rstrip(b"\xff")  # smallest string above every extension: last byte below 255, plus one
        if not after:
            return low, len(self._bytes)
        return low, bisect_left(self._bytes, after[:-1] + bytes([after[-1] + 1]), low)

    def allowed(self, rest: bytes) -> np.ndarray:
        """Sorted ids (int64) of the tokens that begin with `rest` or are a proper beginning of it. rest: not empty.

        Empty only if the vocabulary lacks the first byte. The array is shared: do not change it.
        """
        if not rest:
            raise ValueError("rest must not be empty")
        hit = self._cache.get(rest)
        if hit is None:
            low, high = self._range(rest)
            shorter = [id for n in range(1, len(rest)) for id in self._exact.get(rest[:n], ())]
            hit = np.sort(np.concatenate([self._ids[low:high], np.array(shorter, np.int64)]))
            hit.flags.writeable = False
            self._cache[rest] = hit
            if len(self._cache) > _CACHED_RESTS:
                self._cache.popitem(last=False)
        return hit

    def extends(self, rest: bytes) -> bool:
        """True if some token begins with `rest` and goes on."""
        low, high = self._range(rest)
        return high - low > len(self._exact.get(rest, ()))

    def split(self, ids: Sequence[int], max_drop: int = _MAX_DROP) -> tuple[list[int], bytes]:
        """(ids to keep, bytes to generate again): the longest end, of at most max_drop tokens, that one
        longer token covers.

        The bytes are empty if the caret is at a safe border. The first token is never dropped.
        """
        ids = list(ids)
        rest, best, dropped = b"", b"", 0
        for count in range(1, min(max_drop, len(ids) - 1) + 1):
            if ids[-count] in self._special:
                break
            rest = self._token_bytes(ids[-count]) + rest
            if self.extends(rest):
                best, dropped = rest, count
        return ids[: len(ids) - dropped], best


class Healer:
    """State of one healed generation: which ids are allowed next, and which bytes of a token are new.

    Use: while healer.active, sample with allowed=healer.allowed(), then show healer.accept(id).
    """

    def __init__(self, index: TokenIndex, rest: bytes):
        self._index = index
        self._rest = rest

    @property
    def active(self) -> bool:
        return bool(self._rest)

    @property
    def rest(self) -> bytes:
        """Text left of the caret that is still to be generated again."""
        return self._rest

    def allowed(self) -> np.ndarray | None:
        """Ids allowed next, or None when everything is (healing is over, or the vocabulary cannot spell the rest)."""
        if not self._rest:
            return None
        ids = self._index.allowed(self._rest)
        return ids if len(ids) else None

    def accept(self, id: int) -> bytes:
        """The bytes of the token that lie beyond the caret (empty while it only repeats what was there)."""
        token = self._index._token_bytes(id)
        if not self._rest:
            return token
        if token.startswith(self._rest):
            new, self._rest = token[len(self._rest) :], b""
            return new
        if self._rest.startswith(token) and token:
            self._rest = self._rest[len(token) :]
            return b""
        self._rest = b""  # the vocabulary could not spell it: give up healing rather than the completion
        return token
