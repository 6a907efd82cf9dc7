"""What happened inside one completion, for people: the prompt with its markers, what was healed, the model's own words
and what each rule made of them. Computes nothing that `complete` did not; knows models only by the members it calls.
"""

from dataclasses import dataclass
from typing import Any

from runtime.code.caret import Caret
from runtime.code.complete import Completion, prompt_at
from runtime.code.postprocess import traced


@dataclass(frozen=True)
class Inside:
    """prompt: text of the prompt's ids, markers included, as the model got it; prompt_tokens: their number.

    healed: text left of the caret that is not in the prompt, because the model had to write it again as the beginning
    of a longer token; raw: what it wrote beyond that; rules: (rule, the text after it) for each that changed something.
    """

    prompt: str
    prompt_tokens: int
    healed: str
    raw: str
    rules: list[tuple[str, str]]


def look_inside(model: Any, caret: Caret, done: Completion, max_tokens: int = 64) -> Inside:
    """The inside of `done`, the completion at `caret` by the same model with the same `max_tokens`."""
    asked = prompt_at(model, caret, max_tokens)
    if not asked.prefix.strip() and not asked.suffix.strip():
        return Inside("", 0, "", done.raw, [])
    prompt = model.prompt((asked.prefix, asked.suffix), asked.max_tokens)
    healed = prompt.healer.rest.decode("utf-8", "replace") if prompt.healer else ""
    rules = traced(done.raw, caret)[1]
    return Inside(model.tokenizer.decode(prompt.ids.tolist()), len(prompt.ids), healed, done.raw, rules)
