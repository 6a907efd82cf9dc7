"""Microseconds of choosing one token at a large vocabulary: filters, draws, logprobs, and masks of grammars.

    python tests/bench/bench_sampling.py TOKENIZER [--rounds 200]

TOKENIZER: a tokenizer.json, of 150k entries say. Logits are random with the spread of a code model's. Masks: for each
place of a JSON text that a schema allows, the first mask (the grammar's transitions are computed on the way), a later
one (they are remembered), and asking for one token, which is all that is needed while the model keeps to the grammar.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import runtime
from runtime.generate import Chooser, Constraint, Matcher, Sampling, TokenIndex, compile_grammar

CHAINS = {
    "greedy": {},
    "temperature": {"temperature": 0.8},
    "top_k 40": {"temperature": 0.8, "top_k": 40},
    "top_p 0.95": {"temperature": 0.8, "top_p": 0.95},
    "min_p 0.05": {"temperature": 0.8, "min_p": 0.05},
    "typical 0.9": {"temperature": 0.8, "typical": 0.9},
    "top_n_sigma 1": {"temperature": 0.8, "top_n_sigma": 1.0},
    "mirostat 5": {"temperature": 0.8, "mirostat_tau": 5.0},
    "top_k, top_p, min_p": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    "penalties": {"repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.2},
    "DRY": {"dry_multiplier": 0.8},
    "logprobs 5": {"logprobs": 5},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "short": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["function", "class", "module"]},
        "lines": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 99999}},
        "more": {"type": "object"},
    },
    "required": ["name", "short", "kind", "lines", "more"],
}
TEXT = (
    '{"name": "parse ü中x", "short": "abc", "kind": "class", "lines": [12, 345], '
    '"more": {"a": [{"b": "c"}], "e": -1.5}}'
)


def microseconds(work, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer")
    parser.add_argument("--rounds", type=int, default=200)
    a = parser.parse_args()
    tokenizer = runtime.load_tokenizer(a.tokenizer)
    size = tokenizer.vocab_size
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal(size) * 2.5).astype(np.float32)
    logits[rng.integers(0, size, 30)] += 9
    history = rng.integers(0, size, 1000).tolist()
    print(f"{size} entries; choosing a token with its logprob, best of {a.rounds}:")
    for name, options in CHAINS.items():
        chooser = Chooser(Sampling(**options, seed=0), history, Constraint(tokenizer, frozenset()))
        print(f"  {name:22} {microseconds(lambda c=chooser: c.choose(logits), a.rounds):8.0f} us")

    began = time.perf_counter()
    index = TokenIndex(tokenizer)
    made = time.perf_counter()
    trie = index.trie
    print(f"sorted tokens {made - began:.2f} s, trie {time.perf_counter() - made:.2f} s, {trie.n_nodes} nodes")
    began = time.perf_counter()
    automaton = compile_grammar(SCHEMA)
    print(f"schema compiled in {(time.perf_counter() - began) * 1000:.1f} ms, {automaton.n_states} states")
    first, later, ask = [], [], []
    text, matcher = TEXT.encode(), Matcher(automaton)
    assert matcher.allows(text) and json.loads(TEXT)
    for at in range(len(text)):
        fresh = Matcher(automaton)
        fresh.feed(text[:at])
        first.append(microseconds(lambda m=fresh: m.mask(trie, size), 1))
        later.append(microseconds(lambda m=fresh: m.mask(trie, size), 5))
        ask.append(microseconds(lambda m=fresh, t=text[at : at + 4]: m.allows(t), 5))
        matcher.feed(text[at : at + 1])
    went = Matcher(automaton)
    along = []
    for at in range(len(text)):
        along.append(microseconds(lambda: went.mask(trie, size), 1))
        went.feed(text[at : at + 1])
    for name, times in (("first mask", first), ("later mask", later), ("each place once", along), ("asking", ask)):
        p50, p95 = np.percentile(times, [50, 95])
        print(
            f"  {name:16} median {p50:8.1f} us, p95 {p95:8.1f} us, worst {max(times):8.1f} us over {len(times)} places"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
