"""`python -m runtime.engine [MODEL]`: what serving a model costs: the plan of a step, the cache, tokens per second.

Each figure is shown for float32 and for 8-bit weights, measured in turns on the text of the bundled sample; bits per
byte of that text say what the 8 bits lose. Then the same caret with and without what the cache already holds.
"""

import argparse
import math
import sys
import time
from collections import Counter
from statistics import median

import numpy as np

import runtime
from runtime.engine.network import Chunk
from runtime.model import EMBEDDED, Model

ROUNDS = 9
NEW_TOKENS = 32


def milliseconds(work) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


class Bench:
    """One model on one prompt. ids: int32, shorter than the context by NEW_TOKENS."""

    def __init__(self, model: Model, ids: np.ndarray) -> None:
        self.model, self.ids, self.cache = model, ids, model.network.new_cache()
        self.prompt_ms: list[float] = []
        self.token_ms: list[float] = []

    def read(self, start: int = 0) -> np.ndarray:
        """Scores after the last id, with the ids before `start` taken from the cache. float32 (vocab,)."""
        network = self.model.network
        for at in range(start, len(self.ids), network.max_rows):
            scores = network.step(self.ids[at : at + network.max_rows], at, self.cache)[0]
        return scores[-1]

    def write(self) -> None:
        """NEW_TOKENS tokens one by one, each time the likeliest."""
        token = np.array([self.model.tokenizer.encode("\n")[-1]], dtype=np.int32)
        for at in range(len(self.ids), len(self.ids) + NEW_TOKENS):
            token[0] = self.model.network.step(token, at, self.cache)[0][-1].argmax()

    def round(self) -> None:
        self.prompt_ms.append(milliseconds(self.read))
        self.token_ms.append(milliseconds(self.write) / NEW_TOKENS)

    def bits_per_byte(self) -> float:
        """Of the prompt after its first id."""
        scores = self.model.logits(self.ids).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        nats = -logs[np.arange(len(self.ids) - 1), self.ids[1:]].sum()
        return nats / math.log(2) / len(self.model.tokenizer.decode_bytes(self.ids[1:].tolist()))


def show_plan(model: Model) -> None:
    spec, network = model.spec, model.network
    kinds = Counter(kind for kind, _ in network.operations())
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    print(f"{model.name}: {spec.n_layers} layers, width {spec.d_model}, vocabulary {spec.vocab_size}")
    print(f"a step is one native call: a plan of {kinds.total()} operations ({counts})")
    shape = f"{network.capacity} positions x {spec.n_layers} layers x {spec.kv_width} {network.kv_type}"
    print(f"one cache: keys and values of {shape} = {network.cache_bytes / 1e6:.1f} MB\n")


def show_profile(bench: Bench) -> None:
    """Where the time of one token goes: each kind of operation, and for products what they read a second."""
    chunk = Chunk(bench.ids[-1:], len(bench.ids) - 1, bench.cache)
    seconds, sizes, counts = Counter(), Counter(), Counter()
    for kind, size, spent in bench.model.network.profile([chunk], rounds=20):
        seconds[kind] += spent
        sizes[kind] += size
        counts[kind] += 1
    print(f"\none token at position {len(bench.ids) - 1}, by kind of operation:")
    for kind, spent in seconds.most_common(6):
        rate = f"{sizes[kind] / spent / 1e9:7.1f} GB/s" if sizes[kind] and spent else ""
        print(f"  {kind:14} {counts[kind]:4} times {spent * 1e6:9.1f} us {rate}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.engine", description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="model folder or installed name (default: the bundled one)")
    name = parser.parse_args(argv).model
    models = {weights: runtime.load_model(name, weights=weights) for weights in ("f32", "q8_0")}
    first = models["f32"]
    if first.tokenizer is None:
        parser.error("the model's folder has no tokenizer")
    text = (EMBEDDED / "sample.py").read_text(encoding="utf-8")
    ids = np.array(first.tokenizer.encode(text)[: first.network.capacity - NEW_TOKENS], dtype=np.int32)
    if len(ids) < 2:
        parser.error(f"the model's context of {first.network.capacity} is too small")
    benches = {weights: Bench(model, ids) for weights, model in models.items()}
    for number in range(ROUNDS + 1):
        for bench in benches.values():
            bench.round()
            if number == 0:  # first use: buffers and pages are touched
                bench.prompt_ms.clear(), bench.token_ms.clear()

    show_plan(models["q8_0"])
    prompt = f"prompt of {len(ids)}"
    print(f"{'weights':8} {'matrices':>9} {prompt:>15} {'one token':>11} {'tokens/s':>9} {'bits per byte':>14}")
    for weights, bench in benches.items():
        size = sum(size for _, size in bench.model.network.operations())
        prompt, token = median(bench.prompt_ms), median(bench.token_ms)
        print(
            f"{weights:8} {size / 1e6:6.1f} MB {prompt:12.1f} ms {token:8.2f} ms {1000 / token:9.0f} "
            f"{bench.bits_per_byte():14.3f}"
        )

    bench = benches["q8_0"]
    cold, warm = bench.read(), bench.read(start=len(ids) - 1)
    warm_ms = median(milliseconds(lambda: bench.read(start=len(ids) - 1)) for _ in range(ROUNDS))
    print(
        f"\nafter one more typed token: {warm_ms:.2f} ms with the cache, {median(bench.prompt_ms):.1f} ms without it;"
    )
    print(f"the two scores differ by at most {np.abs(cold - warm).max():.1e} of {np.abs(cold).max():.1f}")
    show_profile(bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
