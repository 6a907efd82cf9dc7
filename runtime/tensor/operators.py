"""Gives Tensor its operators and methods: each is the operation of that name, so that formulas read as formulas.

    (x - x.mean(-1, keepdims=True)).abs()   is   absolute(sub(x, mean(x, -1, True)))

`a @ b` is `gemm(a, b)`. Knows no arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.tensor import ops, ops_elementwise, ops_reduce, ops_shape
from runtime.tensor.tensor import Tensor


def _axes(first: int | Sequence[int], rest: tuple[int, ...]) -> tuple[int, ...]:
    """x.reshape(2, 3) and x.reshape((2, 3)) mean the same."""
    return (first, *rest) if isinstance(first, int) else tuple(first)


Tensor.__add__ = Tensor.__radd__ = ops_elementwise.add
Tensor.__sub__ = ops_elementwise.sub
Tensor.__rsub__ = lambda self, other: ops_elementwise.sub(other, self)
Tensor.__mul__ = Tensor.__rmul__ = ops_elementwise.mul
Tensor.__truediv__ = ops_elementwise.div
Tensor.__rtruediv__ = lambda self, other: ops_elementwise.div(other, self)
Tensor.__neg__ = ops_elementwise.neg
Tensor.__pow__ = ops_elementwise.power
Tensor.__matmul__ = ops.gemm
Tensor.__getitem__ = ops_shape.index
# No loop over a Tensor by accident, element by element; and numpy leaves `array + tensor` to __radd__.
Tensor.__iter__ = None
Tensor.__array_ufunc__ = None

Tensor.exp = ops_elementwise.exp
Tensor.log = ops_elementwise.log
Tensor.sqrt = ops_elementwise.sqrt
Tensor.abs = ops_elementwise.absolute
Tensor.relu = ops_elementwise.relu
Tensor.tanh = ops_elementwise.tanh
Tensor.sigmoid = ops_elementwise.sigmoid
Tensor.silu = ops_elementwise.silu
Tensor.gelu = ops_elementwise.gelu
Tensor.sum = ops_reduce.sum_
Tensor.mean = ops_reduce.mean
Tensor.max = ops_reduce.max_
Tensor.softmax = ops_reduce.softmax
Tensor.log_softmax = ops_reduce.log_softmax
Tensor.reshape = lambda self, first, *rest: ops_shape.reshape(self, _axes(first, rest))
Tensor.permute = lambda self, first, *rest: ops_shape.permute(self, _axes(first, rest))
Tensor.broadcast_to = lambda self, first, *rest: ops_shape.broadcast_to(self, _axes(first, rest))
Tensor.transpose = ops_shape.transpose
Tensor.T = property(ops_shape.transpose, doc="The last two axes exchanged.")
