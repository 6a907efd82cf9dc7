"""`hearth export`: from a training run to a model folder with its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .common import count, parser
from .evaluation import evaluate_model, opponent_of, print_table, texts_of


def run(argv: Sequence[str]) -> int:
    p = parser(
        "export",
        "Write the newest checkpoint of a run as a model folder: config.json, model.safetensors, tokenizer.json, card.",
        "hearth export --run ~/.cache/codehearth/runs/first --out my-model",
    )
    p.add_argument(
        "--run", metavar="DIR", help="run folder (default: the run of the recipe 'first' in the user's cache)"
    )
    p.add_argument("--out", required=True, metavar="DIR", help="model folder to write")
    p.add_argument("--step", type=count, help="this checkpoint instead of the newest")
    p.add_argument("--corpus", metavar="DIR", help="corpus folder for the evaluation (default: in the user's cache)")
    p.add_argument(
        "--unseen",
        nargs="+",
        default=[],
        metavar="PATH",
        help="packages that no training file came from: evaluated too, together, for the card",
    )
    p.add_argument("--max-bytes", type=count, default=200_000, help="text for each evaluation (default 200000)")
    p.add_argument("--carets", type=count, default=200, help="carets of each kind for each evaluation (default 200)")
    p.add_argument("--no-eval", action="store_true", help="leave the evaluation out of the card")
    a = p.parse_args(argv)
    if a.no_eval and a.unseen:
        raise ValueError("--unseen asks for an evaluation, --no-eval for none")
    import runtime

    from ..export import export, write_card
    from ..pretrain import cache_folder

    if missing := [path for path in a.unseen if not Path(path).exists()]:
        raise FileNotFoundError(f"--unseen {missing[0]}: no such file or folder")
    facts = export(a.run or cache_folder() / "runs" / "first", a.out, a.step)
    sets = []
    if not a.no_eval:
        sets.append(("validation files", texts_of(["val"], a.corpus, a.max_bytes)))
    if a.unseen:
        names = ", ".join(Path(path).resolve().stem for path in a.unseen)
        sets.append((f"packages never seen ({names})", texts_of(a.unseen, a.corpus, a.max_bytes)))
    reports = []
    if sets:
        model = runtime.load_model(a.out)
        opponent = opponent_of(model, a.corpus)
        for what, texts in sets:
            report = evaluate_model(model, texts, a.carets, opponent=opponent)
            print(f"{what}:")
            print_table(report)
            reports.append((what, report))
    write_card(a.out, facts, reports)
    print(f"model of step {facts['state']['step']} written to {a.out}")
    return 0
