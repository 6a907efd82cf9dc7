"""Embedding lookup and its gradient against the numpy twin."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference


@pytest.mark.parametrize(
    "V, D, shape", [(1, 1, (1,)), (10, 5, (3, 4)), (50, 33, (200,)), (300, 256, (2, 70)), (9, 64, ())]
)
def test_lookup_and_gradient_agree_with_the_twin(isa, V, D, shape, normal, rng, close):
    table, ids = normal(V, D), np.asarray(rng.integers(0, V, shape), np.int32)
    out = nk.embedding(table, ids)
    np.testing.assert_array_equal(out, reference.embedding(table, ids))
    dout, dtable = normal(*shape, D), normal(V, D)
    expected = reference.embedding_backward(dout, ids, dtable.astype(np.float64))
    assert nk.embedding_backward(dout, ids, dtable) is dtable
    close(dtable, expected, 5e-6)


def test_threads_do_not_change_a_bit_when_ids_repeat(isa, normal, rng, same_bits_for_any_threads):
    ids, dout = rng.integers(0, 5, 500).astype(np.int32), normal(500, 100)
    same_bits_for_any_threads(lambda: (nk.embedding_backward(dout, ids, np.zeros((5, 100), np.float32)),))


def test_ids_outside_the_table_are_refused(normal):
    table = normal(10, 4)
    for bad in (10, -1, 2**31 - 1, -(2**31)):
        ids = np.array([0, bad], np.int32)
        with pytest.raises(ValueError, match=r"ids: values .* are outside 0 .. 9"):
            nk.embedding(table, ids)
        with pytest.raises(ValueError, match="ids"):
            nk.embedding_backward(normal(2, 4), ids, table)
    with pytest.raises(ValueError, match=r"dout: shape \(2, 5\), expected \(2, 4\)"):
        nk.embedding_backward(normal(2, 5), np.zeros(2, np.int32), table)
    with pytest.raises(ValueError, match="ids"):
        nk.embedding(np.zeros((0, 4), np.float32), np.zeros(1, np.int32))


def test_no_ids_give_no_rows(normal):
    assert nk.embedding(normal(3, 4), np.zeros((0,), np.int32)).shape == (0, 4)
