"""`hearth tune`: teach a model one's own repository, and prove on held-out files whether it helped."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .common import bar, count, default_corpus, parser, positive

NOT_BETTER = 3  # exit code: all went well, but the result is not better and was not installed


def run(argv: Sequence[str]) -> int:
    p = parser(
        "tune",
        "Teach a model your repository: train it further on the repository's Python files, and measure before and\n"
        "after on files held out. A result that is not better is not installed: exit code 3. Nothing of the\n"
        "repository is executed, and nothing leaves the machine.",
        "hearth tune ~/src/project --dry-run\n"
        "  hearth tune ~/src/project --minutes 10\n"
        "  hearth try my.py --model project-tuned",
    )
    p.add_argument("repository", metavar="REPO", help="folder of the repository")
    p.add_argument("--dry-run", action="store_true", help="show what would be trained on and how long; change nothing")
    p.add_argument("--minutes", type=positive, default=10.0, help="train for at most about so long (default 10)")
    p.add_argument("--epochs", type=count, default=3, help="passes over the files, at most (default 3)")
    p.add_argument(
        "--model", metavar="M", help="model to start from: folder or name (default: the one that comes with it)"
    )
    p.add_argument("--out", metavar="NAME|DIR", help="name for --model, or a folder (default: REPO's name and -tuned)")
    p.add_argument("--replace", action="store_true", help="put the result in the place of an older one of that name")
    p.add_argument("--keep", action="store_true", help="install the result even if it is not better")
    p.add_argument("--resume", action="store_true", help="go on with a tuning of that name that was stopped")
    p.add_argument("--restart", action="store_true", help="forget a tuning of that name that was stopped")
    p.add_argument("--carets", type=count, default=100, help="held-out carets of each of three kinds (default 100)")
    p.add_argument("--lr", type=positive, help="peak learning rate (default: by the model's width)")
    p.add_argument("--seed", type=int, default=0, help="draws holes, order and carets (default 0)")
    p.add_argument("--corpus", metavar="DIR", help="corpus folder, for general code (default: in the user's cache)")
    p.add_argument("--threads", type=count, help="threads (default: the cores that may be used)")
    p.add_argument("--json", action="store_true", help="print JSON")
    a = p.parse_args(argv)
    if a.threads:
        os.environ["HEARTH_THREADS"] = str(a.threads)  # read when the kernels are first imported, below
    if a.seed < 0:
        raise ValueError(f"--seed must not be negative, not {a.seed}")
    if a.resume and a.restart:
        raise ValueError("--resume goes on with a stopped tuning, --restart forgets it: give one of them")
    from ..memory import keep_large_blocks
    from ..tuning.base import load_base, target_of
    from ..tuning.report import plan_report
    from ..tuning.run import prepare
    from .tune_tables import show_plan

    root = Path(a.repository).expanduser()
    name, target = target_of(a.out, root.resolve().name)
    place = run_folder(target)
    if not a.dry_run:
        check_places(a, name, target, place)
    keep_large_blocks()
    base = load_base(a.model)
    with bar("reading") as progress:
        tuning = prepare(
            root, base, a.corpus or default_corpus(), a.minutes, a.epochs, a.carets, a.lr, a.seed, progress
        )
    report = plan_report(tuning)
    if not a.json:
        show_plan(report)
    if a.dry_run:
        if a.json:
            print(json.dumps(report, indent=1))
        return 0
    return _train(a, tuning, report, name, target, place)


def run_folder(target: Path) -> Path:
    """Where the unfinished run of a result lives; results of the same name in other folders have others."""
    from hashlib import sha256

    from runtime.folders import cache_folder

    return cache_folder() / "runs" / f"tune-{target.name}-{sha256(str(target).encode()).hexdigest()[:8]}"


def check_places(a, name: str, target: Path, place: Path) -> None:
    """Say before the work what would stand in its way at the end."""
    from .. import checkpoint
    from ..tuning.run import clear

    if target.exists() and not a.replace:
        raise FileExistsError(f"{target} exists already: add --replace, or give the result another name with --out")
    if target.exists() and not (target / "config.json").is_file():
        raise FileExistsError(f"{target} is no model folder: it is not replaced; give another --out")
    if a.restart:
        clear(place)
    if not a.resume and checkpoint.latest(place / "checkpoints"):
        raise FileExistsError(f"a tuning of {name} was stopped: go on with --resume, or forget it with --restart")


def _train(a, tuning, report: dict, name: str, target: Path, place: Path) -> int:
    from ..interrupt import finish_on_signals
    from ..progress import ProgressListener
    from ..tuning.run import clear, finish, start
    from .tune_tables import show

    place.mkdir(parents=True, exist_ok=True)
    with ProgressListener() as listener:
        begun = start(tuning, place, listener)
        trainer = begun.trainer
        with finish_on_signals(trainer.stop) as caught:
            trainer.run(resume=a.resume)
    if caught.signal:
        print(
            f"hearth tune: stopped after step {trainer.step} of {trainer.schedule.total}; the same command with "
            "--resume goes on from there",
            file=sys.stderr,
        )
        return 128 + caught.signal
    report["training"] = {
        "steps": trainer.step,
        "epochs": trainer.step * tuning.plan.rows * tuning.plan.context / tuning.plan.tokens,
        "tokens": trainer.tokens,
        "seconds": round(trainer.seconds, 1),
        "base_loss": begun.base_loss,
        "best_step": begun.best[0],
        "best_loss": begun.best[1],
        "stopped_early": begun.stopped_early,
    }
    about = {"base": tuning.base.name, "repository": tuning.repository.name, "steps": trainer.step}
    folder, blends = finish(tuning, begun, about)
    report["training"]["blends"] = [asdict(found) for found in blends]
    if folder is None:
        report |= {"proof": None, "better": False, "installed": False, "model": None}
        report["words"] = ["No evaluation on the files held out to choose was better than before: nothing was kept."]
    else:
        _prove(a, tuning, report, folder, name, target, place)
    (place / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    clear(place)
    if a.json:
        print(json.dumps(report, indent=1))
    else:
        show(report, name, place)
    return 0 if report["installed"] else NOT_BETTER


def _prove(a, tuning, report: dict, folder: Path, name: str, target: Path, place: Path) -> None:
    """Measures both models, writes the report into the model folder, and installs that if it deserves it."""
    from runtime.files.atomic import atomic_write_text

    from ..tuning.base import install
    from ..tuning.page import page, picture
    from ..tuning.report import proof_report
    from ..tuning.run import prove

    with bar("measuring before") as progress:
        before = prove(tuning, tuning.base.folder, "before", progress)
    with bar("measuring after") as progress:
        after = prove(tuning, folder, "after", progress)
    report["proof"] = proof_report(tuning, before, after)
    found = report["proof"]["verdict"]
    installed = found["better"] or a.keep
    report |= {"better": found["better"], "words": [found["head"], *found["words"]], "installed": installed}
    report["model"] = name if installed else None
    pictures = [] if picture(report["proof"], folder / "before_after.png") else ["before_after.png"]
    if (place / "curve.png").is_file():
        shutil.copyfile(place / "curve.png", folder / "curve.png")
        pictures.append("curve.png")
    atomic_write_text(folder / "README.md", page(report, name, pictures))
    atomic_write_text(folder / "tune.json", json.dumps(report, indent=1))
    for file in ("README.md", *pictures):
        shutil.copyfile(folder / file, place / file)
    if installed:
        install(folder, target)
