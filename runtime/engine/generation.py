"""Generation: one request's way from prompt ids to pieces of text, one chunk of work at a time.

It says which ids it wants to run next (`chunk`: a part of its prompt, or the last token with drafts of what may follow)
and takes tokens from the scores that come back (`take`), so that whoever drives it (a plain loop in `Model.generate`,
the lane in `Engine`) can batch, stop, switch or cancel in between. Knows ids, a cache slot and a Chooser; no threads,
no queues.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import native_kernels as nk
from runtime.engine.cache import CacheStore, Slot
from runtime.engine.network import Chunk
from runtime.engine.schedule import portion
from runtime.engine.speculation import Drafter
from runtime.generate import Choice, Chooser, Piece, StopRules
from runtime.prompts import Prompt


@dataclass
class Timing:
    """Milliseconds and token counts of one request; `runtime.Engine` says what each means."""

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0
    reused_tokens: int = 0
    new_tokens: int = 0
    generated_tokens: int = 0
    cut: str | None = None

    def as_dict(self) -> dict:
        shown = dict(vars(self))
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in shown.items()}

    def lose(self, what: str) -> None:
        """Add `what` to the things that were cut."""
        self.cut = what if self.cut is None else f"{self.cut},{what}"


class Generation:
    """State of one running request in a cache slot whose first `reused` ids are the prompt's.

    chooser: of this request alone. deadline: time.perf_counter() after which no further token is started.
    drafter: speculation, see `Drafter`.
    finish_reason: None, then "stop" | "length" | "cancelled".
    """

    def __init__(
        self,
        store: CacheStore,
        prompt: Prompt,
        chooser: Chooser,
        slot: Slot,
        reused: int,
        cancel: nk.CancelFlag | None = None,
        deadline: float | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        self.store, self.prompt, self.slot, self.deadline, self.drafter = store, prompt, slot, deadline, drafter
        self.sampling = sampling = chooser.sampling
        self._chooser = chooser
        self.cancel = cancel or nk.CancelFlag()
        self.finish_reason: str | None = None
        reused_in_all = reused + sum(move.length for move in slot.moves)
        self.timing = Timing(reused_tokens=reused_in_all, new_tokens=len(prompt.ids) - reused_in_all, cut=prompt.cut)
        self._pending = prompt.ids[reused:]  # ids that are to be run next; while decoding: the token, then drafts
        self._running = 0  # of them, in the chunk that was given out
        self._odds: Sequence[np.ndarray] | None = None  # what the drafts were drawn from
        self._skip()
        room = store.network.capacity - len(prompt.ids)
        self._most = max(1, min(sampling.max_tokens, room + 1))
        self._stops = StopRules(sampling.stop, chooser.stop_ids, self._most)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def decoding(self) -> bool:
        """The prompt is done and tokens are being generated."""
        return self.timing.generated_tokens > 0

    @property
    def wanted(self) -> int:
        """Rows that the next chunk would have at most."""
        moves = self.slot.moves
        return moves[0].begin - len(self.slot) if moves else len(self._pending)

    def may_go_on(self, expected: float = 0.0) -> bool:
        """False, with a `finish_reason`, if it was cancelled or the deadline ends it.

        expected: seconds that the next token takes; one that would be late is not started.
        """
        if self.cancel.is_set:
            self.finish_reason = "cancelled"
        elif self.decoding and self._late(expected):
            self.finish_reason = "length"
            self.timing.lose("deadline")
        return self.finish_reason is None

    def chunk(self, rows: int) -> Chunk:
        """The next ids to run, at most `rows`, with a cache that has room for them. MemoryError if there is none."""
        ids = self._pending[: min(rows, self.wanted)]
        self._running = len(ids)
        start = len(self.slot)
        self.store.reserve(self.slot, start + len(ids))
        complete = len(ids) == len(self._pending)
        last = len(ids) if self.decoding else int(complete)
        guesses = self.decoding and len(ids) > 1
        return Chunk(ids, start, self.slot.cache, last, len(self.prompt.ids), guesses, self.slot.adapter)

    def take(self, logits: np.ndarray, seconds: float) -> list[Piece]:
        """The chunk was run, in so many seconds: choose tokens from the scores of its last rows, float32 (last, V)."""
        start, ids = len(self.slot), self._pending[: self._running]
        if self.decoding and self.drafter is not None:
            self.drafter.observe(len(ids), seconds)
        self.store.append(self.slot, ids)
        if not self.decoding:
            self._pending = self._pending[len(ids) :]
            self._skip()
            if len(self._pending):
                return []
            ids = ids[-1:]
        # Row i follows the guesses before it: its scores count as long as each of them is the token that was chosen.
        pieces: list[Piece] = []
        guesses = ids[1:].tolist()
        ready = self._chooser.choose_run(logits, guesses)
        for row, guess in enumerate([*guesses, None]):
            pieces.append(self._piece(ready[row] if ready else self._choose(logits[row], row, guess)))
            if guess is not None and (self.finish_reason is not None or pieces[-1].id != guess):
                self.slot.truncate(start + row + 1)
                break
        self._pending = np.array([pieces[-1].id], dtype=np.int32)
        if self.finish_reason is None and self.drafter is not None:
            self._guess()
        return pieces

    def _skip(self) -> None:
        """Parts of the prompt that were moved into place need not be run."""
        slot = self.slot
        while slot.moves and slot.moves[0].begin == len(slot):
            length = slot.moves.pop(0).length
            self.store.append(slot, self._pending[:length])
            self._pending = self._pending[length:]

    def advance(self) -> list[Piece]:
        """Run one chunk alone; `finish_reason` is set when there is nothing left to do."""
        if not self.may_go_on():
            return []
        began, decoding = time.perf_counter(), self.decoding
        network = self.store.network
        rows = portion(self.wanted, network.max_rows, network.max_rows)
        result = network.run([self.chunk(rows)], self.cancel)
        if result is None:
            self.finish_reason = "cancelled"
            return []
        pieces = self.take(result[0][0], time.perf_counter() - began)
        self.spend((time.perf_counter() - began) * 1000, decoding)
        return pieces

    def spend(self, ms: float, decoding: bool) -> None:
        """A step that took so long worked on its tokens, or on its prompt."""
        if decoding:
            self.timing.decode_ms += ms
        else:
            self.timing.prefill_ms += ms

    def _late(self, expected: float = 0.0) -> bool:
        return self.deadline is not None and time.perf_counter() + expected > self.deadline

    def _guess(self) -> None:
        """Put guesses of what follows behind the pending token."""
        network = self.store.network
        left = min(self._most - self.timing.generated_tokens, network.capacity - len(self.slot)) - 1
        most = min(left, network.max_rows - 1, network.alike_rows - 1)
        if most < 1:
            self._odds = None
            return
        ids = np.concatenate([self.slot.ids, self._pending])
        guesses, self._odds = self.drafter.propose(ids, most)
        if len(guesses):
            self._pending = np.concatenate([self._pending, guesses[:most]])

    def _choose(self, logits: np.ndarray, row: int, guess: int | None) -> Choice:
        """Sample the token after `row` guesses, for which `guess` was proposed."""
        if guess is None or not self._odds:
            return self._chooser.choose(logits)
        return self._chooser.choose_against(logits, guess, self._odds[row])

    def _piece(self, choice: Choice) -> Piece:
        """Make a token visible text."""
        self.timing.generated_tokens += 1
        shown, finished = self._stops.feed(choice.id, self._utf8.decode(choice.raw))
        if finished:
            self.finish_reason = self._stops.reason
            if self.finish_reason == "length" and self.sampling.max_tokens > self.timing.generated_tokens:
                self.timing.lose("context")
        elif self._chooser.finished:
            shown += self._stops.flush()  # what could have begun a stop string is text after all
            self.finish_reason = "stop"
        elif self._late():
            shown += self._stops.flush()
            self.finish_reason = "length"
            self.timing.lose("deadline")
        return Piece(choice.id, shown, choice.logprob, choice.top)
