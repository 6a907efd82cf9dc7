"""KV caches of several sequences, kept between requests and edited in place. Knows ids and bytes, no text.

A slot is one contiguous cache with the ids whose keys and values it holds. A new prompt takes the free slot that shares
the longest prefix with it and overwrites the rest, so that typing costs only the tokens that are new. Slots are bounded
by a byte budget; the least recently used one is given up.
"""

from __future__ import annotations

import numpy as np

from runtime.engine.network import Cache, Network


class Slot:
    """One sequence's cache. `ids` (int32) are the positions that are valid; `busy` while a request works in it."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.ids = np.zeros(0, dtype=np.int32)
        self.busy = False
        self.last_used = 0


def common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    """Number of leading ids that two int32 arrays share."""
    n = min(len(a), len(b))
    different = np.nonzero(a[:n] != b[:n])[0]
    return int(different[0]) if len(different) else n


class CacheStore:
    """At least two slots (one for completion, one for chat), more while `kv_bytes` allows."""

    def __init__(self, network: Network, kv_bytes: int) -> None:
        self._network = network
        self.limit = max(2, kv_bytes // max(1, network.cache_bytes))
        self._slots: list[Slot] = []
        self._clock = 0

    def acquire(self, ids: np.ndarray) -> tuple[Slot, int] | None:
        """(slot, reused) for a prompt, or None while every slot is busy; `reused` ids of it are already cached.

        At least the prompt's last id is always computed anew, because its scores are needed.
        """
        free = [slot for slot in self._slots if not slot.busy]
        shared = {id(slot): min(common_prefix(slot.ids, ids), len(ids) - 1) for slot in free}
        best = max(free, key=lambda slot: (shared[id(slot)], -slot.last_used), default=None)
        # A slot that shares little is worth more to the sequence it holds, while there is room for another one.
        if best is None or (shared[id(best)] * 2 < len(best.ids) and len(self._slots) < self.limit):
            if len(self._slots) >= self.limit:
                return None
            best = Slot(self._network.new_cache())
            self._slots.append(best)
            shared[id(best)] = 0
        elif shared[id(best)] == 0:
            best = min(free, key=lambda slot: slot.last_used)
        reused = shared[id(best)]
        best.ids = best.ids[:reused]
        best.busy = True
        self._clock += 1
        best.last_used = self._clock
        return best, reused

    def release(self, slot: Slot) -> None:
        slot.busy = False
