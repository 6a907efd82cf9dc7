"""`hearth pretrain` with a ladder as its recipe: trains every rung, prints one table, draws one picture."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path

from .common import bar, default_corpus


def climb(raw: dict, path: Path, a) -> int:
    """raw, path: the recipe file; a: the command's arguments."""
    from rich.console import Console

    from runtime.folders import cache_folder

    from ..interrupt import finish_on_signals
    from ..ladder.recipe import parse_ladder
    from ..ladder.report import samples_of, table_of, write_picture
    from ..ladder.run import LadderRun, check_folder, rung_folder
    from ..ladder.text import load_text, tokenizers
    from ..progress import ProgressListener
    from ..settings import TrainingError

    if a.which != "latest":
        raise TrainingError("--from is for recipes of one model; a ladder goes on with --resume alone")
    ladder = parse_ladder(raw, path, a.minutes, a.steps)
    out = Path(a.out) if a.out else cache_folder() / "runs" / ladder.name
    check_folder(out, a.resume)
    say = partial(print, file=sys.stderr)
    with bar("text") as progress:
        text = load_text(a.corpus or default_corpus(), a.corpus is not None, out, ladder.text, progress, say)
    with bar("tokenizers") as progress:
        names = tokenizers(text, ladder.text, out, a.resume, progress)
    say(f"text: {text.source}")
    run = LadderRun(ladder, text, names, out, ProgressListener)
    run.begin()
    with finish_on_signals(run.stop) as caught:
        results = run.run()
    if results is None:
        command = ["hearth", "pretrain", "--recipe", a.recipe, "--out", str(out), "--resume"]
        for option, value in (("--minutes", a.minutes), ("--steps", a.steps), ("--corpus", a.corpus)):
            command += [option, f"{value}"] if value else []
        print(f"stopped; go on with: {shlex.join(command)}")
        return 128 + caught.signal
    console = Console(highlight=False)
    console.print(table_of(results, console.width))
    console.print(samples_of(results), markup=False)
    folders = [rung_folder(out, number, rung) for number, rung in enumerate(ladder.rungs, 1)]
    note = write_picture(results, folders, out / "ladder.png")
    print(f"\ntable: {out / 'results.json'}")
    print(note or f"picture: {out / 'ladder.png'}")
    return 0
