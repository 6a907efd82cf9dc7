"""The engine's lane on a fake network: shared steps, pre-emption, cancel, deadlines, back-pressure, nobody starves."""

import threading
import time

import numpy as np
import pytest
from fake_network import VOCABULARY, answer, fake_model

from runtime import Engine, EngineBusy
from runtime.engine import admission, lane
from runtime.engine.schedule import LEAST_ROWS

rng = np.random.default_rng(5)


def ids(n):
    return rng.integers(0, VOCABULARY, n).astype(np.int32)


def said(request):
    return [piece.id for piece in request]


@pytest.fixture
def serve():
    """(engine options, network options) -> engine; closed after the test."""
    engines = []

    def make(kv_bytes=64 << 20, **network):
        engines.append(Engine(fake_model(**network), kv_bytes=kv_bytes))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def steps_of(engine):
    return engine.model.network.steps


def wait_until(condition, seconds=10.0):
    until = time.perf_counter() + seconds
    while not condition():
        assert time.perf_counter() < until, "it never happened"
        time.sleep(0.001)


def test_several_chats_share_steps_and_each_says_what_it_says_alone(serve):
    engine = serve(step_ms=2)
    prompts = [ids(n) for n in (5, 300, 40, 17)]
    requests = [engine.submit(prompt, priority="chat", max_tokens=30) for prompt in prompts]
    for prompt, request in zip(prompts, requests, strict=True):
        assert said(request) == answer(prompt, 30)
    assert max(len(step) for step in steps_of(engine)) == 4
    assert len(steps_of(engine)) < 60, "30 tokens of each take little more than 30 steps"


@pytest.mark.parametrize("priority", ["completion", "chat", "background"])
def test_what_is_said_does_not_depend_on_what_else_runs(serve, priority):
    engine = serve(row_ms=0.01, step_ms=0.2, kv_bytes=6 << 20)
    prompts = [ids(int(rng.integers(2, 500))) for _ in range(4)]
    stop = threading.Event()

    def disturb():
        noise, others = np.random.default_rng(1), []
        while not stop.is_set():
            kind = ("completion", "chat", "background")[int(noise.integers(3))]
            others.append(engine.submit(noise.integers(0, VOCABULARY, int(noise.integers(1, 400))), kind, max_tokens=9))
            if noise.random() < 0.7:
                time.sleep(float(noise.random()) * 0.01)
                others[-1].cancel()
            if len(others) > 4:
                list(others.pop(0))

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for number in range(8):
            request = engine.submit(prompts[number % 4], priority, max_tokens=25)
            assert said(request) == answer(prompts[number % 4], 25)
    finally:
        stop.set()
        thread.join()


def test_a_completion_stops_the_long_chunk_of_a_chat_which_is_repeated(serve):
    engine = serve(row_ms=2.0)
    network = engine.model.network
    said(engine.submit(ids(64), max_tokens=1))  # now the pace is known
    chat = engine.submit(ids(400), priority="chat", max_tokens=2)
    wait_until(lambda: network.entered.acquire(blocking=False) and engine._running is not None)
    wait_until(lambda: engine._running is not None and engine._running.rows == 256)
    completion = engine.submit(ids(8), max_tokens=1)
    said(completion)
    assert network.stopped == 1, "it did not wait for the 512 ms of the chunk"
    assert steps_of(engine)[1] == [(0, 8)], "it was next"
    assert said(chat) == answer(chat.prompt.ids, 2)
    assert chat.timing["new_tokens"] == 400


def test_while_one_types_the_chunks_of_others_are_short(serve):
    engine = serve(row_ms=1.0)
    said(engine.submit(ids(64), max_tokens=1))
    chat = engine.submit(ids(600), priority="chat", max_tokens=1)
    wait_until(lambda: engine._running is not None)
    said(engine.submit(ids(8), max_tokens=1))
    said(chat)
    after = [count for step in steps_of(engine)[2:] for _, count in step]
    assert max(after) <= 50 + LEAST_ROWS, "50 ms at 1 ms a row, and a rest that is too short for a step of its own"


def test_a_cancel_stops_the_running_step(serve):
    engine = serve(row_ms=2.0)
    request = engine.submit(ids(256), priority="chat", max_tokens=9)
    wait_until(lambda: engine._running is not None)
    request.cancel()
    assert said(request) == [] and request.finish_reason == "cancelled"
    assert engine.model.network.stopped == 1


def test_a_cancel_of_one_does_not_repeat_a_long_step_of_the_others(serve):
    engine = serve(step_ms=80)
    requests = [engine.submit(ids(4), priority="chat", max_tokens=30) for _ in range(4)]
    wait_until(lambda: engine._running is not None and len(engine._running.turns) == 4 and len(steps_of(engine)) > 2)
    requests[0].cancel()
    list(requests[0])
    assert engine.model.network.stopped == 0
    for request in requests:
        request.cancel()


def test_requests_cancelled_in_the_queue_never_start(serve, monkeypatch):
    monkeypatch.setattr(admission, "MOST_ACTIVE", 2)
    engine = serve(step_ms=5)
    running = engine.submit(ids(4), priority="chat", max_tokens=20)
    wait_until(lambda: engine._running is not None)
    queued = [engine.submit(ids(9), priority="background", max_tokens=5) for _ in range(20)]
    for request in queued:
        request.cancel()
    for request in queued:
        assert said(request) == [] and request.finish_reason == "cancelled"
    said(running)
    assert all(count in (4, 1) for step in steps_of(engine) for _, count in step)


def test_a_full_queue_refuses_with_a_clear_error(serve, monkeypatch):
    monkeypatch.setattr(lane, "MOST_WAITING", 3)
    monkeypatch.setattr(admission, "MOST_ACTIVE", 2)
    engine = serve(step_ms=5)
    engine.submit(ids(4), priority="chat", max_tokens=50)
    wait_until(lambda: engine._running is not None)
    queued = [engine.submit(ids(4), priority="chat", max_tokens=1) for _ in range(3)]
    with pytest.raises(EngineBusy, match="3 requests are waiting already: try again"):
        engine.submit(ids(4))
    for request in queued:
        request.cancel()
    said(queued[0])
    assert said(engine.submit(ids(4), max_tokens=1))


def test_background_work_goes_on_while_completions_never_end(serve):
    engine = serve(step_ms=1, row_ms=0.01)
    background = engine.submit(ids(200), priority="background", max_tokens=2)
    stop = threading.Event()

    def type_on():
        while not stop.is_set():
            list(engine.submit(ids(50), max_tokens=60))

    typists = [threading.Thread(target=type_on) for _ in range(2)]
    for typist in typists:
        typist.start()
    try:
        began = time.perf_counter()
        assert said(background) == answer(background.prompt.ids, 2)
        assert time.perf_counter() - began < 60
    finally:
        stop.set()
        for typist in typists:
            typist.join()


def test_a_deadline_cuts_the_far_end_of_a_prompt_and_says_so(serve):
    engine = serve(row_ms=1.0)
    said(engine.submit(ids(64), max_tokens=1))
    prompt = ids(900)
    request = engine.submit(prompt, max_tokens=4, deadline_ms=300)
    assert len(said(request)) >= 1
    timing = request.timing
    assert 32 <= timing["new_tokens"] <= 300 and timing["cut"].startswith("prompt_deadline")
    kept = timing["new_tokens"]
    assert said(engine.submit(prompt[-kept:], max_tokens=1)) == answer(prompt[-kept:], 1), "the end was kept"


def test_a_deadline_keeps_what_a_cache_holds(serve):
    engine = serve(row_ms=0.5)
    prompt = ids(900)
    said(engine.submit(prompt, max_tokens=1))
    request = engine.submit(np.concatenate([prompt, ids(20)]), max_tokens=1, deadline_ms=150)
    said(request)
    assert (request.timing["reused_tokens"], request.timing["new_tokens"], request.timing["cut"]) == (900, 20, None)


def test_a_prompt_cut_for_a_deadline_keeps_its_start_for_the_next_keystroke(serve):
    engine = serve()
    engine._pace.row = engine._pace.step = 0.001
    engine._pace.record = lambda rows, seconds: None
    prompt = ids(900)
    said(engine.submit(prompt, max_tokens=1, deadline_ms=310))
    second = engine.submit(np.concatenate([prompt, ids(3)]), max_tokens=1, deadline_ms=310)
    said(second)
    assert second.timing["reused_tokens"] > 100 and second.timing["new_tokens"] <= 3


def test_a_deadline_ends_tokens_in_time(serve):
    engine = serve(step_ms=20)
    request = engine.submit(ids(4), max_tokens=500, deadline_ms=400)
    began = time.perf_counter()
    tokens = said(request)
    assert 1 < len(tokens) < 25 and request.finish_reason == "length"
    assert request.timing["cut"] == "deadline"
    assert time.perf_counter() - began < 2


def test_times_of_batched_requests_add_up(serve):
    engine = serve(step_ms=2, row_ms=0.02)
    chats = [engine.submit(ids(300), priority="chat", max_tokens=20) for _ in range(3)]
    completion = engine.submit(ids(100), max_tokens=5)
    for request in [*chats, completion]:
        said(request)
        timing = request.timing
        parts = timing["queue_ms"] + timing["prefill_ms"] + timing["decode_ms"]
        assert parts == pytest.approx(timing["total_ms"], abs=0.01)
        assert timing["prefill_ms"] >= 2 and timing["decode_ms"] >= 2 * (timing["generated_tokens"] - 1)
    assert chats[0].timing["queue_ms"] >= 1.5 * completion.timing["generated_tokens"], "it waited for the completion"
    assert (completion.timing["new_tokens"], completion.timing["generated_tokens"]) == (100, 5)


def test_a_step_that_fails_ends_only_the_guilty(serve, monkeypatch):
    engine = serve(step_ms=1)
    network = engine.model.network
    run, poison = network.run, ids(7)

    def fail(chunks, cancel=None):
        if any(np.array_equal(chunk.cache.tokens[:5], poison[:5]) and chunk.start for chunk in chunks):
            raise RuntimeError("no such luck")
        return run(chunks, cancel)

    monkeypatch.setattr(network, "run", fail)
    good = [engine.submit(ids(5), priority="chat", max_tokens=20) for _ in range(3)]
    bad = engine.submit(poison, priority="chat", max_tokens=20)
    with pytest.raises(RuntimeError, match="no such luck"):
        said(bad)
    assert [said(request) for request in good] == [answer(request.prompt.ids, 20) for request in good]


class Guess:
    """Drafts that are right as often as the test wants."""

    def __init__(self, share):
        self.share, self.noise = share, np.random.default_rng(3)

    def propose(self, known, most):
        right = np.array(answer(known, min(most, 5)), dtype=np.int32)
        wrong = self.noise.random(len(right)) >= self.share
        return np.where(wrong, (right + 1) % VOCABULARY, right), None

    def observe(self, rows, seconds):
        assert rows >= 1 and seconds >= 0


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_drafts_change_the_number_of_steps_and_not_the_answer(serve, monkeypatch, share):
    engine = serve()
    start = engine._admission.start

    def with_drafts(*arguments):
        generation = start(*arguments)
        if generation is not None:
            generation.drafter = Guess(share)
        return generation

    monkeypatch.setattr(engine._admission, "start", with_drafts)
    prompts = [ids(n) for n in (3, 60)]
    requests = [engine.submit(prompt, priority="chat", max_tokens=40) for prompt in prompts]
    for prompt, request in zip(prompts, requests, strict=True):
        assert said(request) == answer(prompt, 40)
        assert request.timing["generated_tokens"] == 40
    more = engine.submit(np.concatenate([prompts[1], answer(prompts[1], 30), ids(4)]), max_tokens=3)
    assert said(more) == answer(more.prompt.ids, 3) and more.timing["reused_tokens"] >= 90
    if share == 1.0:
        assert len(steps_of(engine)) < 30


def test_caches_and_weights_are_given_up_when_nothing_happens():
    with Engine(fake_model(), idle_minutes=0.05 / 60) as engine:
        prompt = ids(300)
        said(engine.submit(prompt, max_tokens=1))
        wait_until(lambda: not engine._store.slots and engine.model.network.unloaded)
        again = engine.submit(prompt, max_tokens=1)
        assert said(again) == answer(prompt, 1) and again.timing["reused_tokens"] == 0
