"""Makes batches ahead in a thread of its own, a bounded number of them; no batch and no saved state changes by it.

Each batch travels with the state that follows it, so that the state of what was handed out is known although the
iterator inside is further on. Knows nothing of what a batch is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator


class Prefetch:
    """Iterator over `batches`, an iterator with state_dict() and load_state_dict(), at most `depth` items ahead.

    An exception in the thread is raised where the batch that it would have made is asked for. close() ends the thread;
    iteration may go on after it. Raises ValueError for a depth below 1.
    """

    def __init__(self, batches, depth: int = 4) -> None:
        if depth < 1:
            raise ValueError(f"depth {depth} must be at least 1")
        self.batches, self.depth = batches, depth
        self._state = batches.state_dict()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator:
        return self

    def __next__(self):
        if self._thread is None:
            self._stop, self._queue = threading.Event(), queue.Queue(self.depth)
            self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
            self._thread.start()
        batch, state, error = self._queue.get()
        if error is not None:
            self.close()
            raise error
        self._state = state
        return batch

    def state_dict(self) -> dict:
        """The state of the iterator inside after the last batch that was handed out."""
        return self._state

    def load_state_dict(self, state: dict) -> None:
        """Continue where state_dict() was taken; what was made ahead is dropped. Raises as the iterator inside."""
        self._end_thread()
        self.batches.load_state_dict(state)
        self._state = self.batches.state_dict()

    def close(self) -> None:
        """End the thread; what it made ahead is dropped and made again when iteration goes on."""
        if self._end_thread():
            self.batches.load_state_dict(self._state)

    def _end_thread(self) -> bool:
        if self._thread is None:
            return False
        self._stop.set()
        while self._thread.is_alive():  # it may be waiting for room
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                pass
        self._thread = None
        return True

    def _work(self) -> None:
        out, stop = self._queue, self._stop
        try:
            while not stop.is_set():
                out.put((next(self.batches), self.batches.state_dict(), None))
        except BaseException as error:  # handed to the thread that asks for the batch
            out.put((None, None, error))
