"""Generation: one request's way from prompt ids to pieces of text, one quantum of work at a time.

A quantum is one chunk of the prompt or one new token, so that whoever drives it (a plain loop in `Model.generate`, the
lane in `Engine`) can stop, switch or cancel in between. Knows ids, a cache slot and a sampler; no threads, no queues.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import native_kernels as nk
from runtime.engine.cache import Slot
from runtime.engine.network import Network
from runtime.generate import Healer, Piece, StopRules, make_sampler


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens and when to stop; defaults are greedy. See runtime.generate for the meaning of each."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        # a tuple, because it is read more than once
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        if not isinstance(self.max_tokens, (int, np.integer)) or self.max_tokens < 1:
            raise ValueError(f"max_tokens must be a positive integer, got {self.max_tokens!r}")
        object.__setattr__(self, "max_tokens", int(self.max_tokens))
        self.sampler()  # its own checks raise here, in the caller, and not later in the engine's lane
        StopRules(self.stop)

    def sampler(self):
        return make_sampler(self.temperature, self.top_k, self.top_p, self.min_p, self.seed)


@dataclass
class Prompt:
    """Token ids of a prompt, bytes of a token under the caret that are to be generated again, and what was cut."""

    ids: np.ndarray  # int32 (T,)
    healer: Healer | None = None
    cut: str | None = None


@dataclass
class Timing:
    """Milliseconds and token counts of one request."""

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


@dataclass
class Generation:
    """State of one running request in a cache slot whose first `reused` ids are the prompt's."""

    network: Network
    tokenizer: object | None
    prompt: Prompt
    sampling: Sampling
    stop_ids: frozenset[int]
    slot: Slot
    reused: int
    cancel: nk.CancelFlag = field(default_factory=nk.CancelFlag)
    deadline: float | None = None  # time.perf_counter() after which no further token is started
    finish_reason: str | None = None

    def __post_init__(self) -> None:
        room = self.network.capacity - len(self.prompt.ids)
        self._pending = self.prompt.ids[self.reused :]
        self._sample = self.sampling.sampler()
        self._stops = StopRules(self.sampling.stop, self.stop_ids, max(1, min(self.sampling.max_tokens, room + 1)))
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self.timing = Timing(reused_tokens=self.reused, new_tokens=len(self._pending), cut=self.prompt.cut)

    def advance(self) -> Piece | None:
        """Do one quantum. A piece if a token was chosen; `finish_reason` is set when there is nothing left to do."""
        began = time.perf_counter()
        decoding = self.timing.generated_tokens > 0
        piece = self._advance()
        spent = (time.perf_counter() - began) * 1000
        if decoding:
            self.timing.decode_ms += spent
        else:
            self.timing.prefill_ms += spent
        return piece

    def _advance(self) -> Piece | None:
        if self.cancel.is_set:
            self.finish_reason = "cancelled"
            return None
        if self._late() and self.timing.generated_tokens:  # others were served meanwhile
            self.finish_reason, self.timing.cut = "length", "deadline"
            return None
        start = len(self.slot.ids)
        chunk = self._pending[: self.network.max_rows]
        final = len(chunk) == len(self._pending)
        result = self.network.step(chunk, start, self.slot.cache, last=int(final), cancel=self.cancel)
        if result is None:
            self.finish_reason = "cancelled"
            return None
        self.slot.ids = np.concatenate([self.slot.ids, chunk])
        self._pending = self._pending[len(chunk) :]
        return self._choose(result[0][0]) if final else None

    def _late(self) -> bool:
        return self.deadline is not None and time.perf_counter() > self.deadline

    def _choose(self, logits: np.ndarray) -> Piece:
        """Sample the next token and turn it into visible text."""
        healer = self.prompt.healer
        token, logprob = self._sample(logits, healer.allowed() if healer else None)
        self.timing.generated_tokens += 1
        text = "" if token in self.stop_ids else self._visible(token)
        shown, finished = self._stops.feed(token, text)
        if finished:
            self.finish_reason = self._stops.reason
            if self.finish_reason == "length" and self.sampling.max_tokens > self.timing.generated_tokens:
                self.timing.cut = "context"
        elif self._late():
            shown += self._stops.flush()  # what could have begun a stop string is text after all
            self.finish_reason, self.timing.cut = "length", "deadline"
        self._pending = np.array([token], dtype=np.int32)
        return Piece(token, shown, logprob)

    def _visible(self, token: int) -> str:
        if self.tokenizer is None or token >= self.tokenizer.vocab_size:  # a padding row of the table has no text
            return ""
        healer = self.prompt.healer
        raw = healer.accept(token) if healer else self.tokenizer.token_bytes(token)
        return self._utf8.decode(raw)
