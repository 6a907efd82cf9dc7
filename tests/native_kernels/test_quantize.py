"""Quantisers: the kernel writes the twin's bytes, ggml's where ggml defines them, and errs no more than ggml does."""

import json

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference_quant, reference_quantize
from native_kernels.qtypes import QTYPES

WRITTEN = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
SAME_AS_GGML = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def matrices(k):
    """Ordinary weights and what a careless quantiser trips over, float32 (rows, k) each."""
    rng = np.random.default_rng(3)
    yield "normal", rng.standard_normal((40, k)) * 0.02
    yield "heavy tails", rng.standard_t(2, (40, k)) * 0.01
    yield "one sign", np.abs(rng.standard_normal((8, k)))
    yield "offset", rng.standard_normal((8, k)) * 0.01 + 3
    yield "zeros", np.zeros((2, k))
    yield "constant", np.full((2, k), -0.7)
    yield "positive constant", np.full((2, k), 0.7)
    sparse = np.zeros((8, k))
    sparse[:, ::37] = rng.standard_normal((8, len(range(0, k, 37))))
    yield "sparse", sparse
    yield "tiny", rng.standard_normal((8, k)) * 1e-40
    yield "subnormal and ordinary", rng.standard_normal((8, k)) * np.where(np.arange(k) % 64 < 32, 1e-39, 1)
    yield "huge", rng.standard_normal((8, k)) * 1e30
    yield "ties", rng.integers(-8, 8, (8, k)) / 8


@pytest.mark.parametrize("name", WRITTEN)
def test_the_kernel_writes_the_twins_bytes(name):
    for what, w in matrices(512):
        w = w.astype(np.float32)
        got, expected = nk.quantize(name, w), reference_quantize.quantize(name, w)
        assert got.shape == (len(w), QTYPES[name].row_bytes(512)) and got.dtype == np.uint8
        np.testing.assert_array_equal(got, expected, err_msg=what)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_comes_back_close(name):
    bits = {"F32": 24, "F16": 11, "BF16": 8}.get(name) or int(name[1])
    w = (np.random.default_rng(0).standard_normal((64, 1024)) * 0.02).astype(np.float32)
    back = reference_quant.dequantize(name, nk.quantize(name, w), *w.shape)
    assert np.sqrt(np.mean((back - w) ** 2) / np.mean(w**2)) < 1.4 * 2.0**-bits


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "F32"])
def test_against_ggml_on_the_same_weights(shared_data, name):
    folder = shared_data / "conformance" / "gguf-quants"
    x = np.load(folder / "source.npz")["x"]
    theirs = np.load(folder / f"{name}.npz")
    ours = nk.quantize(name, x)
    if name in SAME_AS_GGML:
        np.testing.assert_array_equal(ours.reshape(-1), theirs["bytes"].reshape(-1))
        return
    error, bound = (np.sqrt(np.mean((y - x) ** 2) / np.mean(x**2)) for y in (
        reference_quant.dequantize(name, ours, *x.shape), theirs["dequant"]))  # fmt: skip
    assert abs(bound / json.loads((folder / "summary.json").read_text())[name]["rel_rmse"] - 1) < 1e-3
    assert error <= bound


def test_every_thread_count_writes_the_same(request):
    before = nk.threads()
    request.addfinalizer(lambda: nk.set_threads(before))
    w = np.random.default_rng(0).standard_normal((301, 512)).astype(np.float32)
    written = []
    for threads in (1, 2, 3):
        nk.set_threads(threads)
        written.append(nk.quantize("Q4_K", w).tobytes())
    assert len(set(written)) == 1


def test_wrong_arguments_are_refused():
    w = np.zeros((2, 256), np.float32)
    for name, array, words in [
        ("IQ4_XS", w, "no quantiser that writes IQ4_XS"),
        ("Q9", w, "unknown storage type"),
        ("Q4_K", w[:, :224].copy(), "multiple"),
        ("Q8_0", w[0], "expected"),
        ("Q8_0", np.full((1, 32), np.nan, np.float32), "not finite"),
        ("Q6_K", np.where(np.arange(256) == 255, np.inf, 0).astype(np.float32)[None], "not finite"),
    ]:
        with pytest.raises(ValueError, match=words):
            nk.quantize(name, array)
    with pytest.raises(TypeError):
        nk.quantize("Q8_0", w.astype(np.float64))
    assert nk.quantize("Q4_K", w[:0]).shape == (0, 144)
