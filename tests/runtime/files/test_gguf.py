"""GGUF: lies are refused quickly and by name, honest files round-trip, values keep their types."""

import struct
import time
import tracemalloc

import gguf_maker as maker
import numpy as np
import pytest

from native_kernels import reference_quant
from native_kernels.qtypes import QTYPES
from runtime.files.errors import FormatError
from runtime.files.gguf import OTHER_TYPES, REMOVED_TYPES, read_gguf
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.tensors import open_weights


def with_entry(raw: bytes, **more) -> bytes:
    return maker.gguf([*maker.entries(), raw], maker.tensors(), maker.DATA, **more)


def with_tensor(index, name, dims, number, offset, data=maker.DATA, **more) -> bytes:
    tensors = maker.tensors()
    tensors[index] = maker.tensor(name, dims, number, offset)
    return maker.gguf(maker.entries(), tensors, data, **more)


def raw_entry(key, number, payload=b"") -> bytes:
    return maker.string(key) + struct.pack("<I", number) + payload


def array(key, number, count, payload=b"") -> bytes:
    return raw_entry(key, 9, struct.pack("<IQ", number, count) + payload)


def changed(**fields) -> bytes:
    return maker.gguf(maker.entries(), maker.tensors(), maker.DATA, **fields)


HUGE = 1 << 63
ALIGN = "general.alignment"
LIES = {
    "empty file": (b"", "truncated"),
    "23 bytes": (maker.honest()[:23], "truncated"),
    "another magic": (changed(magic=b"GGML"), "magic"),
    "safetensors under this name": (struct.pack("<Q", 40) + b'{"a":1}' + b" " * 33, "magic"),
    "version 0": (changed(version=0), "version"),
    "version 1": (changed(version=1), "version"),
    "version of the future": (changed(version=4), "version"),
    "big-endian": (changed(version=3 << 24), "endian"),
    "2^63 tensors": (changed(n_tensors=HUGE), "too_many_tensors"),
    "more tensors than bytes": (changed(n_tensors=1000), "too_many_tensors"),
    "one tensor too many": (changed(n_tensors=4), None),
    "one tensor too few": (changed(n_tensors=2), "coverage"),
    "2^64 - 1 entries": (changed(n_entries=(1 << 64) - 1), "too_many_entries"),
    "more entries than bytes": (changed(n_entries=1000), "too_many_entries"),
    "one entry too few": (changed(n_entries=5), None),
    "key of 2^62 bytes": (with_entry(struct.pack("<Q", 1 << 62) + b"x" * 20), "string_too_long"),
    "key longer than the file": (with_entry(struct.pack("<Q", 60_000) + b"x" * 20), "truncated"),
    "empty key": (with_entry(maker.entry("", "u32", 1)), "key"),
    "key that is no UTF-8": (with_entry(maker.entry(b"\xff\xfe", "u32", 1)), "utf8"),
    "duplicate key": (with_entry(maker.entry("llama.block_count", "u32", 3)), "duplicate_key"),
    "unknown value type": (with_entry(raw_entry("x", 13, b"\0" * 8)), "value_type"),
    "value type 2^32 - 1": (with_entry(raw_entry("x", 0xFFFFFFFF, b"\0" * 8)), "value_type"),
    "bool of 2": (with_entry(raw_entry("x", 7, b"\2")), "bool"),
    "bool array with 3": (with_entry(array("x", 7, 3, b"\0\1\3")), "bool"),
    "string of 2^64 - 1": (with_entry(raw_entry("x", 8, b"\xff" * 8)), "string_too_long"),
    "string of 17 MB": (with_entry(raw_entry("x", 8, struct.pack("<Q", 17 << 20))), "string_too_long"),
    "string that is no UTF-8": (with_entry(maker.entry("x", "string", b"\xc3")), "utf8"),
    "array of arrays": (with_entry(array("x", 9, 1, struct.pack("<IQ", 4, 0))), "nested"),
    "array of an unknown type": (with_entry(array("x", 77, 1, b"\0" * 8)), "value_type"),
    "array of 2^63": (with_entry(array("x", 4, HUGE)), "array_too_long"),
    "array of 2^63 in a file of 57 bytes": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + array("x", 4, HUGE),
        "array_too_long",
    ),
    "array of 2^61 u64 (wraps to 0)": (with_entry(array("x", 10, 1 << 61)), "array_too_long"),
    "array of 2^24 u64 in a small file": (with_entry(array("x", 10, 1 << 24)), "truncated"),
    "array of 2^24 strings in a small file": (with_entry(array("x", 8, 1 << 24)), "truncated"),
    "array of strings, one too long": (
        with_entry(array("x", 8, 2, maker.string("a") + struct.pack("<Q", 1 << 60))),
        "string_too_long",
    ),
    "array of strings, one beyond the end": (
        with_entry(array("x", 8, 2, maker.string("a") + struct.pack("<Q", 1 << 20))),
        "truncated",
    ),
    "alignment 0": (with_entry(maker.entry(ALIGN, "u32", 0)), "alignment"),
    "alignment 24": (with_entry(maker.entry(ALIGN, "u32", 24)), "alignment"),
    "alignment 2^31": (with_entry(maker.entry(ALIGN, "u32", 1 << 31)), "alignment"),
    "alignment 4": (with_entry(maker.entry(ALIGN, "u32", 4)), "alignment"),
    "alignment as u64": (with_entry(maker.entry(ALIGN, "u64", 32)), "alignment"),
    "alignment as string": (with_entry(maker.entry(ALIGN, "string", "32")), "alignment"),
    "alignment that the offsets ignore": (with_entry(maker.entry(ALIGN, "u32", 64), alignment=64), "alignment"),
    "tensor without a name": (with_tensor(1, "", [64], 0, 224), "name"),
    "tensor name of 200 bytes": (with_tensor(1, "n" * 200, [64], 0, 224), "string_too_long"),
    "duplicate tensor": (with_tensor(1, "token_embd.weight", [64], 0, 224), "duplicate_tensor"),
    "no dimensions": (with_tensor(1, "n", [], 0, 224), "shape"),
    "five dimensions": (with_tensor(1, "n", [64, 1, 1, 1, 1], 0, 224), "shape"),
    "2^32 - 1 dimensions": (
        maker.gguf([], [maker.string("n") + struct.pack("<I", 0xFFFFFFFF) + b"\0" * 60], b""),
        "shape",
    ),
    "dimension 0": (with_tensor(1, "n", [0], 0, 224), "shape"),
    "dimension 0 among others": (with_tensor(1, "n", [64, 0, 1 << 60], 0, 224), "shape"),
    "negative dimension": (with_tensor(1, "n", [(1 << 64) - 64], 0, 224), "shape"),
    "product beyond 2^64": (with_tensor(1, "n", [1 << 31, 1 << 31, 1 << 31, 2], 0, 224), "shape"),
    "product wraps to the right size": (with_tensor(1, "n", [1 << 31, 1 << 31, 4, 16], 0, 224), "shape"),
    "bytes wrap": (with_tensor(1, "n", [1 << 30, 1 << 18], 28, 224), "truncated"),
    "exabytes": (with_tensor(1, "n", [1 << 24, 1 << 24], 0, 224), "truncated"),
    "unknown storage type": (with_tensor(1, "n", [64], 43, 224), "dtype"),
    "storage type 2^31": (with_tensor(1, "n", [64], 1 << 31, 224), "dtype"),
    "removed storage type": (with_tensor(1, "n", [64], 31, 224), "dtype"),
    "row that is no multiple of the block": (with_tensor(0, "n", [63, 3], 8, 0), "block"),
    "row of 32 in blocks of 256": (with_tensor(0, "n", [32, 3], 12, 0), "block"),
    "offset that is not aligned": (with_tensor(1, "n", [64], 0, 225), "alignment"),
    "offset before the last tensor's end": (with_tensor(1, "n", [64], 0, 192), "overlap"),
    "two tensors at one place": (with_tensor(1, "n", [64], 0, 0), "overlap"),
    "offset that leaves a hole": (with_tensor(1, "n", [64], 0, 256), "gap"),
    "offset near 2^64": (with_tensor(2, "n", [32, 2], 1, (1 << 64) - 32), "gap"),
    "data cut off": (maker.honest()[:-1], "truncated"),
    "no data": (maker.gguf(maker.entries(), maker.tensors(), b""), "truncated"),
    "bytes after the data": (maker.honest() + b"PK\3\4" * 20, "coverage"),
    "bytes after an empty file": (maker.gguf([], [], b"x" * 100), "coverage"),
}


def test_the_file_that_the_lies_change_is_honest(tmp_path):
    path = tmp_path / "ok.gguf"
    path.write_bytes(maker.honest())
    file = read_gguf(path)
    assert file.names() == ["token_embd.weight", "output_norm.weight", "blk.0.ffn_up.weight"]
    assert file.shape("token_embd.weight") == (3, 64) and file.type("token_embd.weight") == "Q8_0"


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused_quickly_and_by_name(lie, tmp_path):
    data, kind = LIES[lie]
    path = tmp_path / "lie.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(FormatError) as caught:
            read_gguf(path)
        assert time.perf_counter() - start < 1.0
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert kind is None or caught.value.kind == kind
    assert str(path) in str(caught.value) and len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_every_truncation_is_refused(tmp_path):
    whole = maker.honest()
    path = tmp_path / "cut.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            read_gguf(path)


def test_padding_at_the_end_may_be_missing_or_there(tmp_path):
    path = tmp_path / "p.gguf"
    one = [maker.tensor("n", [3], 0, 0)]
    for extra in range(32 - 12 + 1):
        path.write_bytes(maker.gguf([], one, b"\0" * (12 + extra)))
        assert read_gguf(path).span("n")[1] == 12


def test_values_keep_their_types(tmp_path):
    path = tmp_path / "v.gguf"
    values = {
        "text": "é\n",
        "flag": True,
        "small": 7,
        "negative": -5,
        "big": (1 << 64) - 1,
        "real": 0.5,
        "u8": np.uint8(200),
        "i16": np.int16(-3),
        "f64": np.float64(1e300),
        "strings": ["a", "", "深"],
        "none": [],
        "i32s": np.array([1, -2], np.int32),
        "f32s": np.array([0.5, np.inf], np.float32),
        "flags": np.array([True, False]),
    }
    write_gguf(path, values, [])
    read = read_gguf(path).metadata
    assert list(read) == list(values) and len(read) == len(values)
    kinds = [read.type(key) for key in values]
    assert kinds == ["string", "bool", "u32", "i64", "u64", "f32", "u8", "i16", "f64", "array[string]", "array[string]",
                     "array[i32]", "array[f32]", "array[bool]"]  # fmt: skip
    for key, value in values.items():
        np.testing.assert_array_equal(read[key], value)
    assert not read["i32s"].flags.writeable
    assert read.string_bytes("strings") == [b"a", b"", "深".encode()]


def test_getters_demand_the_type_that_a_caller_needs(tmp_path):
    path = tmp_path / "g.gguf"
    write_gguf(path, {"n": 7, "x": 0.5, "s": "t", "b": True, "a": np.zeros(3, np.int8), "bad": float("nan")}, [])
    read = read_gguf(path).metadata
    assert read.integer("n") == 7 and read.number("x") == 0.5 and read.text("s") == "t" and read.boolean("b") is True
    assert read.integer("absent", 3) == 3 and read.text("absent", "d") == "d" and read.boolean("absent", False) is False
    refusals = [
        (read.integer, "x"), (read.number, "n"), (read.text, "n"), (read.boolean, "n"), (read.integer, "b"),
        (read.strings, "a"), (read.numbers, "a"), (read.integers, "s"), (read.integer, "absent"), (read.number, "bad"),
        (read.string_bytes, "absent"), (read.string_bytes, "a"),
    ]  # fmt: skip
    for getter, key in refusals:
        with pytest.raises(FormatError) as caught:
            getter(key)
        assert caught.value.kind == "metadata" and key in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(FormatError, match="within"):
        read.integer("n", high=6)


def test_strings_that_are_no_utf8_are_refused_when_asked_for_and_given_as_bytes(tmp_path):
    path = tmp_path / "u.gguf"
    path.write_bytes(maker.gguf([maker.entry("t", ["string"], [b"ok", b"\xff"])], [], b""))
    read = read_gguf(path).metadata
    assert read.string_bytes("t") == [b"ok", b"\xff"]
    with pytest.raises(FormatError) as caught:
        read.strings("t")
    assert caught.value.kind == "utf8" and "'t'" in str(caught.value)


def make_tensors(rng):
    for name, kind in QTYPES.items():
        blocks = rng.integers(0, 256, (6, kind.size), dtype=np.uint8)
        yield GgufTensor(f"t.{name}", name, (3, 2 * kind.values), lambda b=blocks: [b[:2], b[2:]]), blocks


def test_every_type_round_trips_and_dequantises(tmp_path):
    made = list(make_tensors(np.random.default_rng(0)))
    seen = []
    write_gguf(tmp_path / "t.gguf", {"a": 1}, [t for t, _ in made], lambda done, total: seen.append((done, total)))
    weights = open_weights(tmp_path / "t.gguf")
    assert weights.names() == [t.name for t, _ in made] and weights.metadata["a"] == 1
    for wanted, blocks in made:
        stored = weights.tensor(wanted.name)
        assert stored.shape == wanted.shape and stored.type == wanted.type and not stored.data.flags.writeable
        np.testing.assert_array_equal(stored.data, blocks.reshape(-1))
        expected = reference_quant.dequantize(wanted.type, blocks, *wanted.shape)
        np.testing.assert_array_equal(weights.float32(wanted.name).view(np.uint32), expected.view(np.uint32))
        weights.release(wanted.name)
        np.testing.assert_array_equal(stored.data, blocks.reshape(-1))  # released pages come back
    assert seen == sorted(seen) and seen[-1][0] <= seen[-1][1]


@pytest.mark.parametrize("number", sorted(OTHER_TYPES))
def test_types_that_are_not_supported_are_named(number, tmp_path):
    name, values, size = OTHER_TYPES[number]
    path = tmp_path / "o.gguf"
    path.write_bytes(maker.gguf([], [maker.tensor("w", [values, 2], number, 0)], bytes(2 * size)))
    weights = open_weights(path)
    assert weights.type("w") == name and weights.shape("w") == (2, values)
    if name == "F64":
        assert weights.float32("w").tolist() == [[0.0], [0.0]]
        return
    with pytest.raises(FormatError, match=f"stored as {name}, which is not supported; supported are F32") as caught:
        weights.tensor("w")
    assert caught.value.kind == "unsupported_type"


def test_removed_types_are_named(tmp_path):
    path = tmp_path / "r.gguf"
    for number, name in REMOVED_TYPES.items():
        path.write_bytes(maker.gguf([], [maker.tensor("w", [256], number, 0)], bytes(1000)))
        with pytest.raises(FormatError, match=f"removed type {name}"):
            read_gguf(path)


def test_writing_refuses_what_the_format_cannot_hold_and_leaves_nothing(tmp_path):
    path = tmp_path / "w.gguf"
    good = GgufTensor("a", "F32", (2,), lambda: [np.zeros(2, np.float32)])
    cases = [
        ({"k": {}}, [good]),
        ({"k": 1j}, [good]),
        ({"": 1}, [good]),
        ({}, [good, good]),
        ({}, [GgufTensor("a" * 64, "F32", (2,), good.data)]),
        ({}, [GgufTensor("a", "F32", (3,), good.data)]),
        ({}, [GgufTensor("a", "F32", (), good.data)]),
        ({}, [GgufTensor("a", "Q8_0", (2, 33), good.data)]),
    ]
    for metadata, tensors in cases:
        with pytest.raises(ValueError):
            write_gguf(path, metadata, tensors)
    assert list(tmp_path.iterdir()) == []


def split(folder, count=3, numbers=None, names="abc", stem="m"):
    for k in range(count):
        number = k if numbers is None else numbers[k]
        data = {"split.no": np.uint16(number), "split.count": np.uint16(count)}
        data["split.tensors.count"] = np.int32(3)
        values = np.full(4, k, np.float32)
        part = [GgufTensor(names[k], "F32", (4,), lambda v=values: [v])]
        write_gguf(folder / f"{stem}-{k + 1:05}-of-{count:05}.gguf", data, part)
    return folder / f"{stem}-00001-of-{count:05}.gguf"


def test_a_split_model_acts_as_one_file(tmp_path):
    path = split(tmp_path)
    for start in (path, path.with_name("m-00003-of-00003.gguf")):
        weights = open_weights(start)
        assert weights.names() == ["a", "b", "c"] and weights.float32("c").tolist() == [2.0] * 4


def test_a_split_model_that_lies_is_refused(tmp_path):
    def kind(path):
        with pytest.raises(FormatError) as caught:
            open_weights(path)
        return caught.value.kind

    (tmp_path / "a").mkdir()
    assert kind(split(tmp_path / "a", numbers=[0, 0, 2])) == "split"
    assert kind(split(tmp_path / "a", names="aba")) == "duplicate_tensor"
    path = split(tmp_path / "a")
    path.with_name("m-00002-of-00003.gguf").unlink()
    assert kind(path) == "missing_shard"
    assert kind(path.rename(path.with_name("other.gguf"))) == "split"
    assert kind(split(tmp_path / "a", count=2)) == "split"  # says that there are three tensors


@pytest.mark.peer
def test_the_reference_package_reads_ours_and_we_read_its(tmp_path):
    peer = pytest.importorskip("gguf")
    made = list(make_tensors(np.random.default_rng(1)))
    write_gguf(tmp_path / "ours.gguf", {"general.architecture": "llama", "k": [" x"]}, [t for t, _ in made])
    theirs = {tensor.name: tensor for tensor in peer.GGUFReader(tmp_path / "ours.gguf").tensors}
    for wanted, blocks in made:
        np.testing.assert_array_equal(np.asarray(theirs[wanted.name].data).reshape(-1).view(np.uint8), blocks.ravel())
    writer = peer.GGUFWriter(tmp_path / "theirs.gguf", "llama")
    writer.add_array("list", [1, 2, 3])
    writer.add_array("texts", ["a", "bc"])
    writer.add_tensor("w", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("h", np.arange(6, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights = open_weights(tmp_path / "theirs.gguf")
    assert weights.metadata.text("general.architecture") == "llama" and weights.metadata.strings("texts") == ["a", "bc"]
    np.testing.assert_array_equal(weights.float32("w"), np.arange(12, dtype=np.float32).reshape(3, 4))
    np.testing.assert_array_equal(weights.float32("h"), np.arange(6, dtype=np.float32))


@pytest.mark.shared
def test_the_conformance_model_is_the_same_in_every_type(shared_data):
    folder = shared_data / "conformance" / "stories260K"
    exact = open_weights(folder / "stories260K.f32.gguf")
    for name, error in (("Q8_0", 0.01), ("Q4_0", 0.15), ("IQ4_NL", 0.15)):
        weights = open_weights(folder / f"stories260K.{name}.gguf")
        assert set(weights.names()) == set(exact.names())
        assert max(np.abs(exact.float32(n) - weights.float32(n)).max() for n in weights) < error
