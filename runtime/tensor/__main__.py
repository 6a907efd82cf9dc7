"""`python -m runtime.tensor`: a formula taken apart by its tape, then the gradients of the operations that networks are
made of, each beside a central difference. Exit code 1 if one of them is wrong.
"""

import sys

import numpy as np

from runtime import tensor as t
from runtime.tensor.gradient_check import slopes
from runtime.tensor.tensor import Tensor

TOLERANCE = 1e-3
IDS = np.array([[1, 1, 4], [0, 4, 1]], dtype=np.int32)
TARGETS = np.array([1, -1, 0, 6], dtype=np.int32)  # -1: no loss at this place
ANGLES = np.arange(5)[:, None] * np.array([1.0, 0.1])
COS, SIN = np.cos(ANGLES).astype(np.float32), np.sin(ANGLES).astype(np.float32)

# name, the operation, the shapes of what it takes
CASES = [
    ("add, broadcast", t.add, [(2, 1, 4), (3, 1)]),
    ("gemm", t.gemm, [(3, 4), (4, 5)]),
    ("linear, bias, residual", lambda x, w, b, r: t.linear(x, w, residual=r, bias=b), [(7, 5), (3, 5), (3,), (7, 3)]),
    ("embedding", lambda table: t.embedding(table, IDS), [(6, 5)]),
    ("concatenate", lambda a, b: t.concatenate([a, b, a], axis=1), [(2, 3), (2, 1)]),
    ("softmax", t.softmax, [(3, 7)]),
    ("layernorm", t.layernorm, [(6, 9), (9,), (9,)]),
    ("rmsnorm", lambda x, w: t.rmsnorm(x, w, 1e-5), [(6, 9), (9,)]),
    ("tanh", t.tanh, [(3, 7)]),
    ("gelu", t.gelu, [(3, 7)]),
    ("swiglu", t.swiglu, [(5, 8)]),
    ("rope", lambda x: t.rope(x + 0, 3, COS, SIN, np.arange(5, dtype=np.int32)), [(5, 3, 4)]),
    ("attention, causal", lambda qkv: t.attention(qkv, 4, 2, 0.5), [(2, 6, 8, 4)]),
    ("attention, full", lambda qkv: t.attention(qkv, 2, 2, 0.5, causal=False), [(2, 6, 6, 4)]),
    ("mean squared error", lambda x: t.mse_loss(x, np.ones((3, 4), np.float32)), [(3, 4)]),
    ("cross-entropy", lambda x: t.cross_entropy(x, TARGETS), [(4, 7)]),
]


def show_tape() -> None:
    """One formula forwards and backwards."""
    x, w, b = (Tensor(v, requires_grad=True) for v in ([[3.0, 4.0]], [[0.2, -0.1]], [0.1]))
    product = t.linear(x, w, bias=b)
    y = product.tanh()
    loss = t.mse_loss(y, np.array([[1.0]]))
    loss.backward()
    print("loss = (tanh(x w^T + b) - 1)^2 with x = (3, 4), w = (0.2, -0.1), b = 0.1")
    print(f"  forwards   x w^T + b = {product.item():.4f}   tanh = {y.item():.4f}   loss = {loss.item():.4f}")
    print(f"  backwards  d loss / d w = {np.round(w.grad[0], 4)}   / d b = {np.round(b.grad, 4)}", end="")
    print(f"   / d x = {np.round(x.grad[0], 4)}")
    outer, inner = 2 * (y.item() - 1), 1 - y.item() ** 2
    print(f"  by hand    2 (tanh - 1) = {outer:.4f}, times 1 - tanh^2 = {inner:.4f}, gives d loss / d b =", end="")
    print(f" {outer * inner:.4f}\n")


def main() -> int:
    show_tape()
    rng = np.random.default_rng(5)

    def normal(shape):
        return rng.standard_normal(shape).astype(np.float32)

    print(f"{'slope along a random direction':32} {'from the tape':>14} {'difference':>12} {'apart':>9}")
    right = 0
    for name, operation, shapes in CASES:
        arrays, directions = [normal(s) for s in shapes], [normal(s) for s in shapes]
        weights = normal(operation(*map(Tensor, arrays)).shape)
        found = slopes(operation, arrays, directions, weights)
        right += found.error <= TOLERANCE
        print(f"{name:32} {found.tape:14.5f} {found.difference:12.5f} {found.error:9.1e}")
    print(f"{right} of {len(CASES)} agree")
    return 0 if right == len(CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
