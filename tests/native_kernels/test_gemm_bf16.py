"""gemm_bf16 against its numpy twin: bits and rounded float32, odd shapes, strided rows, on every instruction set."""

import itertools

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

SIZES = [1, 2, 3, 7, 14, 15, 16, 17, 31, 32, 33, 65, 129]


def bits(x):
    """float32 -> bfloat16 bit patterns."""
    return (reference.bf16_round(x).view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize("trans_a,trans_b", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("kinds", list(itertools.product(["bits", "float"], repeat=2)))
def test_odd_shapes_and_gaps(isa, rng, normal, close, trans_a, trans_b, kinds):
    for _ in range(40):
        M, N, K = (int(x) for x in rng.choice(SIZES, 3))
        gap = int(rng.integers(0, 4))
        a = normal(*((K, M + gap) if trans_a else (M, K + gap)))
        b = normal(*((N, K + gap) if trans_b else (K, N + gap)))
        a, b = (bits(x) if kind == "bits" else x for x, kind in zip((a, b), kinds, strict=True))
        a = a[:, : M if trans_a else K]
        b = b[:, : K if trans_b else N]
        out = nk.gemm_bf16(a, b, trans_a=trans_a, trans_b=trans_b)
        close(out, reference.gemm_bf16(a, b, trans_a=trans_a, trans_b=trans_b), 1e-5)


@pytest.mark.parametrize("M,N,K", [(130, 70, 1001), (9, 33, 2049), (29, 1100, 41), (17, 4500, 6)])
def test_several_slabs_and_blocks(isa, normal, close, M, N, K):
    a, b = normal(M, K), normal(N, K)
    bias, residual, out = normal(N), normal(M, N), normal(M, N)
    expected = reference.gemm_bf16(a, b, out.copy(), False, True, bias, residual, True)
    close(nk.gemm_bf16(a, b, out, False, True, bias, residual, True), expected, 1e-5)


def test_an_empty_inner_dimension_gives_zeros(isa):
    assert (nk.gemm_bf16(np.zeros((3, 0), np.float32), np.zeros((0, 20), np.float32)) == 0).all()


def test_rounds_to_nearest_with_ties_to_even(isa):
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-16, -1 - 2**-8, 3.0e38, np.inf], np.float32)
    one = np.zeros((9, 1), np.float32)
    one[0] = 1
    out = nk.gemm_bf16(one, ties[None, :])[0]
    assert out.tolist() == [1, 1 + 2**-6, 1 + 2**-7, -1, reference.bf16_round(ties[4:5])[0], np.inf]


def test_bits_and_rounded_floats_give_equal_results(isa, normal):
    a, b = normal(40, 77), normal(77, 50)
    assert (nk.gemm_bf16(a, b) == nk.gemm_bf16(bits(a), bits(b))).all()


def test_the_number_of_threads_changes_no_bit(normal):
    a, b, before, results = normal(300, 500), normal(500, 200), nk.threads(), []
    try:
        for threads in (1, 2, 3):
            nk.set_threads(threads)
            results.append(nk.gemm_bf16(a, b))
    finally:
        nk.set_threads(before)
    assert (results[0] == results[1]).all() and (results[0] == results[2]).all()


def test_wrong_types_and_shapes_are_named(normal):
    with pytest.raises(TypeError, match="a: dtype float64"):
        nk.gemm_bf16(np.zeros((2, 3)), normal(3, 4))
    with pytest.raises(ValueError, match="gemm_bf16: a .* inner dimension"):
        nk.gemm_bf16(normal(2, 3), bits(normal(4, 4)))
