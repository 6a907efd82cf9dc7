"""Engine: one lane of inference shared by everything that asks, with priorities, batches, deadlines and cancel.

One worker thread owns the network. Each round it lets waiting requests in, chooses what runs next (`schedule`), runs it
as one step of several sequences, and hands out the tokens. A cancel stops the step that runs when the others lose
little by it; a request of a higher class stops a long one, whose chunk is then repeated. Knows no editor and no files.
"""

from __future__ import annotations

import logging
import threading
import time

import native_kernels as nk
from runtime.engine.admission import Admission
from runtime.engine.cache import CacheStore
from runtime.engine.generation import Generation
from runtime.engine.network import Chunk
from runtime.engine.pace import Pace
from runtime.engine.request import PRIORITIES, Request
from runtime.engine.saved import SavedCaches
from runtime.engine.schedule import LEAST_ROWS, Limits, Step, choose
from runtime.files.errors import FormatError
from runtime.generate import Sampling

MOST_WAITING = 256
_SMOOTH = 0.05  # seconds that a chunk of a prompt may keep others waiting
_LONG = 0.005  # a step that would go on for longer than this (seconds) is stopped for a request of a higher class
_CHEAP = 0.05  # a step of so many seconds may be repeated because one of its requests was cancelled
_TYPING = 5.0  # seconds after such a stop in which more are to be expected
_RIDE = 0.01  # steps this long wait for memory, not for arithmetic: another row costs them little
_SPARE_SHARE = 0.1  # of the time, at most, goes to requests of lower classes that starve
_log = logging.getLogger(__name__)


class EngineBusy(RuntimeError):
    """Too many requests wait already: try again when some have finished, or cancel some."""


class Active:
    """A request that left the queue, with its generation: a task of the schedule."""

    def __init__(self, request: Request, generation: Generation) -> None:
        self.request, self.generation = request, generation
        self.rank = PRIORITIES.index(request.priority)
        self.submitted = request.submitted
        self.served = time.perf_counter()
        self.adapter = request.adapter
        request.started(generation.timing)

    @property
    def decoding(self) -> bool:
        return self.generation.decoding

    @property
    def wanted(self) -> int:
        return self.generation.wanted


class Engine:
    """Serves one model until close() (or the end of a `with` block) ends its thread.

    kv_bytes bounds the caches of sequences, at work or kept for reuse; one completion and one other request are served
    even if that is more. idle_minutes: after so long without work caches and weights are given up, until there is work
    again. saved: where the caches are kept meanwhile, and after the end. reuse_moved: parts of a prompt that a cache
    holds at other positions are moved and not computed again, which is faster and not exact (moved.py).

    The `timing` of a request, in ms and tokens: queue_ms waited (before the start, and while others were served),
    prefill_ms and decode_ms in steps that worked on its prompt and on its tokens (shared steps count in full),
    total_ms the three together; reused_tokens of the prompt that a cache held, new_tokens that were computed,
    generated_tokens; cut: None, or what was lost, joined by commas: "prompt" (longer than the context),
    "prompt_deadline" (cut shorter to be in time), "context" (no room for more tokens), "deadline" (tokens not started).
    """

    def __init__(
        self,
        model,
        kv_bytes: int = 256 << 20,
        idle_minutes: float | None = None,
        saved: SavedCaches | None = None,
        reuse_moved: bool = False,
    ) -> None:
        if idle_minutes is not None and not idle_minutes > 0:
            raise ValueError(f"idle_minutes must be positive, got {idle_minutes!r}")
        if not hasattr(model.network, "new_cache"):
            raise ValueError(f"the model {model.name!r} is an encoder: it generates nothing that an engine could serve")
        self.model = model
        self._store = CacheStore(model.network, kv_bytes, reuse_moved)
        self._pace = Pace()
        self._admission = Admission(model, self._store, self._pace)
        self._idle_seconds = None if idle_minutes is None else idle_minutes * 60
        self._saved = saved
        self._loaded = False  # what was saved was looked for since the start, or since all was given up
        self._waiting: list[Request] = []
        self._active: list[Active] = []
        self._wake = threading.Condition()  # guards what follows, and _waiting
        self._closed = False
        self._news = False  # something came, went or was cancelled: look at the queue
        self._running: Step | None = None
        self._stop = nk.CancelFlag()  # of the step that runs
        self._began = 0.0
        self._disturbed = float("-inf")  # when a step was last stopped for a higher class
        self._no_spare_before = 0.0
        self._thread = threading.Thread(target=self._run, name="hearth-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        prompt,
        priority: str = "completion",
        deadline_ms: float | None = None,
        *,
        adapter=None,
        speculation: str | None = None,
        workspace=None,
        draft=None,
        **sampling,
    ) -> Request:
        """Queue a request. prompt: text, ids, or a pair (prefix, suffix) to fill in between.

        deadline_ms: from now; bounds how much of the prompt is read and how many tokens are generated (one at least).
        adapter: as in `Model.generate`; it is read before this returns. speculation, workspace, draft: see
        `Model.drafter`. sampling: fields of `Sampling`. ValueError for wrong arguments; EngineBusy (a RuntimeError) if
        256 requests wait already; RuntimeError if the engine is closed.
        """
        if priority not in PRIORITIES:
            raise ValueError(f"priority must be one of {', '.join(PRIORITIES)}, got {priority!r}")
        if deadline_ms is not None and not deadline_ms > 0:
            raise ValueError(f"deadline_ms must be positive, got {deadline_ms!r}")
        options = Sampling(**sampling)
        self.model.check_sampling(options)
        drafter = self.model.drafter(options, speculation, workspace, draft)
        adapter = None if adapter is None else self.model.adapters.get(adapter)
        encoded = self.model.draft(prompt)
        fitted = encoded.fit(self.model.room(options.max_tokens))
        request = Request(encoded, fitted, options, priority, deadline_ms, self._cancelled, drafter, adapter)
        with self._wake:
            if self._closed:
                raise RuntimeError("the engine is closed")
            if len(self._waiting) >= MOST_WAITING:
                raise EngineBusy(f"{MOST_WAITING} requests are waiting already: try again when some have finished")
            self._waiting.append(request)
            self._news = True
            self._pre_empt(PRIORITIES.index(priority))
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
            requests = self._waiting + [active.request for active in self._active]
            self._wake.notify()
        for request in requests:
            request.cancel()
        if threading.current_thread() is not self._thread:  # a listener may close, too
            self._thread.join(timeout=10)

    # ---- from other threads ------------------------------------------------------------------------------------

    def _cancelled(self, request: Request) -> None:
        with self._wake:
            self._news = True
            if self._running is None:
                return
            rows = sum(rows for task, rows in self._running.turns if task.request is request)
            if rows and (rows * 2 >= self._running.rows or self._pace.expected(self._running.rows) < _CHEAP):
                self._stop.set()

    def _pre_empt(self, rank: int) -> None:
        """A request of this rank came: stop a step that would keep it waiting. The caller holds the lock."""
        step = self._running
        if step is None or step.spare or min(task.rank for task, _ in step.turns) <= rank:
            return
        if self._pace.expected(step.rows) - (time.perf_counter() - self._began) > _LONG:
            self._stop.set()
            self._disturbed = time.perf_counter()

    # ---- the worker --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            if not self._loaded:
                self._load()
            self._end_what_is_over()
            if self._news:
                self._let_in()
            if self._active:
                self._step()

    def _wait(self) -> bool:
        """Until there is work; false when the engine is closed and nothing is left."""
        while True:
            with self._wake:
                done = self._wake.wait_for(lambda: self._waiting or self._active or self._closed, self._idle_seconds)
                if self._waiting or self._active:
                    return True
            self._give_up()  # nothing happened for so long, or it is the end
            if done:
                return False

    def _load(self) -> None:
        self._loaded = True
        if self._saved is not None:
            try:
                self._store.adopt(self._saved.restore(self.model.network, self._store.kv_bytes))
            except (OSError, FormatError) as error:
                _log.warning("saved caches are not used: %s", error)

    def _give_up(self) -> None:
        """Save and drop the caches, and the weights where somebody may still ask."""
        if self._saved is not None and self._store.slots:
            try:
                self._saved.save(self.model.network, self._store.slots)
            except (OSError, FormatError) as error:
                _log.warning("the caches are not saved: %s", error)
        self._store.clear()
        self._loaded = False
        if not self._closed:
            self.model.network.unload()  # the next step loads them again

    def _let_in(self) -> None:
        """Start the waiting requests that can be, in their turn; end those that were cancelled, without starting."""
        with self._wake:
            self._news = False
            waiting = self._admission.in_turn(self._waiting, time.perf_counter())
        for request in waiting:
            error = generation = None
            if not request.cancel_flag.is_set:
                try:
                    generation = self._admission.start(request, [active.request for active in self._active])
                except Exception as caught:  # no memory for another cache: only this request fails
                    _log.exception("a request could not start")
                    error = caught
                if generation is None and error is None:
                    continue  # it waits on
            with self._wake:
                self._waiting.remove(request)
                if generation is not None:
                    self._active.append(Active(request, generation))
            if generation is None:  # listeners may wait for others: never called under the lock
                request.finish("error" if error else "cancelled", error)

    def _end_what_is_over(self) -> None:
        for active in list(self._active):
            if not active.generation.may_go_on(self._pace.step or 0.0):
                self._end(active)

    def _step(self) -> None:
        now = time.perf_counter()
        chosen = choose(self._active, self._limits(now), now)
        batch: list[tuple[Active, Chunk]] = []
        for active, rows in chosen.turns:
            try:
                batch.append((active, active.generation.chunk(rows)))
            except Exception as error:  # no memory for its cache to grow
                self._fail(active, error)
        with self._wake:
            if not batch or any(active.request.cancel_flag.is_set for active, _ in batch):
                return  # choose again without it
            self._running, self._stop, self._began = chosen, nk.CancelFlag(), time.perf_counter()
        try:
            results = self._results(batch)
        finally:
            with self._wake:
                self._running = None
        now = time.perf_counter()
        spent = now - self._began
        if chosen.spare:
            self._no_spare_before = now + spent * (1 / _SPARE_SHARE - 1)
        if results is None:
            return  # stopped: nothing of it counts
        self._pace.record(chosen.rows, spent)
        for (active, _), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                self._fail(active, result)
            else:
                self._hand_out(active, result[0], spent)

    def _results(self, batch: list[tuple[Active, Chunk]]) -> list | None:
        """What the network says of each chunk; where it fails, each is run alone, so that only the guilty one ends."""
        network = self.model.network
        try:
            return network.run([chunk for _, chunk in batch], self._stop)
        except Exception as error:
            if len(batch) == 1:
                _log.exception("a request failed")
                return [error]
        results = []
        for entry in batch:
            result = self._results([entry])
            if result is None:
                return None
            results += result
        return results

    def _hand_out(self, active: Active, logits, spent: float) -> None:
        """Choose tokens from the scores and tell the request; `spent`: seconds that the step took."""
        generation, began, decoding = active.generation, time.perf_counter(), active.decoding
        try:
            pieces = generation.take(logits, spent)
        except Exception as error:  # one broken request must not end the lane
            _log.exception("a request failed")
            self._fail(active, error)
            return
        active.served = time.perf_counter()
        generation.spend((spent + active.served - began) * 1000, decoding)
        for piece in pieces:
            active.request.deliver(piece)
        if generation.finish_reason is not None:
            self._end(active)

    def _fail(self, active: Active, error: Exception) -> None:
        active.generation.finish_reason = "error"
        self._end(active, error)

    def _end(self, active: Active, error: Exception | None = None) -> None:
        self._active.remove(active)
        self._store.release(active.generation.slot)
        with self._wake:
            self._news = True
        active.request.finish(active.generation.finish_reason, error)

    def _limits(self, now: float) -> Limits:
        network, pace = self.model.network, self._pace
        most = network.max_rows
        smooth = min(most, max(LEAST_ROWS, pace.rows_in(_SMOOTH) or 0))
        typing = now - self._disturbed < _TYPING and all(active.rank for active in self._active)
        step = pace.step or 0.0
        return Limits(
            rows=most,
            alone=smooth if typing else most,
            mixed=smooth,
            beside=pace.rows_in(step / 2) or 0,
            ride=step > _RIDE,
            spare=now >= self._no_spare_before,
        )
