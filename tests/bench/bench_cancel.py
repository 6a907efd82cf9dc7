"""Times cancel and pre-emption in the engine: a histogram of how long a request goes on after it was cancelled.

    python tests/bench/bench_cancel.py [--model M] [--rounds 400]

Each round cancels a request at a random moment of its work, alone or beside others, and waits for its end (cancel), or
submits a completion while a long prompt of a chat is being read and waits for the first token (overtake), beside the
time that the same completion takes alone. The first lines say what this machine needs to wake a thread at all; time
on a processor leaves out what other programs take from it (with one thread, HEARTH_THREADS=1, it is all the work).
No part of the test suite: it measures, it asserts nothing.
"""

import argparse
import queue
import random
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a checkout that is not installed

import numpy as np

import runtime

EDGES = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_random = random.Random(7)


def some_ids(model, n: int) -> np.ndarray:
    return np.array(_random.choices(range(model.spec.vocab_size), k=n), np.int32)


def worked(engine) -> float:
    """ms of processor time that the engine's thread has used; 0 where the system does not say."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(engine._thread.ident)) * 1000


def cancelled(engine, model, others: int) -> tuple[float, float]:
    """ms from cancel() to the end of a request, while `others` work too: on the wall, and of work."""
    room = model.room(64)
    beside = [
        engine.submit(some_ids(model, _random.randint(10, room)), priority="background", max_tokens=64)
        for _ in range(others)
    ]
    request = engine.submit(some_ids(model, _random.randint(room // 2, room)), priority="chat", max_tokens=64)
    time.sleep(_random.random() * 0.05)
    began, before = time.perf_counter(), worked(engine)
    request.cancel()
    for _ in request:
        pass
    ms, work = (time.perf_counter() - began) * 1000, worked(engine) - before
    for other in beside:
        other.cancel()
    for other in beside:
        list(other)
    return ms, work


def first_token(engine, model, after_chat: bool) -> float:
    """ms from submit to the first token of a short completion, while the prompt of a chat is read or alone."""
    if after_chat:
        chat = engine.submit(some_ids(model, model.room(2)), priority="chat", max_tokens=2)
        time.sleep(0.002 + _random.random() * 0.01)
    began = time.perf_counter()
    completion = engine.submit(some_ids(model, 24), max_tokens=1)
    next(iter(completion))
    ms = (time.perf_counter() - began) * 1000
    if after_chat:
        chat.cancel()
        list(chat)
    return ms


def handed_over(rounds: int) -> list[float]:
    """ms from waking a thread that sleeps to its answer: what the machine itself takes, at its present load."""
    asked, said = queue.SimpleQueue(), queue.SimpleQueue()
    thread = threading.Thread(target=lambda: [said.put(None) for _ in iter(asked.get, None)])
    thread.start()
    times = []
    for _ in range(rounds):
        time.sleep(_random.random() * 0.01)
        began = time.perf_counter()
        asked.put(True)
        said.get()
        times.append((time.perf_counter() - began) * 1000)
    asked.put(None)
    thread.join()
    return times


def show(name: str, values: list[float]) -> None:
    values = sorted(values)
    p50, p99 = (values[min(len(values) - 1, int(share * len(values)))] for share in (0.5, 0.99))
    print(f"{name}: {len(values)} times, p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {values[-1]:.2f} ms")
    low = 0.0
    for high in (*EDGES, float("inf")):
        count = sum(low <= value < high for value in values)
        if count:
            print(f"  {low:6g} to {high:<6g} ms {count:6d} {'#' * max(1, 60 * count // len(values))}")
        low = high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder, file or installed name (default: the embedded one)")
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args()
    model = runtime.load_model(options.model)
    with runtime.Engine(model) as engine:
        list(engine.submit(some_ids(model, model.room(8)), max_tokens=8))  # touches the weights, sets the pace
        show("another thread answers", handed_over(options.rounds))
        for others in (0, 3):
            name = f"cancel of a request {'alone' if not others else f'beside {others} others'}"
            times = [cancelled(engine, model, others) for _ in range(options.rounds)]
            show(name, [ms for ms, _ in times])
            if not others:  # with others the thread goes on to work for them
                show(f"{name}, time on a processor", [work for _, work in times])
        show("first token of a completion alone", [first_token(engine, model, False) for _ in range(options.rounds)])
        overtaking = [first_token(engine, model, True) for _ in range(options.rounds)]
        show("first token of a completion that overtakes a chat's prompt", overtaking)
    return 0


if __name__ == "__main__":
    sys.exit(main())
