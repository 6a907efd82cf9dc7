"""PlanBuilder: collects buffers and operations by name and makes a native Plan of them (src/plan.h). Knows no models.

Every operation works row by row on float32 activations; a `View` is a buffer with an offset and a row stride, so that a
slice of a fused buffer (the queries in query-key-value) costs no copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from native_kernels._native import Plan

PLAN_FIELDS = (
    "kind rows_kind a b c out n k kv_heads a_offset a_stride c_offset c_stride out_offset out_stride max_rows".split()
)
EMBED, RMSNORM, GEMM_F32, GEMM_Q8, ROPE, KV_STORE, ATTENTION, SWIGLU = range(8)
KIND_NAMES = ("embed", "rmsnorm", "gemm_f32", "gemm_q8", "rope", "kv_store", "attention", "swiglu")


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


class PlanBuilder:
    """Builds a Plan for steps of at most `max_rows` rows, `max_last` of them with scores, over `capacity` positions."""

    def __init__(self, max_rows: int, max_last: int, capacity: int) -> None:
        self.max_rows, self.max_last, self.capacity = max_rows, max_last, capacity
        self.buffers: list[np.ndarray | int] = []
        self._ops: list[list[int]] = []
        self._scalars: list[float] = []

    def constant(self, array: np.ndarray) -> int:
        """Index of a buffer with given contents: weights, tables, inputs."""
        self.buffers.append(np.ascontiguousarray(array))
        return len(self.buffers) - 1

    def external(self, nbytes: int) -> int:
        """Index of a buffer that each run is given anew."""
        self.buffers.append(int(nbytes))
        return len(self.buffers) - 1

    def activation(self, width: int, rows: int | None = None) -> View:
        """A new float32 buffer of max_rows rows (or `rows`)."""
        return View(self.constant(np.zeros((rows or self.max_rows, width), dtype=np.float32)), width, width)

    def array(self, view: View) -> np.ndarray:
        """The live array behind an activation."""
        return self.buffers[view.index]

    def _op(self, scalar: float = 0.0, **fields: int) -> None:
        row = dict.fromkeys(PLAN_FIELDS, 0) | {"a": -1, "b": -1, "c": -1} | fields
        self._ops.append([row[name] for name in PLAN_FIELDS])
        self._scalars.append(scalar)

    def embed(self, ids: int, table: int, out: View) -> None:
        entries = self.buffers[table].shape[0]
        self._op(kind=EMBED, a=ids, b=table, out=out.index, n=out.width, k=entries, out_stride=out.stride)

    def rmsnorm(self, x: View, weight: int, eps: float, out: View, last: bool = False) -> None:
        self._op(eps, kind=RMSNORM, rows_kind=int(last), b=weight, n=x.width, **_a(x), **_out(out))

    def gemm(
        self,
        x: View,
        weight: int,
        out: View,
        residual: View | None = None,
        quantised: bool = False,
        front: bool = False,
    ) -> None:
        """out = x times the transposed weight; `weight` is a float32 (n, k) buffer or packed Q8_0 of that shape.

        front: x holds only the rows that an operation with `last` left at the front of its output.
        """
        kind = GEMM_Q8 if quantised else GEMM_F32
        extra = (
            {} if residual is None else {"c": residual.index, "c_offset": residual.offset, "c_stride": residual.stride}
        )
        self._op(kind=kind, rows_kind=2 * front, b=weight, n=out.width, k=x.width, **_a(x), **_out(out), **extra)

    def rope(self, x: View, heads: int, head_dim: int, positions: int, cos: int, sin: int) -> None:
        """Rotate `heads` heads of x in place; `positions` is an int32 buffer with one entry per row."""
        rows = self.buffers[cos].shape[0]
        self._op(kind=ROPE, a=positions, b=cos, c=sin, n=heads, k=head_dim, max_rows=rows, **_out(x))

    def kv_store(self, x: View, cache: int, offset: int) -> None:
        """Copy the step's rows of x behind the rows that the cache already holds."""
        out = {"out": cache, "out_offset": offset, "out_stride": x.width}
        self._op(kind=KV_STORE, n=x.width, max_rows=self.capacity, **_a(x), **out)

    def attention(
        self, q: View, keys: int, values: int, offset: int, heads: int, kv_heads: int, head_dim: int, out: View
    ) -> None:
        """Causal attention of the step's queries over the cached rows of one layer (at `offset`), scale 1/sqrt(D)."""
        sizes = {"n": heads, "k": head_dim, "kv_heads": kv_heads, "max_rows": self.capacity, "c_offset": offset}
        self._op(head_dim**-0.5, kind=ATTENTION, b=keys, c=values, **sizes, **_a(q), **_out(out))

    def swiglu(self, gate_up: View, out: View) -> None:
        self._op(kind=SWIGLU, n=out.width, **_a(gate_up), **_out(out))

    def operations(self) -> list[tuple[str, int]]:
        """(kind, bytes of the matrix that it reads: 0 for all but products) of each operation, in order."""
        kind, weight = PLAN_FIELDS.index("kind"), PLAN_FIELDS.index("b")
        products = (GEMM_F32, GEMM_Q8)
        return [
            (KIND_NAMES[op[kind]], self.buffers[op[weight]].nbytes if op[kind] in products else 0) for op in self._ops
        ]

    def build(self) -> Plan:
        """The checked native plan; ValueError names an operation that does not fit its buffers."""
        ops = np.array(self._ops, dtype=np.int64).reshape(-1, len(PLAN_FIELDS))
        return Plan(
            ops, np.array(self._scalars, dtype=np.float32), self.buffers, self.max_rows, self.max_last, self.capacity
        )


def _a(view: View) -> dict[str, int]:
    return {"a": view.index, "a_offset": view.offset, "a_stride": view.stride}


def _out(view: View) -> dict[str, int]:
    return {"out": view.index, "out_offset": view.offset, "out_stride": view.stride}
