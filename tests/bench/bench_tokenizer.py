"""Tokenizer speed beside its peers in one run: encode MB/s, training seconds, bytes per token.

    python tests/bench/bench_tokenizer.py CORPUS TOKENIZER [--train-mb 12]

CORPUS is a folder that `hearth corpus build` wrote, TOKENIZER a tokenizer.json of ours. The peers (Hugging Face
`tokenizers`, `tiktoken`) run as child processes with one thread, on the same texts and the same vocabulary, and must
give the same ids; a peer that is not installed is left out. Prints one JSON object.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
REPEATS = 3


def texts_of(corpus: str, split: str, limit: float) -> list[str]:
    from finetune.data.corpus import load_corpus

    out, size = [], 0
    for document in load_corpus(corpus).documents(split):
        if size > limit * 1e6:
            break
        out.append(document.text)
        size += len(document.text.encode())
    return out


def timed_encode(encode, texts: list[str]) -> dict:
    """Best of three passes over all texts, one call per text."""
    size = sum(len(t.encode()) for t in texts)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        ids = [encode(t) for t in texts]
        best = min(best, time.perf_counter() - began)
    digest = hashlib.sha256(json.dumps([list(map(int, i)) for i in ids]).encode()).hexdigest()
    tokens = sum(len(i) for i in ids)
    return {"mb_per_s": round(size / best / 1e6, 2), "bytes_per_token": round(size / tokens, 3), "ids": digest[:16]}


def ours(a) -> dict:
    from runtime.text import load_tokenizer, train_bpe

    tokenizer = load_tokenizer(a.tokenizer)
    out = timed_encode(tokenizer.encode, texts_of(a.corpus, "val", 1e9))
    began = time.perf_counter()
    load_tokenizer(a.tokenizer)  # the second time: a large vocabulary comes from its cached form
    out["load_ms"] = round(1000 * (time.perf_counter() - began), 1)
    sample = texts_of(a.corpus, "train", a.train_mb)
    began = time.perf_counter()
    trained = train_bpe(sample, tokenizer.vocab_size)
    return out | {"train_s": round(time.perf_counter() - began, 2), "last_merge": trained.spec.merges[-1]}


def hugging_face(a) -> dict:
    import tokenizers

    peer = tokenizers.Tokenizer.from_file(a.tokenizer)
    texts = texts_of(a.corpus, "val", 1e9)
    out = timed_encode(lambda t: peer.encode(t, add_special_tokens=False).ids, texts)
    fresh = tokenizers.Tokenizer(tokenizers.models.BPE())
    fresh.pre_tokenizer = peer.pre_tokenizer
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=peer.get_vocab_size(),
        special_tokens=[t.content for _, t in sorted(peer.get_added_tokens_decoder().items())],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = texts_of(a.corpus, "train", a.train_mb)
    began = time.perf_counter()
    fresh.train_from_iterator(sample, trainer)
    seconds = round(time.perf_counter() - began, 2)
    last = json.loads(fresh.to_str())["model"]["merges"][-1]
    return out | {"train_s": seconds, "last_merge": last, "version": tokenizers.__version__}


def tik_token(a) -> dict:
    import tiktoken

    from runtime.text import load_tokenizer

    tokenizer = load_tokenizer(a.tokenizer)
    (pattern,) = tokenizer.spec.pre_tokenizer.patterns  # tiktoken has one; ValueError for other vocabularies
    plain = {i: tokenizer.token_bytes(i) for i in tokenizer.spec.vocab.values() if i not in tokenizer.special_ids}
    peer = tiktoken.Encoding(
        "ours", pat_str=pattern, mergeable_ranks={b: i for i, b in plain.items()}, special_tokens=tokenizer.special
    )
    texts = texts_of(a.corpus, "val", 1e9)
    return timed_encode(peer.encode_ordinary, texts) | {"version": tiktoken.__version__}


RUNNERS = {"codehearth": ours, "tokenizers": hugging_face, "tiktoken": tik_token}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("corpus")
    p.add_argument("tokenizer")
    p.add_argument("--train-mb", type=float, default=12, help="size of the sample for training (default 12)")
    p.add_argument("--only", choices=RUNNERS, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.only:
        print(json.dumps(RUNNERS[a.only](a)))
        return 0
    results = {}
    quiet = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    for name in RUNNERS:
        command = [sys.executable, __file__, a.corpus, a.tokenizer, "--train-mb", str(a.train_mb), "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, env=quiet)
        if done.returncode == 0:
            results[name] = json.loads(done.stdout)
        elif "ModuleNotFoundError" in done.stderr:
            results[name] = "not installed"
        else:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
    print(json.dumps(results, indent=1))
    differ = {name for name, r in results.items() if isinstance(r, dict) and r["ids"] != results["codehearth"]["ids"]}
    return f"ids differ from: {', '.join(sorted(differ))}" if differ else 0


if __name__ == "__main__":
    sys.exit(main())
