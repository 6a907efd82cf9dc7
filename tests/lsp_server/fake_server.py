"""A server on the real protocol with an engine made for tests: answers from a script, at a speed that the test chooses.

Started as a process by the tests. The answers come from the environment: FAKE_ANSWER (text), FAKE_STEP_MS (per piece),
FAKE_LOAD (ms, or "fail"). The engine keeps the real one's interface: one lane, a queue, cancel, listeners.
"""

import json
import os
import queue
import sys
import threading
import time
from types import SimpleNamespace


class Tokenizer:
    special = {"<|endoftext|>": 256, "<|fim_prefix|>": 257, "<|fim_suffix|>": 258, "<|fim_middle|>": 259}

    def encode(self, text, add_special=False, parse_special=False):
        return list(text.encode("utf-8"))

    def decode(self, ids, skip_special=False):
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")


class Request:
    def __init__(self, engine, prompt, options):
        self.engine, self.prompt, self.options = engine, prompt, options
        self.finish_reason = None
        self.timing = {}
        self.error = None
        self._cancelled = threading.Event()
        self._listeners, self._pieces, self._lock = [], [], threading.Lock()
        self._queue = queue.Queue()

    def add_listener(self, listener):
        with self._lock:
            for piece in self._pieces:
                listener(piece)
            self._listeners.append(listener)

    def emit(self, piece):
        with self._lock:
            self._pieces.append(piece)
            for listener in self._listeners:
                listener(piece)
        self._queue.put(piece)

    def __iter__(self):
        while (piece := self._queue.get()) is not None:
            yield piece

    def cancel(self):
        self._cancelled.set()


class Engine:
    def __init__(self, model):
        self.jobs = queue.Queue()
        self.log = []
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, prompt, priority="completion", deadline_ms=None, max_tokens=64, temperature=0.0, **options):
        request = Request(self, prompt, {"max_tokens": max_tokens, "priority": priority})
        self.jobs.put(request)
        return request

    def _run(self):
        while True:
            request = self.jobs.get()
            note(event="cancelled-in-queue" if request._cancelled.is_set() else "start", prompt=request.prompt)
            began = time.perf_counter()
            made = 0
            request.finish_reason = "cancelled"
            if not request._cancelled.is_set():
                request.finish_reason = "stop"
                answer = os.environ.get("FAKE_ANSWER", "result = 1\n")
                if answer == "!error":
                    request.finish_reason, answer = "error", ""
                print("a stray print in the engine")  # must never reach the protocol
                for start in range(0, len(answer), 3):
                    time.sleep(float(os.environ.get("FAKE_STEP_MS", "0")) / 1000)
                    if request._cancelled.is_set():
                        request.finish_reason = "cancelled"
                        note(event="stopped", made=made)
                        break
                    made += 1
                    request.emit(SimpleNamespace(id=1, text=answer[start : start + 3], logprob=0.0))
            request.timing = {"total_ms": (time.perf_counter() - began) * 1000, "generated_tokens": made}
            request.emit(None)


def note(**what):
    path = os.environ.get("FAKE_NOTES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


def load(name, threads, keep_caches=False):
    delay = os.environ.get("FAKE_LOAD", "0")
    if delay == "fail" or name == "broken":
        raise ValueError("model.safetensors: the header is cut short")
    time.sleep(float(delay) / 1000)
    note(event="load", name=name)
    spec = SimpleNamespace(max_context=2048)
    model = SimpleNamespace(name=name or "fake", tokenizer=Tokenizer(), spec=spec, config={})
    return model, Engine(model)


if __name__ == "__main__":
    from lsp_server.stdio import claim_stdout

    pipes = claim_stdout()
    from lsp_server.commands.lsp import set_up_log
    from lsp_server.server import create_server

    set_up_log(os.environ.get("HEARTH_LOG"))
    server = create_server(loader=load)

    @server.feature("codehearth/test/print")
    def noisy(params):
        print("garbage on stdout")
        sys.__stdout__.write("Content-Length: 3\r\n\r\nxyz")
        os.write(1, b"more garbage\n")
        os.system("echo garbage of a child process")
        return {"said": True}

    @server.feature("codehearth/test/fail")
    def failing(params):
        raise KeyError(params["text"])

    server.start_io(*pipes)
