"""Scores with a cache equal scores without one: through edits, forks, evictions, cancels and refused drafts.

Where at least 16 rows are computed anew the kernels sum in the order of a whole computation, and with 8-bit weights or
float32 caches the scores are the same to the last bits that float32 keeps. One new row is summed in another order; what
that does is bounded here for every storage type of caches: last bits, and where they cross the step of a rounding
(float16 and 8-bit caches, 8-bit activations) that step.
"""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import native_kernels as nk
from runtime import Engine
from runtime.engine.cache import CacheStore
from runtime.engine.generation import Generation
from runtime.engine.network import Chunk, Network
from runtime.engine.schedule import portion
from runtime.generate import Sampling
from runtime.model import Model
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.prompts import Prompt

KV_TYPES = ("f32", "f16", "q8_0")
BOUND = {"f32": 1e-4, "f16": 4e-3, "q8_0": 4e-2}  # of the largest score, exact weights
VOCABULARY = 97
SPEC = DecoderSpec(VOCABULARY, 64, 3, 4, 2, 32, 96, max_context=384)
WEIGHTS = init_weights(SPEC, seed=2, std=0.15)
NETWORKS = {}


def network(kv_type, precision="f32"):
    key = kv_type, precision
    if key not in NETWORKS:
        NETWORKS[key] = Network(SPEC, WEIGHTS, precision, kv_type=kv_type)
        NETWORKS[key].max_rows = 64  # several chunks a prompt
    return NETWORKS[key]


def run(net, cache, ids, start=0):
    """Scores after the last id; the ids before `start` are cached."""
    while start < len(ids):
        rows = portion(len(ids) - start, net.max_rows, net.max_rows)
        ((scores, _),) = net.run([Chunk(ids[start : start + rows], start, cache, 1)])
        start += rows
    return scores[-1]


def cold(net, ids):
    return run(net, net.new_cache(len(ids)), ids)


def distance(scores, wanted):
    return np.abs(scores - wanted).max() / np.abs(wanted).max()


edits = st.lists(
    st.tuples(
        st.integers(0, 2),  # which document
        st.floats(0, 1),  # where
        st.integers(0, 12),  # how much goes
        st.lists(st.integers(0, VOCABULARY - 1), max_size=25),  # what comes
        st.sampled_from(["whole", "cancelled", "drafts", "busy"]),
    ),
    min_size=4,
    max_size=14,
)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits)
def test_edited_documents_score_as_if_read_anew(kv_type, steps):
    net = network(kv_type)
    store = CacheStore(net, 5 * net.kv_bytes(256))  # a few slots: some are given up
    draw = np.random.default_rng(3)
    head = draw.integers(0, VOCABULARY, 40).astype(np.int32)
    documents = [np.concatenate([head, draw.integers(0, VOCABULARY, n).astype(np.int32)]) for n in (150, 60, 20)]
    busy = None
    for which, at, cut, new, how in steps:
        text = documents[which]
        at = int(at * len(text))
        ids = np.concatenate([text[:at], np.array(new, np.int32), text[at + cut :]])[:300].astype(np.int32)
        ids = documents[which] = ids if len(ids) else head
        slot, reused = store.acquire(ids, len(ids) + 8)
        store.reserve(slot, len(ids) + 8)
        if how == "cancelled":  # in the middle of a step, or of the prompt
            flag = nk.CancelFlag()
            timer = threading.Timer(0.0003, flag.set)
            timer.start()
            part = ids[reused:][: net.max_rows]
            if net.run([Chunk(part, reused, slot.cache, 1)], flag) is not None:
                store.append(slot, part)
            timer.join()
            store.release(slot)
            slot, reused = store.acquire(ids, len(ids) + 8)
            store.reserve(slot, len(ids) + 8)
        scores = run(net, slot.cache, ids, reused)
        store.append(slot, ids[reused:])
        assert distance(scores, cold(net, ids)) < BOUND[kv_type]
        if how == "drafts":  # some tokens are run and refused
            drafts = draw.integers(0, VOCABULARY, 6).astype(np.int32)
            net.run([Chunk(drafts, len(ids), slot.cache, 6)])
            store.append(slot, drafts)
            slot.truncate(len(ids) + 2)
            longer = np.concatenate([ids, drafts[:2], drafts[:1]])
            assert distance(run(net, slot.cache, longer, len(slot)), cold(net, longer)) < BOUND[kv_type]
        if busy is not None:
            store.release(busy)
            busy = None
        if how == "busy":
            busy = slot
        else:
            store.release(slot)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("precision", ["f32", "q8_0"])
def test_where_a_prompt_is_cut_does_not_show(kv_type, precision):
    """Bit for bit, as long as no part is small: pre-emption and shared steps change nothing."""
    net = network(kv_type, precision)
    ids = np.random.default_rng(5).integers(0, VOCABULARY, 200).astype(np.int32)
    whole = cold(net, ids)
    for budgets in ([16] * 12, [50, 17, 31, 64], [23] * 8):
        cache, start = net.new_cache(len(ids)), 0
        other = net.new_cache(64)
        for budget in [*budgets, *[64] * 9]:
            rows = portion(len(ids) - start, budget, net.max_rows - 20)
            if rows:
                beside = Chunk(ids[:20], 0, other, 1)  # another sequence in the same step
                ((scores, _), _) = net.run([Chunk(ids[start : start + rows], start, cache, 1), beside])
                start += rows
        np.testing.assert_array_equal(scores[-1], whole)


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_greedy_answers_do_not_depend_on_what_else_runs(kv_type):
    """Ids and log-probabilities of 8-bit weights are the same to the bit, alone and in a crowd."""
    model = Model("tiny", {}, SPEC, None, network(kv_type, "q8_0"))
    draw = np.random.default_rng(8)
    prompts = [draw.integers(0, VOCABULARY, n).astype(np.int32) for n in (30, 250, 90, 17, 140)]

    def told(request):
        return [(piece.id, piece.logprob) for piece in request]

    alone = []
    for prompt in prompts:
        with Engine(model) as engine:
            alone.append(told(engine.submit(prompt, max_tokens=12)))
    with Engine(model, kv_bytes=64 << 20) as engine:
        kinds = ("chat", "background", "completion", "chat", "background")
        crowd = [engine.submit(prompt, kind, max_tokens=12) for prompt, kind in zip(prompts, kinds, strict=True)]
        assert [told(request) for request in crowd] == alone


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_a_generation_goes_on_exactly_after_a_cancelled_step(kv_type):
    """The first part of a prompt is stopped in the middle, again and again, and the answer stays the same."""
    net = network(kv_type, "q8_0")
    store, model = CacheStore(net, 1 << 30), Model("tiny", {}, SPEC, None, net)
    ids = np.random.default_rng(9).integers(0, VOCABULARY, 300).astype(np.int32)

    def generate(stops):
        store.clear()
        taken = store.acquire(ids, 320)
        prompt = Prompt(ids)
        made = Generation(store, prompt, model.chooser(prompt, Sampling(max_tokens=8)), *taken)
        answer = []
        for number in range(99):
            if made.finish_reason is not None:
                break
            flag = nk.CancelFlag()
            if number < stops:
                threading.Timer(0.0001 * number, flag.set).start()
            rows = portion(made.wanted, net.max_rows, net.max_rows)
            result = net.run([made.chunk(rows)], flag)
            answer += made.take(result[0][0], 0.001) if result is not None else []
        store.release(taken[0])
        return [(piece.id, piece.logprob) for piece in answer]

    assert generate(stops=12) == generate(stops=0)
