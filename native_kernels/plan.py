"""PlanBuilder: collects buffers and operations by name and makes a native Plan of them (src/plan.h). Knows no models.

Every operation works row by row on float32 activations; a `View` is a buffer with an offset and a row stride, so that a
slice of a fused buffer (the queries in query-key-value) costs no copy. `head=True`: on the step's head rows alone, the
ones that scores are wanted for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from native_kernels._native import Plan
from native_kernels.qtypes import BY_NUMBER

PLAN_FIELDS = (
    "kind rows_kind mode a b c out bias type packed n k heads kv_heads head_dim layer window max_rows "
    "a_offset a_stride c_offset c_stride out_offset out_stride experts chosen norm_chosen b2 type2 bias2 scratch"
).split()
KIND_NAMES = (
    "positions embed add_table norm product rope kv_store attention activation add gather experts scale".split()
)  # by number
_OUT, _OFFSET = PLAN_FIELDS.index("out"), PLAN_FIELDS.index("out_offset")  # bias and out_stride follow them
_KINDS = {name: number for number, name in enumerate(KIND_NAMES)}
NORMS = {"rms": 0, "layer": 1}
ACTIVATIONS = {"relu": 0, "tanh": 1, "sigmoid": 2, "silu": 3, "gelu_tanh": 4, "gelu": 5, "relu2": 6, "quick_gelu": 7}
CACHE_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}


@dataclass(frozen=True)
class View:
    """Rows of `width` values, `stride` apart, starting at `offset` of buffer `index` (all in elements)."""

    index: int
    width: int
    stride: int
    offset: int = 0

    def columns(self, start: int, width: int) -> View:
        """The same rows, only `width` columns from `start` on."""
        return View(self.index, width, self.stride, self.offset + start)


@dataclass(frozen=True)
class Matrix:
    """A buffer that holds `rows` rows of `columns` values stored as `type` (ggml's number), re-ordered if `packed`."""

    index: int
    rows: int
    columns: int
    type: int = 0
    packed: bool = False


class PlanBuilder:
    """Builds a Plan for steps of at most `max_rows` rows, `max_head` of them head rows, over `capacity` positions.

    cache: (layers, key/value heads, values of a head) of the sequences' caches.
    """

    def __init__(self, max_rows: int, max_head: int, capacity: int, cache: tuple[int, int, int]) -> None:
        self.max_rows, self.max_head, self.capacity, self.cache = max_rows, max_head, capacity, cache
        self.buffers: list[np.ndarray | int] = []
        self._ops: list[list[int]] = []
        self._scalars: list[tuple[float, float]] = []

    def constant(self, array: np.ndarray) -> int:
        """Index of a buffer with given contents: weights, tables, inputs."""
        self.buffers.append(np.ascontiguousarray(array))
        return len(self.buffers) - 1

    def external(self, width: int) -> View:
        """Float32 head rows of `width` values in an array that each run is given anew."""
        self.buffers.append(4 * width)
        return View(len(self.buffers) - 1, width, width)

    def activation(self, width: int, rows: int | None = None) -> View:
        """A new float32 buffer of max_rows rows (or `rows`); its pages are touched only as rows are used."""
        return View(self.constant(np.zeros((rows or self.max_rows, width), dtype=np.float32)), width, width)

    def indices(self) -> int:
        """Index of a new int32 buffer with an entry for each row."""
        return self.constant(np.zeros(self.max_rows, dtype=np.int32))

    def array(self, view: View) -> np.ndarray:
        """The live array behind an activation."""
        return self.buffers[view.index]

    def _op(self, kind: str, f: float = 0.0, g: float = 0.0, head: bool = False, **fields: int) -> None:
        row = dict.fromkeys(PLAN_FIELDS, 0) | dict.fromkeys(
            ("a", "b", "c", "out", "bias", "b2", "bias2", "scratch"), -1
        )
        row |= {"kind": _KINDS[kind], "rows_kind": int(head)} | fields
        self._ops.append([row[name] for name in PLAN_FIELDS])
        self._scalars.append((f, g))

    def positions(self, out: int) -> None:
        """Write the position of each row in its sequence to the int32 buffer `out`."""
        self._op("positions", out=out, out_stride=1)

    def embed(self, ids: int, table: Matrix, out: View, scale: float = 1.0) -> None:
        """out = scale times the rows `ids` of the table, whatever it is stored as."""
        self._op("embed", scale, a=ids, n=table.columns, k=table.rows, **_matrix(table), **_out(out))

    def add_table(self, rows: int, table: int, out: View) -> None:
        """out += the rows named by the int32 buffer `rows` of a float32 table."""
        self._op("add_table", a=rows, b=table, n=out.width, k=self.buffers[table].shape[0], **_out(out))

    def norm(
        self,
        kind: str,
        x: View,
        weight: int,
        bias: int | None,
        eps: float,
        out: View,
        residual: View | None = None,
        scale: float = 1.0,
        heads: int = 1,
        head: bool = False,
    ) -> None:
        """out = norm(x) [+ bias], or residual + scale * that; kind "rms" or "layer". heads: vectors in a row of x."""
        fields = _a(x) | _out(out) | _c(residual) | {"bias": -1 if bias is None else bias}
        self._op("norm", eps, scale, head, mode=NORMS[kind], b=weight, n=x.width // heads, heads=heads, **fields)

    def product(
        self,
        x: View,
        weight: Matrix,
        out: View,
        bias: int | None = None,
        residual: View | None = None,
        head: bool = False,
        shared: str = "",
    ) -> None:
        """out = x times the transposed weight [+ bias] [+ residual].

        shared: the first of several products of the same x ("first") keeps x as quantised weights want it; those right
        behind it ("again") take that.
        """
        fields = _a(x) | _out(out) | _c(residual) | _matrix(weight) | {"bias": -1 if bias is None else bias}
        mode = ("", "first", "again").index(shared)
        self._op("product", head=head, mode=mode, n=weight.rows, k=weight.columns, **fields)

    def rope(self, x: View, heads: int, dim: int, interleaved: bool, rows: int, cos: int, sin: int) -> None:
        """Rotate the first `dim` values of `heads` heads of x in place by the table rows that `rows` (int32) names."""
        sizes = {"heads": heads, "head_dim": x.width // heads, "k": dim, "max_rows": self.buffers[cos].shape[0]}
        self._op("rope", mode=int(interleaved), a=rows, b=cos, c=sin, **sizes, **_out(x))

    def kv_store(self, x: View, layer: int, values: bool) -> None:
        """Put the step's rows of x behind the keys (or values) that the caches already hold for `layer`."""
        _, kv_heads, head_dim = self.cache
        self._op("kv_store", mode=int(values), layer=layer, kv_heads=kv_heads, head_dim=head_dim, **_a(x))

    def attention(
        self,
        q: View,
        layer: int,
        heads: int,
        out: View,
        scale: float,
        softcap: float = 0.0,
        window: int = 0,
        head: bool = False,
    ) -> None:
        """Causal attention of the step's queries over the cached rows of one layer; head: of the head rows alone."""
        _, kv_heads, head_dim = self.cache
        sizes = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "layer": layer, "window": window}
        self._op("attention", scale, softcap, head, **sizes, **_a(q), **_out(out))

    def activation_of(self, kind: str, gated: bool, x: View, out: View, head: bool = False) -> None:
        """out = act(x), or with gated act(first half of x) * second half."""
        self._op("activation", head=head, mode=ACTIVATIONS[kind], k=int(gated), n=out.width, **_a(x), **_out(out))

    def add(self, x: View, out: View, residual: View | None = None, scale=1.0, softcap=0.0, head=False) -> None:
        """out = scale * x, then softcap * tanh(that / softcap) if softcap > 0, then + residual."""
        self._op("add", scale, softcap, head, n=x.width, **_a(x), **_out(out), **_c(residual))

    def scale(self, x: View, factors: int, out: View, bias: int | None = None, head: bool = False) -> None:
        """out = x times the float32 row `factors`, column by column [+ bias]."""
        fields = {"b": factors, "bias": -1 if bias is None else bias}
        self._op("scale", head=head, n=x.width, **fields, **_a(x), **_out(out))

    def gather(self, x: View, out: View) -> None:
        """Copy the head rows of x to the front of out."""
        self._op("gather", head=True, n=x.width, **_a(x), **_out(out))

    def experts(
        self,
        x: View,
        scores: View,
        chosen: int,
        norm_chosen: bool,
        activation: str,
        up: Matrix,
        up_bias: int | None,
        down: Matrix,
        down_bias: int | None,
        scratch: View,
        out: View,
        head: bool = False,
    ) -> None:
        """out = the weighted sum of the `chosen` experts with the best router scores, each a gated feed-forward.

        up: gate over up of each expert, one behind the other; down likewise. scratch: experts_scratch(...) wide.
        """
        sizes = {"n": x.width, "k": down.columns, "experts": scores.width, "chosen": chosen}
        fields = {"type2": down.type, "b2": down.index, "scratch": scratch.index, "norm_chosen": int(norm_chosen)}
        biases = {"bias": -1 if up_bias is None else up_bias, "bias2": -1 if down_bias is None else down_bias}
        views = _a(x) | _c(scores) | _out(out) | _matrix(up)
        self._op("experts", head=head, mode=ACTIVATIONS[activation], **sizes, **fields, **biases, **views)

    @staticmethod
    def experts_scratch(d_model: int, d_ff: int, chosen: int) -> int:
        """Floats of scratch for each row of an `experts` operation."""
        return 2 * d_model + 3 * d_ff + 2 * chosen + 1

    def __len__(self) -> int:
        """Operations so far."""
        return len(self._ops)

    def beginning(self) -> PlanBuilder:
        """A builder without operations over the same buffers, for another plan over them."""
        other = PlanBuilder(self.max_rows, self.max_head, self.capacity, self.cache)
        other.buffers = list(self.buffers)
        return other

    def repeat(self, other: PlanBuilder, first: int, end: int, bare: View | None = None) -> None:
        """Add operations first .. end - 1 of a builder with the same buffers.

        bare: where products put their results instead of their own views, the columns counted from that of the first,
        without bias and residual.
        """
        for ops, scalars in zip(other._ops[first:end], other._scalars[first:end], strict=True):
            ops = list(ops)
            if bare is not None:
                column = ops[_OFFSET] - other._ops[first][_OFFSET]
                ops[_OUT : _OUT + 2] = bare.index, -1
                ops[PLAN_FIELDS.index("c")] = -1
                ops[_OFFSET : _OFFSET + 2] = bare.offset + column, bare.stride
            self._ops.append(ops)
            self._scalars.append(scalars)

    def operations(self) -> list[tuple[str, int]]:
        """(kind, of products with the storage type: "product Q4_K"; bytes of weights) of each operation in order."""
        shown = []
        for row in self._ops:
            op = dict(zip(PLAN_FIELDS, row, strict=True))
            kind, nbytes = KIND_NAMES[op["kind"]], 0
            if kind == "product":
                kind, nbytes = f"product {BY_NUMBER[op['type']].name}", self.buffers[op["b"]].nbytes
            elif kind == "experts":
                nbytes = self.buffers[op["b"]].nbytes + self.buffers[op["b2"]].nbytes
            shown.append((kind, nbytes))
        return shown

    def build(self) -> Plan:
        """The checked native plan; ValueError names an operation that does not fit its buffers."""
        ops = np.array(self._ops, dtype=np.int64).reshape(-1, len(PLAN_FIELDS))
        scalars = np.array(self._scalars, dtype=np.float32).reshape(-1, 2)
        return Plan(ops, scalars, self.buffers, self.max_rows, self.max_head, self.capacity, self.cache)


def _a(view: View) -> dict[str, int]:
    return {"a": view.index, "a_offset": view.offset, "a_stride": view.stride}


def _c(view: View | None) -> dict[str, int]:
    return {} if view is None else {"c": view.index, "c_offset": view.offset, "c_stride": view.stride}


def _out(view: View) -> dict[str, int]:
    return {"out": view.index, "out_offset": view.offset, "out_stride": view.stride}


def _matrix(matrix: Matrix) -> dict[str, int]:
    return {"b": matrix.index, "type": matrix.type, "packed": int(matrix.packed)}
