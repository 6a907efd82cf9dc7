"""The serving plan of random tiny specs against the numpy twin; several sequences, storage types, cancel, threads."""

import threading
import time

import numpy as np
import pytest

import native_kernels as nk
from native_kernels.plan import PLAN_FIELDS
from runtime.engine.network import Chunk, Network
from runtime.models import twin
from runtime.models.spec import ACTIVATIONS, DecoderSpec
from runtime.nn.rotary import RopeSpec

VOCAB, CONTEXT = 50, 64


def make_weights(spec, rng):
    """Random weights by canonical name; norms near 1."""
    weights = {}
    for name, shape in spec.weight_shapes().items():
        centre = 1 if "norm" in name and name.endswith(".weight") else 0
        size = 0.25 if len(shape) == 2 else 0.2
        weights[name] = (centre + size * rng.standard_normal(shape)).astype(np.float32)
    return weights


def random_spec(rng):
    """A decoder of a few layers with any combination of what a DecoderSpec can say."""

    def pick(*values):
        return values[int(rng.integers(len(values)))]

    def flag():
        return bool(rng.integers(2))

    kv, group, D, layers = pick(1, 2), pick(1, 2, 3), pick(4, 6, 8, 16, 32), pick(1, 2, 3)
    layout, positions = pick("pre", "post", "sandwich"), pick("rope", "rope", "learned", "none")
    parallel = layout == "pre" and flag()
    norm = pick("rms", "layer")
    extra = {}
    if positions == "rope":
        extra["rope"] = RopeSpec(pick(100.0, 10000.0), pick(D, max(2, D // 4 * 2)), interleaved=flag())
        extra["local_rope"] = pick(None, RopeSpec(50.0, D))
        extra["layer_rope"] = tuple(flag() for _ in range(layers))
    if flag():
        extra |= {"n_experts": 5, "experts_per_token": pick(1, 2, 5), "expert_d_ff": 24, "norm_topk": flag()}
        extra["sparse_layers"] = tuple(flag() for _ in range(layers))
    return DecoderSpec(
        VOCAB, pick(24, 32, 40), layers, kv * group, kv, D, pick(20, 48), max_context=CONTEXT, tied=flag(), norm=norm,
        norm_bias=norm == "layer" and flag(), norm_layout=layout, parallel=parallel, shared_norm=parallel and flag(),
        activation=pick(*ACTIVATIONS), gated="n_experts" in extra or flag(), mlp_bias=flag(), qkv_bias=flag(),
        o_bias=flag(), head_bias=flag(), qk_norm=pick(None, "head", "full"), attention_scale=pick(None, 0.2),
        attention_softcap=pick(0.0, 2.0), windows=tuple(pick(0, 5, 1) for _ in range(layers)), positions=positions,
        embedding_scale=pick(1.0, 3.0), residual_scale=pick(1.0, 0.5), logits_scale=pick(1.0, 0.3),
        final_softcap=pick(0.0, 4.0), **extra,
    )  # fmt: skip


def agree(got, want, bound=2e-4):
    assert got.shape == want.shape
    assert np.abs(got - want).max() < bound * max(1.0, want.std())


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(3)
    spec = DecoderSpec(VOCAB, 64, 2, 4, 2, 32, 96, max_context=CONTEXT, qkv_bias=True, windows=(0, 9))
    weights = make_weights(spec, rng)
    return spec, weights, Network(spec, weights)


@pytest.mark.parametrize("seed", range(60))
def test_any_spec_gives_the_scores_of_the_twin(seed):
    rng = np.random.default_rng(seed)
    spec = random_spec(rng)
    weights, ids = make_weights(spec, rng), rng.integers(0, VOCAB, 40).astype(np.int32)
    network = Network(spec, weights)
    scores, states = network.whole(ids)
    agree(scores, twin.logits(spec, weights, ids))
    agree(states, twin.hidden(spec, weights, ids, lambda name, values: None))
    # the same in pieces, beside another sequence: what it has alone, but for the order of sums
    one, two = network.new_cache(), network.new_cache(30)
    network.run([Chunk(ids[:11], 0, one, 0), Chunk(ids[20:31], 0, two, 3)])
    (first, _), (second, _) = network.run([Chunk(ids[11:37], 11, one, 2), Chunk(ids[31:33], 11, two, 2)])
    alone = network.new_cache(33)
    network.step(ids[20:31], 0, alone, 3)
    agree(network.step(ids[31:33], 11, alone, 2)[0], second, 1e-5)
    agree(first, scores[35:37])
    for at in range(37, 40):
        agree(network.step(ids[at : at + 1], at, one)[0][0], scores[at])


SCALINGS = {
    "linear": {"kind": "linear", "factor": 3.0},
    "dynamic": {"kind": "dynamic", "factor": 2.0, "original_context": 16},
    "yarn": {"kind": "yarn", "factor": 4.0, "original_context": 16, "attention_factor": 1.1},
    "llama3": {"kind": "llama3", "factor": 4.0, "original_context": 16},
    "longrope": {"kind": "longrope", "original_context": 16, "attention_factor": 1.2,
                 "short_factors": (1.0,) * 4, "long_factors": (1.0, 1.5, 2.0, 4.0)},
}  # fmt: skip


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("length", [12, 40])
def test_scaled_rotary_positions_are_those_of_the_whole_text(kind, length):
    rng = np.random.default_rng(1)
    spec = DecoderSpec(VOCAB, 32, 2, 4, 2, 8, 48, max_context=CONTEXT, rope=RopeSpec(1000.0, 8, **SCALINGS[kind]))
    weights, ids = make_weights(spec, rng), rng.integers(0, VOCAB, length).astype(np.int32)
    network, want = Network(spec, weights), twin.logits(spec, weights, ids)
    agree(network.whole(ids)[0], want)
    cache = network.new_cache()
    network.run([Chunk(ids[:10], 0, cache, 0, length=length)])
    agree(network.run([Chunk(ids[10:], 10, cache, 2, length=length)])[0][0], want[-2:])


@pytest.mark.parametrize("isa", nk.available_isas())
@pytest.mark.parametrize("threads", [1, 2])
def test_every_instruction_set_and_number_of_threads(small, isa, threads):
    spec, weights, network = small
    ids, before = np.arange(40, dtype=np.int32), nk.threads()
    try:
        nk._select(isa)
        nk.set_threads(threads)
        scores = Network(spec, weights).whole(ids)[0]
        nk.set_threads(3 - threads)
        assert (Network(spec, weights).whole(ids)[0] == scores).all()
    finally:
        nk.set_threads(before)
        nk._select()
    agree(scores, twin.logits(spec, weights, ids))


@pytest.mark.parametrize(("kv_type", "bound"), [("f32", 2e-4), ("f16", 4e-3), ("q8_0", 0.15)])
def test_storage_types_of_caches(small, kv_type, bound):
    spec, weights, network = small
    ids = np.arange(40, dtype=np.int32)
    want = network.whole(ids)[0]
    cache, other = network.new_cache(kv_type=kv_type), network.new_cache(kv_type="f32")
    assert cache.nbytes == network.kv_bytes(kv_type=kv_type) and cache.kv_type == kv_type
    alone = network.new_cache(kv_type=kv_type)
    network.step(ids[:39], 0, alone)
    network.run([Chunk(ids[:20], 0, cache), Chunk(ids[:20], 0, other)])
    network.run([Chunk(ids[20:39], 20, cache), Chunk(ids[20:39], 20, other)])
    (mine, _), (exact, _) = network.run([Chunk(ids[39:], 39, cache), Chunk(ids[39:], 39, other)])
    agree(mine, want[39:], bound)
    agree(exact, want[39:])
    agree(network.step(ids[39:], 39, alone)[0], mine, 1e-5 if kv_type == "f32" else bound)


def test_heads_that_no_q8_0_block_fits_are_stored_as_f16():
    rng = np.random.default_rng(0)
    spec = DecoderSpec(VOCAB, 32, 1, 2, 2, 12, 40, max_context=CONTEXT)
    network = Network(spec, make_weights(spec, rng), kv_type="q8_0")
    assert network.kv_type == network.new_cache().kv_type == "f16"
    with pytest.raises(ValueError, match="kv_type"):
        network.new_cache(kv_type="q3")


def test_a_copy_goes_on_as_the_original_would(small):
    _, _, network = small
    ids = np.arange(30, dtype=np.int32)
    cache = network.new_cache(20)
    network.step(ids[:20], 0, cache)
    fork = cache.copy(15, capacity=40)
    assert fork.capacity == 40 and fork.kv_type == cache.kv_type
    agree(network.step(ids[15:], 15, fork)[0][0], network.whole(ids)[0][-1])
    with pytest.raises(ValueError, match="positions 0 to 21"):
        cache.copy(21)


def test_keys_of_a_moved_text_are_turned_to_their_new_positions(small):
    """With one layer and nothing before it, moved rows are exact: they depend on their own ids alone."""
    rng = np.random.default_rng(8)
    spec = DecoderSpec(VOCAB, 32, 1, 4, 2, 8, 48, max_context=CONTEXT, rope=RopeSpec(500.0, 6))
    network = Network(spec, make_weights(spec, rng))
    ids = rng.integers(0, VOCAB, 30).astype(np.int32)
    cache = network.new_cache()
    network.step(ids, 0, cache, 0)
    moved = network.new_cache()
    for mine, theirs in zip(cache.rows(10, 29), moved.rows(3, 22), strict=True):
        theirs[...] = mine
    for mine, theirs in zip(cache.rows(0, 3), moved.rows(0, 3), strict=True):
        theirs[...] = mine
    network.rope_shift(moved, 3, 22, -7)
    shorter = np.concatenate([ids[:3], ids[10:]])
    agree(network.step(shorter[22:], 22, moved)[0][0], network.whole(shorter)[0][-1])
    learned = DecoderSpec(VOCAB, 32, 1, 4, 2, 8, 48, max_context=CONTEXT, positions="learned")
    network = Network(learned, make_weights(learned, rng))
    with pytest.raises(ValueError, match="learned"):
        network.rope_shift(network.new_cache(), 0, 1, 1)


def test_what_does_not_fit_is_refused(small):
    _, _, network = small
    ids = np.zeros(10, np.int32)
    for chunk in (
        Chunk(ids, 60, network.new_cache()), Chunk(ids, 0, network.new_cache(9)), Chunk(ids, -1, network.new_cache()),
        Chunk(ids, 0, network.new_cache(), 11), Chunk(ids, 0, network.new_cache(), -1),
        Chunk(ids[:0], 0, network.new_cache()),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"fit|the plan holds|positions|negative"):
            network.run([chunk])
    for wrong in (-1, VOCAB):
        with pytest.raises(ValueError, match="outside its table"):
            network.run([Chunk(np.array([wrong], np.int32), 0, network.new_cache())])
    for capacity in (CONTEXT + 1, -1):
        with pytest.raises(ValueError, match="serves up to"):
            network.new_cache(capacity)
    with pytest.raises(ValueError):
        network.run([])


def test_cancel_takes_effect_inside_a_step():
    rng = np.random.default_rng(0)
    spec = DecoderSpec(500, 192, 8, 3, 3, 64, 768, max_context=256)
    network = Network(spec, make_weights(spec, rng))
    ids, cache, flag = rng.integers(0, 500, 256).astype(np.int32), network.new_cache(), nk.CancelFlag()
    began = time.perf_counter()
    network.step(ids, 0, cache)
    whole = time.perf_counter() - began
    threading.Timer(whole / 5, flag.set).start()
    began = time.perf_counter()
    assert network.step(ids, 0, cache, cancel=flag) is None
    assert time.perf_counter() - began < 0.8 * whole
    assert network.step(ids, 0, cache, cancel=nk.CancelFlag()) is not None


def test_a_profile_tells_the_time_of_each_operation(small):
    _, _, network = small
    parts = network.profile([Chunk(np.arange(20, dtype=np.int32), 0, network.new_cache())], rounds=2)
    assert [(kind, size) for kind, size, _ in parts] == network.operations()
    assert all(seconds >= 0 for _, _, seconds in parts) and sum(seconds for _, _, seconds in parts) > 0


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_with_a_wrong_field_is_refused_or_stays_inside_its_buffers(seed):
    """One field of one operation of a whole plan becomes anything: the check refuses it, or it runs."""
    rng = np.random.default_rng(seed)
    spec = random_spec(rng)
    network = Network(spec, make_weights(spec, rng), "q8_0" if seed % 2 else "auto")
    builder, ids, refused = network._step.builder, np.arange(40, dtype=np.int32), 0
    for _ in range(50):
        op, field = builder._ops[int(rng.integers(len(builder._ops)))], int(rng.integers(len(PLAN_FIELDS)))
        right = op[field]
        near = [right + 1, right - 1, right * 2, int(rng.integers(len(builder.buffers))), int(rng.integers(64))]
        op[field] = int(rng.choice([*near, -1, 0, 1, 7, 2**20, 2**31, 2**40, 2**62, -(2**62)]))
        try:
            network._plan = builder.build()
            cache = network.new_cache()
            network.step(ids, 0, cache, 5)
            network.step(ids[:1], 40, cache)
        except ValueError as error:
            assert "does not fit" in str(error) or "outside its table" in str(error)
            refused += 1
        op[field] = right
    assert refused > 10
