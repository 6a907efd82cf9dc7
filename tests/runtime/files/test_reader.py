"""The bounded reader, strict JSON and atomic writing."""

import os

import pytest

from runtime.files.atomic import atomic_write, atomic_write_text
from runtime.files.errors import FormatError
from runtime.files.reader import BoundedReader, is_plain_name, parse_json, read_bytes, read_json


def test_take_gives_exactly_what_was_asked_or_an_error_with_the_offset(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"\x01\0\0\0rest")
    with BoundedReader(path) as reader:
        assert reader.u32() == 1 and reader.take(2) == b"re" and reader.remaining == 2
        with pytest.raises(FormatError) as caught:
            reader.take(3, "name")
        assert (caught.value.kind, caught.value.offset) == ("truncated", 6)
        with pytest.raises(FormatError) as caught:
            reader.take(-1)
        assert caught.value.kind == "negative_size"
        with pytest.raises(FormatError):
            reader.take(1 << 62)
        assert reader.take(2) == b"st" and reader.take(0) == b""


def test_a_file_cut_short_while_open_gives_an_error(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with BoundedReader(path) as reader:
        os.truncate(path, 10)
        with pytest.raises(FormatError, match="shorter"):
            reader.take(100)
        with pytest.raises(FormatError, match="changed its size"):
            reader.map()


def test_folders_and_pipes_are_no_files(tmp_path):
    with pytest.raises(FormatError, match="regular file"):
        BoundedReader(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FormatError, match="regular file"):
            BoundedReader(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        BoundedReader(tmp_path / "missing")


def test_reading_is_bounded(tmp_path):
    (tmp_path / "big").write_bytes(b" " * 1000 + b"1")
    assert read_json(tmp_path / "big") == 1
    with pytest.raises(FormatError) as caught:
        read_bytes(tmp_path / "big", 1000)
    assert caught.value.kind == "too_large"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b"{'a': 1}", "json"),
        (b'{"a": 01}', "json"),
        (b"[1,]", "json"),
        ("[\u0661]".encode(), "json"),
        (b"\xef\xbb\xbf{}", "json"),
        ("{}".encode("utf-16"), "utf8"),
        (b"{} x", "trailing_data"),
        (b"NaN", "not_finite"),
        (b"[-Infinity]", "not_finite"),
        (b"1e400", "not_finite"),
        (b'{"a": {"b": 1, "b": 2}}', "duplicate_key"),
        (b"[" * 9 + b"]" * 9, "too_deep"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "too_deep"),
        (b"1" * 5000, "json"),
    ],
)
def test_strict_json_refuses(text, kind):
    with pytest.raises(FormatError) as caught:
        parse_json(text, "x.json")
    assert caught.value.kind == kind


def test_strict_json_accepts_what_is_json():
    assert parse_json(b' {"a": [1, -2.5e3, true, null, "\\u00e4"]}\n', "x") == {"a": [1, -2500.0, True, None, "ä"]}
    assert parse_json(b"[" * 8 + b"]" * 8, "x") is not None
    assert parse_json(b"18446744073709551615", "x") == 2**64 - 1


def test_error_offsets_count_bytes_from_the_start_of_the_file():
    with pytest.raises(FormatError) as caught:
        parse_json('["ää" 1]'.encode(), "x", base=100)
    assert caught.value.offset == 108


@pytest.mark.parametrize("name", ["..", "a/b", "/x", "a\\b", ".x", "", "c:d", "a\0", 3, None, "x" * 300])
def test_names_that_could_leave_the_folder_are_not_plain(name):
    assert not is_plain_name(name)
    assert is_plain_name("model-00001-of-00002.safetensors")


def test_atomic_write_replaces_only_when_complete(tmp_path):
    path = tmp_path / "sub" / "f"
    atomic_write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["f"]
