"""Every operation's vector-Jacobian product agrees with central finite differences."""

import numpy as np
import pytest

from runtime import tensor as t
from runtime.nn.rotary import RopeSpec


def test_add_and_mul_broadcast(check, normal):
    check(t.add, normal(3, 5), normal(5))
    check(t.add, normal(2, 1, 4), normal(3, 1))
    check(t.mul, normal(3, 5), normal(3, 1))


def test_sum_and_reshape(check, normal):
    check(lambda x: t.sum_(t.mul(x, x)), normal(4, 3))
    check(lambda x: t.reshape(x, (6, 2)), normal(4, 3))


def test_embedding_adds_up_repeated_ids(check, normal):
    ids = np.array([[1, 1, 4], [0, 4, 1]], dtype=np.int32)
    check(lambda table: t.embedding(table, ids), normal(6, 5))


def test_linear_with_and_without_residual(check, normal):
    check(t.linear, normal(7, 5), normal(3, 5))
    check(t.linear, normal(7, 5), normal(3, 5), normal(7, 3))


def test_rmsnorm(check, normal):
    check(lambda x, w: t.rmsnorm(x, w, 1e-5), normal(6, 9), normal(9))


def test_rope_in_place_on_some_heads(check, normal):
    cos, sin = RopeSpec(100.0, 4).tables(8)
    positions = np.array([0, 3, 7, 1, 2], dtype=np.int32)
    # The operation works in place: each evaluation gets its own copy, as a projection's output would be.
    check(lambda x: t.rope(t.add(x, t.Tensor(np.zeros(1))), 2, cos, sin, positions), normal(5, 3, 4))


@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (4, 2), (3, 1)])
def test_attention(heads, kv_heads, check, normal):
    check(lambda qkv: t.attention(qkv, heads, kv_heads, 0.5), normal(2, 6, heads + 2 * kv_heads, 4))


def test_swiglu(check, normal):
    check(t.swiglu, normal(5, 8))


def test_cross_entropy_ignores_negative_targets(check, normal):
    targets = np.array([1, -1, 0, 6], dtype=np.int32)
    check(lambda x: t.cross_entropy(x, targets), normal(4, 7))


@pytest.mark.parametrize("chunk", [2, 3, 100])
def test_linear_cross_entropy_in_chunks_equals_the_plain_one(chunk, normal):
    targets = np.array([1, -1, 0, 6, 3], dtype=np.int32)
    x, w = normal(5, 4), normal(7, 4)
    results = []
    for function in (
        lambda a, b: t.linear_cross_entropy(a, b, targets, chunk=chunk),
        lambda a, b: t.cross_entropy(t.linear(a, b), targets),
    ):
        leaves = [t.Tensor(x, requires_grad=True), t.Tensor(w, requires_grad=True)]
        loss = function(*leaves)
        t.mul(loss, t.Tensor(np.float32(0.5))).backward()
        results.append([loss.data, *(leaf.grad for leaf in leaves)])
    for chunked, plain in zip(*results, strict=True):
        np.testing.assert_allclose(chunked, plain, rtol=1e-5, atol=1e-6)


def test_a_value_used_twice_gets_both_gradients(normal):
    x = t.Tensor(normal(3), requires_grad=True)
    t.sum_(t.add(t.mul(x, x), x)).backward()
    np.testing.assert_allclose(x.grad, 2 * x.data + 1, rtol=1e-6)


def test_gradients_accumulate_until_zeroed():
    x = t.Tensor(np.ones(2), requires_grad=True)
    for _ in range(2):
        t.sum_(x).backward()
    np.testing.assert_array_equal(x.grad, [2, 2])
    x.zero_grad()
    np.testing.assert_array_equal(x.grad, [0, 0])


def test_nothing_is_recorded_without_a_leaf_that_needs_it():
    out = t.add(t.Tensor([1.0]), t.Tensor([2.0]))
    assert not out.requires_grad and out._parents == ()


def test_no_grad_computes_the_same_values_and_records_nothing(normal):
    x, w = t.Tensor(normal(5, 4), requires_grad=True), t.Tensor(normal(7, 4), requires_grad=True)
    targets = np.array([1, -1, 0, 6, 3], dtype=np.int32)
    recorded = t.linear_cross_entropy(x, w, targets)
    with t.no_grad():
        plain = t.linear_cross_entropy(x, w, targets)
    assert plain.item() == recorded.item() and recorded.requires_grad
    assert not plain.requires_grad and plain._parents == ()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(4, 5\)"):
        t.linear(t.Tensor(np.zeros((2, 3))), t.Tensor(np.zeros((4, 5))))
    with pytest.raises(ValueError, match="one value"):
        t.Tensor(np.zeros(3), requires_grad=True).backward()
