"""Softmax cross-entropy against the numpy twin, finite differences and torch."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference


@pytest.mark.parametrize("rows, V", [(1, 1), (3, 7), (9, 33), (65, 100), (17, 4096), (2, 5003)])
def test_losses_and_gradient_agree_with_the_twin(isa, rows, V, normal, rng, close):
    logits = normal(rows, V) * 5
    targets = rng.integers(0, V, rows).astype(np.int32)
    targets[rows // 2] = -1
    gradient, expected_gradient = np.empty_like(logits), np.empty_like(logits)
    losses = nk.softmax_cross_entropy(logits, targets, gradient, 0.125)
    expected = reference.softmax_cross_entropy(logits, targets, expected_gradient, 0.125)
    np.testing.assert_allclose(losses, expected, atol=5e-6, rtol=1e-6)
    close(gradient, expected_gradient)
    assert (gradient[rows // 2] == 0).all() and losses[rows // 2] == 0
    np.testing.assert_array_equal(nk.softmax_cross_entropy(logits, targets), losses)  # without a gradient
    np.testing.assert_array_equal(nk.softmax_cross_entropy(logits, targets, logits, 0.125), losses)  # in place
    np.testing.assert_array_equal(logits, gradient)


def test_gradient_agrees_with_finite_differences(isa, rng, close, numeric_gradient):
    logits, targets = rng.standard_normal((4, 9)), np.array([3, -1, 0, 8], np.int32)
    expected = numeric_gradient(lambda: float(reference.softmax_cross_entropy(logits, targets).sum()), logits)
    gradient = np.empty((4, 9), np.float32)
    nk.softmax_cross_entropy(logits.astype(np.float32), targets, gradient)
    close(gradient, expected, 1e-5)


def test_huge_and_infinite_logits(isa):
    logits = np.array([[1e30, 0, -1e30], [-np.inf, 0, 0], [300, 200, 100]], np.float32)
    targets = np.array([0, 1, 2], np.int32)
    losses = nk.softmax_cross_entropy(logits, targets, logits)
    np.testing.assert_allclose(losses, [0, np.log(2), 200], rtol=1e-6)
    np.testing.assert_allclose(logits, [[0, 0, 0], [0, -0.5, 0.5], [1, 0, -1]], atol=1e-6)


def test_threads_do_not_change_a_bit(isa, normal, rng, same_bits_for_any_threads):
    logits, targets = normal(100, 999), rng.integers(0, 999, 100).astype(np.int32)

    def run():
        gradient = np.empty_like(logits)
        return nk.softmax_cross_entropy(logits, targets, gradient), gradient

    same_bits_for_any_threads(run)


def test_bad_arguments_are_refused(normal):
    with pytest.raises(ValueError, match=r"targets: values 0 .. 5"):
        nk.softmax_cross_entropy(normal(2, 5), np.array([0, 5], np.int32))
    with pytest.raises(ValueError, match=r"targets: shape \(3\), expected \(2,\)"):
        nk.softmax_cross_entropy(normal(2, 5), np.zeros(3, np.int32))
    with pytest.raises(ValueError, match=r"logits: shape \(5\)"):
        nk.softmax_cross_entropy(normal(5), np.zeros(5, np.int32))
    with pytest.raises(ValueError, match="dlogits"):
        nk.softmax_cross_entropy(normal(2, 5), np.zeros(2, np.int32), normal(2, 4))


@pytest.mark.peer
def test_agrees_with_torch(isa, normal, rng, close):
    torch = pytest.importorskip("torch")
    logits, targets = normal(20, 301) * 3, rng.integers(0, 301, 20).astype(np.int32)
    targets[::7] = -100
    x = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(x, torch.tensor(targets, dtype=torch.int64), reduction="mean")
    loss.backward()
    used = int((targets >= 0).sum())
    losses = nk.softmax_cross_entropy(logits, targets, logits, 1 / used)
    assert losses.sum() / used == pytest.approx(loss.item(), rel=1e-6)
    close(logits, x.grad.numpy())
