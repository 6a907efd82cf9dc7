"""`hearth eval`: measure a model on code, with intervals, beside opponents, with probes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from .common import count, parser
from .evaluation import BUILT_IN, close, evaluate_model, names_of, opponents_of, show, texts_of


def run(argv: Sequence[str]) -> int:
    p = parser(
        "eval",
        "Measure a model on code: bits per byte, perplexity, top-1, and what it offers at carets: at the start of a\n"
        "line, inside one, and after . ( = , or a blank: exact rest of the line, edit similarity. With 95 % intervals.",
        "hearth eval default --on unseen --opponent ngram suffix\n"
        "  hearth eval my-model --on val --opponent default        which of the two is better, and by how much\n"
        "  hearth eval default --on ~/src/project/package --all --json",
    )
    p.add_argument("model", metavar="MODEL", help="model folder, installed name, or 'default'")
    p.add_argument(
        "--on",
        required=True,
        nargs="+",
        metavar="SET|PATH",
        help="val, test or train of the corpus; 'unseen': the packages that no model of ours trains on, those that "
        "are installed; or files and folders with Python; together one set",
    )
    p.add_argument(
        "--opponent",
        nargs="+",
        default=[],
        metavar="O",
        help="measure these too, on the same texts and carets with the same context, and compare in pairs: 'ngram' "
        "(n-grams of the corpus's training files with a memory of the document), 'suffix' (that memory alone: the "
        "longest match), or another model",
    )
    p.add_argument("--probes", action="store_true", help="also words, punctuation, syntax, names, questions")
    p.add_argument("--all", action="store_true", help="also both built-in opponents, the probes and distinct n-grams")
    p.add_argument("--corpus", metavar="DIR", help="corpus folder (default: in the user's cache)")
    p.add_argument("--max-bytes", type=count, default=200_000, help="at most so much text (default 200000)")
    p.add_argument(
        "--whole-files",
        action="store_true",
        help="whole files instead of sections of many: more to remember, fewer files in the same budget",
    )
    p.add_argument("--carets", type=count, default=200, help="carets of each kind (default 200)")
    p.add_argument("--seed", type=int, default=0, help="draws the carets and the probes' items (default 0)")
    p.add_argument("--json", action="store_true", help="print JSON")
    a = p.parse_args(argv)
    if a.seed < 0:
        raise ValueError(f"--seed must not be negative, not {a.seed}")
    import runtime
    from runtime.files.hf_config import own_section

    held = texts_of(a.on, a.corpus, a.max_bytes, a.whole_files)
    if held.packages:
        print(f"unseen here: {', '.join(held.packages)}", file=sys.stderr)
    model = runtime.load_model(a.model)
    trained_on = own_section(model.config).get("corpus")
    if held.corpus and trained_on and trained_on != held.corpus:
        print("note: the model was trained on another corpus, which may hold files of this split", file=sys.stderr)
    wanted = list(a.opponent)
    if a.all:
        wanted += [name for name in BUILT_IN if name not in wanted and _possible(name, a.corpus)]
    opponents = opponents_of(wanted, model, a.corpus)
    try:
        pieces = "whole files" if a.whole_files else "sections of files"
        report = evaluate_model(model, held.texts, a.carets, a.seed, opponents, a.probes or a.all, a.all, pieces)
    finally:
        close(opponents)
    if a.json:
        extra = {"packages": list(held.packages)} if held.packages else {}
        print(json.dumps({"model": a.model, "set": " ".join(a.on), **report, **extra}, indent=1))
        return 0
    show(report, model.name, names_of(a.on, held.packages))
    return 0


def _possible(name: str, corpus: str | None) -> bool:
    """Whether --all can have this opponent: the n-grams need a corpus."""
    from .common import default_corpus

    if name != "ngram":
        return True
    from pathlib import Path

    folder = Path(corpus or default_corpus())
    if (folder / "summary.json").is_file():
        return True
    print(f"without the n-gram opponent: no corpus in {folder} (`hearth corpus build`)", file=sys.stderr)
    return False
