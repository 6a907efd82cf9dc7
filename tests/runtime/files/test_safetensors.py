"""safetensors: lies are refused quickly and by name, honest files round-trip, the reference library agrees."""

import json
import struct
import time

import numpy as np
import pytest

from runtime.files.errors import FormatError
from runtime.files.safetensors import (
    bf16_to_float32,
    float32_to_bf16,
    read_safetensors,
    read_weights,
    write_safetensors,
)


def honest_header() -> dict:
    return {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
    }


def pack(header, data=b"\0" * 32, length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def changed(name="a", **fields) -> bytes:
    header = honest_header()
    header[name].update(fields)
    return pack(header)


LIES = {
    "empty file": (b"", "truncated"),
    "seven bytes": (b"\0" * 7, "truncated"),
    "header longer than file": (pack(honest_header(), length=10_000), "truncated"),
    "header length 2^63": (pack(honest_header(), length=1 << 63), "header_too_large"),
    "data cut off": (pack(honest_header())[:-1], "offsets"),
    "bytes after the data": (pack(honest_header()) + b"x", "coverage"),
    "header is a list": (pack(b"[1, 2]"), "header_start"),
    "header starts with a blank": (pack(b" {}", b""), "header_start"),
    "header is not UTF-8": (pack(b'{"\xff": 1}'), "utf8"),
    "header is cut JSON": (pack(b'{"a": '), "json"),
    "second value after the header": (pack(b"{}{}", b""), "trailing_data"),
    "zero bytes after the header": (pack(b"{}\0\0\0", b""), "trailing_data"),
    "duplicate tensor": (pack(b'{"a": {}, "a": {}}'), "duplicate_key"),
    "duplicate field": (pack(b'{"a": {"dtype": "F32", "dtype": "F16"}}'), "duplicate_key"),
    "NaN": (pack(b'{"a": NaN}'), "not_finite"),
    "1e999": (pack(b'{"a": 1e999}'), "not_finite"),
    "nesting": (pack(b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}"), "too_deep"),
    "nesting that breaks recursion": (pack(b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "too_deep"),
    "integer of 1000 digits": (pack(b'{"a": ' + b"9" * 1000 + b"}"), "json"),
    "entry is a number": (pack({"a": 1}), "entry"),
    "missing field": (pack({"a": {"dtype": "F32", "shape": [8]}}), "entry"),
    "extra field": (changed(extra=1), "entry"),
    "unknown dtype": (changed(dtype="F33"), "dtype"),
    "dtype is a list": (changed(dtype=["F32"]), "dtype"),
    "negative dimension": (changed(shape=[-2, -3]), "shape"),
    "fractional dimension": (changed(shape=[2.0, 3]), "shape"),
    "boolean dimension": (changed(shape=[True, 6]), "shape"),
    "nine dimensions": (changed(shape=[1] * 7 + [2, 3]), "shape"),
    "product beyond 2^64": (changed(shape=[1 << 31, 1 << 31, 1 << 31]), "shape"),
    "shape wraps to the right size": (changed(shape=[1 << 31, 1 << 31, 4, 6]), "shape"),
    "shape too small": (changed(shape=[2, 2]), "size"),
    "dtype too small": (changed(dtype="F16"), "size"),
    "offsets reversed": (changed(data_offsets=[24, 0]), "offsets"),
    "offsets negative": (changed(data_offsets=[-24, 0]), "offsets"),
    "one offset": (changed(data_offsets=[0]), "offsets"),
    "beyond the buffer": (changed("b", data_offsets=[32, 40]), "offsets"),
    "offset near 2^64": (changed("b", data_offsets=[(1 << 64) - 8, (1 << 64) - 1]), "offsets"),
    "overlap": (changed("b", data_offsets=[16, 24]), "overlap"),
    "gap": (changed(shape=[5], data_offsets=[4, 24]), "gap"),
    "empty name": (pack({"": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}), "name"),
    "name of 10 kB": (pack({"n" * 10_000: {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}), "name"),
    "metadata of numbers": (pack({**honest_header(), "__metadata__": {"format": 1}}), "metadata"),
    "metadata is a list": (pack({**honest_header(), "__metadata__": []}), "metadata"),
}


def test_the_file_that_the_lies_change_is_honest(tmp_path):
    path = tmp_path / "ok.safetensors"
    path.write_bytes(pack(honest_header()))
    assert read_safetensors(path).names() == ["a", "b"]


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused_quickly_and_by_name(lie, tmp_path):
    data, kind = LIES[lie]
    path = tmp_path / "lie.safetensors"
    path.write_bytes(data)
    start = time.perf_counter()
    with pytest.raises(FormatError) as caught:
        read_safetensors(path)
    assert time.perf_counter() - start < 1.0
    assert caught.value.kind == kind
    assert str(path) in str(caught.value) and len(str(caught.value)) < 500


def test_every_truncation_is_refused(tmp_path):
    whole = pack(honest_header())
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            read_safetensors(path)


def tensors():
    rng = np.random.default_rng(1)
    out = {"f32": rng.standard_normal((3, 5)).astype(np.float32), "f64": rng.standard_normal(4)}
    out["f16"] = rng.standard_normal((2, 2)).astype(np.float16)
    out["flag"] = np.array([True, False, True])
    out["scalar"] = np.array(3.5, np.float32)
    out["none"] = np.zeros((0, 4), np.float32)
    for bits in (8, 16, 32, 64):
        out[f"i{bits}"] = rng.integers(-100, 100, 7).astype(f"int{bits}")
        out[f"u{bits}"] = rng.integers(0, 100, 7).astype(f"uint{bits}")
    return out


def test_round_trip_of_every_type(tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    write_safetensors(path, tensors(), {"format": "pt", "ä": "ö"})
    file = read_safetensors(path)
    assert file.metadata == {"format": "pt", "ä": "ö"}
    assert sorted(file.names()) == sorted(tensors())
    for name, array in tensors().items():
        assert file.array(name).dtype == array.dtype and file.shape(name) == array.shape
        np.testing.assert_array_equal(file.array(name), array)
        assert not file.array(name).flags.writeable
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_bf16_rounds_to_nearest_even_and_comes_back_as_float32(tmp_path):
    values = np.array(
        [1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3e38, 3.4e38, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40], np.float32
    )
    back = bf16_to_float32(float32_to_bf16(values))
    expected = np.array([1.0, 1.0, 1 + 2**-6, -3e38, np.inf, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40], np.float32)
    np.testing.assert_allclose(back, expected, rtol=2**-8, atol=1e-40)
    assert np.signbit(back[6])
    path = tmp_path / "b.safetensors"
    write_safetensors(path, {"w": values}, dtypes="BF16")
    assert read_safetensors(path).dtype("w") == "BF16"
    np.testing.assert_array_equal(read_safetensors(path).float32("w"), back)


def test_float32_of_integers_is_refused(tmp_path):
    path = tmp_path / "i.safetensors"
    write_safetensors(path, {"w": np.arange(3)})
    with pytest.raises(FormatError, match="floating point"):
        read_safetensors(path).float32("w")


def test_unaligned_f32_is_still_given_aligned(tmp_path):
    header = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "w": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    path = tmp_path / "u.safetensors"
    path.write_bytes(pack(header, b"\1" + np.array([1.5, -2.0], "<f4").tobytes()))
    w = read_safetensors(path).float32("w")
    assert w.flags.aligned and w.tolist() == [1.5, -2.0]


def test_writing_refuses_types_that_the_format_lacks(tmp_path):
    with pytest.raises(ValueError, match="complex"):
        write_safetensors(tmp_path / "c", {"w": np.zeros(2, complex)})
    with pytest.raises(ValueError, match="as BF16"):
        write_safetensors(tmp_path / "c", {"w": np.zeros(2, np.int32)}, dtypes="BF16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.peer
def test_the_reference_library_reads_ours_and_we_read_its(tmp_path):
    peer = pytest.importorskip("safetensors.numpy")
    write_safetensors(tmp_path / "ours", tensors(), {"k": "v"})
    theirs = peer.load_file(tmp_path / "ours")
    assert theirs.keys() == tensors().keys()
    for name, array in tensors().items():
        assert theirs[name].dtype == array.dtype
        np.testing.assert_array_equal(theirs[name], array)
    peer.save_file(tensors(), tmp_path / "theirs", metadata={"k": "v"})
    assert (tmp_path / "theirs").stat().st_size == (tmp_path / "ours").stat().st_size
    file = read_safetensors(tmp_path / "theirs")
    for name, array in tensors().items():
        np.testing.assert_array_equal(file.array(name), array)


@pytest.mark.peer
def test_bf16_equals_torch(tmp_path):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    theirs = torch.from_numpy(x).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(float32_to_bf16(x), theirs)


def shards(folder, weight_map):
    write_safetensors(folder / "m-1.safetensors", {"a": np.ones(2, np.float32)})
    write_safetensors(folder / "m-2.safetensors", {"b": np.zeros(3, np.float32)})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_act_as_one_file(tmp_path):
    shards(tmp_path, {"a": "m-1.safetensors", "b": "m-2.safetensors"})
    weights = read_weights(tmp_path)
    assert weights.names() == ["a", "b"] and weights.float32("b").shape == (3,)


@pytest.mark.parametrize(
    "name",
    ["../m-1.safetensors", "/etc/passwd", "sub/m.safetensors", "..", "a\\b.safetensors", "C:x.safetensors", 7, "m.bin"],
)
def test_an_index_cannot_name_anything_outside_its_folder(tmp_path, name):
    shards(tmp_path, {"a": name})
    with pytest.raises(FormatError) as caught:
        read_weights(tmp_path)
    assert caught.value.kind == "index"


def test_an_index_that_misplaces_a_tensor_or_a_shard_is_refused(tmp_path):
    shards(tmp_path, {"b": "m-1.safetensors"})
    with pytest.raises(FormatError, match="places 'b' here"):
        read_weights(tmp_path)
    shards(tmp_path, {"b": "m-3.safetensors"})
    with pytest.raises(FormatError, match="not in the folder"):
        read_weights(tmp_path)


def test_pickled_weights_are_refused_with_advice(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(FormatError, match="convert to safetensors"):
        read_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither"):
        read_weights(tmp_path.parent)
