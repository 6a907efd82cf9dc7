"""LayerNorm against its numpy twin, finite differences and torch."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

SHAPES = [(3, 3), (3, 5), (2, 3, 16), (7, 31), (5, 64), (130, 33), (200, 256), (1, 1000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_agree_with_the_twin(isa, shape, normal, close):
    x, weight, bias, dout = normal(*shape) + 3, normal(shape[-1]), normal(shape[-1]), normal(*shape)
    got = nk.layernorm(x, weight, bias, 1e-5)
    expected = reference.layernorm(x, weight, bias, 1e-5)
    for actual, wanted in zip(got, expected, strict=True):
        close(actual, wanted, 5e-6)
    dweight, dbias = normal(shape[-1]), normal(shape[-1])
    wanted_dweight, wanted_dbias = dweight.copy(), dbias.copy()
    dx = nk.layernorm_backward(dout, x, weight, *expected[1:], dweight, dbias)
    close(dx, reference.layernorm_backward(dout, x, weight, *expected[1:], wanted_dweight, wanted_dbias), 1e-5)
    close(dweight, wanted_dweight, 5e-6)
    close(dbias, wanted_dbias, 5e-6)


def test_backward_agrees_with_finite_differences(isa, rng, close, numeric_gradient):
    x, dout = rng.standard_normal((3, 7)), rng.standard_normal((3, 7))
    weight, bias = rng.standard_normal(7), rng.standard_normal(7)

    def loss():
        return float((reference.layernorm(x, weight, bias, 1e-5)[0] * dout).sum())

    f32 = [a.astype(np.float32) for a in (dout, x, weight)]
    _, mean, rstd = nk.layernorm(f32[1], f32[2], bias.astype(np.float32), 1e-5)
    dweight, dbias = np.zeros(7, np.float32), np.zeros(7, np.float32)
    dx = nk.layernorm_backward(*f32, mean, rstd, dweight, dbias)
    close(dx, numeric_gradient(loss, x), 1e-5)
    close(dweight, numeric_gradient(loss, weight), 1e-5)
    close(dbias, numeric_gradient(loss, bias), 1e-5)


def test_a_large_mean_does_not_spoil_the_variance(isa, normal, close):
    x = normal(4, 100) + 1000
    close(
        nk.layernorm(x, np.ones(100, np.float32), np.zeros(100, np.float32), 1e-5)[0],
        reference.layernorm(x, np.ones(100, np.float32), np.zeros(100, np.float32), 1e-5)[0],
        1e-4,
    )


def test_out_may_be_the_input_and_the_output_gradient(isa, normal):
    x, weight, bias, dout = normal(9, 37), normal(37), normal(37), normal(9, 37)
    expected, mean, rstd = nk.layernorm(x, weight, bias, 1e-6)
    sums = [np.zeros(37, np.float32) for _ in range(4)]
    expected_dx = nk.layernorm_backward(dout, x, weight, mean, rstd, *sums[:2])
    np.testing.assert_array_equal(nk.layernorm_backward(dout, x, weight, mean, rstd, *sums[2:], out=dout), expected_dx)
    assert nk.layernorm(x, weight, bias, 1e-6, out=x)[0] is x
    np.testing.assert_array_equal(x, expected)


def test_equal_values_become_the_bias(isa, normal):
    bias = normal(21)
    out, mean, _ = nk.layernorm(np.full((2, 21), 7, np.float32), normal(21), bias, 1e-5)
    np.testing.assert_allclose(mean, 7, rtol=1e-6)
    np.testing.assert_allclose(out, [bias, bias], atol=1e-2)


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    x, weight, bias, dout = normal(700, 100), normal(100), normal(100), normal(700, 100)

    def run():
        out, mean, rstd = nk.layernorm(x, weight, bias, 1e-5)
        dweight, dbias = np.zeros(100, np.float32), np.zeros(100, np.float32)
        return out, mean, rstd, nk.layernorm_backward(dout, x, weight, mean, rstd, dweight, dbias), dweight, dbias

    same_bits_for_any_threads(run)


def test_shapes_that_do_not_fit_are_named(normal):
    x, w = normal(3, 4), normal(4)
    with pytest.raises(ValueError, match=r"weight: shape \(5\), expected \(4,\)"):
        nk.layernorm(x, normal(5), w, 1e-5)
    with pytest.raises(ValueError, match=r"bias: shape \(5\), expected \(4,\)"):
        nk.layernorm(x, w, normal(5), 1e-5)
    with pytest.raises(ValueError, match=r"rstd: shape \(2\)"):
        nk.layernorm_backward(x, x.copy(), w, normal(3), normal(2), normal(4), normal(4))
    with pytest.raises(ValueError, match="dweight and dbias overlap"):
        both = normal(4)
        nk.layernorm_backward(x, x.copy(), w, normal(3), normal(3), both, both)


@pytest.mark.peer
def test_agrees_with_torch(isa, normal, close):
    torch = pytest.importorskip("torch")
    x, weight, bias, dout = normal(12, 50), normal(50), normal(50), normal(12, 50)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    expected = torch.nn.functional.layer_norm(leaves[0], (50,), *leaves[1:], eps=1e-5)
    expected.backward(torch.tensor(dout))
    out, mean, rstd = nk.layernorm(x, weight, bias, 1e-5)
    dweight, dbias = np.zeros(50, np.float32), np.zeros(50, np.float32)
    dx = nk.layernorm_backward(dout, x, weight, mean, rstd, dweight, dbias)
    close(out, expected.detach().numpy())
    for got, leaf in zip((dx, dweight, dbias), leaves, strict=True):
        close(got, leaf.grad.numpy(), 5e-6)
