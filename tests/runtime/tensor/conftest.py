"""Fixtures of the tensor tests: random values, central differences, torch as oracle."""

import numpy as np
import pytest

from runtime import tensor as t

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
        leaves = [t.Tensor(a, requires_grad=True) for a in arrays]
        out = function(*leaves)
        weights = normal(*out.shape)
        out.backward(weights)

        def value(values):
            return float((function(*[t.Tensor(v) for v in values]).data.astype(np.float64) * weights).sum())

        for i, leaf in enumerate(leaves):
            assert leaf.grad.shape == leaf.shape
            for _ in range(3):
                direction = normal(*leaf.shape)
                plus, minus = list(arrays), list(arrays)
                plus[i], minus[i] = arrays[i] + eps * direction, arrays[i] - eps * direction
                numeric = (value(plus) - value(minus)) / (2 * eps)
                exact = float((leaf.grad.astype(np.float64) * direction).sum())
                scale = max(1.0, abs(numeric), float(np.abs(leaf.grad).sum() ** 0.5))
                assert abs(numeric - exact) < tolerance * scale, (i, numeric, exact)

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
