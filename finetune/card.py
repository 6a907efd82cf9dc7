"""The card of a model (README.md of its folder): what it is, from what, how good beside the floor, what it is bad at.

Knows facts of `export.export` and reports of `commands.evaluation.evaluate_model`; no models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from . import tables


def card(facts: Mapping, reports: Sequence[tuple[str, Mapping]] = ()) -> str:
    """Markdown. reports: (what was evaluated on, its report); they may hold opponents, probes and diversity."""
    name, spec = facts["run"]["recipe"]["name"], facts["spec"]
    lines = [
        f"# Codehearth {name}",
        "",
        "A small code model for completion inside a file, trained from random weights by Codehearth's own trainer.",
        "It completes Python; it has seen nothing else.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in _rows(facts)),
        "",
        "## Quality",
        "",
    ]
    for what, report in reports:
        lines += [*_quality(what, name, report), ""]
    if reports:
        lines += [
            "Bits per byte, perplexity and top-1: left to right, windows of the context's length that overlap by half.",
            "Line exact match and edit similarity: what the product offers (one line, greedy, fill in the middle) at",
            "carets drawn at random after a line's indent, inside a line, and after one of `. ( = ,` or a blank; the",
            "rest of the caret's line is taken away, the lines below are there. Silence is wrong. 95 % intervals:",
            "Wilson's for exact match, sections resampled for the others, pairs kept together for differences.",
            "pass@1 was not measured: no program was run.",
            "",
        ]
    for what, report in reports:
        if "probes" in report:
            lines += [*_probes(what, report["probes"]), ""]
    for _, report in reports:
        if "diversity" in report:
            lines += [
                "### Distinct n-grams of samples",
                "",
                *tables.markdown(*tables.diversity_rows(report["diversity"])),
            ]
            lines += ["", tables.diversity_words(report["diversity"]), ""]
    val = [row for row in facts["metrics"] if "val_loss" in row]
    if val:
        lines += [f"Last evaluation while training (sections of files): {val[-1]['val_loss']:.4f} nats per token, "
                  f"{val[-1]['val_bits_per_byte']:.4f} bits per byte.", ""]  # fmt: skip
    if not facts["note"]:
        lines += ["![training curve](curve.png)", ""]
    lines += _data(facts["run"]["corpus"])
    lines += [
        "## Known weaknesses",
        "",
        "- It is tiny: it knows idioms, not your libraries. Expect right short line endings and wrong long ones.",
        f"- It sees {spec.max_context} tokens, about {spec.max_context * 3} characters, around the caret.",
        "- Chat answers follow the form of an answer; their contents are seldom right.",
        "- It may repeat names or text from its training data, and it may write code that is wrong or unsafe.",
        "",
    ]
    return "\n".join(lines)


def _rows(facts: Mapping) -> list[tuple[str, str]]:
    """What it is, from what, and how it was made."""
    run, state, spec = facts["run"], facts["state"], facts["spec"]
    recipe, splits = run["recipe"], run["corpus"]["splits"]
    train, schedule = recipe["train"], state["schedule"]
    products = {"f32": "float32", "bf16": "bfloat16 with float32 sums"}[train.get("precision", "f32")]
    optimiser = {"muon": f"Muon at {train.get('muon_ratio', 1):g} times the rate inside the blocks, AdamW elsewhere",
                 "adamw": "AdamW"}.get(train["optimizer"], train["optimizer"])  # fmt: skip
    shape = f"cosine to {train['min_lr_ratio']:.0%}"
    if schedule.get("kind", train.get("schedule")) == "wsd":
        shape = f"constant, then linear to {train['min_lr_ratio']:.0%} over the last {train['decay']:.0%} of the steps"
    phases = [{"step": 1, **recipe["data"]}, *recipe["data"].get("later", ())]
    phases = [phase for phase in phases if phase["step"] <= state["step"]]
    tokens = f"{state['tokens']:,} tokens in {state['step']:,} steps of " + "; ".join(
        _from(phase, f"{phase['batch']} x {phase['context']}") for phase in phases
    )
    holes = "; ".join(
        _from(phase, f"{phase['fim']['rate']:.0%} of pieces, {phase['fim']['spm']:.0%} of them suffix first")
        for phase in phases
    )
    kept = [f"{splits[key]['files']:,} for {what}" for key, what in (("val", "validation"), ("test", "test"))]
    files = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in facts["files"].items())
    return [
        ("Parameters", f"{spec.n_params():,}"),
        ("Shape", f"{spec.n_layers} layers, width {spec.d_model}, {spec.n_heads} heads of {spec.head_dim} "
         f"({spec.n_kv_heads} key/value), feed-forward {spec.d_ff}, vocabulary {spec.vocab_size}, "
         f"context {spec.max_context}, {'tied' if spec.tied else 'untied'} embeddings"),
        ("Files", f"{files}; served with matrices in 8 bits"),
        ("Start", f"random weights, seed {recipe['seed']}"),
        ("Trained on", tokens),
        ("Time", f"{state['seconds'] / 60:.1f} minutes of computing steps"),
        ("Optimiser", f"{optimiser}, peak rate {train['lr']:g}, warm-up {schedule['warmup']}, {shape}, weight decay "
         f"{train['weight_decay']:g}, clip {train['clip']:g}, products in {products}"),
        ("Fill in the middle", holes),
        ("Weights", "bfloat16, model_type llama"),
        ("Tokenizer", f"byte-level BPE of the training's corpus, sha256 `{run['tokenizer_sha256'][:16]}`"),
        ("Corpus", f"{splits['train']['files']:,} files, {splits['train']['bytes'] / 1e6:.1f} MB for training, "
         f"{kept[0]}, {kept[1]}; manifest sha256 `{run['corpus']['manifest_sha256'][:16]}`"),
    ]  # fmt: skip


def _from(phase: Mapping, text: str) -> str:
    return text if phase["step"] == 1 else f"from step {phase['step']:,} on {text}"


def _quality(what: str, name: str, report: Mapping) -> list[str]:
    settings = report["settings"]
    lines = [
        f"### On {what}",
        "",
        f"{settings['documents']} {settings['pieces']}, {settings['bytes'] / 1e6:.2f} MB, {settings['carets']} carets.",
        "",
        *tables.markdown(*tables.main_rows(report)),
    ]
    for other in report.get("opponents", ()):
        lines += ["", f"Against {other['name']}: {other['about']}; the same texts and carets, "
                  f"{'the same' if other['context'] == settings['context'] else 'its own'} context.", "",
                  *(f"- {sentence}" for sentence in tables.sentences(name, other))]  # fmt: skip
    return lines


def _probes(what: str, probes: Mapping) -> list[str]:
    rows = tables.markdown(*tables.probe_rows(probes))
    return [f"### Probes on {what.split(' (')[0]}", "", *rows, "", probes["questions"]["words"]]


def _data(corpus: Mapping) -> list[str]:
    """Sources with their licences, and what was left out."""
    sources = {name: s for name, s in corpus["sources"].items() if s.get("files_kept")}
    licences = Counter()
    for source in sources.values():
        licences[source["licence"]] += source["files_kept"]
    counts = ", ".join(f"{n:,} {name}" for name, n in licences.most_common())
    rows = [
        [name, s.get("version") or "-", s["licence"], f"{s['files_kept']:,}", f"{s.get('bytes_kept', 0) / 1e6:.2f}"]
        for name, s in sources.items()
    ]
    lines = [
        "## Data and licence",
        "",
        f"{len(sources)} sources; files by licence: {counts}.",
        "Cleaned, deduplicated and split. The weights come with the program under its licence; short passages that the",
        "model repeats from a source remain under that source's, and their copyright with its authors (of cpython: the",
        "Python Software Foundation).",
        "",
        *tables.markdown(["source", "version", "licence", "files kept", "MB"], rows),
        "",
    ]
    if corpus.get("left_out"):
        rows = [[reason, f"{n['files']:,}", f"{n['bytes'] / 1e6:.1f}"] for reason, n in corpus["left_out"].items()]
        lines += ["What the corpus left out, by the first rule that a file broke:", ""]
        lines += [*tables.markdown(["reason", "files", "MB"], rows), ""]
    if corpus.get("unseen"):
        lines += [f"Never in any training text: {', '.join(corpus['unseen'])}.", ""]
    return lines
