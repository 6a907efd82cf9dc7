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
    }


def write_card(out: str | os.PathLike, facts: dict, reports: Sequence[tuple[str, dict]] = ()) -> None:
    """README.md of the model folder: what it is, from what, how good, and what it is bad at.

    reports: (what was evaluated on, the report of `finetune.commands.evaluation.evaluate_model`).
    """
    atomic_write_text(Path(out) / "README.md", card(facts, reports))


def card(facts: dict, reports: Sequence[tuple[str, dict]]) -> str:
    recipe, corpus, state, spec = facts["run"]["recipe"], facts["run"]["corpus"], facts["state"], facts["spec"]
    splits, sources = corpus["splits"], corpus["sources"]
    licences = sorted({source["licence"] for source in sources.values()})
    train, fim = recipe["train"], recipe["data"]["fim"]
    epochs = state["data"].get("epoch")
    optimiser = "AdamW"
    if train.get("optimizer") == "muon":
        optimiser = f"Muon at {train['muon_ratio']:g} times the rate inside the blocks, AdamW elsewhere"
    rows = [
        ("Parameters", f"{spec.n_params():,}"),
        ("Shape", f"{spec.n_layers} layers, width {spec.d_model}, {spec.n_heads} heads of {spec.head_dim} "
         f"({spec.n_kv_heads} key/value), feed-forward {spec.d_ff}, vocabulary {spec.vocab_size}, "
         f"context {spec.max_context}, {'tied' if spec.tied else 'untied'} embeddings"),
        ("Start", f"random weights, seed {recipe['seed']}"),
        ("Trained on", f"{state['tokens']:,} tokens in {state['step']:,} steps of {recipe['data']['batch']} x "
         f"{recipe['data']['context']}" + (f", {epochs} full passes" if epochs else "")),
        ("Time", f"{state['seconds'] / 60:.1f} minutes of computing steps"),
        ("Optimiser", f"{optimiser}, peak rate {train['lr']:g}, warm-up {state['schedule']['warmup']}, cosine to "
         f"{train['min_lr_ratio']:.0%}, weight decay {train['weight_decay']:g}, clip {train['clip']:g}"),
        ("Fill in the middle", f"{fim['rate']:.0%} of pieces, {fim['spm']:.0%} of them suffix first"),
        ("Weights", "bfloat16, model_type llama"),
        ("Tokenizer", f"byte-level BPE trained on the same corpus, sha256 `{facts['run']['tokenizer_sha256'][:16]}`"),
        ("Corpus", f"{splits['train']['files']:,} files, {splits['train']['bytes'] / 1e6:.1f} MB for training, "
         f"{splits['val']['files']:,} for validation, {splits['test']['files']:,} for test; manifest sha256 "
         f"`{corpus['manifest_sha256'][:16]}`"),
        ("Sources", "; ".join(f"{name} ({source['licence']}, {source.get('files_kept', 0):,} files kept)"
         for name, source in sources.items())),
    ]  # fmt: skip
    lines = [
        f"# Codehearth {recipe['name']}",
        "",
        "A small code model for completion inside a file, trained from random weights by Codehearth's own trainer.",
        "It completes Python; it has seen nothing else.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in rows),
        "",
        "## Quality",
        "",
    ]
    for what, report in reports:
        lines += [*_quality(what, report), ""]
    if reports:
        lines += [
            "Bits per byte, perplexity and top-1: left to right, windows of the context's length that overlap by half.",
            "Line exact match and edit similarity: what the product offers (one line, greedy, fill in the middle) at",
            "carets drawn at random after a line's indent, inside a line, and after one of `. ( = ,` or a blank; the",
            "rest of the caret's line is taken away, the lines below are there. Silence is wrong. 95 % intervals:",
            "Wilson's for shares, sections resampled for the others.",
        ]
    val = [row for row in facts["metrics"] if "val_loss" in row]
    if val:
        lines += ["", f"Last evaluation while training (sections of files): {val[-1]['val_loss']:.4f} nats per token, "
                  f"{val[-1]['val_bits_per_byte']:.4f} bits per byte."]  # fmt: skip
    if not facts["note"]:
        lines += ["", "![training curve](curve.png)"]
    lines += [
        "",
        "## Data and licence",
        "",
        f"The corpus is the source code of Python's standard library ({', '.join(licences)}; Copyright Python Software",
        "Foundation), cleaned, deduplicated and split by module. The weights come with the program under its licence;",
        "short passages that the model repeats from the library remain under the library's.",
        "",
        "## Known weaknesses",
        "",
        "- It is tiny: it knows idioms, not your libraries. Expect right short line endings and wrong long ones.",
        "- It learnt the style of the standard library and its tests; modern typing and third-party packages are rare.",
        f"- It sees {spec.max_context} tokens, about {spec.max_context * 3} characters, around the caret.",
        "- Chat answers follow the form of an answer; their contents are seldom right.",
        "- It may repeat names or text from its training data, and it may write code that is wrong or unsafe.",
        "",
    ]
    return "\n".join(lines)


def _quality(what: str, report: dict) -> list[str]:
    """One table of the card."""
    settings = report["settings"]
    head, rows = table(report)
    text = f"On {what}: {settings['documents']} sections of files, {settings['bytes'] / 1e6:.2f} MB"
    if "opponent" in report:
        other = report["opponent"]
        text += (
            f"; beside an n-gram model (order {other['order']}, counted in {other['training_tokens']:,} tokens of the "
            "same training files) with a memory of the document, at the same carets with the same context"
        )
    return [
        text + ".",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def table(report: dict) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a report as text: measure, value, its interval, n; with an opponent also its value and the
    difference with its interval."""
    other, paired = report.get("opponent", {}).get("results"), report.get("paired", {})
    head = ["measure", "value", "95 %", "n"]
    if other:
        head += [report["opponent"]["name"], "difference", "95 %"]
    rows = []
    for key, r in _flat(report["results"]).items():
        share = key.startswith(("top1", "line"))
        row = [key, _show(r["value"], share), _interval(r, share), f"{r['n']:,}"]
        if other:
            row.append(_show(_flat(other)[key]["value"], share))
            difference = _flat(paired).get(key)
            row += (
                [_show(difference["value"], share, "+"), _interval(difference, share, "+")] if difference else ["", ""]
            )
        rows.append(row)
    return head, rows


def _flat(results: dict) -> dict[str, dict]:
    """Measures by name for people, in order."""
    flat = {}
    for key, value in results.items():
        inner = {key: value} if "value" in value else {f"{key}, {kind}": v for kind, v in value.items()}
        flat |= {name.replace("_", " "): r for name, r in inner.items()}
    return flat


def _show(x: float | None, share: bool, sign: str = "") -> str:
    if x is None:
        return "-"
    return f"{100 * x:{sign}.1f} %" if share else f"{x:{sign}.3f}"


def _interval(r: dict, share: bool, sign: str = "") -> str:
    return "-" if r["value"] is None else f"{_show(r['low'], share, sign)} to {_show(r['high'], share, sign)}"
