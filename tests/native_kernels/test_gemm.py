"""gemm against its numpy twin: every transposition, odd shapes, strided rows, epilogues, on every instruction set."""

import itertools

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

TRANSPOSITIONS = list(itertools.product([False, True], repeat=2))
SIZES = [1, 2, 3, 5, 8, 9, 13, 14, 15, 16, 17, 31, 33, 63, 65, 129]


def operand(normal, rows, columns, transposed, gap):
    """(rows, columns), or the transpose, as a column slice of a buffer that is `gap` columns wider."""
    shape = (columns, rows) if transposed else (rows, columns)
    return normal(shape[0], shape[1] + gap)[:, : shape[1]]


def check(normal, close, M, N, K, trans_a=False, trans_b=False, gap=0, **epilogue):
    a, b = operand(normal, M, K, trans_a, gap), operand(normal, K, N, trans_b, gap)
    buffer = normal(M + 1, N + gap)
    out = buffer[:M, :N]
    before = buffer.copy()
    if epilogue.get("bias"):
        epilogue["bias"] = normal(N)
    if epilogue.get("residual") == "other":
        epilogue["residual"] = normal(M, N + 3)[:, :N]
    elif epilogue.get("residual") == "out":
        epilogue["residual"] = out
    expected = reference.gemm(a, b, out.copy() if epilogue.get("accumulate") else None, trans_a, trans_b, **epilogue)
    result = nk.gemm(a, b, out, trans_a, trans_b, **epilogue)
    assert result is out
    close(out, expected, 1e-5)
    assert (buffer[M] == before[M]).all() and (buffer[:, N:] == before[:, N:]).all(), "wrote outside the result"


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
def test_odd_shapes(isa, rng, normal, close, trans_a, trans_b):
    for _ in range(120):
        M, N, K = (int(x) for x in rng.choice(SIZES, 3))
        check(normal, close, M, N, K, trans_a, trans_b, gap=int(rng.integers(0, 5)))


@pytest.mark.parametrize("trans_a,trans_b", TRANSPOSITIONS)
@pytest.mark.parametrize("M,N,K", [(130, 70, 1000), (9, 33, 769), (3, 65, 1153), (29, 1100, 40), (200, 31, 385)])
def test_several_slabs_and_tasks(isa, normal, close, trans_a, trans_b, M, N, K):
    check(normal, close, M, N, K, trans_a, trans_b)


def test_wider_than_one_packed_block(isa, normal, close):
    check(normal, close, 17, 4500, 5, trans_b=True, bias=True)


@pytest.mark.parametrize("M", [1, 4, 7, 8, 9, 40])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("residual", [None, "other", "out"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_bias_residual_and_accumulate(isa, normal, close, M, trans_b, residual, accumulate):
    for K in (33, 900):  # one slab; several, so that the epilogue must come exactly once
        for bias in (False, True):
            extra = {"bias": True} if bias else {}
            if residual:
                extra["residual"] = residual
            check(normal, close, M, 37, K, False, trans_b, 2, accumulate=accumulate, **extra)


def test_empty_inner_dimension_is_the_epilogue_alone(isa):
    for M in (3, 20):
        a, b, bias = np.zeros((M, 0), np.float32), np.zeros((0, 5), np.float32), np.arange(5, dtype=np.float32)
        assert (nk.gemm(a, b, bias=bias) == bias).all()


def test_exact_on_small_integers(isa, rng):
    """Integers below 2^24 are exact in float32 in any order: the result must equal integer arithmetic."""
    for M, N, K in [(1, 100, 77), (6, 50, 300), (100, 90, 800)]:
        a, b = rng.integers(-9, 10, (M, K)), rng.integers(-9, 10, (K, N))
        exact = a @ b
        for trans_a, trans_b in TRANSPOSITIONS:
            left = np.ascontiguousarray(a.T if trans_a else a).astype(np.float32)
            right = np.ascontiguousarray(b.T if trans_b else b).astype(np.float32)
            assert (nk.gemm(left, right, trans_a=trans_a, trans_b=trans_b) == exact).all()


@pytest.mark.parametrize("M,N,K", [(1, 300, 500), (7, 200, 900), (150, 200, 900), (40, 2000, 64)])
@pytest.mark.parametrize("trans_b", [False, True])
def test_same_bits_for_any_number_of_threads(isa, normal, same_bits_for_any_threads, M, N, K, trans_b):
    a, b = operand(normal, M, K, False, 0), operand(normal, K, N, trans_b, 0)
    same_bits_for_any_threads(lambda: [nk.gemm(a, b, trans_b=trans_b) for _ in range(3)])


def test_not_a_number_and_infinity_stay_where_they_belong(isa):
    """A NaN in one row of a reaches that row of the result and no other (padding must not spread it)."""
    for M in (5, 30):
        a, b = np.ones((M, 40), np.float32), np.ones((40, 33), np.float32)
        a[2, 7], a[4, 1] = np.nan, np.inf
        c = nk.gemm(a, b)
        assert np.isnan(c[2]).all() and np.isinf(c[4]).all()
        assert (np.delete(c, [2, 4], axis=0) == 40).all()


def test_disagreeing_shapes_are_named(normal):
    with pytest.raises(ValueError, match="inner dimension"):
        nk.gemm(normal(3, 4), normal(5, 6))
    with pytest.raises(TypeError):
        nk.gemm(np.zeros((3, 4)), normal(4, 6))
