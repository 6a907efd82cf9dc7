"""Lets requests out of the queue: in which turn, into which cache, and with how much of their prompt.

A request with a deadline gets as much of its prompt as can be read in time at the pace that was measured. Knows the
store and the pace; runs nothing but one short probe where the pace is still unknown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from runtime.engine.cache import CacheStore
from runtime.engine.generation import Generation
from runtime.engine.network import Chunk
from runtime.engine.pace import Pace
from runtime.engine.request import PRIORITIES, Request
from runtime.prompts import Prompt

MOST_ACTIVE = 8  # requests at work at once; one place is kept for completions
_AGEING = 10.0  # a waiting request goes up one class after so many seconds
_PROBE_ROWS = 16
_LEAST_CONTEXT = 32  # ids of a prompt that no deadline takes away
_TOKENS_KEPT = 8  # a deadline leaves time for so many tokens, within half of what is left


class Admission:
    def __init__(self, model, store: CacheStore, pace: Pace) -> None:
        self.model, self.store, self.pace = model, store, pace

    def in_turn(self, waiting: Sequence[Request], now: float) -> list[Request]:
        """By class, then by age; who has waited long counts as of a higher class."""

        def turn(request: Request) -> tuple[int, float]:
            aged = PRIORITIES.index(request.priority) - int((now - request.submitted) / _AGEING)
            return max(0, aged), request.submitted

        return sorted(waiting, key=turn)

    def start(self, request: Request, active: Sequence[Request]) -> Generation | None:
        """The request with a cache, or None while there is no room. MemoryError where the machine has none.

        One completion and one other request are let in whatever the budget of bytes is, and the others leave room for
        a completion.
        """
        model, completing = self.model, request.priority == "completion"
        if len(active) >= MOST_ACTIVE - (not completing):
            return None
        prompt = self._in_time(request)
        must = all((other.priority == "completion") != completing for other in active)
        leave = 0 if completing or must else model.network.kv_bytes(model.network.capacity)
        positions = len(prompt.ids) + request.sampling.max_tokens
        taken = self.store.acquire(prompt.ids, positions, must, leave, request.adapter)
        if taken is None:
            return None
        slot, reused = taken
        return Generation(
            self.store,
            prompt,
            model.chooser(prompt, request.sampling),
            slot,
            reused,
            request.cancel_flag,
            request.deadline,
            request.drafter,
        )

    def _in_time(self, request: Request) -> Prompt:
        """As much of the prompt as the deadline allows.

        It is shortened by quarters of the context, so that its start stays put from one keystroke to the next: what
        was cut for the last one is then in a cache, and is taken even where a little more could be read.
        """
        if request.deadline is None:
            return request.prompt
        if self.pace.row is None:
            self._probe(request.prompt)
        left = max(0.0, request.deadline - time.perf_counter())
        tokens = min(request.sampling.max_tokens, _TOKENS_KEPT) * (self.pace.step or 0.0)
        most = max(_LEAST_CONTEXT, self.pace.rows_in(left - min(left / 2, tokens)) or 0)
        prompt, room = request.prompt, self.model.room(request.sampling.max_tokens)

        def shorter() -> Prompt:
            return request.draft.fit(max(_LEAST_CONTEXT, room * 3 // 4), "prompt_deadline")

        while room > most and self._new(prompt, request) > most:
            prompt, room = shorter(), max(_LEAST_CONTEXT, room * 3 // 4)
        if prompt is not request.prompt:
            known = shorter()
            if self._new(known, request) * 4 <= self._new(prompt, request):
                return known
        return prompt

    def _new(self, prompt: Prompt, request: Request) -> int:
        """Ids of the prompt that no cache holds."""
        return len(prompt.ids) - self.store.shared(prompt.ids, request.adapter)

    def _probe(self, prompt: Prompt) -> None:
        """Learn what a row of a prompt costs."""
        network = self.model.network
        ids = prompt.ids[:1].repeat(min(_PROBE_ROWS, network.max_rows))
        cache = network.new_cache(len(ids))
        began = time.perf_counter()
        network.run([Chunk(ids, 0, cache, 1)])
        self.pace.record(max(len(ids), _PROBE_ROWS), time.perf_counter() - began)
