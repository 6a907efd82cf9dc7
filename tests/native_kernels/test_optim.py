"""AdamW, the gradient norm and the vector helpers against the numpy twins and torch."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

SIZES = [1, 3, 16, 31, 1000, 40001]


@pytest.mark.parametrize("n", SIZES)
def test_adamw_agrees_with_the_twin_over_several_steps(isa, n, normal, close):
    state = [normal(n), np.zeros(n, np.float32), np.zeros(n, np.float32)]
    twin = [x.copy() for x in state]
    for step in range(1, 4):
        g = normal(n)
        nk.adamw(state[0], g, *state[1:], 1e-2, 0.9, 0.95, 1e-8, 0.1, step, 0.5)
        reference.adamw(twin[0], g, *twin[1:], 1e-2, 0.9, 0.95, 1e-8, 0.1, step, 0.5)
    for a, b in zip(state, twin, strict=True):
        close(a, b, 5e-6)


@pytest.mark.parametrize("n", [0, *SIZES, 200003])
def test_sum_squares(isa, n, normal):
    x = normal(n)
    assert nk.sum_squares(x) == pytest.approx(reference.sum_squares(x), rel=1e-6)


@pytest.mark.parametrize("n", [0, *SIZES])
def test_vector_helpers(isa, n, normal, close):
    a, b = normal(n), normal(n)
    np.testing.assert_array_equal(nk.add(a, b), a + b)
    np.testing.assert_array_equal(nk.mul(a, b), a * b)
    close(nk.axpy(a.copy(), b, 0.3), reference.axpy(a.copy(), b, 0.3))
    both = a.copy()
    assert nk.add(both, b, out=both) is both
    np.testing.assert_array_equal(both, a + b)
    np.testing.assert_array_equal(nk.mul(a, a, out=a.copy()), a * a)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (2, 40, 67), (300, 130), (0, 4)])
def test_bias_backward(isa, shape, normal, close):
    dout, dbias = normal(*shape), normal(shape[-1])
    expected = reference.bias_backward(dout, dbias.copy())
    assert nk.bias_backward(dout, dbias) is dbias
    close(dbias, expected, 5e-6)


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    x, matrix = normal(123457), normal(500, 300)

    def run():
        p, m, v = x.copy(), np.zeros_like(x), np.zeros_like(x)
        nk.adamw(p, x, m, v, 1e-3, 0.9, 0.99, 1e-8, 0.1, 1)
        return p, m, v, nk.sum_squares(x), nk.bias_backward(matrix, np.zeros(300, np.float32))

    same_bits_for_any_threads(run)


def test_bad_arguments_are_refused(normal):
    p, g, m, v = (normal(4) for _ in range(4))
    with pytest.raises(ValueError, match="step: 0"):
        nk.adamw(p, g, m, v, 1e-3, 0.9, 0.99, 1e-8, 0.1, 0)
    with pytest.raises(ValueError, match=r"g: shape \(5\), expected \(4\)"):
        nk.adamw(p, normal(5), m, v, 1e-3, 0.9, 0.99, 1e-8, 0.1, 1)
    with pytest.raises(ValueError, match="p and m overlap"):
        nk.adamw(p, g, p, v, 1e-3, 0.9, 0.99, 1e-8, 0.1, 1)
    with pytest.raises(ValueError, match=r"b: shape \(5\)"):
        nk.add(normal(4), normal(5))
    with pytest.raises(ValueError, match="overlap"):
        nk.axpy(p[:3], p[1:], 1.0)
    with pytest.raises(ValueError, match=r"dbias: shape \(3\)"):
        nk.bias_backward(normal(2, 4), normal(3))


@pytest.mark.peer
def test_adamw_agrees_with_torch(isa, normal, close):
    torch = pytest.importorskip("torch")
    start = normal(3, 50)
    parameter = torch.nn.Parameter(torch.tensor(start.copy()))
    peer = torch.optim.AdamW([parameter], lr=3e-3, betas=(0.9, 0.98), eps=1e-7, weight_decay=0.05)
    p, m, v = start, np.zeros_like(start), np.zeros_like(start)
    for step in range(1, 6):
        g = normal(3, 50)
        parameter.grad = torch.tensor(g)
        peer.step()
        nk.adamw(p, g, m, v, 3e-3, 0.9, 0.98, 1e-7, 0.05, step)
    close(p, parameter.detach().numpy(), 5e-6)
