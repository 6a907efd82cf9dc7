"""Stored keys and values and attention over them against the numpy twin: storage types, sequences of different
lengths, grouped heads, windows, soft-caps, odd head dimensions, any number of threads."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference_cache as twin

TYPES = ["f32", "f16", "q8_0"]


def cache(normal, kv_type, kv_heads, capacity, d, filled):
    """A cache of one layer (keys or values) whose first `filled` positions hold normal values, the rest junk."""
    data = np.full(twin.kv_bytes(kv_type, kv_heads, capacity, d), 0x7B, np.uint8)
    twin.kv_store(kv_type, normal(filled, kv_heads, d), data, 0)
    return data


def call(normal, kv_type, lengths, heads, kv_heads, d, **options):
    """(result, twin's result) of one call over sequences of `lengths`: (rows, start) each."""
    rows = sum(r for r, _ in lengths)
    q = normal(rows + 2, heads, d)  # the first and the last row belong to nobody
    sequences, at = [], 1
    for count, start in lengths:
        length = start + count
        keys, values = (cache(normal, kv_type, kv_heads, length + 3, d, length) for _ in range(2))
        sequences.append((at, count, start, keys, values))
        at += count
    scale = d**-0.5
    got = nk.attention_cached(q, sequences, kv_heads, kv_type, scale, **options)
    assert not got[0].any() and not got[-1].any()
    return got, twin.attention_cached(q, sequences, kv_heads, kv_type, scale, **options)


# heads, kv_heads, D: groups of 1, 2, 7 and 71, head dimensions that are no whole vectors
SHAPES = [(2, 2, 64), (4, 2, 32), (7, 1, 64), (71, 1, 32), (2, 1, 128), (3, 3, 96), (1, 1, 512)]
ODD = [(2, 2, 80), (4, 2, 40), (3, 1, 20), (2, 1, 13), (1, 1, 1)]
LENGTHS = [(1, 0), (1, 37), (33, 130), (5, 11), (1, 1100), (70, 0), (3, 600), (2, 0)]


@pytest.mark.parametrize("kv_type, shape", [(t, s) for t in TYPES for s in SHAPES + ODD * (t != "q8_0")])
def test_sequences_of_all_lengths_agree_with_the_twin(isa, kv_type, shape, normal, close):
    got, want = call(normal, kv_type, LENGTHS[:4] if shape[0] > 8 or shape[2] > 128 else LENGTHS, *shape)
    close(got, want, 4e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 1},
        {"window": 5},
        {"window": 64},
        {"window": 100, "softcap": 3.0},
        {"softcap": 0.5},
        {"causal": False},
        {"causal": False, "window": 9},
        {"causal": False, "window": 70},
        {"window": 10**9},
    ],
)
@pytest.mark.parametrize("heads, kv_heads", [(2, 2), (6, 2)])
def test_windows_soft_caps_and_both_directions(isa, options, heads, kv_heads, normal, close):
    for kv_type, d in (("f32", 24), ("f16", 64)):
        got, want = call(
            normal, kv_type, [(1, 0), (1, 300), (2, 700), (90, 0), (40, 333), (3, 5)], heads, kv_heads, d, **options
        )
        close(got, want, 5e-6)


def test_a_row_does_not_depend_on_the_rows_and_sequences_beside_it(isa, normal, close):
    keys, values = (cache(normal, "f16", 2, 200, 64, 200) for _ in range(2))
    q = normal(150, 4, 64)
    whole = nk.attention_cached(q, [(0, 150, 50, keys, values)], 2, "f16", 0.125)
    for start, rows in ((50, 1), (60, 3), (100, 20), (199, 1)):
        part = np.ascontiguousarray(q[start - 50 : start - 50 + rows])
        alone = nk.attention_cached(part, [(0, rows, start, keys, values)], 2, "f16", 0.125)
        close(alone, whole[start - 50 : start - 50 + rows], 3e-6)
        other = (rows, 1, 30, *(cache(normal, "f16", 2, 40, 64, 40) for _ in range(2)))
        both = np.concatenate([part, normal(1, 4, 64)])
        beside = nk.attention_cached(both, [(0, rows, start, keys, values), other], 2, "f16", 0.125)
        np.testing.assert_array_equal(beside[:rows], alone)


def test_it_agrees_with_the_attention_of_training(isa, normal, close):
    q, k, v = normal(1, 90, 4, 48), normal(1, 90, 2, 48), normal(1, 90, 2, 48)
    keys, values = (np.empty(nk.kv_bytes("f32", 2, 100, 48), np.uint8) for _ in range(2))
    nk.kv_store("f32", k[0], keys, 0)
    nk.kv_store("f32", v[0], values, 0)
    got = nk.attention_cached(q[0], [(0, 90, 0, keys, values)], 2, "f32", 0.2)
    close(got, nk.attention(q, k, v, 0.2)[0][0], 3e-6)


@pytest.mark.parametrize("kv_type", TYPES)
def test_stored_rows_are_the_twins_bytes(isa, kv_type, normal):
    for kv_heads, d in ((1, 32), (3, 64), (2, 96), *(() if kv_type == "q8_0" else ((2, 20), (1, 13), (5, 1)))):
        data = np.full(nk.kv_bytes(kv_type, kv_heads, 50, d), 7, np.uint8)
        assert data.nbytes == twin.kv_bytes(kv_type, kv_heads, 50, d)
        wide = normal(40, kv_heads * d + 5) * 3
        wide[3] = 0
        rows = wide[:, 2 : 2 + kv_heads * d].reshape(40, kv_heads, d)
        assert np.shares_memory(rows, wide)
        want = data.copy()
        nk.kv_store(kv_type, rows, data, 6)
        twin.kv_store(kv_type, rows, want, 6)
        np.testing.assert_array_equal(data, want)


def test_rows_that_are_no_numbers_are_stored_without_harm(isa):
    rows = np.array([np.nan, np.inf, -np.inf, 1e38] * 16, np.float32).reshape(1, 1, 64)
    for kv_type in TYPES:
        nk.kv_store(kv_type, rows, np.zeros(nk.kv_bytes(kv_type, 1, 2, 64), np.uint8), 1)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("kv_type", TYPES)
def test_turned_keys_are_the_keys_of_another_position(isa, kv_type, interleaved, normal, close):
    kv_heads, d, dim, by = 2, 96, 64, 11
    angles = by * 100.0 ** (-np.arange(dim // 2) / (dim // 2))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    data = cache(normal, kv_type, kv_heads, 30, d, 30)
    want, before = data.copy(), data.copy()
    nk.kv_rotate(kv_type, data, kv_heads, d, 4, 25, cos, sin, interleaved)
    twin.kv_rotate(kv_type, want, kv_heads, d, 4, 25, cos, sin, interleaved)
    got, want, before = (twin.decode_rows(kv_type, x.reshape(kv_heads, 30, -1)) for x in (data, want, before))
    step = {"f32": 1e-6, "f16": 1e-3, "q8_0": 1e-2}[kv_type]  # a value at a tie may be stored one step away
    close(got, want, step)
    np.testing.assert_array_equal(got[:, :4], before[:, :4])
    np.testing.assert_array_equal(got[:, 25:], before[:, 25:])
    assert np.abs(got[:, 4:25] - before[:, 4:25])[..., :dim].max() > 0.5
    if kv_type == "f32":  # the rotation of the model itself, pair by pair
        assert not interleaved or np.array_equal(got[..., dim:], before[..., dim:])
        nk.kv_rotate(kv_type, data, kv_heads, d, 4, 25, cos, -sin, interleaved)
        close(twin.decode_rows(kv_type, data.reshape(kv_heads, 30, -1)), before, 1e-6)


def test_a_turned_key_equals_one_rotated_to_the_new_position(isa, normal, close):
    d, positions = 32, np.arange(60)[:, None]
    angles = positions * 10000.0 ** (-np.arange(d // 2) / (d // 2))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    x = normal(10, 1, d)
    here, there = (nk.rope(x.copy(), cos, sin, np.arange(a, a + 10, dtype=np.int32)) for a in (3, 40))
    data = np.empty(nk.kv_bytes("f32", 1, 10, d), np.uint8)
    nk.kv_store("f32", here, data, 0)
    nk.kv_rotate("f32", data, 1, d, 0, 10, cos[37], sin[37])
    close(data.view(np.float32).reshape(10, 1, d), there, 2e-6)


def test_large_scores_neither_overflow_nor_lose_the_winner(isa, normal):
    for rows, start in ((1, 300), (80, 20)):
        keys, values = (np.empty(nk.kv_bytes("f32", 1, 400, 8), np.uint8) for _ in range(2))
        v = normal(start + rows, 1, 8)
        nk.kv_store("f32", normal(start + rows, 1, 8) * 1000, keys, 0)
        nk.kv_store("f32", v, values, 0)
        out = nk.attention_cached(normal(rows, 1, 8) * 1000, [(0, rows, start, keys, values)], 1, "f32", 1.0)
        assert np.isfinite(out).all() and np.abs(out).max() <= np.abs(v).max() * 1.0001


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    sequences, at = [], 0
    for rows, start in [(1, 1300), (150, 20), (2, 700), (9, 64)]:
        sequences.append((at, rows, start, *(cache(normal, "f16", 2, start + rows, 32, start + rows) for _ in "kv")))
        at += rows
    q, rows = normal(at, 4, 32), normal(500, 2, 32)

    def run():
        data = np.zeros(nk.kv_bytes("q8_0", 2, 500, 32), np.uint8)
        nk.kv_store("q8_0", rows, data, 0)
        angles = np.ones(8, np.float32)
        nk.kv_rotate("q8_0", data, 2, 32, 10, 490, angles, angles)
        return nk.attention_cached(q, sequences, 2, "f16", 0.2), data

    same_bits_for_any_threads(run)


def test_bad_arguments_are_refused(normal):
    q, keys = normal(4, 4, 32), np.zeros(nk.kv_bytes("f16", 2, 10, 32), np.uint8)
    good = (0, 4, 6, keys, keys)
    cases = [
        ((q, [good], 2, "f8", 0.1), "kv_type must be one of f32, f16, q8_0"),
        ((q, [good], 3, "f16", 0.1), "4 heads are no multiple of 3"),
        ((normal(4, 4, 40), [good], 2, "q8_0", 0.1), "multiple of 32, not 40: use f16"),
        ((normal(4, 1, 600), [good], 1, "f16", 0.1), "600 is outside"),
        ((q, [(0, 4, 7, keys, keys)], 2, "f16", 0.1), "do not fit 4 rows and a cache of 10"),
        ((q, [(1, 4, 6, keys, keys)], 2, "f16", 0.1), "rows 1 .. 4"),
        ((q, [(-1, 1, 6, keys, keys)], 2, "f16", 0.1), "rows -1"),
        ((q, [(0, 4, 6, keys, keys[:128])], 2, "f16", 0.1), "sequence 0: keys of"),
        ((q, [(0, 4, 6, keys[:100], keys)], 2, "f16", 0.1), "100 bytes are no whole number of positions"),
        ((q, [(0, 4, 6, keys[::2], keys)], 2, "f16", 0.1), "not C-contiguous"),
        ((q[..., ::2], [good], 2, "f16", 0.1), "contiguous"),
        ((q, [good], 2, "f16", 0.1, -1.0), "must not be negative"),
    ]
    for args, message in cases:
        with pytest.raises(ValueError, match=message):
            nk.attention_cached(*args)
    with pytest.raises(ValueError, match="overlap"):
        nk.attention_cached(q, [good], 2, "f16", 0.1, out=q)
    with pytest.raises(ValueError, match=r"positions 8 .. 11 do not fit a cache of 10"):
        nk.kv_store("f16", normal(4, 2, 32), keys, 8)
    with pytest.raises(ValueError, match="read-only"):
        frozen = keys.copy()
        frozen.flags.writeable = False
        nk.kv_store("f16", normal(4, 2, 32), frozen, 0)
    with pytest.raises(ValueError, match="do not lie in a cache of 10"):
        nk.kv_rotate("f16", keys, 2, 32, 5, 11, np.ones(4, np.float32), np.ones(4, np.float32))
    with pytest.raises(ValueError, match="2 n <= 32"):
        nk.kv_rotate("f16", keys, 2, 32, 5, 6, np.ones(17, np.float32), np.ones(17, np.float32))
    with pytest.raises(ValueError, match="no sensible size"):
        nk.kv_bytes("f32", 1, 0, 4)
