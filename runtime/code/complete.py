"""One completion at a caret, for a caller that can wait: prompt, engine, early stop, rules.

The language server does the same steps on its event loop with the same functions; this is the terminal's way. Knows
models and engines only by the few members it calls.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from runtime.code.caret import Caret
from runtime.code.postprocess import Offer, Silence, apply
from runtime.code.prompt import Prompt, completion_prompt
from runtime.code.stream import EnoughText


@dataclass(frozen=True)
class Completion:
    """`result` and the model's raw text; `tokens` are those generated; `timing` is the engine's, in milliseconds."""

    result: Offer | Silence
    raw: str
    tokens: int
    timing: dict[str, Any]


def prompt_at(model: Any, caret: Caret, max_tokens: int = 64) -> Prompt:
    """What to submit for this caret. Raises ValueError if the model has no tokenizer or too small a context."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ValueError("the model's folder has no tokenizer, so it cannot complete text")
    return completion_prompt(caret, _counter(tokenizer), model.spec.max_context, max_tokens)


@lru_cache(maxsize=2)
def _counter(tokenizer: Any):
    """Tokens of a text, remembered for short ones: the same lines are counted again at every keystroke."""

    @lru_cache(maxsize=8192)
    def remembered(text: str) -> int:
        return len(tokenizer.encode(text))

    def count(text: str) -> int:
        return remembered(text) if len(text) <= 400 else len(tokenizer.encode(text))

    return count


def complete(model: Any, engine: Any, caret: Caret, max_tokens: int = 64) -> Completion:
    """The offer at `caret`, waiting for it. Raises what the engine raises."""
    prompt = prompt_at(model, caret, max_tokens)
    if not prompt.prefix.strip() and not prompt.suffix.strip():
        return Completion(Silence("there is no text to go by"), "", 0, {})
    enough = EnoughText(caret)
    tokens = 0
    began = time.perf_counter()
    request = engine.submit(
        (prompt.prefix, prompt.suffix), priority="completion", max_tokens=prompt.max_tokens, temperature=0.0
    )
    try:
        for piece in request:
            tokens += 1
            if enough.feed(piece.text):
                break
    finally:
        request.cancel()
    return Completion(apply(enough.text, caret), enough.text, tokens, final_timing(request.timing, began))


def final_timing(timing: dict[str, Any], began: float) -> dict[str, Any]:
    """The engine's timing; the total of a request that was stopped early is that from `began` (perf_counter) to now."""
    total = timing.get("total_ms") or round((time.perf_counter() - began) * 1000, 3)
    return {**timing, "total_ms": total}
