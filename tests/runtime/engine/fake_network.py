"""A network for tests of the engine: no arithmetic, costs that the test chooses, and caches that cannot lie.

A cache holds the ids of its positions; the next token is a hash of all of them. A position that was not computed, or
holds an id of another sequence, is an error or gives other tokens. Every step that was run is kept in `steps`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from types import SimpleNamespace

import numpy as np

from runtime.model import Model

VOCABULARY = 97
BYTES_PER_POSITION = 1000


class FakeCache:
    kv_type = "f32"

    def __init__(self, capacity):
        self.capacity, self.nbytes = capacity, capacity * BYTES_PER_POSITION
        self.tokens = np.full(capacity, -1, dtype=np.int32)
        self.regimes = [None] * capacity

    def rows(self, begin, end):
        keys = self.tokens.view(np.uint8).reshape(1, 1, -1, 4)[:, :, begin:end]
        return keys, np.zeros_like(keys)

    def copy(self, n_positions, capacity=None, into=None):
        twin = into or FakeCache(capacity or self.capacity)
        twin.tokens[:n_positions] = self.tokens[:n_positions]
        twin.regimes[:n_positions] = self.regimes[:n_positions]
        return twin


def following(ids, salt=0) -> int:
    """The one token that may follow these ids, for the model `salt`."""
    digest = hashlib.blake2b(np.asarray(ids, np.int32).tobytes(), digest_size=8, key=bytes([salt])).digest()
    return int.from_bytes(digest, "little") % VOCABULARY


def answer(prompt, tokens) -> list[int]:
    """What the fake network says to a prompt."""
    ids = [int(i) for i in prompt]
    for _ in range(tokens):
        ids.append(following(ids))
    return ids[len(prompt) :]


class FakeNetwork:
    """step_ms: what a step costs; row_ms: and each of its rows. A cancel is noticed within a fraction of a ms.

    salt: which model it is. border: texts longer than this have other rotary positions.
    """

    kv_type = "f32"

    def __init__(self, capacity=1024, max_rows=256, step_ms=0.0, row_ms=0.0, salt=0, border=None):
        self.capacity, self.max_rows, self.salt = capacity, max_rows, salt
        self.alike_rows = max_rows
        self.border = border
        self.step_ms, self.row_ms = step_ms, row_ms
        self.spec = SimpleNamespace(vocab_size=VOCABULARY, max_context=capacity, positions="rope")
        self.cache_bytes = capacity * BYTES_PER_POSITION
        self.steps: list[list[tuple[int, int]]] = []  # of each step: (start, rows) of its chunks
        self.stopped = self.unloaded = 0
        self.entered = threading.Semaphore(0)  # released at the beginning of every step

    def regime(self, length):
        return () if self.border is None else (int(length > self.border),)

    def unload(self):
        self.unloaded += 1

    def rope_shift(self, cache, begin, end, by):
        """The caches hold ids: there is nothing to turn."""

    def kv_bytes(self, capacity):
        return capacity * BYTES_PER_POSITION

    def new_cache(self, capacity=None):
        return FakeCache(capacity or self.capacity)

    def check_ids(self, ids):
        array = np.asarray(ids)
        if array.size == 0 or array.min() < 0 or array.max() >= VOCABULARY or array.size > self.capacity:
            raise ValueError("wrong ids")
        return array.astype(np.int32)

    def run(self, chunks, cancel=None):
        rows = sum(len(chunk.ids) for chunk in chunks)
        assert 0 < rows <= self.max_rows and all(len(chunk.ids) for chunk in chunks)
        assert len({id(chunk.cache) for chunk in chunks}) == len(chunks), "a cache is given twice"
        self.entered.release()
        until = time.perf_counter() + (self.step_ms + rows * self.row_ms) / 1000
        while time.perf_counter() < until:
            if cancel is not None and cancel.is_set:
                break
            time.sleep(0.0002)
        if cancel is not None and cancel.is_set:
            self.stopped += 1
            for chunk in chunks:  # what a stopped step leaves is garbage
                chunk.cache.tokens[chunk.start : chunk.start + len(chunk.ids)] = -2
            return None
        self.steps.append([(chunk.start, len(chunk.ids)) for chunk in chunks])
        return [self._one(chunk) for chunk in chunks]

    def _one(self, chunk):
        end = chunk.start + len(chunk.ids)
        assert end <= chunk.cache.capacity, "the cache is too small"
        chunk.cache.tokens[chunk.start : end] = chunk.ids
        chunk.cache.regimes[chunk.start : end] = [self.regime(max(chunk.length, end))] * len(chunk.ids)
        assert (chunk.cache.tokens[:end] >= 0).all(), "a position before the chunk was never computed"
        logits = np.zeros((chunk.last, VOCABULARY), dtype=np.float32)
        for row in range(chunk.last):
            logits[row, following(chunk.cache.tokens[: end - chunk.last + row + 1], self.salt)] = 9.0
        return logits, np.zeros((chunk.last, 1), dtype=np.float32)


def fake_model(**options) -> Model:
    """A model of ids, without tokenizer, on a FakeNetwork with these options."""
    network = FakeNetwork(**options)
    return Model("fake", {}, network.spec, None, network)
