"""`hearth export`: from a training run to a model folder with its card."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .common import count, default_corpus, parser
from .evaluation import close, evaluate_model, names_of, opponents_of, show, texts_of


def run(argv: Sequence[str]) -> int:
    p = parser(
        "export",
        "Write the newest checkpoint of a run as a model folder: config.json, model.safetensors, tokenizer.json and\n"
        "its card. The card (README.md) holds its measures beside the n-gram floor, probes, and what it was made from.",
        "hearth export --out my-model --unseen\n  hearth export --run ~/.cache/codehearth/runs/starter --out my-model",
    )
    p.add_argument("--run", metavar="DIR", help="run folder (default: the run in the user's cache that saved last)")
    p.add_argument("--out", required=True, metavar="DIR", help="model folder to write")
    p.add_argument("--step", type=count, help="this checkpoint instead of the newest")
    p.add_argument(
        "--corpus", metavar="DIR", help="the corpus of the run, to measure on (default: in the user's cache)"
    )
    p.add_argument(
        "--unseen",
        nargs="*",
        metavar="PATH",
        help="measure on packages that no training file came from, too: these paths, or without any the held-out "
        "packages that are installed here",
    )
    p.add_argument("--max-bytes", type=count, default=200_000, help="text for each evaluation (default 200000)")
    p.add_argument("--carets", type=count, default=200, help="carets of each kind for each evaluation (default 200)")
    p.add_argument("--no-eval", action="store_true", help="leave the evaluation out of the card")
    a = p.parse_args(argv)
    if a.no_eval and a.unseen is not None:
        raise ValueError("--unseen asks for an evaluation, --no-eval for none")
    from runtime.folders import cache_folder

    from ..export import export, newest_run, write_card

    if missing := [path for path in a.unseen or () if not Path(path).exists()]:
        raise FileNotFoundError(f"--unseen {missing[0]}: no such file or folder")
    source = Path(a.run) if a.run else newest_run(cache_folder() / "runs")
    facts = export(source, a.out, a.step)
    sets = [] if a.no_eval else _sets(facts, a)
    reports = _measured(sets, a)
    write_card(a.out, facts, reports)
    files = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in facts["files"].items())
    print(f"model of step {facts['state']['step']} of {source} written to {a.out}: {files}")
    return 0


def _sets(facts: dict, a) -> list[tuple[str, list[str]]]:
    """(name, texts) to measure on. Raises ValueError for the corpus of another run: its validation files may be among
    the files that this model has read, and its n-grams would be of other training files."""
    held = texts_of(["val"], a.corpus, a.max_bytes)
    if held.corpus != facts["run"]["corpus"]["manifest_sha256"]:
        folder = a.corpus or default_corpus()
        raise ValueError(f"{folder} is not the corpus of this run: give it with --corpus, or --no-eval")
    sets = [("validation files", held.texts)]
    if a.unseen is not None:
        held = texts_of(a.unseen or ["unseen"], a.corpus, a.max_bytes)
        names = held.packages or tuple(Path(path).resolve().stem for path in a.unseen)
        sets.append((names_of(["unseen"], names), held.texts))
    return sets


def _measured(sets: list[tuple[str, list[str]]], a) -> list[tuple[str, dict]]:
    """(name, report) of each set; probes and samples with the last one, the hardest."""
    if not sets:
        return []
    import runtime

    model = runtime.load_model(a.out)
    opponents = opponents_of(["ngram"], model, a.corpus)
    reports = []
    try:
        for n, (what, texts) in enumerate(sets, 1):
            last = n == len(sets)
            report = evaluate_model(model, texts, a.carets, opponents=opponents, probes=last, diversity=last)
            show(report, model.name, what)
            reports.append((what, report))
            sys.stdout.flush()
    finally:
        close(opponents)
    return reports
