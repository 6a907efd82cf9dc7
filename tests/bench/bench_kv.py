"""Measures what cached keys and values cost and lose: storage types, and parts of a prompt that are moved.

    python tests/bench/bench_kv.py [--model M] [--file FILE] [--edits 40]

A file is cut to the context; lines of it are deleted, doubled or swapped at random places, and the scores after the
last id are compared: computed anew, with what the cache holds before the edit, and with the rest moved to its new place
(Engine's reuse_moved). Shown for each storage type: ms, ids computed, largest difference of the scores in units of
their standard deviation, divergence in nats (Kullback-Leibler, of float32 caches computed anew), how often the first
choice is the same. No part of the test suite: it measures, it asserts nothing.
"""

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a checkout that is not installed

import numpy as np

import runtime
from runtime.engine.cache import CacheStore
from runtime.engine.generation import Generation
from runtime.generate import Sampling
from runtime.prompts import Prompt

KV_TYPES = ("f32", "f16", "q8_0")


def edited(lines: list[str], draw: random.Random) -> list[str]:
    """One line deleted, doubled, or exchanged with its neighbour."""
    at, how = draw.randrange(len(lines) - 1), draw.randrange(3)
    if how == 0:
        return lines[:at] + lines[at + 1 :]
    if how == 1:
        return lines[:at] + [lines[at]] + lines[at:]
    return lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2 :]


def scores(model, store: CacheStore, ids: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Scores after the last id, ms, ids computed."""
    began = time.perf_counter()
    prompt, taken = Prompt(ids), store.acquire(ids, len(ids) + 1)
    made = Generation(store, prompt, model.chooser(prompt, Sampling(max_tokens=1)), *taken)
    while True:
        chunk = made.chunk(model.network.max_rows)
        ((logits, _),) = model.network.run([chunk])
        made.take(logits, 0.0)
        if made.finish_reason is not None:
            store.release(taken[0])
            return logits[-1], (time.perf_counter() - began) * 1000, made.timing.new_tokens


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64) - x.max()
    return x - np.log(np.exp(x).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder, file or installed name (default: the embedded one)")
    parser.add_argument("--file", default=runtime.__file__.replace("__init__.py", "engine/lane.py"))
    parser.add_argument("--edits", type=int, default=40)
    options = parser.parse_args()
    print(f"{'cache':6} {'':10} {'ms':>8} {'ids':>6} {'difference':>11} {'nats':>9} {'same choice':>12}")
    exact = {}
    for kv_type in KV_TYPES:
        model = runtime.load_model(options.model)
        network = model.network
        network.kv_type = kv_type
        room = model.room(8)
        lines = Path(options.file).read_text(encoding="utf-8").splitlines(keepends=True)
        while len(model.tokenizer.encode("".join(lines))) > room - 40:
            lines.pop()
        draw = random.Random(11)
        texts = [lines]
        for _ in range(options.edits):
            texts.append(edited(texts[-1], draw))
        ids = [np.array(model.tokenizer.encode("".join(text))[:room], np.int32) for text in texts]
        stores = {
            "cold": None,
            "cached": CacheStore(network, 8 * network.cache_bytes),
            "moved": CacheStore(network, 8 * network.cache_bytes, reuse_moved=True),
        }
        rows = {name: [] for name in stores}
        for number, prompt in enumerate(ids):
            for name, store in stores.items():
                x, ms, new = scores(model, store or CacheStore(network, network.cache_bytes), prompt)
                wanted = exact.setdefault(number, x)
                p, q = log_softmax(wanted), log_softmax(x)
                difference = np.abs(x - wanted).max() / wanted.std()
                rows[name].append((ms, new, difference, (np.exp(p) * (p - q)).sum(), x.argmax() == wanted.argmax()))
        for name, values in rows.items():
            ms, new, difference, nats, same = np.array(values[1:], float).T
            print(
                f"{kv_type:6} {name:10} {np.median(ms):8.2f} {new.mean():6.0f} {difference.max():11.2e} "
                f"{nats.mean():9.2e} {same.mean():11.0%}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
