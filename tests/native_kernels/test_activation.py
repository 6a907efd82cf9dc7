"""Activations and GeGLU against their numpy twins, finite differences and torch."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

KINDS = ["relu", "tanh", "sigmoid", "silu", "gelu_tanh", "gelu_erf"]
GELUS = ["gelu_tanh", "gelu_erf"]
every_kind = pytest.mark.parametrize("kind", [*KINDS, "relu2", "quick_gelu"])
each_kind = pytest.mark.parametrize("kind", KINDS)
each_gelu = pytest.mark.parametrize("kind", GELUS)


@every_kind
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 16), (7, 31), (9001,)])
def test_forward_and_backward_agree_with_the_twin(isa, kind, shape, normal, close):
    # With one value the largest difference is also the relative one: it may not stand where the slope is saturated.
    size = 4 if np.prod(shape) > 1 else 0.5
    x, dout = np.asarray(normal(*shape) * size, np.float32), np.asarray(normal(*shape), np.float32)
    close(nk.activation(kind, x), reference.activation(kind, x))
    expected = reference.activation_backward(kind, dout, x)
    close(nk.activation_backward(kind, dout, x), expected, 4e-6)
    gradient = dout.copy()
    assert nk.activation_backward(kind, gradient, x, out=gradient) is gradient  # in place of dout
    close(gradient, expected, 4e-6)
    assert nk.activation(kind, x, out=x) is x


@pytest.mark.parametrize("kind", ["tanh", "silu", "gelu_tanh", "gelu_erf", "quick_gelu"])
def test_small_values_keep_their_digits(isa, kind):
    x = np.concatenate([np.geomspace(1e-30, 0.7, 300), -np.geomspace(1e-30, 0.7, 300)]).astype(np.float32)
    expected = reference.activation(kind, x.astype(np.float64))
    np.testing.assert_allclose(nk.activation(kind, x), expected, rtol=1e-6)


def test_the_left_tail_of_the_exact_gelu_keeps_its_digits(isa):
    import math

    x = np.linspace(-9, -1, 400).astype(np.float32)
    expected = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.astype(np.float64)]
    np.testing.assert_allclose(nk.activation("gelu_erf", x), expected, rtol=2e-5)


@every_kind
def test_backward_agrees_with_finite_differences(isa, kind, rng, close, numeric_gradient):
    x, dout = rng.standard_normal((4, 7)) * 2, rng.standard_normal((4, 7))
    expected = numeric_gradient(lambda: float((reference.activation(kind, x) * dout).sum()), x)
    close(nk.activation_backward(kind, dout.astype(np.float32), x.astype(np.float32)), expected, 1e-5)


@each_kind
def test_extreme_values_saturate(isa, kind):
    x = np.array([-1e30, -1e4, -100, 0, 100, 1e4, 1e30], np.float32)
    right = np.ones(3) if kind in ("tanh", "sigmoid") else x[4:]
    left = -np.ones(3) if kind == "tanh" else np.zeros(3)
    middle = 0.5 if kind == "sigmoid" else 0.0
    np.testing.assert_allclose(nk.activation(kind, x), [*left, middle, *right], atol=1e-30)
    slopes = nk.activation_backward(kind, np.ones(7, np.float32), x)
    at_0 = {"relu": 0, "tanh": 1, "sigmoid": 0.25}.get(kind, 0.5)
    far = 0 if kind in ("tanh", "sigmoid") else 1
    np.testing.assert_allclose(slopes, [0, 0, 0, at_0, far, far, far], atol=1e-30)


@each_kind
def test_nan_stays_nan(isa, kind):
    x = np.array([1, np.nan, 2], np.float32)
    assert np.isnan(nk.activation(kind, x)).tolist() == [False, True, False]
    assert np.isnan(nk.activation_backward(kind, np.ones(3, np.float32), x)).tolist() == [False, True, False]


@each_gelu
@pytest.mark.parametrize("shape", [(1, 2), (3, 10), (2, 5, 34), (65, 128)])
def test_geglu_agrees_with_the_twin(isa, kind, shape, normal, close):
    gu, dout = normal(*shape) * 3, normal(*shape[:-1], shape[-1] // 2)
    close(nk.geglu(gu, kind=kind), reference.geglu(gu, kind=kind))
    expected = reference.geglu_backward(dout, gu, kind=kind)
    close(nk.geglu_backward(dout, gu, kind=kind), expected, 4e-6)
    assert nk.geglu_backward(dout, gu, out=gu, kind=kind) is gu  # in place
    close(gu, expected, 4e-6)


@each_gelu
def test_geglu_backward_agrees_with_finite_differences(isa, kind, rng, close, numeric_gradient):
    gu, dout = rng.standard_normal((3, 14)), rng.standard_normal((3, 7))
    expected = numeric_gradient(lambda: float((reference.geglu(gu, kind=kind) * dout).sum()), gu)
    close(nk.geglu_backward(dout.astype(np.float32), gu.astype(np.float32), kind=kind), expected, 1e-5)


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    x, gu, dout = normal(40000), normal(300, 200), normal(300, 100)
    same_bits_for_any_threads(
        lambda: (nk.activation("gelu_erf", x), nk.activation_backward("tanh", x, x), nk.geglu_backward(dout, gu))
    )


def test_wrong_arguments_are_named(normal):
    with pytest.raises(ValueError, match="kind: 'softplus', expected one of relu, tanh"):
        nk.activation("softplus", normal(3))
    with pytest.raises(ValueError, match="kind: 'relu', expected one of gelu_tanh, gelu_erf"):
        nk.geglu(normal(3, 4), kind="relu")
    with pytest.raises(ValueError, match=r"gu: shape \(3, 5\), expected \(..., 2F\)"):
        nk.geglu(normal(3, 5))
    with pytest.raises(ValueError, match="dout"):
        nk.activation_backward("relu", normal(3, 4), normal(3, 5))
    with pytest.raises(ValueError, match="overlap"):
        whole = normal(10)
        nk.activation("relu", whole[:6], out=whole[4:])


@pytest.mark.peer
@each_kind
def test_agrees_with_torch(isa, kind, normal, close):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    functions = {
        "relu": F.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "silu": F.silu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "gelu_erf": F.gelu,
    }
    x, dout = normal(12, 50) * 3, normal(12, 50)
    tx = torch.tensor(x, requires_grad=True)
    expected = functions[kind](tx)
    expected.backward(torch.tensor(dout))
    close(nk.activation(kind, x), expected.detach().numpy())
    close(nk.activation_backward(kind, dout, x), tx.grad.numpy(), 4e-6)
