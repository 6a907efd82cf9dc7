"""llama.cpp as the opponent of `hearth bench`: one sample by its program `llama-bench`, as a child process."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

_KV = {None: "f16", "f16": "f16", "f32": "f32", "q8_0": "q8_0"}


class LlamaBench:
    """`program` is a path or a name on PATH; `model` must be a .gguf file, because it reads nothing else."""

    def __init__(self, program: str, model: str | None, threads: int, kv: str | None = None) -> None:
        found = shutil.which(program)
        if found is None:
            raise ValueError(f"no program {program!r}: build llama.cpp and give the path of its llama-bench")
        if model is None or Path(model).suffix != ".gguf":
            raise ValueError("a peer needs --model FILE.gguf: llama.cpp reads nothing else")
        self._command = [found, "-m", str(Path(model).resolve()), "-t", str(threads), "-r", "1", "-fa", "1"]
        self._command += ["-ctk", _KV[kv], "-ctv", _KV[kv], "-ngl", "0", "-o", "json"]

    def sample(self, load: Any) -> float:
        """Tokens a second of a runtime.engine.speed.Load; RuntimeError with the program's last line if it fails."""
        sizes = ["-p", str(load.tokens), "-n", "0"] if load.kind == "prefill" else ["-p", "0", "-n", str(load.tokens)]
        done = subprocess.run([*self._command, *sizes, "-d", str(load.depth)], capture_output=True, text=True)
        try:
            return float(json.loads(done.stdout)[0]["avg_ts"])
        except (ValueError, LookupError, TypeError):
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise RuntimeError(f"llama-bench failed: {last}") from None
