"""`hearth eval`: measure a model on code, with intervals, beside an opponent."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .common import count, parser
from .evaluation import evaluate_model, opponent_of, print_table, texts_of


def run(argv: Sequence[str]) -> int:
    p = parser(
        "eval",
        "Measure a model on code: bits per byte, perplexity, top-1, and what it offers at carets:\n"
        "at the start of a line, inside one, and after . ( = , or a blank: exact rest of the line, edit similarity.\n"
        "With 95 % intervals.",
        "hearth eval default --on val --opponent ngram\n"
        "  hearth eval default --on ~/src/project/package --carets 400 --json",
    )
    p.add_argument("model", metavar="MODEL", help="model folder, installed name, or 'default'")
    p.add_argument(
        "--on",
        required=True,
        nargs="+",
        metavar="SET|PATH",
        help="val, test or train of the corpus; or files and folders with Python, together one set",
    )
    p.add_argument(
        "--opponent",
        choices=["ngram"],
        help="measure this one too, at the same carets with the same context: an n-gram model of the corpus's training "
        "files with a memory of the document",
    )
    p.add_argument("--corpus", metavar="DIR", help="corpus folder (default: in the user's cache)")
    p.add_argument("--max-bytes", type=count, default=200_000, help="at most so much text (default 200000)")
    p.add_argument("--carets", type=count, default=200, help="carets of each kind (default 200)")
    p.add_argument("--seed", type=int, default=0, help="draws the carets (default 0)")
    p.add_argument("--json", action="store_true", help="print JSON")
    a = p.parse_args(argv)
    if a.seed < 0:
        raise ValueError(f"--seed must not be negative, not {a.seed}")
    import runtime

    texts = texts_of(a.on, a.corpus, a.max_bytes)
    model = runtime.load_model(a.model)
    opponent = opponent_of(model, a.corpus) if a.opponent else None
    report = evaluate_model(model, texts, a.carets, a.seed, opponent)
    if a.json:
        print(json.dumps({"model": a.model, "set": " ".join(a.on), **report}, indent=1))
        return 0
    print_table(report)
    return 0
