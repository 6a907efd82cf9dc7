"""Rotary positions against the numpy twin; rotations undo each other and keep lengths."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference


def tables(max_pos, half):
    angles = np.arange(max_pos)[:, None] * 10000.0 ** (-np.arange(half)[None, :] / half)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


@pytest.mark.parametrize("rows, H, D", [(1, 1, 2), (5, 3, 8), (17, 2, 22), (33, 4, 64), (3, 1, 96), (2, 2, 256)])
def test_agrees_with_the_twin_both_ways(isa, rows, H, D, normal, rng, close):
    cos, sin = tables(100, D // 2)
    positions = rng.integers(0, 100, rows).astype(np.int32)
    for inverse in (False, True):
        x = normal(rows, H, D)
        expected = reference.rope(x.copy(), cos, sin, positions, inverse)
        assert nk.rope(x, cos, sin, positions, inverse) is x
        close(x, expected)


def test_the_inverse_rotates_back_and_lengths_stay(isa, normal, close):
    cos, sin = tables(64, 16)
    positions = np.arange(40, dtype=np.int32)
    x = normal(2, 20, 3, 32)
    before = x.copy()
    nk.rope(x, cos, sin, positions)
    assert np.abs(x - before).max() > 0.1
    close((x**2).sum(-1), (before**2).sum(-1), 1e-5)
    nk.rope(x, cos, sin, positions, inverse=True)
    close(x, before, 1e-5)


def test_a_slice_of_a_fused_buffer_is_rotated_in_place_and_its_neighbours_stay(isa, normal, close):
    cos, sin = tables(16, 4)
    fused = normal(2, 5, 40)  # q: 3 heads of 8, then 16 columns of others
    before = fused.copy()
    positions = np.tile(np.arange(5, dtype=np.int32), 2)
    view = fused[:, :, :24].reshape(2, 5, 3, 8)
    assert view.base is not None
    expected = reference.rope(np.ascontiguousarray(view), cos, sin, positions)
    nk.rope(view, cos, sin, positions)
    close(fused[:, :, :24].reshape(2, 5, 3, 8), expected)
    np.testing.assert_array_equal(fused[:, :, 24:], before[:, :, 24:])


def test_the_product_of_two_rotated_vectors_depends_on_their_distance_only(isa, normal):
    cos, sin = tables(64, 8)
    q, k = normal(1, 1, 16), normal(1, 1, 16)

    def product(i, j):
        a = nk.rope(q.copy(), cos, sin, np.array([i], np.int32))
        b = nk.rope(k.copy(), cos, sin, np.array([j], np.int32))
        return float((a * b).sum())

    assert product(3, 7) == pytest.approx(product(43, 47), abs=1e-4)


def test_bad_arguments_are_refused(normal):
    cos, sin = tables(10, 4)
    positions = np.arange(3, dtype=np.int32)
    with pytest.raises(ValueError, match=r"positions: values 0 .. 10 are outside 0 .. 9"):
        nk.rope(normal(3, 2, 8), cos, sin, np.array([0, 1, 10], np.int32))
    with pytest.raises(ValueError, match="positions"):
        nk.rope(normal(3, 2, 8), cos, sin, np.array([0, -1, 1], np.int32))
    with pytest.raises(ValueError, match=r"cos: shape \(10, 4\), expected \(max_pos, 5\)"):
        nk.rope(normal(3, 2, 10), cos, sin, positions)
    with pytest.raises(ValueError, match="D even"):
        nk.rope(normal(3, 2, 7), cos, sin, positions)
    with pytest.raises(ValueError, match="one for each of the 4 rows"):
        nk.rope(normal(4, 2, 8), cos, sin, positions)
    with pytest.raises(ValueError, match="contiguous"):
        nk.rope(normal(3, 8, 2).transpose(0, 2, 1), cos, sin, positions)
    with pytest.raises(ValueError, match="constant distance"):
        nk.rope(normal(2, 4, 2, 8)[:, :2], cos, sin, np.zeros(4, np.int32))
    with pytest.raises(TypeError, match="int64"):
        nk.rope(normal(3, 2, 8), cos, sin, np.arange(3))
