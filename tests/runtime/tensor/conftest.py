"""Fixtures of the tensor tests: random values, central differences, torch as oracle."""

import numpy as np
import pytest

from runtime import tensor as t
from runtime.tensor.gradient_check import slopes

EPS = 1e-2


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def normal(rng):
    """normal(*shape, scale=1) -> float32 normal values."""
    return lambda *shape, scale=1.0: np.asarray(rng.standard_normal(shape) * scale, dtype=np.float32)


@pytest.fixture
def check(normal):
    """check(function, *arrays): d sum(function(*arrays) * weights) agrees with differences along random directions."""

    def compare(function, *arrays, tolerance=2e-2, eps=EPS):
        weights = normal(*function(*map(t.Tensor, arrays)).shape)
        for i, array in enumerate(arrays):
            for _ in range(3):
                directions = [np.zeros_like(a) for a in arrays]
                directions[i] = normal(*array.shape)
                found = slopes(function, arrays, directions, weights, eps)
                assert found.error < tolerance, (i, found)

    return compare


@pytest.fixture
def same_as_torch(normal):
    """same_as_torch(ours, theirs, *arrays): equal values and equal gradients of every argument."""
    torch = pytest.importorskip("torch")

    def compare(ours, theirs, *arrays, tolerance=2e-5):
        leaves = [t.Tensor(a.copy(), requires_grad=True) for a in arrays]
        others = [torch.tensor(a, requires_grad=True) for a in arrays]
        out, expected = ours(*leaves), theirs(*others)
        assert out.shape == tuple(expected.shape)
        np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
        weights = normal(*out.shape)
        out.backward(weights)
        expected.backward(torch.tensor(weights))
        for leaf, other in zip(leaves, others, strict=True):
            wanted = other.grad.numpy()
            size = max(1.0, float(np.abs(wanted).max(initial=0)))
            np.testing.assert_allclose(leaf.grad, wanted, rtol=tolerance, atol=tolerance * size)

    return compare
