"""Compiles a DecoderSpec and its weights into one native plan, and runs steps of it. Knows no tokens' meaning.

Shapes: d = d_model, V vocabulary, K*D = kv_width. A step takes up to `max_rows` new token ids that follow `start`
positions of a cache (two float32 arrays (layers, capacity, K*D)), and leaves scores for its last rows in `logits`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import native_kernels as nk
from native_kernels.plan import PlanBuilder, View
from runtime.models.spec import DecoderSpec

MAX_ROWS = 256  # rows of one step: long enough for full GEMM speed, short enough to cancel and pre-empt between steps
_HEAD_VALUES = 1 << 22  # most scores that one step keeps (16 MiB)
_QUANT_BLOCK = 32


@dataclass
class Cache:
    """Keys and values of one sequence, float32 (layers, capacity, K*D) each."""

    keys: np.ndarray
    values: np.ndarray

    @property
    def capacity(self) -> int:
        return self.keys.shape[1]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def copy(self, n_positions: int, capacity: int | None = None) -> Cache:
        """A cache of its own with the first positions of this one."""
        twin = Cache(np.zeros_like(self.keys), np.zeros_like(self.values))
        twin.keys[:, :n_positions] = self.keys[:, :n_positions]
        twin.values[:, :n_positions] = self.values[:, :n_positions]
        return twin


@dataclass
class Chunk:
    """New ids (int32) of one sequence at positions start, start+1, …; scores are wanted for the `last` rows."""

    ids: np.ndarray
    start: int
    cache: Cache
    last: int = 1


class Network:
    """A decoder ready to serve.

    weights: Hugging Face name -> float32 array. precision: "f32", or "q8_0" (matrices as packed Q8_0, products in int8;
    matrices whose rows are no multiple of 32 stay float32). capacity: positions of a cache, at most spec.max_context.
    """

    def __init__(
        self, spec: DecoderSpec, weights: Mapping[str, np.ndarray], precision: str = "f32", capacity: int | None = None
    ) -> None:
        if precision not in ("f32", "q8_0"):
            raise ValueError(f"precision must be 'f32' or 'q8_0', got {precision!r}")
        self.spec, self.precision = spec, precision
        self.capacity = min(capacity or spec.max_context, spec.max_context)
        self.max_rows = min(MAX_ROWS, self.capacity)
        self.max_last = max(1, min(self.max_rows, _HEAD_VALUES // spec.vocab_size))
        self._builder = PlanBuilder(self.max_rows, self.max_last, self.capacity)
        self._lock = threading.Lock()
        self._compile(weights)
        self._plan = self._builder.build()

    # ---- compile -----------------------------------------------------------------------------------------------

    def _matrix(self, *parts: np.ndarray) -> tuple[int, bool]:
        """(buffer, quantised?) of the parts stacked by rows."""
        matrix = np.ascontiguousarray(np.concatenate(parts) if len(parts) > 1 else parts[0], dtype=np.float32)
        k = matrix.shape[1]
        if self.precision == "q8_0" and k % _QUANT_BLOCK == 0:
            return self._builder.constant(nk.q8_0_pack(nk.q8_0_quantize(matrix), k)), True
        return self._builder.constant(matrix), False

    def _compile(self, weights: Mapping[str, np.ndarray]) -> None:
        spec, b = self.spec, self._builder
        heads, kv_heads, D = spec.n_heads, spec.n_kv_heads, spec.head_dim
        q_width, kv_width = heads * D, spec.kv_width
        cos, sin = (b.constant(t) for t in spec.rope.tables(self.capacity))
        ids = b.constant(np.zeros(self.max_rows, dtype=np.int32))
        positions = b.constant(np.zeros(self.max_rows, dtype=np.int32))
        cache_bytes = spec.n_layers * self.capacity * kv_width * 4
        self._keys, self._values = b.external(cache_bytes), b.external(cache_bytes)
        x, normed = b.activation(spec.d_model), b.activation(spec.d_model)
        qkv, mixed = b.activation(spec.qkv_width), b.activation(q_width)
        gate_up, inner = b.activation(2 * spec.d_ff), b.activation(spec.d_ff)
        logits = b.activation(spec.vocab_size, self.max_last)

        def product(source: View, out: View, *parts: np.ndarray, residual: View | None = None, front: bool = False):
            buffer, quantised = self._matrix(*parts)
            b.gemm(source, buffer, out, residual=residual, quantised=quantised, front=front)

        def norm(source: View, name: str, last: bool = False) -> None:
            b.rmsnorm(source, b.constant(np.asarray(weights[name], np.float32)), spec.norm_eps, normed, last=last)

        table = np.ascontiguousarray(weights["model.embed_tokens.weight"], dtype=np.float32)
        b.embed(ids, b.constant(table), x)
        for n in range(spec.n_layers):
            p = f"model.layers.{n}."
            layer = n * self.capacity * kv_width
            norm(x, p + "input_layernorm.weight")
            product(normed, qkv, *(weights[f"{p}self_attn.{name}_proj.weight"] for name in "qkv"))
            b.rope(qkv.columns(0, q_width + kv_width), heads + kv_heads, D, positions, cos, sin)
            b.kv_store(qkv.columns(q_width, kv_width), self._keys, layer)
            b.kv_store(qkv.columns(q_width + kv_width, kv_width), self._values, layer)
            b.attention(qkv.columns(0, q_width), self._keys, self._values, layer, heads, kv_heads, D, mixed)
            product(mixed, x, weights[p + "self_attn.o_proj.weight"], residual=x)
            norm(x, p + "post_attention_layernorm.weight")
            product(normed, gate_up, weights[p + "mlp.gate_proj.weight"], weights[p + "mlp.up_proj.weight"])
            b.swiglu(gate_up, inner)
            product(inner, x, weights[p + "mlp.down_proj.weight"], residual=x)
        norm(x, "model.norm.weight", last=True)
        product(normed, logits, table if spec.tied else weights["lm_head.weight"], front=True)
        self._ids, self._positions = b.buffers[ids], b.buffers[positions]
        self._hidden, self._logits = b.array(normed), b.array(logits)

    # ---- run ---------------------------------------------------------------------------------------------------

    def operations(self) -> list[tuple[str, int]]:
        """The plan, for people: (kind, bytes of the matrix that it reads) of each operation of a step, in order."""
        return self._builder.operations()

    @property
    def cache_bytes(self) -> int:
        """Bytes of one cache."""
        return 2 * self.spec.n_layers * self.capacity * self.spec.kv_width * 4

    def kv_bytes(self, capacity: int) -> int:
        """Bytes of a cache for so many positions."""
        return self.cache_bytes

    def run(
        self, chunks: Sequence[Chunk], cancel: nk.CancelFlag | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """One step for several sequences: scores and final states of each, or None if it was cancelled."""
        results = [self.step(c.ids, c.start, c.cache, c.last, cancel) for c in chunks]
        return None if any(result is None for result in results) else results

    def new_cache(self, capacity: int | None = None) -> Cache:
        """An empty cache; its pages are touched only as positions are used."""
        shape = (self.spec.n_layers, self.capacity, self.spec.kv_width)
        return Cache(np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32))

    def step(
        self, ids: np.ndarray, start: int, cache: Cache, last: int = 1, cancel: nk.CancelFlag | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Run new ids at positions start, start+1, …; ids must lie in the vocabulary.

        Returns copies of scores (last, V) and final states (last, d) of the last rows, or None if it was cancelled
        (the cache then holds nothing new that counts).
        """
        rows = len(ids)
        with self._lock:
            self._ids[:rows] = ids
            self._positions[:rows] = np.arange(start, start + rows, dtype=np.int32)
            external = {self._keys: cache.keys, self._values: cache.values}
            if not self._plan.run(rows, start, last, external, cancel):
                return None
            return self._logits[:last].copy(), self._hidden[:last].copy()

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

    def whole(self, ids) -> tuple[np.ndarray, np.ndarray]:
        """Scores (T, V) and final states (T, d) of a whole sequence, computed without reusing anything."""
        array = self.check_ids(ids)
        cache = self.new_cache()
        logits = np.empty((len(array), self.spec.vocab_size), dtype=np.float32)
        hidden = np.empty((len(array), self.spec.d_model), dtype=np.float32)
        for start in range(0, len(array), self.max_last):
            part = array[start : start + self.max_last]
            logits[start : start + len(part)], hidden[start : start + len(part)] = self.step(
                part, start, cache, last=len(part)
            )
        return logits, hidden
