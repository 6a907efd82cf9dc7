"""Formulas on Tensors: operators, methods, views, broadcasting, and errors that name the shapes."""

import numpy as np
import pytest

from runtime import tensor as t


def leaf(values):
    return t.Tensor(np.asarray(values, np.float32), requires_grad=True)


def test_a_formula_reads_as_a_formula(normal):
    x, y = leaf(normal(3, 4)), leaf(normal(4))
    out = (2 - (x - 1) * y / 4 + -(x**2)).sum()
    out.backward()
    expected = 2 - (x.data - 1) * y.data / 4 - x.data**2
    np.testing.assert_allclose(out.item(), expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(x.grad, -y.data / 4 - 2 * x.data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y.grad, (-(x.data - 1) / 4).sum(axis=0), rtol=1e-5, atol=1e-6)


def test_numbers_and_arrays_stand_on_either_side(normal):
    x, array = leaf(normal(3)), normal(3)
    for out, expected in [
        (1 + x, 1 + x.data),
        (array + x, array + x.data),
        (array - x, array - x.data),
        (x - array, x.data - array),
        (1 / (x * x + 1), 1 / (x.data**2 + 1)),
        (array * x, array * x.data),
    ]:
        assert isinstance(out, t.Tensor) and out.requires_grad
        np.testing.assert_allclose(out.data, expected, rtol=1e-6)


def test_methods_are_the_functions_of_their_names(normal):
    x = t.Tensor(normal(2, 3, 4))
    for got, wanted in [
        (x.mean(1), t.mean(x, 1)),
        (x.max((0, 2)), t.max_(x, (0, 2))),
        (x.softmax(), t.softmax(x)),
        (x.reshape(6, 4), t.reshape(x, (6, 4))),
        (x.reshape((6, 4)), t.reshape(x, (6, 4))),
        (x.permute(2, 0, 1), t.permute(x, (2, 0, 1))),
        (x.T, t.transpose(x)),
        (x.gelu("tanh"), t.gelu(x, "tanh")),
        (x[0].broadcast_to(5, 3, 4), t.broadcast_to(x[0], (5, 3, 4))),
    ]:
        np.testing.assert_array_equal(got.data, wanted.data)


def test_views_share_memory_and_copies_do_not(normal):
    x = t.Tensor(normal(4, 6))
    for view in (x.reshape(24), x.T, x[1:, ::2], x[2], x.permute(1, 0)[:, 0], x.broadcast_to(3, 4, 6)):
        assert np.shares_memory(view.data, x.data)
    for copy in (x.T.reshape(24), x[[0, 1]], t.stack([x, x]), t.concatenate([x])):
        assert not np.shares_memory(copy.data, x.data)


@pytest.mark.parametrize(("a", "b"), [((0, 3, 4), (4, 5)), ((2, 0, 4), (2, 4, 5)), ((3, 0), (0, 2)), ((3, 4), (4, 0))])
def test_products_of_empty_matrices_are_empty_or_zero(a, b, normal):
    left, right = leaf(normal(*a)), leaf(normal(*b))
    out = left @ right
    np.testing.assert_array_equal(out.data, left.data @ right.data)
    out.sum().backward()
    assert left.grad.shape == a and right.grad.shape == b
    assert not left.grad.any() and not right.grad.any()


def test_the_gradient_of_overlapping_views_adds_up():
    x = leaf([1.0, 2.0, 3.0])
    (x[:2] * 10 + x[1:] * 100).sum().backward()
    np.testing.assert_array_equal(x.grad, [10, 110, 100])


def test_a_result_that_is_also_a_share_is_not_changed_behind_the_back_of_another(normal):
    """One gradient array may reach several parents through views: each must see its own numbers."""
    a, b = leaf(normal(3, 2)), leaf(normal(3, 2))
    joined = t.concatenate([a, b, a])
    (joined + joined.reshape(9, 2)).sum().backward()
    np.testing.assert_array_equal(a.grad, np.full((3, 2), 4))
    np.testing.assert_array_equal(b.grad, np.full((3, 2), 2))


def test_leaves_of_any_layout_get_a_gradient(normal):
    x = t.Tensor(normal(3, 4).T, requires_grad=True)
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * x.data, rtol=1e-6)


def test_equal_maxima_share_the_gradient():
    x = leaf([[1.0, 3.0, 3.0]])
    t.max_(x, 1).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0, 0.5, 0.5]])


def test_a_sum_of_many_small_values_is_rounded_once():
    x = t.Tensor(np.full(2**21, 0.1, np.float32))
    assert x.sum().item() == pytest.approx(2**21 * float(np.float32(0.1)), rel=1e-7)


def test_large_scores_do_not_overflow():
    x = t.Tensor([[1000.0, 0.0, -1000.0]])
    np.testing.assert_array_equal(x.softmax().data, [[1, 0, 0]])
    np.testing.assert_array_equal(x.log_softmax().data, [[0, -1000, -2000]])


def test_dropout_is_seeded_and_keeps_the_mean():
    x = leaf(np.ones((200, 100)))
    out = t.dropout(x, 0.25, np.random.default_rng(5))
    again = t.dropout(x, 0.25, np.random.default_rng(5))
    np.testing.assert_array_equal(out.data, again.data)
    assert not np.array_equal(out.data, t.dropout(x, 0.25, np.random.default_rng(6)).data)
    assert abs((out.data == 0).mean() - 0.25) < 0.01 and abs(out.data.mean() - 1) < 0.02
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, out.data)  # the same values are dropped on the way back
    assert t.dropout(x, 0.25, None) is x and t.dropout(x, 0.0, np.random.default_rng(1)) is x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x + np.zeros(5), r"add: shapes \(2, 3\) and \(5,\) do not broadcast"),
        (lambda x: x * np.zeros((3, 2)), r"mul: shapes \(2, 3\) and \(3, 2\)"),
        (lambda x: x.reshape(4, 2), r"reshape: \(2, 3\) does not fit into \(4, 2\)"),
        (lambda x: x.permute(0, 0), r"permute: axes \(0, 0\) do not fit 2 dimensions"),
        (lambda x: x.permute(1), r"permute: 1 axes for shape \(2, 3\)"),
        (lambda x: x.sum(2), r"sum: axes \(2,\) do not fit 2 dimensions"),
        (lambda x: x.broadcast_to(2, 4), r"broadcast_to: \(2, 3\) does not broadcast to \(2, 4\)"),
        (lambda x: x @ x, r"gemm: shapes \(2, 3\) and \(2, 3\)"),
        (lambda x: t.gemm(x[None].broadcast_to(2, 2, 3), np.zeros((5, 3, 1))), "leading axes"),
        (lambda x: t.concatenate([x, x.T]), r"concatenate: shapes \(2, 3\) and \(3, 2\) differ"),
        (lambda x: t.concatenate([]), "nothing to join"),
        (lambda x: t.stack([x, x.T]), r"stack: shapes \(2, 3\) and \(3, 2\) differ"),
        (lambda x: t.where(np.ones(3), x, x), "must be boolean"),
        (lambda x: x[:, :0].max(1), r"max: shape \(2, 0\) has no values"),
        (lambda x: x[:, :0].mean(), r"mean: shape \(2, 0\) has no values"),
        (lambda x: x.gelu("fast"), "gelu: form 'fast', expected erf or tanh"),
        (lambda x: t.dropout(x, 1.0, None), "dropout: p is 1.0"),
        (lambda x: t.mse_loss(x, np.zeros(3)), r"mse_loss: prediction \(2, 3\) and target \(3,\)"),
        (lambda x: t.linear(x, x, residual=x), r"linear: residual \(2, 3\) does not fit the result \(2, 2\)"),
        (lambda x: t.linear(x, x, bias=x), r"linear: bias \(2, 3\) does not fit weight \(2, 3\)"),
        (lambda x: t.attention(x, 2, 1, 1.0), r"attention: qkv \(2, 3\) is not \(B, T, 2 \+ 2 \* 1, D\)"),
        (lambda x: x.sum().backward(np.zeros(2)), r"gradient has shape \(2,\)"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(leaf(np.zeros((2, 3))))


def test_indices_outside_and_loops_are_refused(normal):
    x = t.Tensor(normal(2, 3))
    with pytest.raises(IndexError, match=r"index: 2 does not fit shape \(2, 3\)"):
        x[2]
    with pytest.raises(TypeError):
        list(x)
    with pytest.raises(TypeError, match="exponent must be a number"):
        x**x
