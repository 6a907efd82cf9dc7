"""Tensor: a float32 numpy array that remembers how it was made, so that gradients can flow back.

Reverse-mode differentiation on a tape (Wengert 1964; as in micrograd and autograd): every operation in `ops*.py`
returns a Tensor with its parents and a vector-Jacobian product (vjp). `backward()` walks the graph once, from the
result to the leaves.

Rules that keep it fast and simple:
- a vjp receives the gradient of its output and returns one array per parent, or None where nothing is due or where it
  has already added its share to the parent's `.grad` (`grad_target`: leaves only, where a temporary would cost a pass
  over memory);
- the gradient array of an output is row-major and belongs to its vjp: it may be changed, and handed on (itself or views
  of it that do not overlap) to at most one parent;
- gradients of leaves accumulate over several backward passes until `zero_grad`.
Knows no layers and no models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

import native_kernels as nk

Vjp = Callable[[np.ndarray], Sequence["np.ndarray | None"]]

_recording: ContextVar[bool] = ContextVar("recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside this block operations compute values only: nothing is recorded and no gradient is made ready."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def needs_grad(*parents: Tensor) -> bool:
    """Whether an operation on `parents` must be able to give gradients."""
    return _recording.get() and any(parent.requires_grad for parent in parents)


class Tensor:
    """Values `data` (float32 ndarray), gradient `grad` of the same shape or None."""

    __slots__ = ("data", "grad", "requires_grad", "_parents", "_vjp")

    def __init__(self, data, requires_grad: bool = False) -> None:
        self.data = np.asarray(data, dtype=np.float32)
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad
        self._parents: tuple[Tensor, ...] = ()
        self._vjp: Vjp | None = None

    @staticmethod
    def from_op(data: np.ndarray, parents: tuple[Tensor, ...], vjp: Vjp) -> Tensor:
        """Result of an operation; it is recorded only if a parent needs a gradient (and not inside `no_grad`)."""
        out = Tensor(data)
        if needs_grad(*parents):
            out.requires_grad, out._parents, out._vjp = True, parents, vjp
        return out

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, requires_grad={self.requires_grad})"

    def item(self) -> float:
        """The value of a tensor with one element."""
        return float(self.data.reshape(-1)[0]) if self.data.size == 1 else _not_scalar(self.shape)

    def grad_buffer(self) -> np.ndarray:
        """The gradient array to add to; zeros on first use."""
        if self.grad is None:
            self.grad = np.zeros(self.data.shape, dtype=np.float32)
        return self.grad

    def grad_target(self) -> tuple[np.ndarray, np.ndarray | None]:
        """For a vjp that adds to an array: that array, and what the vjp returns for this parent.

        A leaf's gradient is added to in place; a tensor that was computed must hand its share on to its own parents.
        """
        if self.requires_grad and self._vjp is None:
            return self.grad_buffer(), None
        share = np.zeros(self.data.shape, dtype=np.float32)
        return share, share

    def zero_grad(self) -> None:
        """Set the gradient to zero in place (the array and its views stay)."""
        if self.grad is not None:
            self.grad.fill(0.0)

    def backward(self, grad: np.ndarray | None = None) -> None:
        """Add d self / d leaf to the `.grad` of every leaf. Without `grad`, self must hold one value."""
        if grad is None:
            if self.data.size != 1:
                _not_scalar(self.shape)
            grad = np.ones(self.shape, dtype=np.float32)
        elif np.shape(grad) != self.shape:
            raise ValueError(f"gradient has shape {np.shape(grad)}, the tensor {self.shape}")
        pending: dict[int, np.ndarray] = {id(self): np.array(grad, dtype=np.float32, order="C")}
        for node in _reverse_topological(self):
            dout = pending.pop(id(node), None)
            if dout is None:
                continue
            if node._vjp is None:
                nk.add(node.grad_buffer(), dout, out=node.grad_buffer())
                continue
            for parent, share in zip(node._parents, node._vjp(dout), strict=True):
                if share is None or not parent.requires_grad:
                    continue
                share = np.asarray(share, dtype=np.float32, order="C")
                if share.shape != parent.shape:
                    raise ValueError(f"a vjp gave a gradient of shape {share.shape} for a tensor of {parent.shape}")
                held = pending.get(id(parent))
                if held is None:
                    pending[id(parent)] = share
                else:
                    nk.add(held, share, out=held)


def _not_scalar(shape: tuple[int, ...]):
    raise ValueError(f"expected a tensor with one value, got shape {shape}")


def _reverse_topological(root: Tensor) -> list[Tensor]:
    """Every node that needs a gradient, each before its parents (iterative, for graphs of any depth)."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen and node.requires_grad:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((p, False) for p in node._parents)
    order.reverse()
    return order
