"""The commands that change or measure weights: corpus, pretrain, eval, export.

`commands` maps a name to main(argv) -> exit code; heavy modules are imported inside, so that --help is quick.
Errors are one line on standard error and an exit code that is not 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"hearth {name}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _command(name: str, run: Callable[[Sequence[str]], int]) -> Callable[[Sequence[str] | None], int]:
    """One clear line for what a user can cause; a traceback with HEARTH_TRACEBACK=1."""

    def main(argv: Sequence[str] | None = None) -> int:
        try:
            return run(sys.argv[1:] if argv is None else argv)
        except KeyboardInterrupt:
            print(f"hearth {name}: interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            if os.environ.get("HEARTH_TRACEBACK"):
                raise
            text = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, FileNotFoundError) and error.filename:
                text = f"no such file: {error.filename}"
            elif isinstance(error, (KeyError, AttributeError, IndexError, AssertionError)):
                text = f"internal error ({type(error).__name__}: {text}); HEARTH_TRACEBACK=1 shows where"
            print(f"hearth {name}: {text}", file=sys.stderr)
            return 1

    return main


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive integer")
    return value


def _default_corpus() -> Path:
    from .pretrain import cache_folder

    return cache_folder() / "corpus"


@contextlib.contextmanager
def _bar(title: str):
    """progress(done, total, what) on a terminal; silent elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, what="": bar.update(task, completed=done, total=total)


# ---- corpus --------------------------------------------------------------------------------------------------------


def _corpus(argv: Sequence[str]) -> int:
    p = _parser(
        "corpus build",
        "Collect Python sources, clean and deduplicate them, split them, and train a tokenizer on them.\n"
        "Without --from: the standard libraries found on this machine.",
        "hearth corpus build --vocab-size 4096",
    )
    p.add_argument("action", choices=["build"])
    p.add_argument(
        "--from",
        dest="folders",
        action="append",
        metavar="FOLDER",
        help="sources instead of the standard library; repeatable",
    )
    p.add_argument("--licence", default="unknown", help="licence of the --from folders, for the manifest")
    p.add_argument("--out", metavar="DIR", help="corpus folder (default: in the user's cache)")
    p.add_argument("--vocab-size", type=_count, default=4096, help="entries of the tokenizer (default 4096)")
    p.add_argument("--no-tests", action="store_true", help="leave out test files")
    p.add_argument("--exclude-code-of", metavar="FILE", help="leave out files that share code with this evaluation set")
    a = p.parse_args(argv)
    from runtime.text import train_bpe

    from .data.corpus import build_corpus, load_corpus
    from .data.sources import Source

    origins = None
    if a.folders:
        for folder in a.folders:
            if not Path(folder).is_dir():
                raise NotADirectoryError(f"{folder} is not a folder")
        origins = [Source(Path(f).resolve().name, Path(f).resolve(), licence=a.licence) for f in a.folders]
    out = Path(a.out) if a.out else _default_corpus()
    with _bar("reading") as progress:
        manifest = build_corpus(
            out, include_tests=not a.no_tests, progress=progress, origins=origins, exclude_file=a.exclude_code_of
        )
    corpus = load_corpus(out)
    with _bar("tokenizer") as progress:
        tokenizer = train_bpe((d.text for d in corpus.documents("train")), a.vocab_size, progress=progress)
    tokenizer.save(out / "tokenizer.json")
    for name, split in manifest.summary["splits"].items():
        print(f"{name:6} {split['files']:6} files {split['bytes'] / 1e6:8.2f} MB {split['chat_documents']:6} chats")
    print(f"tokenizer {tokenizer.vocab_size} entries; manifest {manifest.sha256[:16]}; in {out}")
    return 0


# ---- pretrain ------------------------------------------------------------------------------------------------------


def _pretrain(argv: Sequence[str]) -> int:
    p = _parser(
        "pretrain",
        "Train a model from random weights. A run that was stopped, however, goes on with --resume.",
        "hearth pretrain --recipe first --minutes 30",
    )
    p.add_argument("--recipe", required=True, metavar="R", help="bundled recipe by name, or a .toml file")
    horizon = p.add_mutually_exclusive_group()
    horizon.add_argument("--minutes", type=_positive, help="train for about so long, whatever the recipe says")
    horizon.add_argument("--steps", type=_count, help="train for so many steps")
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    p.add_argument("--corpus", metavar="DIR", help="corpus folder (default: in the user's cache)")
    p.add_argument("--out", metavar="DIR", help="run folder (default: in the user's cache, by the recipe's name)")
    p.add_argument("--threads", type=_count, help="threads (default: the cores that may be used)")
    a = p.parse_args(argv)
    if a.threads:
        os.environ["HEARTH_THREADS"] = str(a.threads)  # read when the kernels are first imported, below
    from .memory import keep_large_blocks
    from .pretrain import cache_folder, prepare
    from .progress import ProgressListener
    from .recipe import load_recipe

    recipe = load_recipe(a.recipe, a.minutes, a.steps)
    out = Path(a.out) if a.out else cache_folder() / "runs" / recipe.name
    keep_large_blocks()
    with ProgressListener() as listener:
        trainer = prepare(recipe, a.corpus or _default_corpus(), out, listener)
        score = trainer.run(resume=a.resume)
    print(
        f"trained {trainer.step} steps, {trainer.tokens:,} tokens in {trainer.seconds / 60:.1f} minutes; run in {out}"
    )
    if score:
        print(f"validation: {score.loss:.4f} nats per token, {score.bits_per_byte:.4f} bits per byte")
    return 0


# ---- eval and export -----------------------------------------------------------------------------------------------


_SECTION_LINES = 200


def _texts(on: Sequence[str], corpus: str | None, max_bytes: int) -> list[str]:
    """Sections of the documents of splits, or of the Python files of paths, in a fixed random order until max_bytes.

    One section of every file before a second one of any. Beginnings of files alone, with their licences and imports,
    would say little about the rest. What the corpus's rules refuse in a folder (tables of data, generated files) is
    left out, and said on standard error.
    """
    import numpy as np

    from .data.sections import sections
    from .data.sources import normalise, reject_reason

    found, refused, seen = [], Counter(), 0
    for name in on:
        if name in ("train", "val", "test"):
            from .data.corpus import load_corpus

            found += [d.text for d in load_corpus(corpus or _default_corpus()).documents(name)]
            continue
        path = Path(name)
        if not path.exists():
            raise FileNotFoundError(f"{name}: neither a split (train, val, test) nor a file or folder")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if not file.is_file():
                continue
            seen += 1
            text = normalise(file.read_bytes())
            reason = "not UTF-8" if text is None else reject_reason(text) if path.is_dir() and text else None
            if reason:
                refused[reason] += 1
            elif text:
                found.append(text)
    if refused:
        why = ", ".join(f"{n} {reason}" for reason, n in refused.most_common())
        print(f"left out: {refused.total()} of {seen} files ({why})", file=sys.stderr)
    rng = np.random.default_rng(0)
    shuffled = []  # (which section of its file, a random number, text)
    for text in found:
        parts = [part for part in sections(text, _SECTION_LINES) if part.strip()]
        shuffled += [(turn, rng.random(), parts[i]) for turn, i in enumerate(rng.permutation(len(parts)))]
    out, size, longest = [], 0, max(2000, max_bytes // 25)  # something of many files rather than two whole ones
    for _, _, text in sorted(shuffled):
        if size >= max_bytes:
            break
        out.append(text[: min(max_bytes - size, longest)])
        size += len(out[-1].encode())
    if not out:
        raise ValueError(f"{' '.join(on)}: there is no Python text")
    return out


def _opponent(model, corpus: str | None):
    """The n-gram + cache floor of the corpus's training files, in this model's tokens."""
    from .data.corpus import load_corpus
    from .floor import Floor, training_counts
    from .measure import Opponent, start_id
    from .pretrain import cache_folder

    if model.tokenizer is None:
        raise ValueError("the model has no tokenizer: it cannot be evaluated on text")
    with _bar("counting n-grams") as progress:
        folder = cache_folder() / "ngram"
        counts = training_counts(load_corpus(corpus or _default_corpus()), model.tokenizer, folder, progress=progress)
    return Opponent(Floor(counts, model.tokenizer, start_id(model)), model), counts


def evaluate_model(model, texts: Sequence[str], carets: int = 200, seed: int = 0, opponent=None) -> dict:
    """{"results", "settings"} of a model on texts, with `carets` carets of each kind; with an opponent of `_opponent`
    also "opponent" {"name", "results", …} and "paired". Raises ValueError without a tokenizer or text."""
    from .carets import choose
    from .measure import Network, measure, paired

    places = choose(texts, carets, seed)
    network = Network(model)
    try:
        with _bar("evaluating") as progress:
            ours = measure(network, model, texts, places, progress)
    finally:
        network.close()
    size = sum(len(text.encode()) for text in texts)
    settings = {"documents": len(texts), "bytes": size, "carets": len(places), "seed": seed}
    report = {"results": ours.results(), "settings": settings | {"context": model.spec.max_context}}
    if opponent is not None:
        subject, counts = opponent
        with _bar(f"evaluating {subject.name}") as progress:
            theirs = measure(subject, model, texts, places, progress)
        about = {"name": subject.name, "order": counts.order, "training_tokens": counts.total}
        report |= {"opponent": about | {"results": theirs.results()}, "paired": paired(ours, theirs)}
    return report


def _eval(argv: Sequence[str]) -> int:
    p = _parser(
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
    p.add_argument("--max-bytes", type=_count, default=200_000, help="at most so much text (default 200000)")
    p.add_argument("--carets", type=_count, default=200, help="carets of each kind (default 200)")
    p.add_argument("--seed", type=int, default=0, help="draws the carets (default 0)")
    p.add_argument("--json", action="store_true", help="print JSON")
    a = p.parse_args(argv)
    if a.seed < 0:
        raise ValueError(f"--seed must not be negative, not {a.seed}")
    import runtime

    texts = _texts(a.on, a.corpus, a.max_bytes)
    model = runtime.load_model(a.model)
    opponent = _opponent(model, a.corpus) if a.opponent else None
    report = evaluate_model(model, texts, a.carets, a.seed, opponent)
    if a.json:
        print(json.dumps({"model": a.model, "set": " ".join(a.on), **report}, indent=1))
        return 0
    _print_table(report)
    return 0


def _print_table(report: dict) -> None:
    from .export import table

    head, rows = table(report)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def _export(argv: Sequence[str]) -> int:
    p = _parser(
        "export",
        "Write the newest checkpoint of a run as a model folder: config.json, model.safetensors, tokenizer.json, card.",
        "hearth export --run ~/.cache/codehearth/runs/first --out my-model",
    )
    p.add_argument(
        "--run", metavar="DIR", help="run folder (default: the run of the recipe 'first' in the user's cache)"
    )
    p.add_argument("--out", required=True, metavar="DIR", help="model folder to write")
    p.add_argument("--step", type=_count, help="this checkpoint instead of the newest")
    p.add_argument("--corpus", metavar="DIR", help="corpus folder for the evaluation (default: in the user's cache)")
    p.add_argument(
        "--unseen",
        nargs="+",
        default=[],
        metavar="PATH",
        help="packages that no training file came from: evaluated too, together, for the card",
    )
    p.add_argument("--max-bytes", type=_count, default=200_000, help="text for each evaluation (default 200000)")
    p.add_argument("--carets", type=_count, default=200, help="carets of each kind for each evaluation (default 200)")
    p.add_argument("--no-eval", action="store_true", help="leave the evaluation out of the card")
    a = p.parse_args(argv)
    if a.no_eval and a.unseen:
        raise ValueError("--unseen asks for an evaluation, --no-eval for none")
    import runtime

    from .export import export, write_card
    from .pretrain import cache_folder

    if missing := [path for path in a.unseen if not Path(path).exists()]:
        raise FileNotFoundError(f"--unseen {missing[0]}: no such file or folder")
    facts = export(a.run or cache_folder() / "runs" / "first", a.out, a.step)
    sets = []
    if not a.no_eval:
        sets.append(("validation files", _texts(["val"], a.corpus, a.max_bytes)))
    if a.unseen:
        names = ", ".join(Path(path).resolve().stem for path in a.unseen)
        sets.append((f"packages never seen ({names})", _texts(a.unseen, a.corpus, a.max_bytes)))
    reports = []
    if sets:
        model = runtime.load_model(a.out)
        opponent = _opponent(model, a.corpus)
        for what, texts in sets:
            report = evaluate_model(model, texts, a.carets, opponent=opponent)
            print(f"{what}:")
            _print_table(report)
            reports.append((what, report))
    write_card(a.out, facts, reports)
    print(f"model of step {facts['state']['step']} written to {a.out}")
    return 0


commands: dict[str, Callable[[Sequence[str] | None], int]] = {
    "corpus": _command("corpus", _corpus),
    "pretrain": _command("pretrain", _pretrain),
    "eval": _command("eval", _eval),
    "export": _command("export", _export),
}


def main(argv: Sequence[str] | None = None) -> int:
    """python -m finetune.cli COMMAND ..., for a checkout without the console script."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] not in commands:
        print(f"usage: python -m finetune.cli {{{','.join(commands)}}} ...", file=sys.stderr)
        return 0 if argv[:1] in (["-h"], ["--help"]) else 2
    return commands[argv[0]](argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
