"""`hearth pretrain`: train a model from random weights by a recipe."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from .common import count, default_corpus, parser, positive


def run(argv: Sequence[str]) -> int:
    p = parser(
        "pretrain",
        "Train a model from random weights. A run that was stopped, by Ctrl-C or otherwise, goes on with --resume; "
        "with --steps or --minutes too its horizon moves, where the schedule allows it.",
        "hearth pretrain --recipe first --minutes 30\n"
        "  hearth pretrain --recipe ladder                  every model from a bigram table to a Llama-style decoder",
    )
    p.add_argument("--recipe", required=True, metavar="R", help="bundled recipe by name, or a .toml file")
    horizon = p.add_mutually_exclusive_group()
    horizon.add_argument("--minutes", type=positive, help="train for about so long, whatever the recipe says")
    horizon.add_argument("--steps", type=count, help="train for so many steps")
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    p.add_argument(
        "--from",
        dest="which",
        choices=("latest", "best", "stable"),
        default="latest",
        help="with --resume: from the last checkpoint, from the best by validation, or from the one before the decay",
    )
    p.add_argument("--corpus", metavar="DIR", help="corpus folder (default: in the user's cache)")
    p.add_argument("--out", metavar="DIR", help="run folder (default: in the user's cache, by the recipe's name)")
    p.add_argument("--threads", type=count, help="threads (default: the cores that may be used)")
    a = p.parse_args(argv)
    if a.threads:
        os.environ["HEARTH_THREADS"] = str(a.threads)  # read when the kernels are first imported, below
    from runtime.folders import cache_folder

    from ..interrupt import finish_on_signals
    from ..memory import keep_large_blocks
    from ..pretrain import prepare, resume
    from ..progress import ProgressListener
    from ..recipe import load_recipe, read
    from ..settings import TrainingError

    if a.which != "latest" and not a.resume:
        raise TrainingError(f"--from {a.which} goes with --resume")
    keep_large_blocks()
    raw, path = read(a.recipe)
    if raw.get("kind") == "ladder":
        from .ladder import climb

        return climb(raw, path, a)
    recipe = load_recipe(a.recipe, a.minutes, a.steps)
    out = Path(a.out) if a.out else cache_folder() / "runs" / recipe.name
    with ProgressListener() as listener:
        trainer = prepare(recipe, a.corpus or default_corpus(), out, listener)
        if a.resume:
            resume(trainer, a.which, move_horizon=bool(a.minutes or a.steps))
        with finish_on_signals(trainer.stop) as caught:
            score = trainer.run()
    minutes = trainer.seconds / 60
    if caught.signal:
        corpus = ["--corpus", a.corpus] if a.corpus else []
        again = shlex.join(["hearth", "pretrain", "--recipe", a.recipe, *corpus, "--out", str(out), "--resume"])
        of = f" of {trainer.schedule.total}" if trainer.schedule.total else ""
        print(f"stopped after step {trainer.step}{of}, {minutes:.1f} minutes; go on with: {again}")
        return 128 + caught.signal
    print(f"trained {trainer.step} steps, {trainer.tokens:,} tokens in {minutes:.1f} minutes; run in {out}")
    if score:
        print(f"validation: {score.loss:.4f} nats per token, {score.bits_per_byte:.4f} bits per byte")
    return 0
