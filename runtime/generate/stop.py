"""Stop rules: when a generation ends, and which text may already be shown.

A stop string may begin in one piece and end in another, so text that could still become one is held back. Knows ids
and text; knows no tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable


class StopRules:
    """Feed every token; show what comes back.

    stop: strings that end the text and are never shown. stop_ids: tokens that end it (their own text is not shown).
    max_tokens: at most this many tokens (None: no bound). `reason` is None while running, then "stop" or "length".
    """

    def __init__(self, stop: str | Iterable[str] = (), stop_ids: Iterable[int] = (), max_tokens: int | None = None):
        self.stop = (stop,) if isinstance(stop, str) else tuple(stop)
        if not all(isinstance(s, str) and s for s in self.stop):
            raise ValueError("stop strings must be non-empty strings")
        if max_tokens is not None and max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {max_tokens}")
        self.stop_ids = frozenset(stop_ids)
        self.max_tokens = max_tokens
        self.tokens = 0
        self.reason: str | None = None
        self._held = ""

    def feed(self, id: int, text: str) -> tuple[str, bool]:
        """(text that may be shown now, finished). Raises RuntimeError after the end."""
        if self.reason is not None:
            raise RuntimeError("the generation has already ended")
        self.tokens += 1
        if id in self.stop_ids:
            self.reason = "stop"
            return self.flush(), True
        held = self._held + text
        found = min((at for at in map(held.find, self.stop) if at >= 0), default=-1)
        if found >= 0:
            self.reason = "stop"
            self._held = ""
            return held[:found], True
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            self.reason = "length"
            self._held = ""
            return held, True
        keep = self._possible_start(held)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep], False

    def flush(self, tail: str = "") -> str:
        """What is held back, once no more tokens come (cancelled, or the stream decoder's last characters in `tail`).

        The tail may complete a stop string: that is not shown either.
        """
        held, self._held = self._held + tail, ""
        found = min((at for at in map(held.find, self.stop) if at >= 0), default=len(held))
        return held[:found]

    def _possible_start(self, text: str) -> int:
        """Length of the longest end of `text` that is a proper beginning of a stop string."""
        best = 0
        for s in self.stop:
            for n in range(min(len(s) - 1, len(text)), best, -1):
                if text.endswith(s[:n]):
                    best = n
                    break
        return best
