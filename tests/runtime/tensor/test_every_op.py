"""Every operation in one table: its gradient agrees with central differences, its values and gradient with torch.

A row: name of the operation, what it is called with, the same in torch, the arguments. An operation without a row fails
the last test.
"""

import numpy as np
import pytest

from runtime import tensor as t
from runtime.nn.rotary import RopeSpec

rng = np.random.default_rng(11)


def normal(*shape):
    return np.asarray(rng.standard_normal(shape), dtype=np.float32)


def positive(*shape):
    return np.abs(normal(*shape)) + np.float32(0.5)


def apart(*shape):
    """Values at least 0.1 apart and away from 0, for functions with a kink, in random order."""
    n = int(np.prod(shape))
    return (rng.permutation(n) * np.float32(0.1) - np.float32(0.05 * n - 0.03)).astype(np.float32).reshape(shape)


def F():
    import torch

    return torch.nn.functional


def split_heads(torch, qkv, h, k):
    q, key, value = qkv[:, :, :h], qkv[:, :, h : h + k], qkv[:, :, h + k :]
    return [
        part.repeat_interleave(h // part.shape[2], dim=2).transpose(1, 2) for part in (q, key, value)
    ]  # (B, H, T, D)


def torch_attention(h, k, causal):
    def run(torch, qkv):
        q, key, value = split_heads(torch, qkv, h, k)
        return F().scaled_dot_product_attention(q, key, value, is_causal=causal, scale=0.5).transpose(1, 2)

    return run


LENGTHS = np.array([6, 6, 2, 5])


def torch_padded_attention(torch, qkv):
    """Every row alone, without its padding; zeros behind it."""
    attend = torch_attention(2, 1, False)
    rows = [attend(torch, qkv[b : b + 1, :n]) for b, n in enumerate(LENGTHS.tolist())]
    return torch.cat([F().pad(row, (0, 0, 0, 0, 0, qkv.shape[1] - row.shape[1])) for row in rows])


COS, SIN = RopeSpec(100.0, 4).tables(8)
POSITIONS = np.array([0, 3, 7, 1, 2], dtype=np.int32)


def torch_rope(torch, x):
    c, s = torch.tensor(COS[POSITIONS])[:, None], torch.tensor(SIN[POSITIONS])[:, None]
    a, b = x[:, :2, :2], x[:, :2, 2:]
    return torch.cat([torch.cat([a * c - b * s, b * c + a * s], dim=-1), x[:, 2:]], dim=1)


def torch_gated(function):
    def run(torch, gu):
        gate, up = gu.chunk(2, dim=-1)
        return function(gate) * up

    return run


IDS = np.array([[1, 1, 4], [0, 4, 1]], dtype=np.int32)
TARGETS = np.array([1, -1, 0, 6], dtype=np.int32)
MASK = np.array([[True, False, True, False], [False, False, True, True], [True, True, True, False]])
TARGET = normal(3, 4)


def torch_cross_entropy(torch, logits):
    return F().cross_entropy(logits, torch.tensor(TARGETS).long(), ignore_index=-1)


CASES = [
    # ---- element by element, with broadcasting
    ("add", t.add, lambda torch, a, b: a + b, (normal(2, 1, 4), normal(3, 1))),
    ("sub", t.sub, lambda torch, a, b: a - b, (normal(3, 5), normal(5))),
    ("mul", t.mul, lambda torch, a, b: a * b, (normal(3, 5), normal(3, 1))),
    ("mul", t.mul, lambda torch, a, b: a * b, (normal(), normal(2, 3))),
    ("div", t.div, lambda torch, a, b: a / b, (normal(4, 3), positive(4, 1))),
    ("neg", t.neg, lambda torch, x: -x, (normal(3, 4),)),
    ("power", lambda x: t.power(x, 3), lambda torch, x: x**3, (normal(3, 4),)),
    ("power", lambda x: t.power(x, -0.5), lambda torch, x: x**-0.5, (positive(3, 4),)),
    ("power", lambda x: t.power(x, 0), lambda torch, x: x**0, (normal(3, 4),)),
    ("where", lambda a, b: t.where(MASK, a, b), lambda torch, a, b: torch.where(torch.tensor(MASK), a, b),
     (normal(3, 4), normal(4))),
    ("maximum", t.maximum, lambda torch, a, b: torch.maximum(a, b), (apart(3, 4), apart(3, 1) + np.float32(0.02))),
    ("exp", t.exp, lambda torch, x: x.exp(), (normal(3, 4),)),
    ("log", t.log, lambda torch, x: x.log(), (positive(3, 4),)),
    ("sqrt", t.sqrt, lambda torch, x: x.sqrt(), (positive(3, 4),)),
    ("absolute", t.absolute, lambda torch, x: x.abs(), (apart(3, 4),)),
    ("relu", t.relu, lambda torch, x: x.relu(), (apart(3, 7),)),
    ("tanh", t.tanh, lambda torch, x: x.tanh(), (normal(3, 7),)),
    ("sigmoid", t.sigmoid, lambda torch, x: x.sigmoid(), (normal(3, 7),)),
    ("silu", t.silu, lambda torch, x: F().silu(x), (normal(3, 7),)),
    ("gelu", t.gelu, lambda torch, x: F().gelu(x), (normal(3, 7),)),
    ("gelu", lambda x: t.gelu(x, "tanh"), lambda torch, x: F().gelu(x, approximate="tanh"), (normal(3, 7),)),
    ("rounded", None, None, ()),  # straight-through: tested in test_dtypes.py
    # ---- shapes and views
    ("reshape", lambda x: t.reshape(x, (6, -1)), lambda torch, x: x.reshape(6, -1), (normal(4, 3),)),
    ("reshape", lambda x: t.reshape(t.transpose(x), (2, 6)), lambda torch, x: x.T.reshape(2, 6), (normal(4, 3),)),
    ("permute", lambda x: t.permute(x, (2, 0, 1)), lambda torch, x: x.permute(2, 0, 1), (normal(2, 3, 4),)),
    ("transpose", t.transpose, lambda torch, x: x.transpose(-2, -1), (normal(2, 3, 4),)),
    ("transpose", lambda x: t.transpose(x, 0, 2), lambda torch, x: x.transpose(0, 2), (normal(2, 3, 4),)),
    ("broadcast_to", lambda x: t.broadcast_to(x, (2, 3, 4)), lambda torch, x: x.expand(2, 3, 4), (normal(3, 1),)),
    ("index", lambda x: x[1:, ::2], lambda torch, x: x[1:, ::2], (normal(3, 5),)),
    ("index", lambda x: x[..., -1, None], lambda torch, x: x[..., -1, None], (normal(3, 5),)),
    ("index", lambda x: x[[0, 2, 2, 0, 2]], lambda torch, x: x[[0, 2, 2, 0, 2]], (normal(3, 5),)),
    ("index", lambda x: x[MASK], lambda torch, x: x[torch.tensor(MASK)], (normal(3, 4),)),
    ("concatenate", lambda a, b: t.concatenate([a, b, a], axis=1), lambda torch, a, b: torch.cat([a, b, a], dim=1),
     (normal(2, 3, 4), normal(2, 1, 4))),
    ("stack", lambda a, b: t.stack([a, b, a], axis=-1), lambda torch, a, b: torch.stack([a, b, a], dim=-1),
     (normal(2, 3), normal(2, 3))),
    # ---- over axes
    ("sum_", t.sum_, lambda torch, x: x.sum(), (normal(3, 4),)),
    ("sum_", lambda x: t.sum_(x, (0, -1)), lambda torch, x: x.sum((0, -1)), (normal(2, 3, 4),)),
    ("sum_", lambda x: t.sum_(x, 1, keepdims=True), lambda torch, x: x.sum(1, keepdim=True), (normal(2, 3, 4),)),
    ("mean", t.mean, lambda torch, x: x.mean(), (normal(3, 4),)),
    ("mean", lambda x: t.mean(x, (0, 2), keepdims=True), lambda torch, x: x.mean((0, 2), keepdim=True),
     (normal(2, 3, 4),)),
    ("max_", t.max_, lambda torch, x: x.max(), (apart(3, 4),)),
    ("max_", lambda x: t.max_(x, (0, 2)), lambda torch, x: x.amax((0, 2)), (apart(2, 3, 4),)),
    ("softmax", t.softmax, lambda torch, x: x.softmax(-1), (normal(3, 7),)),
    ("softmax", lambda x: t.softmax(x, 0), lambda torch, x: x.softmax(0), (normal(3, 7),)),
    ("log_softmax", t.log_softmax, lambda torch, x: x.log_softmax(-1), (normal(3, 7) * 5,)),
    ("log_softmax", lambda x: t.log_softmax(x, 1), lambda torch, x: x.log_softmax(1), (normal(3, 7, 2),)),
    # ---- networks
    ("gemm", t.gemm, lambda torch, a, b: a @ b, (normal(3, 4), normal(4, 5))),
    ("gemm", t.gemm, lambda torch, a, b: a @ b, (normal(2, 3, 4), normal(4, 5))),
    ("gemm", t.gemm, lambda torch, a, b: a @ b, (normal(2, 1, 3, 4), normal(3, 4, 5))),
    ("gemm", lambda a, b: t.transpose(a) @ t.transpose(b), lambda torch, a, b: a.mT @ b.mT,
     (normal(2, 4, 3), normal(2, 5, 4))),
    ("embedding", lambda w: t.embedding(w, IDS), lambda torch, w: w[torch.tensor(IDS).long()], (normal(6, 5),)),
    ("linear", t.linear, lambda torch, x, w: x @ w.T, (normal(2, 3, 5), normal(4, 5))),
    ("linear", lambda x, w, r, b: t.linear(x, w, residual=r, bias=b), lambda torch, x, w, r, b: x @ w.T + b + r,
     (normal(7, 5), normal(3, 5), normal(7, 3), normal(3))),
    ("linear", lambda x, w: t.linear(t.transpose(x), t.transpose(w)), lambda torch, x, w: x.T @ w,
     (normal(5, 7), normal(5, 3))),
    ("rmsnorm", lambda x, w: t.rmsnorm(x, w, 1e-5), lambda torch, x, w: F().rms_norm(x, (9,), w, eps=1e-5),
     (normal(6, 9), normal(9))),
    ("layernorm", t.layernorm, lambda torch, x, w, b: F().layer_norm(x, (9,), w, b),
     (normal(6, 9), normal(9), normal(9))),
    ("layernorm", lambda x, w, b: t.layernorm(t.transpose(x), w * 2, b * 3),
     lambda torch, x, w, b: F().layer_norm(x.T, (9,), w * 2, b * 3), (normal(9, 6), normal(9), normal(9))),
    # the operation works in place: each evaluation gets its own copy, as a projection's output would be
    ("rope", lambda x: t.rope(x + 0, 2, COS, SIN, POSITIONS), torch_rope, (normal(5, 3, 4),)),
    ("attention", lambda x: t.attention(x, 2, 2, 0.5), torch_attention(2, 2, True), (normal(2, 6, 6, 4),)),
    ("attention", lambda x: t.attention(x, 4, 2, 0.5), torch_attention(4, 2, True), (normal(2, 6, 8, 4),)),
    ("attention", lambda x: t.attention(x, 3, 1, 0.5, causal=False), torch_attention(3, 1, False),
     (normal(2, 6, 5, 4),)),
    ("padded_attention", lambda x: t.padded_attention(x, LENGTHS, 2, 1, 0.5), torch_padded_attention,
     (normal(4, 6, 4, 4),)),
    ("swiglu", t.swiglu, torch_gated(lambda g: F().silu(g)), (normal(5, 8),)),
    ("geglu", t.geglu, torch_gated(lambda g: F().gelu(g, approximate="tanh")), (normal(5, 8),)),
    ("geglu", lambda x: t.geglu(x, "erf"), torch_gated(lambda g: F().gelu(g)), (normal(5, 8),)),
    ("dropout", lambda x: t.dropout(x, 0.5, np.random.default_rng(3)), None, (normal(6, 9),)),
    # ---- losses
    ("mse_loss", lambda x: t.mse_loss(x, TARGET), lambda torch, x: F().mse_loss(x, torch.tensor(TARGET)),
     (normal(3, 4),)),
    ("cross_entropy", lambda x: t.cross_entropy(x, TARGETS), torch_cross_entropy, (normal(4, 7),)),
    ("linear_cross_entropy", lambda x, w: t.linear_cross_entropy(x, w, TARGETS, chunk=3),
     lambda torch, x, w: torch_cross_entropy(torch, x @ w.T), (normal(4, 5), normal(7, 5))),
    # the same operation on weights that were computed themselves: their share must travel on
    ("linear_cross_entropy", lambda x, w: t.linear_cross_entropy(x, w * w, TARGETS),
     lambda torch, x, w: torch_cross_entropy(torch, x @ (w * w).T), (normal(4, 5), normal(7, 5))),
    ("embedding", lambda w: t.embedding(w.tanh(), IDS), lambda torch, w: w.tanh()[torch.tensor(IDS).long()],
     (normal(6, 5),)),
    ("rmsnorm", lambda x, w: t.rmsnorm(x, w * w, 1e-5), lambda torch, x, w: F().rms_norm(x, (9,), w * w, eps=1e-5),
     (normal(6, 9), normal(9))),
]  # fmt: skip

NAMES = [f"{case[0]}-{i}" for i, case in enumerate(CASES)]


@pytest.mark.parametrize("case", [c for c in CASES if c[1]], ids=[n for n, c in zip(NAMES, CASES, strict=True) if c[1]])
def test_the_gradient_agrees_with_central_differences(case, check):
    _, ours, _, arrays = case
    check(ours, *arrays)


@pytest.mark.peer
@pytest.mark.parametrize("case", [c for c in CASES if c[2]], ids=[n for n, c in zip(NAMES, CASES, strict=True) if c[2]])
def test_values_and_gradients_agree_with_torch(case, same_as_torch):
    import torch

    _, ours, theirs, arrays = case
    same_as_torch(ours, lambda *leaves: theirs(torch, *leaves), *arrays)


def test_every_operation_has_a_row():
    operations = set(t.__all__) - {"Tensor", "no_grad", "cast"}
    assert operations == {case[0] for case in CASES}
