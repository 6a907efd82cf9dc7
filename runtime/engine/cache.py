"""KV caches of several sequences, kept between requests and edited in place. Knows ids and bytes, no text.

A slot is one contiguous cache with the ids whose keys and values it holds. A new prompt goes on in the free slot that
shares the longest prefix with it, so that typing costs only the new tokens; where that slot is busy, or holds much more
that may be wanted again, the shared prefix is copied into a slot of its own. Slots grow in steps with their sequence
and are bounded together by a budget of bytes; the least recently used ones are given up first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.engine.moved import Move, find_moves, move
from runtime.engine.network import Cache, Network

_FIRST_CAPACITY = 256  # positions of the smallest cache; each growth doubles it
_WORTH_COPYING = 16  # shorter shared prefixes are computed anew


class Slot:
    """One sequence's cache. `ids` (int32) are the positions that are valid; `busy` while a request works in it.

    adapter: what the weights were changed by when they were computed, regime: of the rotary positions (Network.regime);
    a prompt with others cannot use them.
    """

    def __init__(self, cache: Cache, adapter: object = None, regime: tuple[int, ...] | None = ()) -> None:
        self.cache, self.adapter, self.regime = cache, adapter, regime
        self.busy = False
        self.moves: list[Move] = []  # parts of the prompt that are in place already, further on
        self.approximate = False  # some rows were moved from another text (moved.py)
        self.promised = 0  # bytes that the request in it may come to need
        self.last_used = 0
        self._ids = np.empty(_FIRST_CAPACITY, dtype=np.int32)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def ids(self) -> np.ndarray:
        return self._ids[: self._length]

    def append(self, ids: np.ndarray) -> None:
        """The positions that follow hold these ids now."""
        end = self._length + len(ids)
        if end > len(self._ids):
            self._ids = np.concatenate([self.ids, np.empty(end + len(self._ids), dtype=np.int32)])
        self._ids[self._length : end] = ids
        self._length = end

    def truncate(self, length: int) -> None:
        """Only the first `length` positions count from now on."""
        self._length = min(self._length, length)

    @property
    def held(self) -> int:
        """Bytes that this slot has or, while it is busy, may come to have."""
        return max(self.cache.nbytes, self.promised) if self.busy else self.cache.nbytes


def common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    """Number of leading ids that two int32 arrays share."""
    n = min(len(a), len(b))
    different = np.nonzero(a[:n] != b[:n])[0]
    return int(different[0]) if len(different) else n


class CacheStore:
    """The slots of one network within `kv_bytes`; what must be served is served even beyond that.

    reuse_moved: rows of parts that only stand elsewhere are reused, too, which is an approximation (moved.py).
    ValueError where the model's positions cannot be moved.
    """

    def __init__(self, network: Network, kv_bytes: int, reuse_moved: bool = False) -> None:
        if reuse_moved and network.spec.positions == "learned":
            raise ValueError("reuse_moved: this model's learned positions cannot be moved")
        self.network, self.kv_bytes, self.reuse_moved = network, kv_bytes, reuse_moved
        self.slots: list[Slot] = []
        self._given_up: list[Cache] = []  # while room is made: memory for the next cache that costs no page faults
        self._clock = 0

    @property
    def nbytes(self) -> int:
        """Bytes held or promised."""
        return sum(slot.held for slot in self.slots)

    def shared(self, ids: np.ndarray, adapter: object = None) -> int:
        """Ids of this prompt that some slot holds already: what `acquire` would reuse at most."""
        return max((self._shared(slot, ids, adapter) for slot in self.slots), default=0)

    def adopt(self, slots: Sequence[Slot]) -> None:
        """Take slots that were restored, the one that was used last first."""
        for slot in reversed(slots):
            self._clock += 1
            slot.last_used = self._clock
            self.slots.append(slot)
        self._make_room(0, None, 0)
        self._given_up = []

    def acquire(
        self, ids: np.ndarray, positions: int, must: bool = True, leave: int = 0, adapter: object = None
    ) -> tuple[Slot, int] | None:
        """(slot, reused) for a prompt that will grow to `positions` at most; `reused` ids of it are already cached.

        None if the budget has no room for it, less `leave` bytes; with `must` it is served all the same. At least the
        prompt's last id is always computed anew, because its scores are needed.
        """
        self._given_up = []
        positions = min(max(positions, len(ids)), self.network.capacity)
        need = self._bytes(positions)
        best, reused = self._longest(ids, adapter)
        goes_on = best is not None and not best.busy and reused * 2 >= len(best)
        if not self._make_room(need - best.held if goes_on else need, best, leave):
            if best is not None and not best.busy and self._make_room(need - best.held, best, leave):
                goes_on = True  # rather lose the end of what holds the prefix than compute the prefix again
            elif must:
                self.clear(keep=best)
            else:
                return None
        if goes_on:
            slot = best
        else:
            slot = Slot(self._cache(len(ids), best.cache if best else None, reused), adapter)
            slot.regime = self.network.regime(len(ids))
            slot.append(ids[:reused])
            slot.approximate = best is not None and best.approximate
            self.slots.append(slot)
        if self.reuse_moved:
            self._move(slot, ids, reused)
        slot.truncate(reused)
        slot.busy, slot.promised = True, need
        self._clock += 1
        slot.last_used = self._clock
        self._given_up = []
        return slot, reused

    def _move(self, slot: Slot, ids: np.ndarray, reused: int) -> None:
        """Put what any slot holds of the rest of the prompt into place."""
        alike = [other for other in self.slots if other.adapter == slot.adapter and other.regime == slot.regime]
        found = [(other, find_moves(other.ids, ids, reused if other is slot else 0, reused)) for other in alike]
        source, slot.moves = max(found, key=lambda pair: sum(move.length for move in pair[1]))
        if slot.moves:
            self.reserve(slot, len(ids))
            move(self.network, source.cache, slot.cache, slot.moves)
            slot.approximate = True

    def reserve(self, slot: Slot, positions: int) -> None:
        """Grow the slot's cache, if it must be, until it holds `positions`."""
        if positions > slot.cache.capacity:
            slot.cache = self._cache(positions, slot.cache, len(slot))

    def append(self, slot: Slot, ids: np.ndarray) -> None:
        """These ids were run at the positions that follow in the slot."""
        slot.append(ids)
        if slot.regime != self.network.regime(len(slot)):
            slot.regime = None  # its keys are of two kinds: they serve this sequence only

    def release(self, slot: Slot) -> None:
        """Its request is done; what it holds may be reused, or given up."""
        slot.busy, slot.moves = False, []
        self._make_room(0, None, 0)
        self._given_up = []

    def clear(self, keep: Slot | None = None) -> None:
        """Give up every slot that is free, but for `keep`."""
        self.slots = [slot for slot in self.slots if slot.busy or slot is keep]

    def _shared(self, slot: Slot, ids: np.ndarray, adapter: object) -> int:
        if slot.adapter != adapter or slot.regime != self.network.regime(len(ids)):
            return 0
        return min(common_prefix(slot.ids, ids), len(ids) - 1)

    def _longest(self, ids: np.ndarray, adapter: object) -> tuple[Slot | None, int]:
        """The slot that shares most with the prompt, and how much; (None, 0) where it is too little to matter."""
        if not self.slots:
            return None, 0
        best = max(self.slots, key=lambda slot: (self._shared(slot, ids, adapter), not slot.busy, slot.last_used))
        reused = self._shared(best, ids, adapter)
        few = reused < _WORTH_COPYING and (best.busy or reused * 2 < len(best))
        return (None, 0) if few or reused == 0 else (best, reused)

    def _bytes(self, positions: int) -> int:
        return self.network.kv_bytes(self._capacity(positions))

    def _capacity(self, positions: int) -> int:
        """The smallest step of growth that holds so many positions."""
        capacity = _FIRST_CAPACITY
        while capacity < positions:
            capacity *= 2
        return min(capacity, self.network.capacity)

    def _cache(self, positions: int, source: Cache | None, shared: int) -> Cache:
        """A cache with the first `shared` positions of `source`, in memory that was given up if it has the size."""
        capacity = self._capacity(positions)
        old = next((cache for cache in self._given_up if cache.capacity == capacity), None)
        self._given_up = []
        if shared:
            return source.copy(shared, capacity, into=old)
        return old or self.network.new_cache(capacity)

    def _make_room(self, need: int, keep: Slot | None, leave: int) -> bool:
        """Give up free slots, the least recently used first, until `need` more bytes fit; false if they cannot."""
        free = sorted((slot for slot in self.slots if not slot.busy and slot is not keep), key=lambda s: s.last_used)
        limit = self.kv_bytes - leave
        if need > 0 and self.nbytes - sum(slot.held for slot in free) + need > limit:
            return False
        while free and self.nbytes + need > limit:
            slot = free.pop(0)
            self.slots.remove(slot)
            self._given_up.append(slot.cache)
        return True
