"""Q8_0: the block format bit for bit, and the integer product against its numpy twin, on every instruction set."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

SHAPES = [(1, 32), (3, 64), (15, 96), (16, 32), (17, 160), (33, 288), (64, 512), (100, 1024)]


@pytest.mark.parametrize("N,K", SHAPES)
def test_quantize_gives_the_bytes_of_the_format(isa, normal, N, K):
    for scale in (1.0, 1e-3, 3e4, 1e-7):  # the last one: scales that are subnormal in float16
        w = normal(N, K) * np.float32(scale)
        assert (nk.q8_0_quantize(w) == reference.q8_0_quantize(w)).all()


def test_quantize_hand_made_block(isa):
    """127 in the block makes the scale exactly 1; halves go away from zero, as roundf in ggml's reference."""
    w = np.zeros((1, 32), np.float32)
    w[0, :6] = [127, -127, 0.5, -0.5, 2.5, 1.4999]
    block = nk.q8_0_quantize(w)[0]
    assert block[:2].tobytes() == np.float16(1).tobytes()
    assert block[2:8].view(np.int8).tolist() == [127, -127, 1, -1, 3, 1]
    assert (nk.q8_0_quantize(np.zeros((2, 64), np.float32)) == 0).all()


@pytest.mark.parametrize("N,K", SHAPES)
def test_dequantize_is_exact_for_any_bytes(isa, rng, N, K):
    blocks = rng.integers(0, 256, (N, K // 32 * 34), dtype=np.uint8)
    view = blocks.reshape(N, -1, 34)
    view[..., 1] &= 0xBB  # keeps the float16 scales finite
    actual, expected = nk.q8_0_dequantize(blocks, K), reference.q8_0_dequantize(blocks, K)
    assert (actual == expected).all()
    assert np.isfinite(actual).all()


@pytest.mark.parametrize("N,K", SHAPES)
def test_pack_is_a_permutation_known_to_the_reference(isa, rng, N, K):
    blocks = rng.integers(0, 256, (N, K // 32 * 34), dtype=np.uint8)
    packed = nk.q8_0_pack(blocks, K)
    assert packed.size == blocks.size
    assert (packed == reference.q8_0_pack(blocks, K)).all()
    assert (reference._unpack(packed, N, K) == blocks).all()


@pytest.mark.parametrize("M", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 23])
def test_product_against_the_reference(isa, normal, close, M):
    for N, K in SHAPES:
        packed = nk.q8_0_pack(nk.q8_0_quantize(normal(N, K)), K)
        x = normal(M, K + 5)[:, :K]
        close(nk.gemm_q8_0(x, packed, N), reference.gemm_q8_0(x, packed, N), 1e-5)


def test_integer_part_is_exact_for_every_int8(isa, rng):
    """Scales of exactly 1 leave pure integer sums, -128 weights (which no quantiser writes) included."""
    for M, N, K in [(1, 16, 32), (1, 50, 320), (5, 33, 96), (12, 80, 640), (8, 16, 2048)]:
        x = rng.integers(-127, 128, (M, K)).astype(np.float32)
        x[:, ::32] = 127
        w = rng.integers(-128, 128, (N, K)).astype(np.int8)
        w[:, 1::7], x[:, 1::7] = -128, np.where(rng.random(x[:, 1::7].shape) < 0.5, 127, -127)  # extremes side by side
        x[:, ::32] = 127
        blocks = np.empty((N, K // 32, 34), np.uint8)
        blocks[..., :2] = np.ones(1, np.float16).view(np.uint8)
        blocks[..., 2:] = w.reshape(N, K // 32, 32).view(np.uint8)
        packed = nk.q8_0_pack(blocks.reshape(N, -1), K)
        expected = x.astype(np.int64) @ w.T.astype(np.int64)
        assert np.abs(expected).max() < 2**24
        assert (nk.gemm_q8_0(x, packed, N) == expected).all()


def test_residual_may_be_the_result_itself(isa, normal, close):
    x, w, start = normal(6, 96), normal(40, 96), normal(6, 40)
    packed = nk.q8_0_pack(nk.q8_0_quantize(w), 96)
    expected = reference.gemm_q8_0(x, packed, 40, residual=start)
    close(nk.gemm_q8_0(x, packed, 40, residual=start), expected, 1e-5)
    out = start.copy()
    nk.gemm_q8_0(x, packed, 40, out=out, residual=out)
    close(out, expected, 1e-5)


def test_more_rows_than_one_pass_holds(isa, normal, close):
    """K = 4096 lets 128 rows through at a time."""
    x, w = normal(300, 4096), normal(20, 4096)
    packed = nk.q8_0_pack(nk.q8_0_quantize(w), 4096)
    close(nk.gemm_q8_0(x, packed, 20), reference.gemm_q8_0(x, packed, 20), 1e-5)


def test_zero_activations_give_zero(isa, normal):
    packed = nk.q8_0_pack(nk.q8_0_quantize(normal(48, 64)), 64)
    assert (nk.gemm_q8_0(np.zeros((3, 64), np.float32), packed, 48) == 0).all()


@pytest.mark.parametrize("M", [1, 3, 70])
def test_same_bits_for_any_number_of_threads(isa, normal, same_bits_for_any_threads, M):
    x, packed = normal(M, 256), nk.q8_0_pack(nk.q8_0_quantize(normal(1000, 256)), 256)
    same_bits_for_any_threads(lambda: [nk.gemm_q8_0(x, packed, 1000) for _ in range(3)])


def test_close_to_the_float_product(isa, normal):
    """Both sides rounded to 8 bits: the relative error of a long product stays near 1 %."""
    x, w = normal(4, 1024), normal(64, 1024)
    exact = x.astype(np.float64) @ w.T
    actual = nk.gemm_q8_0(x, nk.q8_0_pack(nk.q8_0_quantize(w), 1024), 64)
    assert np.linalg.norm(actual - exact) < 0.015 * np.linalg.norm(exact)
