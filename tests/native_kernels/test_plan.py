"""Plans: every operation is checked against its buffers before anything runs, and a step can be cancelled."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels.plan import PLAN_FIELDS, PlanBuilder

rng = np.random.default_rng(5)


def small_plan(max_rows=4, max_last=2, capacity=8):
    """ids -> embedding (10, 6) -> norm -> head over the same table; one cache row store on the way."""
    b = PlanBuilder(max_rows, max_last, capacity)
    table = rng.standard_normal((10, 6), dtype=np.float32)
    ids, weights = b.constant(np.zeros(max_rows, np.int32)), b.constant(table)
    ones, cache = b.constant(np.ones(6, np.float32)), b.external(capacity * 6 * 4)
    x, normed, scores = b.activation(6), b.activation(6), b.activation(10, max_last)
    b.embed(ids, weights, x)
    b.kv_store(x, cache, 0)
    b.rmsnorm(x, ones, 1e-5, normed, last=True)
    b.gemm(normed, weights, scores, front=True)
    return b, table, ids, cache, scores


def test_last_rows_reach_the_head_and_all_rows_the_cache():
    b, table, ids, cache, scores = small_plan()
    b.buffers[ids][:3] = [7, 2, 9]
    kept = np.zeros((8, 6), np.float32)
    assert b.build().run(3, 4, 2, {cache: kept})
    np.testing.assert_array_equal(kept[4:7], table[[7, 2, 9]])
    assert not kept[:4].any() and not kept[7:].any()
    wanted, _ = nk.rmsnorm(table[[2, 9]], np.ones(6, np.float32), 1e-5)
    np.testing.assert_allclose(b.array(scores), wanted @ table.T, rtol=1e-5, atol=1e-5)


EMBED, NORM, HEAD = 0, 2, 3
LIES = [
    *((op, field, value) for op in (EMBED, NORM, HEAD) for field, value in (
        ("kind", 99), ("kind", -1), ("rows_kind", 3), ("a", 50), ("a", -1), ("b", 50), ("out", -1), ("n", 0),
        ("n", 2**40), ("out_offset", 25), ("out_offset", -1), ("out_stride", 2**62))),
    (EMBED, "n", 7), (EMBED, "k", 11), (EMBED, "k", -3), (EMBED, "out_stride", 5),
    (NORM, "n", 7), (NORM, "a_stride", 5), (NORM, "a_offset", -1), (NORM, "a_offset", 1),
    (HEAD, "n", 11), (HEAD, "k", 7), (HEAD, "k", 0), (HEAD, "a_stride", -6), (HEAD, "c", 50), (HEAD, "c_stride", 2**62),
]  # fmt: skip


def test_external_arrays_are_named_by_every_run():
    b, _, _, cache, _ = small_plan()
    plan = b.build()
    assert plan.run(1, 0, 1, {cache: np.zeros((8, 6), np.float32)})
    with pytest.raises(ValueError, match="was not given"):
        plan.run(1, 0, 1, {})


def test_operations_on_the_cache_hold_the_whole_capacity():
    b, _, _, cache, _ = small_plan()
    b._ops[1][PLAN_FIELDS.index("max_rows")] = 7
    with pytest.raises(ValueError, match="7 positions of the plan's 8"):
        b.build()


@pytest.mark.parametrize(("operation", "field", "value"), LIES)
def test_an_operation_that_reaches_outside_is_refused(operation, field, value):
    b, *_ = small_plan()
    b._ops[operation][PLAN_FIELDS.index(field)] = value
    if field == "c_stride":
        b._ops[operation][PLAN_FIELDS.index("c")] = b._ops[operation][PLAN_FIELDS.index("out")]
    with pytest.raises(ValueError, match=f"operation {operation} does not fit"):
        b.build()


def test_steps_outside_the_plan_are_refused():
    b, _, _, cache, _ = small_plan()
    plan = b.build()
    kept = np.zeros((8, 6), np.float32)
    for rows, start, last in ((0, 0, 0), (5, 0, 1), (4, 5, 1), (2, -1, 1), (3, 0, 3), (1, 0, 2), (1, 0, -1)):
        with pytest.raises(ValueError, match="the plan holds"):
            plan.run(rows, start, last, {cache: kept})
    with pytest.raises(ValueError, match="was not given"):
        b.build().run(1, 0, 1, {})
    with pytest.raises(ValueError, match="bytes"):
        plan.run(1, 0, 1, {cache: np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="not external"):
        plan.run(1, 0, 1, {cache: kept, 0: np.zeros(4, np.int32)})


def test_a_raised_flag_stops_the_step():
    b, _, _, cache, _ = small_plan()
    flag = nk.CancelFlag()
    plan = b.build()
    kept = np.zeros((8, 6), np.float32)
    assert plan.run(1, 0, 1, {cache: kept}, flag)
    flag.set()
    assert flag.is_set and not plan.run(1, 0, 1, {cache: kept}, flag)
    assert plan.run(1, 0, 1, {cache: kept})


def test_a_plan_without_room_is_refused():
    for sizes in ((4, 5, 8), (9, 1, 8), (0, 0, 0)):
        with pytest.raises(ValueError, match="max_last"):
            PlanBuilder(*sizes).build()
