"""Saved caches: they come back after a restart, and nothing that was touched by somebody else is used."""

import hashlib
import json
import logging
import os
import random
import struct
import time

import numpy as np
import pytest
from fake_network import VOCABULARY, FakeNetwork, answer, fake_model

from runtime import Engine
from runtime.engine import saved
from runtime.engine.cache import Slot
from runtime.engine.saved import SavedCaches, identity
from runtime.files.errors import FormatError

posix = pytest.mark.skipif(os.name != "posix", reason="the rights of files are POSIX ones")


def slot_of(network, n, used=1, seed=0):
    slot = Slot(network.new_cache(1024))
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, n).astype(np.int32)
    slot.cache.tokens[:n] = ids
    slot.append(ids)
    slot.last_used = used
    return slot


@pytest.fixture
def network():
    return FakeNetwork()


@pytest.fixture
def store(tmp_path):
    return SavedCaches(tmp_path / "kv", tmp_path / "state" / "key", 1 << 20)


def restored(store, network, max_bytes=1 << 30):
    return store.restore(network, max_bytes)


def test_what_was_saved_comes_back_the_latest_first(store, network):
    slots = [slot_of(network, n, used=n, seed=n) for n in (40, 700, 3)]
    assert store.save(network, slots) == 3
    back = restored(store, network)
    assert [len(slot) for slot in back] == [700, 40, 3]
    for slot in back:
        wanted = next(s for s in slots if len(s) == len(slot))
        np.testing.assert_array_equal(slot.ids, wanted.ids)
        np.testing.assert_array_equal(slot.cache.tokens[: len(slot)], wanted.ids)
        assert not slot.busy


def test_saving_again_replaces_and_another_model_sees_nothing(store, network):
    store.save(network, [slot_of(network, 40), slot_of(network, 50)])
    store.save(network, [slot_of(network, 60)])
    assert [len(slot) for slot in restored(store, network)] == [60]
    other = FakeNetwork(salt=1)
    assert identity(other) != identity(network) == identity(FakeNetwork())
    assert restored(store, other) == []


def test_the_folder_is_bounded_and_the_oldest_model_goes_first(tmp_path, network):
    store = SavedCaches(tmp_path / "kv", tmp_path / "key", max_bytes=22_000)
    others = [FakeNetwork(salt=n) for n in (1, 2)]
    for n, other in enumerate(others):
        store.save(other, [slot_of(other, 500)])
        os.utime(store.folder / identity(other), (n, n))
    assert store.save(network, [slot_of(network, 500, 1), slot_of(network, 800, 2), slot_of(network, 900, 3)]) == 1
    assert [len(slot) for slot in restored(store, network)] == [900], "the one that was used last"
    assert restored(store, others[0]) == [] and len(restored(store, others[1])) == 1
    total = sum(path.stat().st_size for path in store.folder.rglob("*.kv"))
    assert total <= 22_000


def test_restoring_keeps_to_the_budget_of_the_engine(store, network):
    store.save(network, [slot_of(network, 600, 2), slot_of(network, 500, 1)])
    assert [len(slot) for slot in restored(store, network, max_bytes=700_000)] == [600]


@posix
def test_folder_and_key_are_the_users_alone(store, network, monkeypatch):
    store.save(network, [slot_of(network, 10)])
    assert store.folder.stat().st_mode & 0o077 == 0 and store.key_file.stat().st_mode & 0o077 == 0
    os.chmod(store.folder, 0o777)
    assert restored(store, network)
    assert store.folder.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        store.restore(network, 1 << 30)


@posix
def test_a_folder_that_is_a_link_elsewhere_is_refused(tmp_path, network):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        SavedCaches(tmp_path / "kv", tmp_path / "key").save(network, [slot_of(network, 10)])


def test_an_engine_goes_on_where_the_last_one_ended(store):
    prompt = np.arange(90, dtype=np.int32)
    with Engine(fake_model(), saved=store) as first:
        assert [piece.id for piece in first.submit(prompt, max_tokens=5)] == answer(prompt, 5)
    longer = [*prompt, *answer(prompt, 4), 7]
    with Engine(fake_model(), saved=store) as second:
        request = second.submit(longer, max_tokens=5)
        assert [piece.id for piece in request] == answer(longer, 5)
        assert request.timing["reused_tokens"] == 94
    with Engine(fake_model(salt=1), saved=store) as other:
        request = other.submit(longer, max_tokens=1)
        list(request)
        assert request.timing["reused_tokens"] == 0


def test_an_idle_engine_saves_drops_and_restores(store):
    prompt = np.arange(90, dtype=np.int32)
    with Engine(fake_model(), idle_minutes=0.05 / 60, saved=store) as engine:
        list(engine.submit(prompt, max_tokens=1))
        until = time.perf_counter() + 10
        while engine._store.slots:
            assert time.perf_counter() < until
            time.sleep(0.005)
        request = engine.submit(prompt, max_tokens=1)
        list(request)
        assert request.timing["reused_tokens"] == 89


def test_an_engine_works_without_a_folder_to_save_in(store, caplog):
    store.folder.parent.mkdir(exist_ok=True)
    store.folder.write_text("a file")
    with caplog.at_level(logging.WARNING):
        with Engine(fake_model(), saved=store) as engine:
            assert len(list(engine.submit([1, 2, 3], max_tokens=2))) == 2
    assert "the caches are not saved" in caplog.text


# ---- hostile files -------------------------------------------------------------------------------------------------


@pytest.fixture
def valid(store, network):
    """(bytes of a valid file, its path, read it)."""
    store.save(network, [slot_of(network, 30)])
    (path,) = store.folder.rglob("*.kv")
    key = store.key_file.read_bytes()

    def read():
        return saved.read(path, key, identity(network), network, 1 << 30)

    assert len(read()) == 30
    return path.read_bytes(), path, read


def forge(data, key=None, version=None, drop=0, more=b"", ids=None, **header):
    """The file with a changed header or body, signed as by somebody who has `key`."""
    length = struct.unpack("<I", data[12:16])[0]
    fields = json.loads(data[16 : 16 + length]) | header
    text = json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()
    body = bytearray(data[16 + length : -32])
    if ids is not None:
        body[: len(ids) * 4] = np.array(ids, "<i4").tobytes()
    body = bytes(body[: len(body) - drop]) + more
    whole = data[:8] + struct.pack("<II", version or 1, len(text)) + text + body
    return whole + hashlib.blake2b(whole, key=key or b"", digest_size=32).digest()


LIES = {
    "another_version": ({"version": 2}, "version"),
    "another_model": ({"model": "0" * 64}, "model"),
    "another_storage_type": ({"kv_type": "q8_0"}, "kv_type"),
    "no_positions": ({"positions": 0}, "positions"),
    "negative_positions": ({"positions": -1}, "positions"),
    "more_positions_than_the_model_has": ({"positions": 1 << 40}, "positions"),
    "positions_that_overflow": ({"positions": 2**63}, "positions"),
    "more_positions_than_the_file": ({"positions": 31}, "size"),
    "fewer_positions_than_the_file": ({"positions": 29}, "size"),
    "positions_as_float": ({"positions": 30.0}, "header"),
    "positions_as_truth": ({"positions": True}, "header"),
    "positions_as_text": ({"positions": "30"}, "header"),
    "another_shape": ({"layers": 2}, "shape"),
    "rows_that_overflow": ({"row_bytes": 2**62}, "shape"),
    "a_missing_field": ({"heads": ...}, "header"),
    "an_unknown_field": ({"extra": 1}, "header"),
    "cut_short": ({"drop": 1}, "size"),
    "too_long": ({"more": b"\0"}, "size"),
    "ids_outside": ({"ids": [VOCABULARY]}, "ids"),
    "negative_ids": ({"ids": [-1]}, "ids"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_even_with_the_right_key(valid, store, lie):
    data, path, read = valid
    changes, kind = LIES[lie]
    path.write_bytes(forge(data, store.key_file.read_bytes(), **changes))
    with pytest.raises(FormatError) as caught:
        read()
    assert caught.value.kind == kind


def test_a_file_signed_with_another_key_is_refused(valid):
    data, path, read = valid
    path.write_bytes(forge(data, b"another key"))
    with pytest.raises(FormatError, match="not written by this user"):
        read()


def test_a_header_that_claims_gigabytes_or_nests_is_refused(valid):
    data, path, read = valid
    for text, kind in ((b"[" * 4000, "json"), (b"{}", "header"), (b'{"positions":NaN}', "not_finite")):
        path.write_bytes(data[:12] + struct.pack("<I", len(text)) + text + data[200:])
        with pytest.raises(FormatError) as caught:
            read()
        assert caught.value.kind in (kind, "too_deep")
    path.write_bytes(data[:12] + struct.pack("<I", 2**32 - 1) + data[16:])
    with pytest.raises(FormatError, match="at most 4096"):
        read()


def test_every_changed_or_missing_byte_is_noticed(valid):
    data, path, read = valid
    random.seed(4)
    for at in {*range(40), *random.sample(range(len(data)), 150)}:
        changed = bytearray(data)
        changed[at] ^= 1 << random.randrange(8)
        for lie in (bytes(changed), data[:at]):
            path.write_bytes(lie)
            with pytest.raises(FormatError):
                read()


def test_what_cannot_be_used_is_left_out_and_named_once(store, network, caplog):
    store.save(network, [slot_of(network, 30, 2), slot_of(network, 40, 1)])
    folder = store.folder / identity(network)
    (folder / "0.kv").write_bytes(b"HEARTHKV")
    (folder / "..kv").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert [len(slot) for slot in restored(store, network)] == [40]
    assert len(caplog.messages) == 1 and "0.kv" in caplog.messages[0] and "truncated" in caplog.messages[0]


def test_a_key_of_the_wrong_length_says_what_to_do(store, network):
    store.key_file.parent.mkdir(parents=True)
    store.key_file.write_bytes(b"short")
    with pytest.raises(FormatError, match="delete the file"):
        store.save(network, [slot_of(network, 10)])
