"""The engine's lane: exact reuse of caches, priorities, cancel, deadlines, healing, contained errors."""

import threading
import time

import numpy as np
import pytest

from native_kernels import _native
from runtime import Engine
from runtime.engine.cache import CacheStore
from runtime.engine.network import Network
from runtime.model import Model
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.prompts import _overflow
from runtime.text import SPECIAL_TOKENS, train_bpe

TEXT = "def add(a, b):\n    return a + b\n\n\nclass Counter:\n    def count(self):\n        self.total += 1\n" * 40
rng = np.random.default_rng(11)


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe([TEXT], 320, special_tokens=SPECIAL_TOKENS)


@pytest.fixture(scope="module")
def model(tokenizer):
    spec = DecoderSpec(tokenizer.vocab_size, 64, 3, 4, 2, 16, 96, max_context=512)
    weights = init_weights(spec, seed=2, std=0.3)
    return Model("tiny", {"hearth": {"fim_order": "spm"}}, spec, tokenizer, Network(spec, weights))


@pytest.fixture
def engine(model):
    engine = Engine(model)
    yield engine
    engine.close()


def ids_of(request):
    return [piece.id for piece in request]


def test_random_edits_give_the_logits_of_a_cold_cache(model):
    """Whatever prefix a slot keeps, the next scores equal those of a whole new computation."""
    store = CacheStore(model.network, 3 * model.network.cache_bytes)
    ids = rng.integers(0, model.spec.vocab_size, 60).astype(np.int32)
    reused_some = 0
    for _ in range(60):
        at, cut = int(rng.integers(0, len(ids))), int(rng.integers(0, 9))
        new = rng.integers(0, model.spec.vocab_size, int(rng.integers(1, 9)))
        ids = np.concatenate([ids[:at], new, ids[at + cut :]]).astype(np.int32)[:400]
        slot, reused = store.acquire(ids, len(ids))
        reused_some += reused > 0
        scores, _ = model.network.step(ids[reused:][: model.network.max_rows], reused, slot.cache)
        slot.append(ids[reused:])
        store.release(slot)
        np.testing.assert_allclose(scores[0], model.logits(ids)[-1], rtol=1e-4, atol=1e-4)
    assert reused_some > 30


def test_typing_reuses_everything_but_the_new_ids(engine):
    prefix = TEXT[:300]
    first = engine.submit((prefix, "\n"), max_tokens=1)
    ids_of(first)
    second = engine.submit((prefix + "x", "\n"), max_tokens=1)
    ids_of(second)
    assert first.timing["reused_tokens"] == 0 and first.timing["new_tokens"] > 50
    assert second.timing["new_tokens"] <= 6
    assert second.timing["reused_tokens"] >= first.timing["new_tokens"] - 6


def test_engine_and_model_give_the_same_greedy_ids(engine, model):
    prompt = model.tokenizer.encode("def count(self):\n    ")
    assert ids_of(engine.submit(prompt, max_tokens=20)) == [p.id for p in model.generate(prompt, max_tokens=20)]


def test_sampling_is_seeded_and_logprobs_are_the_models_own(model):
    prompt = model.tokenizer.encode("class")
    draw = [list(model.generate(prompt, max_tokens=12, temperature=1.0, seed=s)) for s in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    scores = model.logits(prompt)[-1].astype(np.float64)
    wanted = scores[draw[0][0].id] - np.log(np.exp(scores - scores.max()).sum()) - scores.max()
    assert abs(draw[0][0].logprob - wanted) < 1e-4


def test_completion_overtakes_a_long_chat(engine):
    chat = engine.submit(TEXT[:600], priority="chat", max_tokens=200)
    order = []
    chat.add_listener(lambda piece: order.append("chat") if piece is None else None)
    completion = engine.submit((TEXT[:50], ""), max_tokens=3)
    completion.add_listener(lambda piece: order.append("completion") if piece is None else None)
    ids_of(completion)
    ids_of(chat)
    assert order == ["completion", "chat"]


def test_cancel_stops_a_running_request_and_a_queued_one_never_starts(engine):
    running = engine.submit(TEXT[:300], priority="chat", max_tokens=400)
    queued = [engine.submit(TEXT[: 200 + n], priority="background", max_tokens=400) for n in range(8)]
    for request in queued:
        request.cancel()
    next(iter(running))
    began = time.perf_counter()
    running.cancel()
    ids_of(running)
    assert running.finish_reason == "cancelled"
    assert time.perf_counter() - began < 2  # far below the 400 tokens that it would have taken
    for request in queued:
        assert ids_of(request) == [] and request.finish_reason == "cancelled"


def test_chats_leave_a_slot_to_completions(model):
    with Engine(model, kv_bytes=0) as engine:  # the fewest slots: two
        chats = [engine.submit(TEXT[: 300 + n], priority="chat", max_tokens=300) for n in range(3)]
        next(iter(chats[0]))
        completion = engine.submit((TEXT[:50], ""), max_tokens=2)
        ids_of(completion)
        assert completion.finish_reason in ("length", "stop")
        assert chats[0].finish_reason is None, "the completion did not wait for a chat to end"


def test_no_memory_for_a_cache_fails_the_request_and_not_the_lane(model, monkeypatch):
    engine = Engine(model)
    try:
        with monkeypatch.context() as patch:

            def refuse(capacity=None):
                raise MemoryError("no room")

            patch.setattr(model.network, "new_cache", refuse)
            request = engine.submit([10, 11], max_tokens=2)
            with pytest.raises(MemoryError):
                ids_of(request)
        assert request.finish_reason == "error"
        assert len(ids_of(engine.submit([10, 11], max_tokens=2))) >= 1
    finally:
        engine.close()


def test_no_memory_for_a_kernels_buffers_fails_the_request_and_not_the_lane(model):
    with Engine(model) as engine:  # its thread has no buffers yet
        _native._fail_allocation(1)
        try:
            request = engine.submit("def add(a", max_tokens=3)
            with pytest.raises(MemoryError, match="work buffers"):
                list(request)
        finally:
            _native._fail_allocation(0)
        assert len(ids_of(engine.submit("def add(a", max_tokens=3))) == 3


def test_a_listener_may_wait_for_another_thread_that_submits(engine):
    """The end of a request that never started is told without the lane's lock."""
    busy = engine.submit(TEXT[:300], priority="chat", max_tokens=400)
    next(iter(busy))
    submitted = threading.Event()

    def submit_elsewhere(piece):
        threading.Thread(target=lambda: (engine.submit([10], max_tokens=1), submitted.set())).start()
        assert submitted.wait(10)

    queued = engine.submit([11, 12], max_tokens=2)
    queued.cancel()
    queued.add_listener(lambda piece: submit_elsewhere(piece) if piece is None else None)
    ids_of(queued)
    assert submitted.wait(10)
    busy.cancel()


def test_a_listener_may_close_the_engine(model):
    engine = Engine(model)
    request = engine.submit([10, 11], max_tokens=2)
    ended = []
    request.add_listener(lambda piece: (engine.close(), ended.append(True)) if piece is None else None)
    ids_of(request)
    engine.close()
    assert ended == [True]


def test_deadline_ends_generation_and_says_so(engine):
    request = engine.submit(TEXT[:100], max_tokens=400, deadline_ms=1)
    assert len(ids_of(request)) < 400
    assert request.finish_reason in ("length", "stop")
    assert request.timing["cut"] == "deadline" or request.finish_reason == "stop"


def test_a_deadline_shows_what_was_held_back_for_a_stop_string(engine, model):
    first = next(model.generate("class", max_tokens=2)).text
    assert first
    request = engine.submit("class", max_tokens=20, deadline_ms=1e-3, stop=[first + " never"])
    assert "".join(piece.text for piece in request) == first
    assert (request.finish_reason, request.timing["cut"]) == ("length", "deadline")


def test_long_prompts_are_cut_at_an_anchor_and_say_so(engine, model):
    ids = rng.integers(9, model.spec.vocab_size, 900).tolist()
    request = engine.submit(ids, max_tokens=2)
    ids_of(request)
    assert request.timing["cut"] == "prompt"
    assert {_overflow(n, 400) for n in range(401, 465)} == {64}
    assert _overflow(465, 400) == 128


def test_healing_never_changes_what_was_typed(model):
    for prefix in ("class Cou", "def ad", "    return a +", "self.tot"):
        for _ in range(3):
            result = model.infill(prefix, "", max_tokens=6, temperature=1.0, seed=int(rng.integers(1000)))
            assert "\ufffd" not in prefix and isinstance(result.text, str)
    prompt = model.prompt(("class Cou", ""), 6)
    assert prompt.healer is not None, "'Counter' is one token, so its beginning is typed again"


def test_stop_strings_are_not_emitted(model):
    whole = "".join(p.text for p in model.generate("class", max_tokens=40, temperature=1.0, seed=3))
    stop = whole[5:8]
    shown = "".join(p.text for p in model.generate("class", max_tokens=40, temperature=1.0, seed=3, stop=[stop]))
    assert shown == whole[: whole.index(stop)]
    once = (text for text in [stop])
    shown = "".join(p.text for p in model.generate("class", max_tokens=40, temperature=1.0, seed=3, stop=once))
    assert shown == whole[: whole.index(stop)]


def test_wrong_arguments_are_refused_before_the_lane(engine):
    for wrong in ({"priority": "now"}, {"deadline_ms": 0}, {"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 2.0}):
        with pytest.raises(ValueError):
            engine.submit([1, 2], **wrong)
    for prompt in ([], [10**6], [-1], ("only one",), ""):
        with pytest.raises(ValueError):
            engine.submit(prompt)


def test_a_failing_step_ends_only_its_request(engine, model, monkeypatch):
    run, broken = model.network.run, threading.Event()

    def fail_once(*args, **kwargs):
        if not broken.is_set():
            broken.set()
            raise RuntimeError("no such luck")
        return run(*args, **kwargs)

    monkeypatch.setattr(model.network, "run", fail_once)
    first = engine.submit([10, 11], max_tokens=2)
    with pytest.raises(RuntimeError, match="no such luck"):
        ids_of(first)
    assert first.finish_reason == "error"
    assert len(ids_of(engine.submit([10, 11], max_tokens=2))) >= 1


def test_close_ends_everything(model):
    engine = Engine(model)
    request = engine.submit(TEXT[:300], max_tokens=400)
    engine.close()
    ids_of(request)
    assert request.finish_reason in ("cancelled", "stop")
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit([1])
