"""Dequantisation of every storage type, bit for bit against vectors made with ggml."""

import numpy as np
import pytest

from native_kernels import reference_quant
from native_kernels.qtypes import BY_NUMBER, QTYPES


def vectors(shared_data, name):
    found = np.load(shared_data / "conformance" / "gguf-quants" / f"{name}.npz")
    yield found["bytes"], found["dequant"]
    if "rand_bytes" in found:
        yield found["rand_bytes"], found["rand_dequant"]


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in QTYPES if name != "F32"])
def test_every_type_is_bit_exact(shared_data, name):
    checked = 0
    for blocks, expected in vectors(shared_data, name):
        got = reference_quant.dequantize(name, blocks, *expected.shape)
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
        checked += got.size
    assert checked >= 6 * 768


@pytest.mark.shared
@pytest.mark.parametrize("name", QTYPES)
def test_the_table_of_types_agrees_with_the_vectors(shared_data, name):
    if name == "F32":
        return
    found = np.load(shared_data / "conformance" / "gguf-quants" / f"{name}.npz")
    kind = QTYPES[name]
    assert (kind.number, kind.values, kind.size) == tuple(int(found[k]) for k in ("type_id", "block_size", "type_size"))
    assert BY_NUMBER[kind.number] is kind


def test_every_byte_pattern_dequantises_to_something():
    rng = np.random.default_rng(0)
    for name, kind in QTYPES.items():
        blocks = rng.integers(0, 256, (50, kind.size), dtype=np.uint8)
        blocks[0], blocks[1] = 255, 0  # NaN scales are legal input
        got = reference_quant.dequantize(name, blocks, 50, kind.values)
        assert got.shape == (50, kind.values) and got.dtype == np.float32
    with pytest.raises(ValueError, match="multiple"):
        reference_quant.dequantize("Q4_K", np.zeros(144, np.uint8), 1, 100)
