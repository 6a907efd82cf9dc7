"""Thousands of random submits, cancels and ends: nothing is lost, nothing stays behind, memory stays flat."""

import gc
import random
import threading
import time
import tracemalloc

import numpy as np
import pytest
from fake_network import VOCABULARY, answer, fake_model

from runtime import Engine, EngineBusy
from runtime.engine.network import Network
from runtime.model import Model
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights

PRIORITIES = ("completion", "chat", "background")


def resident() -> int:
    """Bytes of this process that are in memory."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        pytest.skip("no /proc")


def operate(engine, vocabulary, operations, seed, check=None):
    """Random operations of four threads; every request ends, with a reason."""
    errors, most = [], engine.model.network.capacity

    def work(number):
        draw = random.Random(seed * 100 + number)
        try:
            open_requests = []
            for _ in range(operations // 4):
                if open_requests and draw.random() < 0.45:
                    request = open_requests.pop(draw.randrange(len(open_requests)))
                    if draw.random() < 0.6:
                        request.cancel()
                    end(request)
                else:
                    prompt = [draw.randrange(vocabulary) for _ in range(draw.choice((1, 5, 60, most // 3, most)))]
                    try:
                        deadline = draw.choice((None, None, 5.0, 50.0))
                        kind, tokens = draw.choice(PRIORITIES), draw.randint(1, 12)
                        open_requests.append(engine.submit(prompt, kind, deadline, max_tokens=tokens))
                    except EngineBusy:
                        time.sleep(0.01)
                if len(open_requests) > 6:
                    end(open_requests.pop(0))
            for request in open_requests:
                end(request)
        except BaseException as error:
            errors.append(error)
            raise

    def end(request):
        tokens = [piece.id for piece in request]
        assert request.finish_reason in ("length", "stop", "cancelled")
        timing = request.timing
        parts = timing["queue_ms"] + timing["prefill_ms"] + timing["decode_ms"]
        assert abs(parts - timing["total_ms"]) < 0.01
        if check is not None:
            check(request, tokens)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert not engine._waiting and not engine._active
    assert not any(slot.busy for slot in engine._store.slots)
    assert engine._store.nbytes <= engine._store.kv_bytes


def test_every_request_ends_and_says_what_it_would_say_alone():
    def right(request, tokens):
        if request.timing["cut"] is None or "prompt" not in request.timing["cut"]:
            assert tokens == answer(request.prompt.ids, len(tokens))

    with Engine(fake_model(capacity=512, max_rows=64, step_ms=0.05, row_ms=0.001), kv_bytes=3 << 20) as engine:
        operate(engine, VOCABULARY, 1500, seed=1, check=right)


def tiny_model() -> Model:
    spec = DecoderSpec(97, 32, 2, 2, 1, 16, 64, max_context=512)
    return Model("tiny", {}, spec, None, Network(spec, init_weights(spec, seed=2, std=0.3)))


def test_python_objects_do_not_pile_up():
    with Engine(tiny_model(), kv_bytes=1 << 20) as engine:
        operate(engine, 97, 200, seed=2)
        gc.collect()
        tracemalloc.start()
        try:
            operate(engine, 97, 200, seed=2)
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            operate(engine, 97, 400, seed=3)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert grown < 400 * 200, f"{grown} bytes stay behind after 400 operations"


@pytest.mark.long
def test_memory_stays_flat_over_ten_thousand_operations():
    with Engine(tiny_model(), kv_bytes=4 << 20) as engine:
        operate(engine, 97, 2000, seed=1)
        gc.collect()
        before, samples = resident(), []
        for part in range(5):
            operate(engine, 97, 2000, seed=10 + part)
            gc.collect()
            samples.append(resident() - before)
    print("RSS after each 2,000 operations:", [f"{sample / 1e6:+.2f} MB" for sample in samples])
    assert samples[-1] < 8 << 20 and np.mean(samples[3:]) - np.mean(samples[:2]) < 3 << 20
