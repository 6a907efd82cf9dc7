"""Plans: every operation is checked against its buffers before anything runs; steps of several sequences; cancel."""

from pathlib import Path

import numpy as np
import pytest

import native_kernels as nk
from native_kernels.plan import ACTIVATIONS, CACHE_TYPES, KIND_NAMES, PLAN_FIELDS, Matrix, PlanBuilder

rng = np.random.default_rng(5)
CACHE = (1, 1, 6)  # one layer, one head of six values


class SmallPlan:
    """ids -> embedding (10, 6) -> keys on the way -> norm of the head rows -> head over the same table."""

    def __init__(self, max_rows=4, max_head=2, capacity=8):
        b = self.builder = PlanBuilder(max_rows, max_head, capacity, CACHE)
        self.table = rng.standard_normal((10, 6), dtype=np.float32)
        self.ids, ones = b.indices(), b.constant(np.ones(6, np.float32))
        weights = Matrix(b.constant(self.table), 10, 6)
        x, gathered, normed, self.scores = b.activation(6), b.activation(6), b.activation(6), b.external(10)
        b.embed(self.ids, weights, x)
        b.kv_store(x, 0, values=False)
        b.gather(x, gathered)
        b.norm("rms", gathered, ones, None, 1e-5, normed, head=True)
        b.product(normed, weights, self.scores, head=True)

    def build(self):
        self.plan = self.builder.build()
        return self

    def run(self, *sequences, cancel=None):
        """sequences: (ids, start, last, keys). Returns the scores, or None if cancelled."""
        flat = np.concatenate([ids for ids, *_ in sequences])
        self.builder.buffers[self.ids][: len(flat)] = flat
        scores = np.zeros((sum(last for _, _, last, _ in sequences), 10), np.float32)
        given = [(keys, keys.copy(), 0, keys.shape[2], len(ids), start, last) for ids, start, last, keys in sequences]
        return scores if self.plan.run(given, {self.scores.index: scores}, cancel) else None


def keys(capacity=8):
    return np.zeros((1, 1, capacity, 6), np.float32)


def test_last_rows_reach_the_head_and_all_rows_the_cache_of_their_sequence():
    small = SmallPlan().build()
    one, two = keys(), keys(5)
    scores = small.run(([7, 2], 4, 1, one), ([9, 1], 1, 1, two))
    np.testing.assert_array_equal(one[0, 0, 4:6], small.table[[7, 2]])
    np.testing.assert_array_equal(two[0, 0, 1:3], small.table[[9, 1]])
    assert not one[0, 0, :4].any() and not one[0, 0, 6:].any() and not two[0, 0, [0, 3, 4]].any()
    wanted, _ = nk.rmsnorm(small.table[[2, 1]], np.ones(6, np.float32), 1e-5)
    np.testing.assert_allclose(scores, wanted @ small.table.T, rtol=1e-5, atol=1e-5)


EMBED, STORE, GATHER, NORM, HEAD = range(5)
LIES = [
    *((op, field, value) for op in (EMBED, GATHER, NORM, HEAD) for field, value in (
        ("kind", 99), ("kind", -1), ("rows_kind", 3), ("rows_kind", -1), ("a", 50), ("a", -1), ("out", -1), ("n", 0),
        ("n", 2**40), ("out_offset", 25), ("out_offset", -1), ("out_stride", 2**62), ("out_stride", 2))),
    *((op, "b", value) for op in (EMBED, NORM, HEAD) for value in (50, -1)),
    (EMBED, "n", 7), (EMBED, "k", 11), (EMBED, "k", -3), (EMBED, "out_stride", 5), (EMBED, "type", 7),
    (EMBED, "a_offset", 1), (STORE, "layer", 1), (STORE, "layer", -1), (STORE, "kv_heads", 2), (STORE, "head_dim", 5),
    (STORE, "mode", 2), (STORE, "rows_kind", 1), (STORE, "a_stride", 7), (STORE, "a", 50),
    (GATHER, "rows_kind", 0), (GATHER, "n", 7), (GATHER, "a_stride", 7),
    (NORM, "n", 7), (NORM, "heads", 2), (NORM, "heads", 0), (NORM, "mode", 2), (NORM, "a_offset", 20),
    (NORM, "bias", 50), (HEAD, "n", 11), (HEAD, "k", 7), (HEAD, "k", 0), (HEAD, "a_stride", -6), (HEAD, "c", 50),
    (HEAD, "rows_kind", 0), (HEAD, "out_offset", 1), (HEAD, "out_stride", 9), (HEAD, "c_stride", 2**62),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "field", "value"), LIES)
def test_an_operation_that_reaches_outside_is_refused(operation, field, value):
    b = SmallPlan().builder
    b._ops[operation][PLAN_FIELDS.index(field)] = value
    if field == "c_stride":
        b._ops[operation][PLAN_FIELDS.index("c")] = b._ops[operation][PLAN_FIELDS.index("a")]
    with pytest.raises(ValueError, match=f"operation {operation} does not fit"):
        b.build()


def test_what_runs_bring_along_holds_head_rows_only():
    b = PlanBuilder(4, 4, 8, CACHE)
    outside, x = b.external(6), b.activation(6)
    b.add(outside, x)
    with pytest.raises(ValueError, match="operation 0 does not fit"):
        b.build()


def test_a_plan_does_not_write_to_what_is_read_only():
    b = PlanBuilder(2, 2, 8, CACHE)
    fixed = np.zeros((2, 6), np.float32)
    fixed.flags.writeable = False
    x, out = b.activation(6), b.activation(6)
    b.buffers[out.index] = fixed
    b.add(x, out)
    with pytest.raises(ValueError, match="operation 0 does not fit"):
        b.build()


def test_random_operations_are_refused_or_run_inside_their_buffers():
    """Whatever the fields say, what is accepted runs without touching the guard bytes around the buffers."""
    accepted = 0
    for seed in range(1500):
        r = np.random.default_rng(seed)
        b = PlanBuilder(3, 2, 8, (2, 1, 4))
        pools = [np.full(64 + 8, 7, np.int32) for _ in range(4)]
        for pool in pools[:3]:
            pool.view(np.float32)[4:-4] = r.standard_normal(64)
        pools[3][4:-4] = r.integers(0, 4, 64)
        before = [pool.copy() for pool in pools]
        for pool, kind in zip(pools, (np.float32, np.float32, np.float32, np.int32), strict=True):
            b.constant(pool[4:-4].view(kind))
        fields = {name: int(r.integers(-1, 4)) for name in PLAN_FIELDS} | {"kind": int(r.integers(0, len(KIND_NAMES)))}
        for name in ("n", "k", "a_stride", "c_stride", "out_stride", "head_dim", "max_rows"):
            fields[name] = int(r.integers(0, 9))
        for name in ("a_offset", "c_offset", "out_offset"):
            fields[name] = int(r.choice([0, 0, 3, 40]))
        fields["type"], fields["mode"] = int(r.choice([0, 0, 8])), int(r.integers(0, 3))
        if fields["kind"] == KIND_NAMES.index("attention"):
            fields |= {"head_dim": 4, "kv_heads": 1, "window": 0, "layer": 1}
        if fields["kind"] in map(KIND_NAMES.index, ("embed", "add_table", "rope")):
            fields["a"], fields["a_offset"] = 3, 0
        b._ops.append([fields[name] for name in PLAN_FIELDS])
        b._scalars.append((1.0, 0.5))
        try:
            plan = b.build()
        except ValueError:
            continue
        accepted += 1
        caches = [np.zeros((2, 1, 8, 4), np.float32) for _ in range(2)]
        try:
            plan.run([(*caches, 0, 8, 3, 2, 2)], {})
        except ValueError as error:
            assert "outside its table" in str(error)
        for pool, old in zip(pools, before, strict=True):
            np.testing.assert_array_equal(pool[[*range(4), *range(-4, 0)]], old[[*range(4), *range(-4, 0)]])
    assert accepted > 20


def test_steps_outside_the_plan_are_refused():
    small = SmallPlan().build()
    kept = keys()
    for ids, start, last in (([], 0, 0), ([1] * 5, 0, 1), ([1] * 4, 5, 1), ([1] * 2, -1, 1), ([1], 0, 2), ([1], 0, -1)):
        small.builder.buffers[small.ids][:] = 1
        with pytest.raises(ValueError, match="the plan holds"):
            small.plan.run([(kept, kept, 0, 8, len(ids), start, last)], {small.scores.index: np.zeros((9, 10), "f4")})
    for twice in (([1, 2, 3], 0, 1, kept), ([1, 2], 0, 1, kept)), (([1, 2], 0, 2, kept), ([1, 2], 0, 1, kept)):
        with pytest.raises(ValueError, match="the plan holds"):
            small.plan.run(
                [(k, k, 0, 8, len(ids), start, last) for ids, start, last, k in twice],
                {small.scores.index: np.zeros((4, 10), np.float32)},
            )
    with pytest.raises(ValueError, match="was not given"):
        small.plan.run([(kept, kept, 0, 8, 1, 0, 1)], {})
    assert small.plan.run([(kept, kept, 0, 8, 1, 0, 0)], {})
    with pytest.raises(ValueError, match="bytes"):
        small.run(([1], 0, 1, keys(7)[:, :, :6]), ([1], 0, 1, np.zeros((1, 1, 3, 5), np.float32)))
    with pytest.raises(ValueError, match="too few"):
        small.plan.run([(kept, kept, 0, 8, 2, 0, 2)], {small.scores.index: np.zeros((1, 10), np.float32)})
    with pytest.raises(ValueError, match="not external"):
        small.plan.run([(kept, kept, 0, 8, 1, 0, 0)], {0: np.zeros(4, np.int32)})
    with pytest.raises(ValueError, match="storage type 77"):
        small.plan.run([(kept, kept, 77, 8, 1, 0, 0)], {})
    with pytest.raises(ValueError, match="sequences"):
        small.plan.run([], {})
    with pytest.raises(ValueError, match="the plan holds"):
        small.run(([1], 0, 1, keys(9)))


def test_ids_outside_the_table_are_refused():
    small = SmallPlan().build()
    for wrong in (-1, 10, 2**31 - 1):
        with pytest.raises(ValueError, match="outside its table"):
            small.run(([1, wrong], 0, 1, keys()))


def test_a_raised_flag_stops_the_step():
    small = SmallPlan().build()
    flag = nk.CancelFlag()
    assert small.run(([1], 0, 1, keys()), cancel=flag) is not None
    flag.set()
    assert flag.is_set and small.run(([1], 0, 1, keys()), cancel=flag) is None
    assert small.run(([1], 0, 1, keys())) is not None


def test_a_plan_without_room_is_refused():
    for sizes in ((4, 5, 8), (9, 1, 8), (0, 0, 0)):
        with pytest.raises(ValueError, match="max_head"):
            PlanBuilder(*sizes, CACHE).build()
    for cache in ((0, 1, 6), (1, 0, 6), (1, 1, 0), (1, 1, 2**20)):
        with pytest.raises(ValueError, match="a cache of"):
            PlanBuilder(1, 1, 8, cache).build()


def test_a_second_plan_over_the_same_buffers_changes_columns():
    """Repeats the operations of the first, the product into another place, and multiplies its columns."""
    small = SmallPlan().build()
    plain = small.run(([7, 2], 4, 2, keys()))
    other = small.builder.beginning()
    factors, bias = rng.standard_normal((2, 10), dtype=np.float32)
    wide, copy = other.activation(10), other.activation(10)
    other.repeat(small.builder, 0, HEAD)
    other.repeat(small.builder, HEAD, len(small.builder), wide)
    other.scale(wide, other.constant(factors), copy, other.constant(bias), head=True)
    other.add(copy, small.scores, head=True)
    scores, cache = np.zeros((2, 10), np.float32), keys()
    assert other.build().run([(cache, cache.copy(), 0, 8, 2, 4, 2)], {small.scores.index: scores})
    np.testing.assert_allclose(scores, plain * factors + bias, atol=1e-6)
    np.testing.assert_array_equal(small.run(([7, 2], 4, 2, keys())), plain)
    for field, value in ((None, 0), ("n", 11), ("b", 50), ("b", -1), ("bias", 50), ("out_stride", 9), ("a", 50)):
        wrong = other.beginning()
        wrong.scale(wide, wrong.constant(factors), small.scores, head=True)
        if field is None:
            wrong.build()
            continue
        wrong._ops[0][PLAN_FIELDS.index(field)] = value
        with pytest.raises(ValueError, match="plan operation 0 does not fit"):
            wrong.build()


def test_names_are_the_numbers_of_the_native_side():
    source = Path(__file__).parents[2] / "native_kernels" / "src"
    text = (source / "plan.h").read_text(encoding="utf-8")
    for number, name in enumerate(KIND_NAMES):
        assert f"NK_OP_{name.upper()} = {number}," in text
    names = (source / "kernels.h").read_text(encoding="utf-8").split("enum { NK_RELU")[1].split("}")[0]
    names = names.replace("GELU_ERF", "GELU").split(",")[1:]
    assert [f"NK_{name}".upper() for name in list(ACTIVATIONS)[1:]] == [name.strip() for name in names[:-1]]
    assert CACHE_TYPES == {"f32": 0, "f16": 1, "q8_0": 8}  # NK_KV_*
