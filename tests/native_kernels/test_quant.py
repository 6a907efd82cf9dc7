"""Stored weights of every type: exact dequantisation, re-ordering and products, against the numpy twin, on every
instruction set."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference_products as twin
from native_kernels.qtypes import QTYPES

QUANTISED = [name for name, kind in QTYPES.items() if kind.values > 1]


def shapes(qtype):
    """(N, K): no multiple of 16 rows, the smallest K, spans of 32, 64 and 128 activations."""
    large = [(1, 256), (16, 256), (33, 512), (17, 768)]
    return large if QTYPES[qtype].values == 256 else [(1, 32), (15, 96), (40, 64), (70, 160), (35, 384)]


def packed(qtype, rng, n, k):
    blocks = twin.random_blocks(rng, qtype, n, k)
    return blocks, nk.quant_pack(qtype, blocks, n, k)


@pytest.mark.parametrize("qtype", QTYPES)
def test_dequantising_any_bytes_gives_the_twins_bits(rng, qtype):
    n, k = 37, QTYPES[qtype].values * (3 if QTYPES[qtype].values > 1 else 50)
    blocks = rng.integers(0, 256, n * QTYPES[qtype].row_bytes(k), dtype=np.uint8)
    got, expected = nk.dequantize(qtype, blocks, n, k), twin.dequantize(qtype, blocks, n, k)
    ordinary = ~np.isnan(expected)  # of a NaN only that it is one
    assert (got.view(np.uint32) == expected.view(np.uint32))[ordinary].all() and np.isnan(got[~ordinary]).all()


@pytest.mark.shared
@pytest.mark.parametrize("qtype", [name for name in QTYPES if name != "F32"])
def test_dequantising_ggmls_bytes_gives_ggmls_bits(shared_data, qtype):
    found = np.load(shared_data / "conformance" / "gguf-quants" / f"{qtype}.npz")
    for blocks, expected in (("bytes", "dequant"), ("rand_bytes", "rand_dequant")):
        if blocks in found:
            values = found[expected]
            got = nk.dequantize(qtype, np.ascontiguousarray(found[blocks]), *values.shape)
            assert (got.view(np.uint32) == values.view(np.uint32)).all()


@pytest.mark.parametrize("qtype", QTYPES)
def test_packing_keeps_every_bit_and_any_row_can_be_read_back(rng, qtype):
    for n, k in shapes(qtype):
        blocks = rng.integers(0, 256, n * QTYPES[qtype].row_bytes(k), dtype=np.uint8)
        order = nk.quant_pack(qtype, blocks, n, k)
        assert (order == twin.quant_pack(qtype, blocks, n, k)).all()
        assert (nk.quant_unpack(qtype, order, n, k) == blocks).all()
        assert (twin.quant_unpack(qtype, order, n, k) == blocks).all()
        blocks, order = packed(qtype, rng, n, k)
        ids = rng.integers(0, n, (2, 3)).astype(np.int32)
        assert (nk.packed_rows(qtype, order, n, k, ids) == twin.dequantize(qtype, blocks, n, k)[ids]).all()


@pytest.mark.parametrize("qtype", QTYPES)
def test_product_against_the_twin(isa, rng, normal, close, qtype):
    for n, k in shapes(qtype):
        blocks, order = packed(qtype, rng, n, k)
        for m in (1, 2, 3, 4, 5, 7, 8, 9, 17, 70):
            x, bias, residual = normal(m, k + 5)[:, :k], normal(n), normal(m, n + 3)[:, :n]
            given = (bias if m % 2 else None, residual if m % 3 else None)
            close(nk.gemm_quant(qtype, x, order, n, *given), twin.product(qtype, x, blocks, n, *given), 2e-5)


@pytest.mark.parametrize("qtype", QUANTISED)
def test_sums_of_integers_are_exact(isa, rng, qtype):
    """Scales of 1 and activations that are whole numbers leave integers, which float32 holds."""
    kind = QTYPES[qtype]
    for n, k in shapes(qtype):
        blocks = rng.integers(0, 256, (n * k // kind.values, kind.size), dtype=np.uint8)
        for at in twin.SCALES_AT.get(qtype, (0,)):
            blocks[:, at : at + 2] = np.float16(1).reshape(1).view(np.uint8)
        if qtype == "MXFP4":
            blocks[:, 0] = 128
        order = nk.quant_pack(qtype, blocks, n, k)
        w = twin.dequantize(qtype, blocks, n, k)
        for m in (1, 4, 9):
            x = rng.integers(-2, 3, (m, k)).astype(np.float32)
            x[:, ::32] = rng.choice([-127, 127], x[:, ::32].shape)  # so that 1 is the activations' scale
            x[:, 1::32] = rng.choice([-127, 127], x[:, ::32].shape)
            expected = x.astype(np.int64) @ w.T.astype(np.int64)
            assert np.abs(expected).max() < 2**24
            assert (nk.gemm_quant(qtype, x, order, n) == expected).all()


@pytest.mark.parametrize("qtype", QUANTISED)
def test_a_row_does_not_depend_on_its_neighbours_or_on_threads(isa, rng, normal, same_bits_for_any_threads, qtype):
    n, k = 1000, 256
    order = packed(qtype, rng, n, k)[1]
    x = normal(40, k)
    together = nk.gemm_quant(qtype, x, order, n)
    for m in (1, 3, 6, 13):
        assert (nk.gemm_quant(qtype, x[:m], order, n) == together[:m]).all()
    same_bits_for_any_threads(lambda: [nk.gemm_quant(qtype, x[:m], order, n) for m in (1, 5, 40)])


def test_long_rows_and_many_of_them(isa, rng, normal, close):
    """More activations than are rounded at a time, more columns than a panel."""
    blocks, order = packed("Q4_0", rng, 50, 4096)
    x = normal(1100, 4096)
    close(nk.gemm_quant("Q4_0", x, order, 50), twin.product("Q4_0", x, blocks, 50), 2e-5)


def test_residual_may_be_the_result_itself(isa, rng, normal, close):
    for qtype in ("Q8_0", "Q4_K", "F16"):
        for m in (1, 30):
            x, start = normal(m, 256), normal(m, 40)
            blocks, order = packed(qtype, rng, 40, 256)
            out = start.copy()
            nk.gemm_quant(qtype, x, order, 40, out=out, residual=out)
            close(out, twin.product(qtype, x, blocks, 40, residual=start), 2e-5)


@pytest.mark.parametrize("qtype", QUANTISED)
def test_broken_scales_and_activations_stay_where_they_are(isa, rng, normal, qtype):
    """NaN and infinite scales are legal in a file: only their own row of weights suffers."""
    n, k = 40, 256
    blocks = twin.random_blocks(rng, qtype, n, k).reshape(n, -1)
    sound = nk.quant_pack(qtype, blocks, n, k)
    blocks[7] = 255
    broken = nk.quant_pack(qtype, blocks, n, k)
    for m in (1, 9):
        x = normal(m, k)
        a, b = (np.delete(nk.gemm_quant(qtype, x, order, n), 7, axis=1) for order in (sound, broken))
        assert (a == b).all()
        x[0, 5], x[0, 200] = np.nan, np.inf
        assert np.isfinite(nk.gemm_quant(qtype, x, sound, n)[1:]).all()


def test_zero_activations_give_the_bias(isa, rng, normal):
    bias = normal(48)
    for qtype in QUANTISED:
        order = packed(qtype, rng, 48, 256)[1]
        assert (nk.gemm_quant(qtype, np.zeros((3, 256), np.float32), order, 48, bias) == bias).all()


def test_close_to_the_product_of_floats(isa, rng, normal):
    """Activations rounded to 8 bits: the relative error of a long product stays below 1 %."""
    x = normal(4, 1024)
    for qtype in QUANTISED:
        blocks, order = packed(qtype, rng, 64, 1024)
        exact = x.astype(np.float64) @ twin.dequantize(qtype, blocks, 64, 1024).T
        assert np.linalg.norm(nk.gemm_quant(qtype, x, order, 64) - exact) < 0.01 * np.linalg.norm(exact)
