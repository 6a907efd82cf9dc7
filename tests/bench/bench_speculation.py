"""Tokens per second with and without look-up speculation on edits that repeat their input, from real commits.

    python tests/bench/bench_speculation.py [--repo .] [--hunks 20] [--model NAME] [--ids-only FOLDER TOKENIZER]

Each hunk of the repository's history becomes a prompt with the block as it was; what is written is the block as the
commit left it. A small model would not write that edit by itself, so the text is forced: the model computes and chooses
at each place as always, then the commit's token is taken. So the number of steps and the time are those of a model that
writes exactly this edit; nothing is assumed about how guesses are made or checked. Both ways run in turns in one
process; prefill is not counted. A second table has text that repeats nothing (identifiers that occur once), where the
ratio must stay near 1, and text that opens a file, with nothing before it to look up. Greedy generation without force
closes: the model's own words, which must be the same both ways.

--ids-only: a model folder without tokenizer, and its tokenizer beside it (stories260K).
"""

import argparse
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import runtime
from runtime.engine.generation import Generation
from runtime.generate import Chooser, Constraint, Sampling
from runtime.prompts import Prompt

ROUNDS = 3
LEAST_LINES, MOST_LINES = 6, 60
HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@.*$", re.M)


def hunks_of(repo: str, most: int, seed: int = 0) -> list[tuple[str, str]]:
    """(block before, block after) of changes to Python files, the newest commits first; each changes some lines of its
    block and keeps at least half of them."""
    options = ["-p", "-U8", "--no-merges", "--diff-filter=M", "-n", "400", "--format=", "--", "*.py"]
    text = subprocess.run(["git", "-C", repo, "log", *options], capture_output=True, check=True)
    text = text.stdout.decode("utf-8", "replace")
    found = []
    for file in text.split("\ndiff --git "):
        for body in HUNK.split(file)[1:]:
            lines = [line for line in body.split("\n") if line[:1] in ("+", "-", " ")]
            old = [line[1:] for line in lines if line[0] != "+"]
            new = [line[1:] for line in lines if line[0] != "-"]
            kept = sum(line[0] == " " for line in lines)
            if LEAST_LINES <= len(new) <= MOST_LINES and old != new and 2 * kept >= len(new):
                found.append(("\n".join(old) + "\n", "\n".join(new) + "\n"))
    random.Random(seed).shuffle(found)
    return found[: most * 20]


class Forced(Chooser):
    """Chooses as always, then takes the next of `ids` instead."""

    def __init__(self, ids) -> None:
        super().__init__(Sampling(max_tokens=len(ids)), (), Constraint(None, frozenset()))
        self._ids = list(ids)

    def choose_run(self, logits, guesses):
        count = 1
        while count < len(logits) and count < len(self._ids) and guesses[count - 1] == self._ids[count - 1]:
            count += 1
        own = super().choose_run(logits[:count], logits[: count - 1].argmax(axis=1).tolist())
        forced, self._ids = self._ids[:count], self._ids[count:]
        return [choice._replace(id=id) for choice, id in zip(own, forced, strict=True)]


def seconds(model, prompt, text, lookup: bool) -> tuple[float, int]:
    """(time of decoding, steps of the model) for writing `text` after `prompt` (both ids)."""
    ids = np.array(prompt, np.int32)
    slot, reused = model._store.acquire(ids, len(ids) + len(text))
    drafter = model.drafter(Sampling(), "lookup") if lookup else None
    run = Generation(model._store, Prompt(ids), Forced(text), slot, reused, drafter=drafter)
    steps = 0
    try:
        while run.finish_reason is None:
            run.advance()
            steps += run.decoding
    finally:
        model._store.release(slot)
    return run.timing.decode_ms / 1000, steps


def compare(model, cases) -> dict:
    """Median over the cases of the ratio of speeds (best of ROUNDS each, in turns), and what was written a step."""
    ratios, rates, per_step = [], [], []
    for prompt, text in cases:
        best = {False: float("inf"), True: float("inf")}
        for _ in range(ROUNDS):
            for lookup in (False, True):
                took, steps = seconds(model, prompt, text, lookup)
                best[lookup] = min(best[lookup], took)
        ratios.append(best[False] / best[True])
        rates.append((len(text) / best[False], len(text) / best[True]))
        per_step.append(len(text) / max(1, steps))
    return {
        "cases": len(ratios),
        "tokens": int(median(len(text) for _, text in cases)),
        "plain": median(rate for rate, _ in rates),
        "lookup": median(rate for _, rate in rates),
        "ratio": median(ratios),
        "worst": min(ratios),
        "step": median(per_step),
    }


def fitting(hunks, encode, room: int, most: int):
    cases = []
    for old, new in hunks:
        prompt = encode("# Rewrite this block with the edit.\n" + old + "# The block after the edit:\n")
        text = encode(new)
        if len(prompt) + len(text) < room and len(text) >= 24:
            cases.append((prompt, text))
    return cases[:most]


def fresh(encode, room: int, count: int):
    """Text without repetitions: names that occur once, in no order."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    cases = []
    for _ in range(count):
        words = ["".join(rng.choices(letters, k=rng.randrange(3, 9))) for _ in range(400)]
        ids = encode(" ".join(words))
        cases.append((ids[: room // 3], ids[room // 3 : room // 3 + 150]))
    return cases


def openings(repo: str, encode, room: int, count: int):
    """Beginnings of files: real code that has seen nothing yet but its first line."""
    paths = sorted(Path(repo).rglob("*.py"))
    random.Random(2).shuffle(paths)
    cases = []
    for path in paths:
        ids = encode(path.read_text(encoding="utf-8", errors="replace")[:4000])
        if len(ids) > 170 and len(cases) < count:
            cases.append((ids[:10], ids[10 : min(160, room - 10)]))
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repo", default=str(Path(__file__).resolve().parents[2]))
    parser.add_argument("--hunks", type=int, default=20)
    parser.add_argument("--model")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--ids-only", nargs=2, metavar=("FOLDER", "TOKENIZER"))
    a = parser.parse_args()
    if a.ids_only:
        model = runtime.load_model(a.ids_only[0], weights=a.weights)
        tokenizer = runtime.load_tokenizer(a.ids_only[1])
    else:
        model = runtime.load_model(a.model, weights=a.weights)
        tokenizer = model.tokenizer
    room, encode = model.network.capacity, tokenizer.encode
    sets = {
        "edits": fitting(hunks_of(a.repo, a.hunks), encode, room, a.hunks),
        "nothing repeats": fresh(encode, room, a.hunks),
        "openings of files": openings(a.repo, encode, room, a.hunks),
    }
    print(f"{model.name}, {room} positions, median of the cases, best of {ROUNDS} in turns")
    heads = {"cases": 5, "tokens": 6, "plain tok/s": 12, "lookup tok/s": 13, "ratio": 6, "worst": 6, "a step": 7}
    print(f"{'text':18} " + " ".join(f"{head:>{width}}" for head, width in heads.items()))
    for name, cases in sets.items():
        r = compare(model, cases)
        print(
            f"{name:18} {r['cases']:5} {r['tokens']:6} {r['plain']:12.0f} {r['lookup']:13.0f} {r['ratio']:6.2f} "
            f"{r['worst']:6.2f} {r['step']:7.2f}"
        )
    same, ratios = 0, []
    for prompt, text in sets["edits"]:
        took, said = {}, {}
        for kind in (None, "lookup", None, "lookup"):
            began = time.perf_counter()
            said[kind] = [p.id for p in model.generate(prompt, max_tokens=min(100, len(text)), speculation=kind)]
            took[kind] = time.perf_counter() - began
        same += said[None] == said["lookup"]
        ratios.append(took[None] / took["lookup"])
    print(f"greedy, its own words: {same} of {len(ratios)} texts the same token for token; ratio {median(ratios):.2f}")
    return 0 if same == len(ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
