"""Packed weights on disk: found again, bounded, shared; a file that lies is made again and never believed."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.packed import PackedWeights, identity
from runtime.files.tensors import open_weights

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="packed weights are kept where a mapped file can be replaced"
)
SIZES = {"a": 100_000, "b": 64, "c.d": 1, "e": 5000}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "m.gguf"
    write_gguf(path, {"n": 1}, [GgufTensor("w", "F32", (4,), lambda: [np.arange(4, dtype=np.float32)])])
    return path


@pytest.fixture
def cache(tmp_path, source):
    """cache(...) -> PackedWeights of the source in a folder of the test; `made` counts the matrices that were made."""

    def build(layout="test", room=200_000, **options):
        options = {"folder": tmp_path / "packed", "key_file": tmp_path / "key"} | options
        return PackedWeights(open_weights(source), layout, room, **options)

    return build


def fill_all(packed, sizes=SIZES, value=0):
    """Asks for every matrix; (views, how many had to be made)."""
    made = []

    def fill(out, name=""):
        out[:] = (np.arange(len(out)) * 7 + len(name) + value).astype(np.uint8)
        made.append(name)

    views = {name: packed.matrix(name, size, lambda out, n=name: fill(out, n)) for name, size in sizes.items()}
    packed.finish(wait=True)
    return views, len(made)


def files(tmp_path):
    return sorted((tmp_path / "packed").iterdir())


def test_what_was_made_once_is_found_again(cache, tmp_path):
    first, made = fill_all(cache())
    assert made == 4
    second, made = fill_all(cache())
    assert made == 0
    for name, size in SIZES.items():
        assert second[name].size == size and not second[name].flags.writeable and not first[name].flags.writeable
        assert second[name].ctypes.data % 64 == 0
        np.testing.assert_array_equal(first[name], second[name])
    (file,) = files(tmp_path)
    assert file.stat().st_size < sum(SIZES.values()) + 10_000  # nothing of the room that was reserved is left
    assert (tmp_path / "packed").stat().st_mode & 0o077 == 0 and (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_the_views_stay_valid_when_the_file_is_gone(cache, tmp_path):
    fill_all(cache())
    views, _ = fill_all(cache())
    files(tmp_path)[0].unlink()
    assert views["a"][3] == 22


def test_another_layout_or_another_source_is_another_file(cache, source, tmp_path):
    fill_all(cache())
    assert fill_all(cache(layout="other"))[1] == 4
    os.utime(source, (1, 1))
    assert fill_all(cache())[1] == 4
    assert len(files(tmp_path)) == 3
    before = identity(open_weights(source), "x")
    write_gguf(source, {"n": 2}, [GgufTensor("w", "F32", (4,), lambda: [np.arange(4, dtype=np.float32)])])
    os.utime(source, (1, 1))
    assert identity(open_weights(source), "x") != before


def test_a_matrix_of_another_size_is_made_and_not_read(cache):
    fill_all(cache())
    packed = cache()
    assert packed.matrix("a", 50, lambda out: out.fill(9)).tolist() == [9] * 50


LIES = {
    "a byte of the header's text": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    "a byte of the checksum": lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
    "the magic": lambda data: b"X" + data[1:],
    "the version": lambda data: data[:8] + b"\2" + data[9:],
    "cut short": lambda data: data[:-1],
    "cut to nothing": lambda data: b"",
    "cut in the start": lambda data: data[:20],
    "longer": lambda data: data + b"x",
    "a header length beyond the file": lambda data: data[:12] + b"\xff\xff\xff\x7f" + data[16:],
    "a header offset near 2^64": lambda data: data[:16] + b"\xff" * 8 + data[24:],
    "the first byte of a matrix": lambda data: data[:4096] + bytes([data[4096] ^ 1]) + data[4097:],
    "the last byte of a matrix": lambda data: data[: 4096 + 99_999] + b"\0" + data[4096 + 100_000 :],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_made_again(cache, tmp_path, lie, caplog):
    fill_all(cache())
    (file,) = files(tmp_path)
    file.write_bytes(LIES[lie](file.read_bytes()))
    views, made = fill_all(cache())
    assert made == 4 and views["a"][1] == 8
    assert "made again" in caplog.text and file.name[:20] in caplog.text
    assert fill_all(cache())[1] == 0


def test_every_flipped_byte_of_head_and_header_is_noticed(cache, tmp_path):
    fill_all(cache())
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    places = [*range(56), *range(len(whole) - 150, len(whole), 7)]
    for at in places:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        assert not cache().found
    file.write_bytes(whole)
    assert cache().found


def test_a_file_signed_with_another_key_is_not_believed(cache, tmp_path):
    fill_all(cache())
    assert fill_all(cache(key_file=tmp_path / "other"))[1] == 4


def test_the_folder_is_bounded_and_the_oldest_goes(cache, tmp_path):
    bound = 3_000_000  # a file is reserved with room for alignment, about 1.25 MB
    for k, layout in enumerate(["one", "two", "three"]):
        fill_all(cache(layout=layout, max_bytes=bound, room=1_700_000), {"m": 700_000}, value=k)
        for file in files(tmp_path):
            os.utime(file, ns=(time.time_ns() - 10**12 * (3 - k),) * 2)
    assert sum(file.stat().st_size for file in files(tmp_path)) <= bound
    assert cache(layout="three", max_bytes=bound).found and not cache(layout="one", max_bytes=bound).found


def test_what_is_too_large_for_the_cache_is_made_in_memory(cache, tmp_path):
    views, made = fill_all(cache(max_bytes=1000))
    assert made == 4 and views["a"][1] == 8 and files(tmp_path) == []


def test_a_full_disk_costs_the_cache_and_not_the_load(cache, tmp_path, monkeypatch, caplog):
    def full(fd, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert fill_all(cache())[1] == 4 and files(tmp_path) == []
    assert "not kept" in caplog.text


def test_a_folder_of_somebody_else_is_not_used(cache, tmp_path, caplog):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "packed").symlink_to(tmp_path / "elsewhere")
    assert fill_all(cache())[1] == 4
    assert list((tmp_path / "elsewhere").iterdir()) == [] and "not kept" in caplog.text


def test_litter_of_a_killed_process_is_removed(cache, tmp_path):
    fill_all(cache())
    litter = tmp_path / "packed" / ".making-x.tmp"
    litter.write_bytes(b"x")
    fresh = tmp_path / "packed" / ".making-y.tmp"
    fresh.write_bytes(b"x")
    os.utime(litter, (1, 1))
    fill_all(cache(layout="other"))
    assert not litter.exists() and fresh.exists()


def test_without_a_source_nothing_is_kept(tmp_path):
    packed = PackedWeights(None, "test", 1 << 20, folder=tmp_path / "packed", key_file=tmp_path / "key")
    assert packed.matrix("a", 3, lambda out: out.fill(1)).tolist() == [1, 1, 1]
    packed.finish(wait=True)
    assert not (tmp_path / "packed").exists()


SHARING = """
import sys, pathlib, numpy as np
from runtime.files.packed import PackedWeights
from runtime.files.tensors import open_weights
folder = pathlib.Path(sys.argv[1])
packed = PackedWeights(open_weights(folder / "m.gguf"), "big", 64 << 20, folder / "packed", folder / "key")
view = packed.matrix("m", 64 << 20, lambda out: out.fill(3))
packed.finish(wait=True)
total = int(view[:: 4096].sum())
rows = open("/proc/self/smaps_rollup").read().split()
print(packed.found, total, int(rows[rows.index("Anonymous:") + 1]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="memory is counted as on Linux")
def test_processes_share_one_copy_that_is_not_their_own_memory(source, tmp_path):
    results = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SHARING, str(tmp_path)], capture_output=True, text=True, check=True
        )
        found, total, anonymous = done.stdout.split()
        results.append(found)
        assert int(total) == 3 * (64 << 20) // 4096
        assert int(anonymous) < 56 << 10  # KiB: the 64 MiB are the file's pages, in the process that makes it too
    assert results == ["False", "True"]
