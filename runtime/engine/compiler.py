"""Compiles a DecoderSpec into the flat plan of a step: which operations, over which buffers. Knows no ids.

The order of operations is that of runtime/models/twin.py; what differs is what serving adds. Queries, keys and values
are one product, gate and up another; residuals are added inside products and norms. In the last layer everything behind
the keys and values is computed for the head rows alone: the rows whose scores are wanted.

Shapes: d = d_model, H query heads and K key/value heads of D values, F = d_ff, V = vocab_size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from native_kernels.plan import PlanBuilder, View
from runtime.engine.weight_store import WeightStore
from runtime.models.spec import DecoderSpec
from runtime.nn.rotary import RopeSpec


@dataclass
class RopeTable:
    """cos and sin of one RopeSpec as buffers of the plan, float32 (entries, dim/2).

    by_position: an entry for each position, filled as far as it was needed so far; otherwise (kinds whose frequencies
    depend on the length of the text) an entry for each row of a step, made anew for each step.
    """

    rope: RopeSpec
    by_position: bool
    cos: np.ndarray
    sin: np.ndarray
    buffers: tuple[int, int, int]  # indices of the plan: entry of each row, cos, sin
    filled: int = 0

    def fill_to(self, end: int) -> None:
        """Make sure that the entries of positions before `end` are there."""
        while self.filled < end:
            last = min(self.filled + 1024, len(self.cos))
            part = slice(self.filled, last)
            self.cos[part], self.sin[part] = self.rope.tables(np.arange(self.filled, last))
            self.filled = last

    def fill_rows(self, row: int, start: int, rows: int, length: int) -> None:
        """Set the entries of a step's rows, for positions from `start` on of a text of `length` positions."""
        part = slice(row, row + rows)
        self.cos[part], self.sin[part] = self.rope.tables(np.arange(start, start + rows), length)


@dataclass(frozen=True)
class Site:
    """Where a plan multiplies with weights (operations first .. end - 1), for what changes them: runtime/adapters.

    names: canonical, without .weight, one below the other; rows: of each. bias: of all rows, or None.
    """

    first: int
    end: int
    names: tuple[str, ...]
    rows: tuple[int, ...]
    source: View
    out: View
    bias: np.ndarray | None = None
    residual: View | None = None
    head: bool = False


@dataclass
class CompiledStep:
    """A plan's builder, the buffers that a run fills or names, and the products with weights.

    embedded: operations up to the one that looks up tokens; x: what it writes.
    """

    builder: PlanBuilder
    ids: np.ndarray
    hidden: int  # external: final states of the head rows (d)
    logits: int  # external: their scores (V)
    ropes: list[RopeTable] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    embedded: int = 0
    ids_index: int = 0
    x: View | None = None


class Compiler:
    """Compiles `spec` with weights from `store`; `step` is the result."""

    def __init__(self, spec: DecoderSpec, store: WeightStore, max_rows: int, capacity: int) -> None:
        self.spec, self.store, self.capacity = spec, store, capacity
        b = self.b = PlanBuilder(max_rows, max_rows, capacity, (spec.n_layers, spec.n_kv_heads, spec.head_dim))
        store.attach(b)
        self.q_width = spec.n_heads * spec.head_dim
        self.ids, self.positions = b.indices(), b.indices()
        self.ropes: dict[RopeSpec, RopeTable] = {}
        hidden, logits = b.external(spec.d_model), b.external(spec.vocab_size)
        self.step = CompiledStep(b, b.buffers[self.ids], hidden.index, logits.index)
        self.normed, self.qkv, self.mixed = (b.activation(n) for n in (spec.d_model, spec.qkv_width, self.q_width))
        self.feed = b.activation(spec.d_ff * (2 if spec.gated else 1)), b.activation(spec.d_ff)
        self.router: tuple[View, View] | None = None  # scores (n_experts) and work space of layers with experts
        self.branch = b.activation(spec.d_model)  # what a branch adds, where it is normed or scaled first
        x = self._embedding()
        for n in range(spec.n_layers):
            x = self._layer(n, x)
        self._head(x, hidden, logits)
        self.step.ropes = list(self.ropes.values())

    # ---- beginning and end -----------------------------------------------------------------------------------------

    def _embedding(self) -> View:
        spec, b = self.spec, self.b
        b.positions(self.positions)
        x = b.activation(spec.d_model)
        b.embed(self.ids, self.store.table("model.embed_tokens.weight", tied=spec.tied), x, spec.embedding_scale)
        self.step.embedded, self.step.ids_index, self.step.x = len(b), self.ids, x
        if spec.positions == "learned":
            table = self.store.vector("model.embed_positions.weight").reshape(-1, spec.d_model)
            b.add_table(self.positions, b.constant(table[: self.capacity]), x)
        return x

    def _head(self, x: View, hidden: View, logits: View) -> None:
        spec, b = self.spec, self.b
        self._norm("model.norm", x, hidden, head=True)
        bias = self._bias("lm_head", spec.head_bias)
        scaled = spec.logits_scale != 1
        b.product(hidden, self.store.matrices(spec.head_name)[0], logits, bias=None if scaled else bias, head=True)
        biased = spec.head_bias and not scaled
        self._site(["lm_head"], [spec.vocab_size], hidden, logits, biased, head=True)
        if scaled:
            every_row = View(bias, spec.vocab_size, 0) if bias is not None else None
            b.add(logits, logits, residual=every_row, scale=spec.logits_scale, head=True)
        if spec.final_softcap:
            b.add(logits, logits, softcap=spec.final_softcap, head=True)

    # ---- layers ----------------------------------------------------------------------------------------------------

    def _layer(self, n: int, x: View) -> View:
        """One layer over the stream x, which it changes in place; in the last layer a new stream of the head rows."""
        spec, b = self.spec, self.b
        last = n == spec.n_layers - 1
        before, after = spec.norm_names(n)
        source = self._norm(before[0], x, self.normed)
        mixed = self._attention(n, source, last)
        if last:
            small, narrow = b.activation(spec.d_model), b.activation(self.q_width)
            b.gather(x, small)
            b.gather(mixed, narrow)
            x, mixed = small, narrow
        if spec.parallel and (last or not spec.shared_norm):  # before x changes; shared and not last: still there
            source = self._norm(before[1], x, self.normed, head=last)
        p = f"model.layers.{n}."
        self._branch(p + "self_attn.o_proj", spec.o_bias, mixed, x, after[0], last)
        if not spec.parallel:
            source = self._norm(before[1], x, self.normed, head=last)
        self._feed_forward(p + "mlp.", source, x, after[1], last)
        return x

    def _attention(self, n: int, source: View, last: bool) -> View:
        spec, b = self.spec, self.b
        p, kv = f"model.layers.{n}.self_attn.", spec.kv_width
        names = [f"{p}{part}_proj" for part in "qkv"]
        self._products(names, spec.qkv_bias, source, self.qkv)
        q, k = self.qkv.columns(0, self.q_width), self.qkv.columns(self.q_width, kv)
        v = self.qkv.columns(self.q_width + kv, kv)
        if spec.qk_norm:
            single = spec.qk_norm == "full"
            self._norm(p + "q_norm", q, q, heads=1 if single else spec.n_heads)
            self._norm(p + "k_norm", k, k, heads=1 if single else spec.n_kv_heads)
        rope = spec.rope_of(n)
        if rope is not None:
            index, cos, sin = self._rope_table(rope).buffers
            both = self.qkv.columns(0, self.q_width + kv)
            b.rope(both, spec.n_heads + spec.n_kv_heads, rope.dim, rope.interleaved, index, cos, sin)
        b.kv_store(k, n, values=False)
        b.kv_store(v, n, values=True)
        b.attention(q, n, spec.n_heads, self.mixed, spec.attention_scale, spec.attention_softcap, spec.windows[n], last)
        return self.mixed

    def _feed_forward(self, p: str, source: View, x: View, after: str | None, head: bool) -> None:
        spec, b = self.spec, self.b
        if spec.sparse_layers[int(p.split(".")[2])]:
            self._experts(p, source, x, after, head)
            return
        names = [p + part for part in (("gate_proj", "up_proj") if spec.gated else ("up_proj",))]
        wide, inner = self.feed
        self._products(names, spec.mlp_bias, source, wide, head)
        b.activation_of(spec.activation, spec.gated, wide, inner, head=head)
        self._branch(p + "down_proj", spec.mlp_bias, inner, x, after, head)

    def _experts(self, p: str, source: View, x: View, after: str | None, head: bool) -> None:
        spec, b = self.spec, self.b
        if self.router is None:
            width = b.experts_scratch(spec.d_model, spec.expert_d_ff, spec.experts_per_token)
            self.router = b.activation(spec.n_experts), b.activation(width)
        scores, scratch = self.router
        b.product(source, self.store.matrices(p + "gate.weight")[0], scores, head=head)
        each = [f"{p}experts.{e}." for e in range(spec.n_experts)]
        up, down = [[f"{e}gate_proj", f"{e}up_proj"] for e in each], [[f"{e}down_proj"] for e in each]
        weights = [self.store.stack([[f"{name}.weight" for name in part] for part in parts]) for parts in (up, down)]
        biases = [self._biases(sum(parts, []), spec.mlp_bias) for parts in (up, down)]
        b.experts(source, scores, spec.experts_per_token, spec.norm_topk, spec.activation, weights[0], biases[0],
                  weights[1], biases[1], scratch, self.branch, head=head)  # fmt: skip
        self._add_branch(x, after, head)

    def _branch(self, name: str, has_bias: bool, source: View, x: View, after: str | None, head: bool) -> None:
        """Add a branch's last product to the stream: x += scale * norm(product), norm and scale where there are."""
        b, scale = self.b, self.spec.residual_scale
        matrix, bias = self.store.matrices(name + ".weight")[0], self._bias(name, has_bias)
        if after is None and scale == 1:
            b.product(source, matrix, x, bias=bias, residual=x, head=head)
            self._site([name], [matrix.rows], source, x, has_bias, x, head)
            return
        b.product(source, matrix, self.branch, bias=bias, head=head)
        self._site([name], [matrix.rows], source, self.branch, has_bias, head=head)
        self._add_branch(x, after, head)

    def _add_branch(self, x: View, after: str | None, head: bool) -> None:
        scale = self.spec.residual_scale
        if after is None:
            self.b.add(self.branch, x, residual=x, scale=scale, head=head)
        else:
            self._norm(after, self.branch, x, residual=x, scale=scale, head=head)

    def _products(self, names: list[str], biased: bool, source: View, out: View, head: bool = False) -> None:
        """Products of one source with several weights side by side: as few as their types and sizes allow."""
        bias = np.concatenate([self.store.vector(f"{name}.bias") for name in names]) if biased else None
        matrices, column = self.store.matrices(*(f"{name}.weight" for name in names)), 0
        for n, matrix in enumerate(matrices):
            part = slice(column, column + matrix.rows)
            own = None if bias is None else self.b.constant(bias[part])
            shared = "" if len(matrices) == 1 else "again" if n else "first"
            self.b.product(source, matrix, out.columns(column, matrix.rows), bias=own, head=head, shared=shared)
            column = part.stop
        rows = [self.store.rows(f"{name}.weight") for name in names]
        self._site(names, rows, source, out, biased, head=head, first=len(self.b) - len(matrices))

    def _site(self, names, rows, source: View, out: View, biased: bool, residual=None, head=False, first=None) -> None:
        """Note the products just added; first: the number of the first one, if there are several."""
        bias = np.concatenate([self.store.vector(f"{name}.bias") for name in names]) if biased else None
        end = len(self.b)
        first = end - 1 if first is None else first
        site = Site(first, end, tuple(names), tuple(rows), source, out, bias, residual, head)
        self.step.sites.append(site)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _norm(self, name: str | None, x: View, out: View, **options) -> View:
        """The view that holds norm(x): `out`, or x itself where there is no norm."""
        if name is None:
            return x
        weight = self.b.constant(self.store.vector(name + ".weight"))
        bias = self._bias(name, self.spec.norm_bias)
        self.b.norm(self.spec.norm, x, weight, bias, self.spec.norm_eps, out, **options)
        return out

    def _bias(self, name: str, there: bool) -> int | None:
        return self._biases([name], there)

    def _biases(self, names: list[str], there: bool) -> int | None:
        if not there:
            return None
        return self.b.constant(np.concatenate([self.store.vector(f"{name}.bias") for name in names]))

    def _rope_table(self, rope: RopeSpec) -> RopeTable:
        if rope not in self.ropes:
            b = self.b
            by_position = rope.regime(self.capacity) == 0
            shape = (self.capacity if by_position else b.max_rows, rope.dim // 2)
            cos, sin = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
            index = self.positions if by_position else b.constant(np.arange(b.max_rows, dtype=np.int32))
            self.ropes[rope] = RopeTable(rope, by_position, cos, sin, (index, b.constant(cos), b.constant(sin)))
        return self.ropes[rope]
