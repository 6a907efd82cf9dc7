"""Distinct n-grams of sampled text by temperature: a sampler that works says more different things the hotter it is.

distinct-n is the number of different n-grams of tokens over the number of all (Li et al. 2016), of each sample,
averaged over samples. Knows a model's network; no probes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from runtime.generate import make_sampler

from ..measure import start_id

TEMPERATURES = (0.2, 0.6, 1.0, 1.4)
TOKENS = 300
PROMPTS = (
    "def read_settings(path):\n    ",
    "class Queue:\n    def __init__(self",
    "import os\nimport sys\n\n\ndef main(",
    "# Count the words of a text.\n",
)

Progress = Callable[[int, int, str], None]


def distinct(ids: Sequence[int], n: int) -> float:
    """Different n-grams over all n-grams, 0 to 1; 0 where there is none."""
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def diversity_of(
    model,
    temperatures: Sequence[float] = TEMPERATURES,
    tokens: int = TOKENS,
    prompts: Sequence[str] = PROMPTS,
    progress: Progress | None = None,
) -> dict:
    """{"temperatures", "tokens", "samples", "distinct_1", "distinct_2", "distinct_3": one mean for each temperature,
    "rises": {"distinct_1": bool, …}}. Seeds are fixed. Fewer tokens where the context does not hold so many.

    Raises ValueError for a model without tokenizer or temperatures that do not rise.
    """
    if model.tokenizer is None:
        raise ValueError("the model has no tokenizer: it cannot continue texts")
    if len(temperatures) < 2 or any(a >= b for a, b in zip(temperatures, temperatures[1:], strict=False)):
        raise ValueError(f"at least two temperatures in rising order, not {list(temperatures)}")
    start = [] if start_id(model) is None else [start_id(model)]
    heads = [start + model.tokenizer.encode(prompt) for prompt in prompts]
    tokens = min(tokens, model.network.capacity - max(map(len, heads)))
    if tokens < 3:
        raise ValueError("the context is too small for a sample")
    total = len(temperatures) * len(heads)
    means = np.zeros((3, len(temperatures)))
    for i, t in enumerate(temperatures):
        for k, head in enumerate(heads):
            if progress:
                progress(i * len(heads) + k, total, f"temperature {t:g}")
            ids = _sample(model, head, tokens, t, seed=k)
            means[:, i] += [distinct(ids, n) / len(heads) for n in (1, 2, 3)]
    found = {f"distinct_{n}": means[n - 1].tolist() for n in (1, 2, 3)}
    rises = {key: all(a < b for a, b in zip(row, row[1:], strict=False)) for key, row in found.items()}
    about = {"temperatures": list(temperatures), "tokens": tokens, "samples": len(heads)}
    return about | found | {"rises": rises}


def _sample(model, head: Sequence[int], tokens: int, temperature: float, seed: int) -> list[int]:
    """`tokens` sampled ids after `head`; special tokens are never drawn, so that every sample is as long."""
    network, draw = model.network, make_sampler(temperature, seed=seed)
    special = set(model.tokenizer.special.values())
    text = np.array([i for i in range(model.tokenizer.vocab_size) if i not in special])
    cache, ids, at = network.new_cache(), list(head), 0
    for _ in range(tokens):
        new = np.array(ids[at:], np.int32)
        for begin in range(0, len(new), network.max_rows):
            part = new[begin : begin + network.max_rows]
            scores, _ = network.step(part, at + begin, cache)
        at = len(ids)
        ids.append(int(draw(scores[-1], text)[0]))
    return ids[len(head) :]
