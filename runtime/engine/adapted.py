"""The plan of a network with an adapter: the plan it has, with a few operations behind the products that change.

out += B (A x) for each adapted weight, two thin products in float32; the As of one input are one product. A DoRA's rows
are multiplied before that. The buffers of the network's own plan are used, so an adapter costs its own size only. Knows
no files.
"""

from __future__ import annotations

import numpy as np

from native_kernels.plan import Matrix, PlanBuilder, View
from runtime.adapters.adapter import Adapter, LowRank
from runtime.engine.compiler import CompiledStep, Site


def with_adapter(step: CompiledStep, adapter: Adapter, embedding_scale: float) -> PlanBuilder:
    """A builder of the plan with an adapter. ValueError for a weight that no product of the plan has."""
    return _Adapting(step, adapter, embedding_scale).b


class _Adapting:
    def __init__(self, step: CompiledStep, adapter: Adapter, embedding_scale: float) -> None:
        self.base, self.b = step.builder, step.builder.beginning()
        self._temporary: dict[tuple[str, int], View] = {}
        parts, at = dict(adapter.parts), 0
        table = parts.pop("model.embed_tokens", None)
        if table is not None:
            at = step.embedded
            self.b.repeat(self.base, 0, at)
            self._embedding(step, table, embedding_scale)
        for site in step.sites:
            own = {name: parts.pop(name) for name in site.names if name in parts}
            if own:
                self.b.repeat(self.base, at, site.first)
                self._adapted(site, own)
                at = site.end
        if parts:
            raise ValueError(f"the adapter changes {min(parts)}, which this network does not multiply with")
        self.b.repeat(self.base, at, len(self.base))

    def _embedding(self, step: CompiledStep, part: LowRank, scale: float) -> None:
        rank = part.a.shape[0]
        table = Matrix(self.b.constant(np.ascontiguousarray(part.a.T)), part.a.shape[1], rank)
        low = self._view(rank)
        self.b.embed(step.ids_index, table, low)
        self.b.product(low, self._matrix(part.b * np.float32(scale)), step.x, residual=step.x)

    def _adapted(self, site: Site, own: dict[str, LowRank]) -> None:
        b, head = self.b, site.head
        width = sum(site.rows)
        if any(part.factors is not None for part in own.values()):
            plain = self._view(width, "wide")
            b.repeat(self.base, site.first, site.end, plain)
            factors = [
                own[name].factors if name in own and own[name].factors is not None else np.ones(rows, np.float32)
                for name, rows in zip(site.names, site.rows, strict=True)
            ]
            bias = None if site.bias is None else b.constant(site.bias)
            target = site.out if site.residual is None else plain
            b.scale(plain, b.constant(np.concatenate(factors)), target.columns(0, width), bias, head=head)
            if site.residual is not None:
                b.add(plain, site.out, residual=site.residual, head=head)
        else:
            b.repeat(self.base, site.first, site.end)
        low = self._view(sum(part.a.shape[0] for part in own.values()))
        b.product(site.source, self._matrix(np.concatenate([part.a for part in own.values()])), low, head=head)
        column, rank = 0, 0
        for name, rows in zip(site.names, site.rows, strict=True):
            if name in own:
                out = site.out.columns(column, rows)
                part = low.columns(rank, own[name].a.shape[0])
                b.product(part, self._matrix(own[name].b), out, residual=out, head=head)
                rank += part.width
            column += rows

    def _matrix(self, values: np.ndarray) -> Matrix:
        return Matrix(self.b.constant(np.ascontiguousarray(values, np.float32)), *values.shape)

    def _view(self, width: int, kind: str = "low") -> View:
        """Work space, shared by all sites of one width."""
        if (kind, width) not in self._temporary:
            self._temporary[kind, width] = self.b.activation(width)
        return self._temporary[kind, width]
