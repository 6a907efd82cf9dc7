"""RMSNorm against its numpy twin, finite differences and torch."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

SHAPES = [(1, 1), (3, 5), (2, 3, 16), (7, 31), (5, 64), (130, 33), (200, 256), (1, 1000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_agree_with_the_twin(isa, shape, normal, close):
    x, weight, dout = normal(*shape), normal(shape[-1]), normal(*shape)
    out, rstd = nk.rmsnorm(x, weight, 1e-5)
    expected, expected_rstd = reference.rmsnorm(x, weight, 1e-5)
    close(out, expected)
    close(rstd, expected_rstd)
    dweight = normal(shape[-1])
    expected_dweight = dweight.copy()
    dx = nk.rmsnorm_backward(dout, x, weight, rstd, dweight)
    expected_dx = reference.rmsnorm_backward(dout, x, weight, expected_rstd, expected_dweight)
    # with one element dx is the small difference of two large terms
    close(dx, expected_dx, 5e-6 if shape[-1] > 1 else 1.0)
    close(dweight, expected_dweight, 5e-6)


def test_backward_agrees_with_finite_differences(isa, rng, close, numeric_gradient):
    x, weight, dout = rng.standard_normal((3, 7)), rng.standard_normal(7), rng.standard_normal((3, 7))

    def loss():
        return float((reference.rmsnorm(x, weight, 1e-5)[0] * dout).sum())

    f32 = [a.astype(np.float32) for a in (dout, x, weight)]
    rstd = nk.rmsnorm(f32[1], f32[2], 1e-5)[1]
    dweight = np.zeros(7, np.float32)
    dx = nk.rmsnorm_backward(*f32, rstd, dweight)
    close(dx, numeric_gradient(loss, x), 1e-5)
    close(dweight, numeric_gradient(loss, weight), 1e-5)


def test_out_may_be_the_input_and_the_output_gradient(isa, normal):
    x, weight, dout = normal(9, 37), normal(37), normal(9, 37)
    expected, rstd = nk.rmsnorm(x, weight, 1e-6)
    expected_dx = nk.rmsnorm_backward(dout, x, weight, rstd, np.zeros(37, np.float32))
    in_place = x.copy()
    out, _ = nk.rmsnorm(in_place, weight, 1e-6, out=in_place)
    assert out is in_place
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(
        nk.rmsnorm_backward(dout, x, weight, rstd, np.zeros(37, np.float32), out=dout), expected_dx
    )


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    x, weight, dout = normal(700, 100), normal(100), normal(700, 100)

    def run():
        out, rstd = nk.rmsnorm(x, weight, 1e-5)
        dweight = np.zeros(100, np.float32)
        return out, rstd, nk.rmsnorm_backward(dout, x, weight, rstd, dweight), dweight

    same_bits_for_any_threads(run)


def test_zero_rows_are_scaled_by_eps_only(isa, normal):
    out, rstd = nk.rmsnorm(np.zeros((2, 8), np.float32), normal(8), 1e-4)
    assert (out == 0).all()
    np.testing.assert_allclose(rstd, 100, rtol=1e-6)


def test_shapes_that_do_not_fit_are_named(normal):
    with pytest.raises(ValueError, match=r"weight: shape \(5\), expected \(4,\)"):
        nk.rmsnorm(normal(3, 4), normal(5), 1e-5)
    with pytest.raises(ValueError, match=r"rstd: shape \(2\)"):
        nk.rmsnorm_backward(normal(3, 4), normal(3, 4), normal(4), normal(2), normal(4))
    with pytest.raises(ValueError, match=r"dout: shape \(3, 5\)"):
        nk.rmsnorm_backward(normal(3, 5), normal(3, 4), normal(4), normal(3), normal(4))


@pytest.mark.peer
def test_agrees_with_torch(isa, normal, close):
    torch = pytest.importorskip("torch")
    x, weight, dout = normal(12, 50), normal(50), normal(12, 50)
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(weight, requires_grad=True)
    expected = torch.nn.functional.rms_norm(tx, (50,), tw, eps=1e-5)
    expected.backward(torch.tensor(dout))
    out, rstd = nk.rmsnorm(x, weight, 1e-5)
    dweight = np.zeros(50, np.float32)
    dx = nk.rmsnorm_backward(dout, x, weight, rstd, dweight)
    close(out, expected.detach().numpy())
    close(dx, tx.grad.numpy(), 5e-6)
    close(dweight, tw.grad.numpy(), 5e-6)
