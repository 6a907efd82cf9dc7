"""Engine: one lane of inference shared by everything that asks, with priorities and cancel.

One worker thread owns the network. It always advances the request of the highest priority by one quantum (completion
before chat before background, then first come first served), so a keystroke waits for at most one chunk of a chat's
prompt. Cancelled requests stop inside a step; those still queued never start. Knows no editor and no prompts.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator

import native_kernels as nk
from runtime.engine.cache import CacheStore
from runtime.engine.generation import Generation, Prompt, Sampling, Timing
from runtime.generate import Piece

PRIORITIES = ("completion", "chat", "background")
_MAX_WAITING = 256
_log = logging.getLogger(__name__)


class Request:
    """A submitted request. Iterate for its pieces; every iteration but the first continues where the last one stopped.

    finish_reason: None while it runs, then "stop" | "length" | "cancelled" | "error" (then `error` holds the exception,
    which iteration raises). timing: dict, see `Timing`.
    """

    def __init__(self, prompt: Prompt, sampling: Sampling, priority: str, deadline_ms: float | None) -> None:
        self.prompt, self.sampling, self.priority = prompt, sampling, priority
        self.submitted = time.perf_counter()
        self.deadline = None if deadline_ms is None else self.submitted + deadline_ms / 1000
        self.cancel_flag = nk.CancelFlag()
        self.finish_reason: str | None = None
        self.error: BaseException | None = None
        self._timing = Timing(cut=prompt.cut)
        self._pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[Piece | None], None]] = []
        self._history: list[Piece | None] = []
        self._guard = threading.RLock()

    @property
    def timing(self) -> dict:
        return self._timing.as_dict()

    def cancel(self) -> None:
        """Stop as soon as possible; safe from any thread and at any time."""
        self.cancel_flag.set()

    def add_listener(self, listener: Callable[[Piece | None], None]) -> None:
        """Call `listener` on the engine's thread with every piece, and with None at the end; past ones come at once."""
        with self._guard:  # held while the past is told, so that no new piece overtakes it
            for piece in self._history:
                listener(piece)
            self._listeners.append(listener)

    def __iter__(self) -> Iterator[Piece]:
        while (piece := self._pieces.get()) is not None:
            yield piece
        self._pieces.put(None)  # a second iteration ends at once instead of waiting
        if self.error is not None:
            raise self.error

    def _deliver(self, piece: Piece | None) -> None:
        with self._guard:
            self._history.append(piece)
            listeners = list(self._listeners)
        self._pieces.put(piece)
        for listener in listeners:
            try:
                listener(piece)
            except Exception:
                _log.exception("a listener of a request failed")

    def _finish(self, reason: str, error: BaseException | None = None) -> None:
        self._timing.total_ms = (time.perf_counter() - self.submitted) * 1000
        self.error, self.finish_reason = error, reason
        self._deliver(None)


class Engine:
    """Serves one model until close() (or the end of a `with` block) ends its thread.

    kv_bytes bounds the caches of past sequences that are kept for reuse.
    """

    def __init__(self, model, kv_bytes: int = 256 << 20) -> None:
        self.model = model
        self._store = CacheStore(model.network, kv_bytes)
        self._waiting: list[Request] = []
        self._active: list[tuple[Request, Generation]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="hearth-engine", daemon=True)
        self._thread.start()

    def submit(self, prompt, priority: str = "completion", deadline_ms: float | None = None, **sampling) -> Request:
        """Queue a request. prompt: text, ids, or a pair (prefix, suffix) to fill in between.

        sampling: fields of `Sampling`. ValueError for wrong arguments; RuntimeError if the engine is closed or
        256 requests wait already.
        """
        if priority not in PRIORITIES:
            raise ValueError(f"priority must be one of {', '.join(PRIORITIES)}, got {priority!r}")
        if deadline_ms is not None and not deadline_ms > 0:
            raise ValueError(f"deadline_ms must be positive, got {deadline_ms!r}")
        options = Sampling(**sampling)
        request = Request(self.model.prompt(prompt, options.max_tokens), options, priority, deadline_ms)
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            if len(self._waiting) >= _MAX_WAITING:
                raise RuntimeError(f"{_MAX_WAITING} requests are waiting already")
            self._waiting.append(request)
            self._wake.notify()
        return request

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc) -> None:
        self.close()

    def close(self) -> None:
        """Cancel everything and end the worker thread."""
        with self._wake:
            self._closed = True
            for request in self._waiting + [request for request, _ in self._active]:
                request.cancel()
            self._wake.notify()
        if threading.current_thread() is not self._thread:  # a listener may close, too
            self._thread.join(timeout=10)

    # ---- the worker --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._active and not self._closed:
                    self._wake.wait()
                if self._closed and not self._waiting and not self._active:
                    return
                ended = self._admit()
            for request, error in ended:  # their listeners may wait for others: never called under the lock
                request._finish("error" if error else "cancelled", error)
            if self._active:
                self._advance(min(self._active, key=_order))

    def _admit(self) -> list[tuple[Request, Exception | None]]:
        """Give a cache slot to each waiting request in its turn, as long as there are free ones.

        Chat and background work leave one slot to completions. Returns the requests that ended without starting, each
        with what went wrong or None where it was cancelled.
        """
        ended: list[tuple[Request, Exception | None]] = []
        for request in sorted(self._waiting, key=lambda r: (PRIORITIES.index(r.priority), r.submitted)):
            if request.cancel_flag.is_set:
                self._waiting.remove(request)
                request._timing.queue_ms = (time.perf_counter() - request.submitted) * 1000
                ended.append((request, None))
                continue
            patient = sum(active.priority != "completion" for active, _ in self._active)
            if request.priority != "completion" and patient >= self._store.limit - 1:
                continue
            try:
                generation = self._start(request)
            except Exception as error:  # no memory for another cache: only this request fails
                _log.exception("a request could not start")
                self._waiting.remove(request)
                ended.append((request, error))
                continue
            if generation is None:
                continue
            self._waiting.remove(request)
            generation.timing.queue_ms = (time.perf_counter() - request.submitted) * 1000
            request._timing = generation.timing
            self._active.append((request, generation))
        return ended

    def _start(self, request: Request) -> Generation | None:
        """The request in a cache slot, or None while every slot is busy."""
        taken = self._store.acquire(request.prompt.ids)
        if taken is None:
            return None
        model, flag = self.model, request.cancel_flag
        return Generation(
            model.network,
            model.tokenizer,
            request.prompt,
            request.sampling,
            model.stop_ids,
            *taken,
            flag,
            request.deadline,
        )

    def _advance(self, entry: tuple[Request, Generation]) -> None:
        request, generation = entry
        error = None
        try:
            piece = generation.advance()
        except Exception as caught:  # one broken request must not end the lane
            _log.exception("a request failed")
            piece, error = None, caught
        if piece is not None:
            request._deliver(piece)
        if error is not None or generation.finish_reason is not None:
            self._active.remove(entry)
            self._store.release(generation.slot)
            request._finish("error" if error else generation.finish_reason, error)


def _order(entry: tuple[Request, Generation]) -> tuple[int, float]:
    return PRIORITIES.index(entry[0].priority), entry[0].submitted
