"""Prefill and decode beside llama.cpp on the same GGUF files: the table of targets, in Markdown.

    python tests/bench/bench_engine.py MODELS --peer LLAMA_BENCH [--peer-avx2 LLAMA_BENCH] [--rounds 5] [--only c-Q8_0]

MODELS holds a-*.gguf (shape of Qwen2.5-Coder-0.5B), b-*.gguf (1.5B) and c-*.gguf (20M: 8 layers x 384, vocabulary
16,384); random weights do, because only speed is measured. Each row is a process of its own (`hearth bench`), in which
samples of ours and of the peer's are taken in turns. `--peer-avx2` is a llama-bench built for AVX2: its rows run our
kernels with HEARTH_ISA=avx2. Asserts nothing: it measures.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# file, depth, least ratio of prefill 512 and of decode 128 that is aimed at
TARGETS = [
    ("a-Q8_0", 0, 3.0, 1.4),
    ("a-Q4_K_M", 0, 3.0, 1.4),
    ("a-Q4_0", 0, 2.2, 1.3),
    ("b-Q4_K_M", 0, 2.5, 1.15),
    ("c-Q8_0", 0, 3.0, 2.0),
    ("c-Q8_0", 1024, None, 3.0),
]
TARGETS_AVX2 = [("a-Q8_0", 0, 1.5, 1.0), ("a-Q4_0", 0, 1.5, 1.0), ("a-Q4_K_M", 0, 1.5, 1.0), ("c-Q8_0", 0, 1.5, 1.0)]
COMMAND = "import sys; from lsp_server.cli import main; sys.exit(main())"


def measure(file: Path, kind: str, depth: int, options: argparse.Namespace, peer: str, isa: str | None) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)} | ({"HEARTH_ISA": isa} if isa else {})
    arguments = ["bench", kind, "--model", str(file), "--peer", peer, "--depth", str(depth), "--json"]
    arguments += ["--rounds", str(options.rounds), "--threads", str(options.threads)]
    arguments += ["--kv", options.kv] if options.kv else []
    command = [sys.executable, "-P", "-c", COMMAND, *arguments]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{file.name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def rows(targets, options: argparse.Namespace, peer: str, isa: str | None):
    for name, depth, *aims in targets:
        file = options.models / f"{name}.gguf"
        if (options.only and name not in options.only) or not file.is_file():
            continue
        for kind, aim in zip(("prefill", "decode"), aims, strict=True):
            if aim is None:
                continue
            report = measure(file, kind, depth, options, peer, isa)
            row = report["rows"][0]
            print(
                f"| {name}{' avx2' if isa else ''} | {row['load']} | {row['ours']:.0f} | {row['peer']:.0f} "
                f"| **{row['ratio']:.2f}** | {aim:g} | {row['traffic']:.0f} {row['unit']} "
                f"| {report['first_token_ms']:.0f} ms | {report['peak_mb'] / (file.stat().st_size / 1e6):.2f} |",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, help="folder with the .gguf files")
    parser.add_argument("--peer", help="llama-bench for this machine")
    parser.add_argument("--peer-avx2", help="llama-bench built for AVX2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv", help="storage of our keys and values")
    parser.add_argument("--only", nargs="*", help="names of files, without .gguf")
    options = parser.parse_args()
    print("| model | load | ours tok/s | llama.cpp tok/s | ratio | target | weights | first token | peak / file |")
    print("|---|---|---|---|---|---|---|---|---|")
    if options.peer:
        rows(TARGETS, options, options.peer, None)
    if options.peer_avx2:
        rows(TARGETS_AVX2, options, options.peer_avx2, "avx2")
    return 0


if __name__ == "__main__":
    sys.exit(main())
