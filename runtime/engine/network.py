"""Network: a decoder ready to serve; runs new ids of several sequences in one native call. Knows no tokens' meaning.

Shapes: d = d_model, V vocabulary. A step takes chunks, each with new ids that follow `start` positions of its own
cache, and gives scores and final states for the last rows of each chunk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import native_kernels as nk
from native_kernels.plan import CACHE_TYPES
from runtime.adapters.adapter import Adapter
from runtime.engine.adapted import with_adapter
from runtime.engine.compiler import CompiledStep, Compiler
from runtime.engine.kv_cache import Cache, fitting_type
from runtime.engine.weight_store import PackedFile, WeightStore
from runtime.models.spec import DecoderSpec

_MOST_PLANS = 8  # adapters whose plans are kept
MAX_ROWS = 256  # rows of one step: long enough for full GEMM speed, short enough to cancel and pre-empt between steps

Result = tuple[np.ndarray, np.ndarray]  # scores (last, V), final states (last, d)


@dataclass
class Chunk:
    """New ids of one sequence: they follow `start` positions of its cache. Scores are wanted for the `last` last rows.

    length: positions of the whole text that the chunk is part of, 0: no more than it reaches; only rotary positions
    whose frequencies depend on it (dynamic, longrope) look at it.
    guesses: the rows after the first stand on guesses. Attention then takes few of them together, so that with
    quantised or bfloat16 weights every row has the bits of a step of its own (float32: up to 8 rows).
    adapter: changes the weights for this run.
    """

    ids: np.ndarray  # int32 (rows,)
    start: int
    cache: Cache
    last: int = 1
    length: int = 0
    guesses: bool = False
    adapter: Adapter | None = None


class Network:
    """A decoder ready to serve.

    weights: canonical name -> StoredTensor or float32 array. precision: "auto" (matrices keep their storage type;
    products with quantised ones are computed in int8), "f32" (exact), or "bf16", "q8_0", "q4_0" (converted; a matrix
    whose rows are no multiple of the type's block stays as it is: weight_store.type_for). capacity: most positions of
    a sequence, at most spec.max_context. kv_type: how caches store keys and values unless they are asked otherwise:
    "f32", "f16", or "q8_0" (for which heads that are no multiple of 32 take "f16"). packed: opens the file that keeps
    packed matrices for other processes.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        weights: Mapping[str, object],
        precision: str = "auto",
        capacity: int | None = None,
        kv_type: str = "f32",
        packed: Callable[[str, int], PackedFile] | None = None,
    ) -> None:
        self.spec, self.precision, self.kv_type = spec, precision, fitting_type(kv_type, spec.head_dim)
        self.capacity = min(capacity or spec.max_context, spec.max_context)
        self.max_rows = self.max_last = min(MAX_ROWS, self.capacity)  # of a step: rows, and rows with scores
        self._weights, self._packed = weights, packed
        self._lock = threading.Lock()
        self._step: CompiledStep | None = None
        self._plan: nk.Plan | None = None
        self._adapted: dict[Adapter, nk.Plan] = {}  # the one that was used last at the end
        self._load()

    def _load(self) -> None:
        store = WeightStore(self.spec.weight_shapes(), self._weights, self.precision, self._packed)
        self._step = Compiler(self.spec, store, self.max_rows, self.capacity).step
        self._plan = self._step.builder.build()
        store.finish()

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory: not between `unload` and the next run."""
        return self._plan is not None

    def unload(self) -> None:
        """Give the memory of weights and work buffers back; the next run takes them from their files again.

        Caches stay as they are. Waits for a run that is under way.
        """
        with self._lock:
            self._step = self._plan = None
            self._adapted.clear()

    def weight(self, name: str) -> np.ndarray:
        """A weight by its canonical name, float32, as it was before it was converted."""
        weight = self._weights[name]
        return np.asarray(weight.float32() if hasattr(weight, "float32") else weight, dtype=np.float32)

    def _plan_with(self, adapter: Adapter | None) -> nk.Plan:
        if adapter is None:
            return self._plan
        plan = self._adapted.pop(adapter, None)
        if plan is None:
            plan = with_adapter(self._step, adapter, self.spec.embedding_scale).build()
            while len(self._adapted) >= _MOST_PLANS:
                del self._adapted[next(iter(self._adapted))]
        self._adapted[adapter] = plan
        return plan

    def regime(self, length: int) -> tuple[int, ...]:
        """Equal for two lengths of text whose rotary positions agree: keys cached for one can serve the other."""
        return tuple(table.rope.regime(length) for table in self._step.ropes)

    def operations(self) -> list[tuple[str, int]]:
        """The plan, for people: (kind, for products with their storage type; bytes of weights) of each operation."""
        with self._lock:
            if self._plan is None:
                self._load()
            return self._step.builder.operations()

    def profile(self, chunks: Sequence[Chunk], rounds: int = 1) -> list[tuple[str, int, float]]:
        """Run the chunks `rounds` times: (kind, bytes of weights, mean seconds) of each operation, in order."""
        operations = self.operations()
        times = np.zeros(len(operations), np.int64)
        self._plan.measure(times)
        try:
            for _ in range(rounds):
                self.run(chunks)
        finally:
            self._plan.measure(None)
        return [(kind, size, ns / rounds / 1e9) for (kind, size), ns in zip(operations, times.tolist(), strict=True)]

    # ---- caches ------------------------------------------------------------------------------------------------

    def kv_bytes(self, capacity: int | None = None, kv_type: str | None = None) -> int:
        """Bytes of a cache for `capacity` positions (all that fit if None)."""
        spec = self.spec
        kv_type = fitting_type(kv_type or self.kv_type, spec.head_dim)
        return 2 * spec.n_layers * nk.kv_bytes(kv_type, spec.n_kv_heads, capacity or self.capacity, spec.head_dim)

    @property
    def cache_bytes(self) -> int:
        """Bytes of one cache for as many positions as fit."""
        return self.kv_bytes()

    def new_cache(self, capacity: int | None = None, kv_type: str | None = None) -> Cache:
        """An empty cache, whose pages are touched only as positions are used. ValueError beyond the capacity."""
        capacity, spec = capacity or self.capacity, self.spec
        if not 1 <= capacity <= self.capacity:
            raise ValueError(f"a cache for {capacity} positions; the network serves up to {self.capacity}")
        kv_type = fitting_type(kv_type or self.kv_type, spec.head_dim)
        return Cache(spec.n_layers, spec.n_kv_heads, spec.head_dim, capacity, kv_type)

    def rope_shift(self, cache: Cache, begin: int, end: int, by: int) -> None:
        """Turn the keys at positions begin .. end of a cache as if their texts stood `by` positions further on.

        For rows that were moved there. What the rows say of the text before them stays as it was: reusing them is an
        approximation. ValueError where positions are learned (they cannot be moved) or lie outside the cache.
        """
        spec = self.spec
        if spec.positions == "learned":
            raise ValueError("this model's learned positions cannot be shifted")
        for n in range(spec.n_layers):
            rope = spec.rope_of(n)
            if rope is None:
                continue
            angles = rope.frequencies(end) * np.float32(by)
            cos, sin = np.cos(angles), np.sin(angles)
            nk.kv_rotate(
                cache.kv_type, cache.keys[n], spec.n_kv_heads, spec.head_dim, begin, end, cos, sin, rope.interleaved
            )

    # ---- run ---------------------------------------------------------------------------------------------------

    def run(self, chunks: Sequence[Chunk], cancel: nk.CancelFlag | None = None) -> list[Result] | None:
        """Run new ids of several sequences in one pass, at most max_rows in all.

        Returns scores and final states of each chunk's last rows, or None if it was cancelled (the caches then hold
        nothing new that counts). ValueError for ids outside the vocabulary, chunks that do not fit, or whose adapters
        differ.
        """
        head = sum(chunk.last for chunk in chunks)
        hidden = np.empty((head, self.spec.d_model), np.float32)
        logits = np.empty((head, self.spec.vocab_size), np.float32)
        with self._lock:
            if not self._run(chunks, hidden, logits, cancel):
                return None
        results, at = [], 0
        for chunk in chunks:
            results.append((logits[at : at + chunk.last], hidden[at : at + chunk.last]))
            at += chunk.last
        return results

    def _run(self, chunks: Sequence[Chunk], hidden: np.ndarray, logits: np.ndarray, cancel) -> bool:
        if self._plan is None:
            self._load()
        step, sequences, row = self._step, [], 0
        adapter = chunks[0].adapter if chunks else None
        if any(chunk.adapter != adapter for chunk in chunks):
            raise ValueError("chunks with different adapters cannot share a step")
        plan = self._plan_with(adapter)
        for chunk in chunks:
            rows, cache, end = len(chunk.ids), chunk.cache, chunk.start + len(chunk.ids)
            if row + rows > self.max_rows or not 0 <= chunk.start <= end <= cache.capacity:
                raise ValueError(
                    f"{rows} ids at position {chunk.start} do not fit: a cache for {cache.capacity} positions, "
                    f"{row} other rows of a step of {self.max_rows}"
                )
            if not 0 <= chunk.last <= rows or rows == 0:
                raise ValueError(f"scores of {chunk.last} rows do not fit {rows} ids")
            step.ids[row : row + rows] = chunk.ids
            kv_type = CACHE_TYPES[cache.kv_type]
            together = self._attended_together(cache.kv_type) if chunk.guesses else rows
            for at in range(0, rows, together):
                part = min(together, rows - at)
                last = min(part, max(0, at + part - (rows - chunk.last)))
                sequences.append((cache.keys, cache.values, kv_type, cache.capacity, part, chunk.start + at, last))
            for table in step.ropes:
                if table.by_position:
                    table.fill_to(end)
                else:
                    table.fill_rows(row, chunk.start, rows, max(chunk.length, end))
            row += rows
        return plan.run(sequences, {step.hidden: hidden, step.logits: logits}, cancel)

    @cached_property
    def alike_rows(self) -> int:
        """Most rows of a step for which products give the bits that they give to one row."""
        kinds = {kind for kind, _ in self.operations()}
        plain = {"product F32", "product F16", "product BF16"}
        return min(self.max_rows, 8) if kinds & plain else self.max_rows

    def _attended_together(self, kv_type: str) -> int:
        """Most rows of one sequence for which attention computes the bits of one row: those that go the way of few rows
        (k_attention_cached.inc), see the same parts of the keys, and read them as stored."""
        spec = self.spec
        if kv_type == "q8_0" or any(spec.windows):
            return 1
        few = {"avx512": 12, "avx512_vnni": 12, "avx2": 7}.get(nk.isa(), 4)
        return max(1, few * spec.n_kv_heads // spec.n_heads)

    def step(
        self, ids: np.ndarray, start: int, cache: Cache, last: int = 1, cancel: nk.CancelFlag | None = None
    ) -> Result | None:
        """Run new ids of one sequence: see `run`."""
        results = self.run([Chunk(ids, start, cache, last)], cancel)
        return None if results is None else results[0]

    def check_ids(self, ids) -> np.ndarray:
        """ids as an int32 array; ValueError if empty, outside the vocabulary or longer than the capacity."""
        array = np.asarray(ids)
        if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
            raise ValueError("ids must be a non-empty sequence of integers")
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= self.spec.vocab_size:
            raise ValueError(f"ids reach from {low} to {high}, outside the vocabulary of {self.spec.vocab_size}")
        if array.size > self.capacity:
            raise ValueError(f"{array.size} ids exceed the context of {self.capacity}")
        return array.astype(np.int32)

    def whole(self, ids, adapter: Adapter | None = None) -> Result:
        """Scores (T, V) and final states (T, d) of a whole sequence, computed without reusing anything."""
        array = self.check_ids(ids)
        cache = self.new_cache(len(array))
        logits = np.empty((len(array), self.spec.vocab_size), dtype=np.float32)
        hidden = np.empty((len(array), self.spec.d_model), dtype=np.float32)
        for start in range(0, len(array), self.max_rows):
            part = slice(start, min(start + self.max_rows, len(array)))
            chunk = Chunk(array[part], start, cache, part.stop - start, len(array), adapter=adapter)
            with self._lock:
                self._run([chunk], hidden[part], logits[part], None)
        return logits, hidden
