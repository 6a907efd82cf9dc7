"""Ctrl-C and SIGTERM as a wish to finish: the first asks the run to stop, a second one ends it at once.

Knows nothing of training: it is given the function to call.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass
class Caught:
    """signal: number of the signal that asked to stop, 0 = none."""

    signal: int = 0


@contextlib.contextmanager
def finish_on_signals(stop: Callable[[], None]) -> Iterator[Caught]:
    """While inside, SIGINT and SIGTERM call `stop`; for the main thread only. The old handlers come back after it."""
    caught = Caught()

    def handle(number: int, frame) -> None:
        if caught.signal:
            raise KeyboardInterrupt
        caught.signal = number
        os.write(2, b"\nfinishing the step, then stopping; once more stops at once\n")  # print is not reentrant
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
