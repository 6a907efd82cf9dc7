"""SwiGLU against the numpy twin and finite differences."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference


@pytest.mark.parametrize("shape", [(1, 2), (3, 10), (2, 5, 34), (65, 128), (40, 1408)])
def test_forward_and_backward_agree_with_the_twin(isa, shape, normal, close):
    gu, dout = normal(*shape) * 4, normal(*shape[:-1], shape[-1] // 2)
    close(nk.swiglu(gu), reference.swiglu(gu))
    expected = reference.swiglu_backward(dout, gu)
    close(nk.swiglu_backward(dout, gu), expected)
    assert nk.swiglu_backward(dout, gu, out=gu) is gu  # in place
    close(gu, expected)


def test_backward_agrees_with_finite_differences(isa, rng, close, numeric_gradient):
    gu, dout = rng.standard_normal((3, 14)), rng.standard_normal((3, 7))
    expected = numeric_gradient(lambda: float((reference.swiglu(gu) * dout).sum()), gu)
    close(nk.swiglu_backward(dout.astype(np.float32), gu.astype(np.float32)), expected, 1e-5)


def test_extreme_gates_saturate(isa):
    gu = np.zeros((1, 6), np.float32)
    gu[0] = [-200, 0, 200, 1, 1, 1]
    np.testing.assert_allclose(nk.swiglu(gu), [[0, 0, 200]], atol=1e-30)
    gradient = nk.swiglu_backward(np.ones((1, 3), np.float32), gu)
    np.testing.assert_allclose(gradient, [[0, 0.5, 1, 0, 0, 200]], atol=1e-30)


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    gu, dout = normal(300, 200), normal(300, 100)
    same_bits_for_any_threads(lambda: (nk.swiglu(gu), nk.swiglu_backward(dout, gu)))


def test_shapes_that_do_not_fit_are_named(normal):
    with pytest.raises(ValueError, match=r"gu: shape \(3, 5\), expected \(..., 2F\)"):
        nk.swiglu(normal(3, 5))
    with pytest.raises(ValueError, match=r"out: shape \(3, 4\), expected \(3, 2\)"):
        nk.swiglu(normal(3, 4), out=normal(3, 4))
    with pytest.raises(ValueError, match="dout"):
        nk.swiglu_backward(normal(3, 4), normal(3, 4))
