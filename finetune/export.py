"""From a run folder to a model folder: config.json, model.safetensors (bf16), tokenizer.json, README.md (the card).

The folder loads in this program and, as model_type llama, in Hugging Face transformers. Knows nothing of training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from runtime.files.atomic import atomic_write_bytes, atomic_write_text
from runtime.files.errors import FormatError
from runtime.files.reader import read_json
from runtime.files.safetensors import write_safetensors
from runtime.models.spec import DecoderSpec
from runtime.text import load_tokenizer

from . import checkpoint
from .card import card
from .report import read_metrics, write_curve


def export(run: str | os.PathLike, out: str | os.PathLike, step: int | None = None) -> dict:
    """Write the newest checkpoint (or the one of `step`) of a run as a model folder, without the card.

    Returns facts for `write_card`. Raises FileNotFoundError without a checkpoint, FormatError for a broken run.
    """
    run, out = Path(run), Path(out)
    found = checkpoint.latest(run / "checkpoints") if step is None else run / "checkpoints" / f"step-{step:08d}"
    if found is None or not found.is_dir():
        raise FileNotFoundError(f"no checkpoint in {run / 'checkpoints'}; train with `hearth pretrain`")
    saved = checkpoint.load(found)
    about = read_json(run / "run.json", "run", max_depth=24)
    try:
        spec = DecoderSpec(**about["recipe"]["model"])
    except (KeyError, TypeError, ValueError) as exc:
        raise FormatError("run", run / "run.json", None, f"does not describe a model ({exc})") from None
    spec.check_weights({name: w.shape for name, w in saved.weights.items()}, found)
    tokenizer = load_tokenizer(run / "tokenizer.json")
    facts = saved.state.get("facts", {})
    if facts.get("tokenizer") != tokenizer.sha256:
        raise FormatError("tokenizer", run / "tokenizer.json", None, "is not the tokenizer of the checkpoint")
    config = spec.to_hf_config() | {"eos_token_id": tokenizer.special["<|endoftext|>"], "bos_token_id": None}
    origin = {"recipe": about["recipe"].get("name"), "step": saved.step}
    if isinstance(about.get("corpus"), dict):
        origin["corpus"] = about["corpus"].get("manifest_sha256")
    config["hearth"] = {"fim_order": "spm", "precision": "q8_0"} | origin
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(out / "tokenizer.json", (run / "tokenizer.json").read_bytes())
    write_safetensors(out / "model.safetensors", saved.weights, {"format": "pt"}, dtypes="BF16")
    atomic_write_text(out / "config.json", json.dumps(config, indent=2) + "\n")
    note = write_curve(run / "metrics.jsonl", out / "curve.png", about["recipe"].get("name", "training"))
    return {
        "run": about,
        "state": saved.state,
        "spec": spec,
        "metrics": read_metrics(run / "metrics.jsonl"),
        "note": note,
        "files": {name: (out / name).stat().st_size for name in ("model.safetensors", "tokenizer.json")},
    }


def newest_run(folder: str | os.PathLike) -> Path:
    """The run of `folder` whose newest checkpoint was written last. Raises FileNotFoundError if none has one."""
    found = [
        (at.stat().st_mtime, run) for run in Path(folder).glob("*") if (at := checkpoint.latest(run / "checkpoints"))
    ]
    if not found:
        raise FileNotFoundError(f"no run with a checkpoint in {folder}; train with `hearth pretrain`, or give --run")
    return max(found)[1]


def write_card(out: str | os.PathLike, facts: dict, reports: Sequence[tuple[str, dict]] = ()) -> None:
    """README.md of the model folder: what it is, from what, how good, and what it is bad at.

    reports: (what was evaluated on, the report of `finetune.commands.evaluation.evaluate_model`).
    """
    atomic_write_text(Path(out) / "README.md", card(facts, reports))
