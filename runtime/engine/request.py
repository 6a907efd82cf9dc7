"""Request: what a caller of the engine holds: pieces as they come, timing, cancel. Knows no model and no schedule."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator

import native_kernels as nk
from runtime.adapters.adapter import Adapter
from runtime.engine.generation import Timing
from runtime.engine.speculation import Drafter
from runtime.generate import Piece, Sampling
from runtime.prompts import Draft, Prompt

PRIORITIES = ("completion", "chat", "background")
_log = logging.getLogger(__name__)


class Request:
    """A submitted request. Iterate for its pieces; every iteration but the first continues where the last one stopped.

    finish_reason: None while it runs, then "stop" | "length" | "cancelled" | "error" (then `error` holds the exception,
    which iteration raises). timing: dict, see `Engine`.
    """

    def __init__(
        self,
        draft: Draft,
        prompt: Prompt,
        sampling: Sampling,
        priority: str,
        deadline_ms: float | None,
        on_cancel: Callable[[Request], None] | None = None,
        drafter: Drafter | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        self.draft, self.prompt, self.sampling, self.priority = draft, prompt, sampling, priority
        self.submitted = time.perf_counter()
        self.deadline = None if deadline_ms is None else self.submitted + deadline_ms / 1000
        self.adapter = adapter  # requests with different adapters never share a step
        self.cancel_flag = nk.CancelFlag()
        self.finish_reason: str | None = None
        self.error: BaseException | None = None
        self._on_cancel = on_cancel
        self.drafter = drafter
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
        if self.finish_reason is None and not self.cancel_flag.is_set:
            self.cancel_flag.set()
            if self._on_cancel is not None:
                self._on_cancel(self)

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

    # ---- the engine's side -------------------------------------------------------------------------------------

    def started(self, timing: Timing) -> None:
        """It left the queue; from now on `timing` is kept by its generation."""
        self._timing = timing

    def deliver(self, piece: Piece | None) -> None:
        with self._guard:
            self._history.append(piece)
            listeners = list(self._listeners)
        self._pieces.put(piece)
        for listener in listeners:
            try:
                listener(piece)
            except Exception:
                _log.exception("a listener of a request failed")

    def finish(self, reason: str, error: BaseException | None = None) -> None:
        """The end. What was neither prompt nor tokens was waiting."""
        timing = self._timing
        timing.total_ms = (time.perf_counter() - self.submitted) * 1000
        timing.queue_ms = max(0.0, timing.total_ms - timing.prefill_ms - timing.decode_ms)
        self._on_cancel = self.drafter = None  # they hold the engine, and memory
        self.error, self.finish_reason = error, reason
        self.deliver(None)
