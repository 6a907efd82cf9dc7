"""`hearth corpus build`: collect, clean, split, train a tokenizer, and say what was left out and why."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .common import bar, count, default_corpus, parser

OWN = "own"  # --licence own: the folder is the user's own


def run(argv: Sequence[str]) -> int:
    a = _parser().parse_args(argv)
    from runtime.text import train_bpe

    from ..data import shards
    from ..data.candidates import TEST_SHARE
    from ..data.corpus import build_corpus, load_corpus

    origins, held_out = _origins(a)
    out = Path(a.out) if a.out else default_corpus()
    with bar("collecting") as progress:
        manifest = build_corpus(
            out,
            include_tests=not a.no_tests,
            split=a.split,
            progress=progress,
            origins=origins,
            exclude_file=a.exclude_code_of,
            max_package_bytes=a.max_package_bytes,
            test_share=a.test_share if a.test_share is not None else 1.0 if a.folders else TEST_SHARE,
            held_out=held_out,
        )
    corpus = load_corpus(out)
    with bar("tokenizer") as progress:
        tokenizer = train_bpe((d.text for d in corpus.documents("train")), a.vocab_size, progress=progress)
    with bar("tokens") as progress:
        written = shards.attach(corpus, tokenizer, progress)
    _show(manifest.summary, written["splits"])
    print(f"tokenizer of {tokenizer.vocab_size} entries; manifest {manifest.sha256[:16]}; in {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    p = parser(
        "corpus build",
        "Collect Python sources, clean and deduplicate them, split them, and train a tokenizer on them.\n"
        "Without --from: the standard libraries found on this machine and the packages installed beside this program\n"
        "whose licence permits it. Never: the packages held out for evaluation, evaluation sets, this project.",
        "hearth corpus build\n  hearth corpus build --from ~/project --split 80/10/10 --out my-corpus",
    )
    p.add_argument("action", choices=["build"])
    p.add_argument(
        "--from",
        dest="folders",
        action="append",
        metavar="FOLDER",
        help="sources instead of the standard library and the packages; repeatable",
    )
    p.add_argument(
        "--licence",
        help='licence of the --from folders: an SPDX expression, or "own" for your own code (default: own)',
    )
    p.add_argument(
        "--packages",
        action=argparse.BooleanOptionalAction,
        help="the installed packages too (default: yes without --from, no with it)",
    )
    p.add_argument(
        "--site-packages",
        action="append",
        metavar="DIR",
        help="packages of this site-packages folder instead of the running environment's; repeatable",
    )
    p.add_argument("--out", metavar="DIR", help="corpus folder (default: in the user's cache)")
    p.add_argument("--split", type=shares, default=(90, 5, 5), metavar="T/V/T", help="train/val/test (default 90/5/5)")
    p.add_argument(
        "--max-package-bytes",
        type=_limit,
        default=4_000_000,
        metavar="N",
        help="of one package at most (default 4000000; 0: no limit)",
    )
    p.add_argument("--vocab-size", type=count, default=4096, help="entries of the tokenizer (default 4096)")
    p.add_argument(
        "--test-share",
        type=float,
        metavar="X",
        help="tests at most this part of a source (default: a third; all of them with --from)",
    )
    p.add_argument("--no-tests", action="store_true", help="leave out test files")
    p.add_argument("--exclude-code-of", metavar="FILE", help="leave out files that share code with this file too")
    return p


def shares(text: str) -> tuple[float, ...]:
    """ "90/5/5" as three numbers; what else is wrong with them, build_corpus says."""
    try:
        found = tuple(float(part) for part in text.split("/"))
    except ValueError:
        found = ()
    if len(found) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 90/5/5")
    return found


def _limit(text: str) -> int:
    if int(text) < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return int(text)


def _origins(a: argparse.Namespace) -> tuple[list, tuple]:
    """(sources, files of the held-out packages) that the options ask for."""
    from ..data import installed, licences
    from ..data.sources import Source, find_stdlibs

    if a.licence and not a.folders:
        raise ValueError("--licence belongs to --from; the licences of packages are read from their metadata")
    licence = licences.OWN if a.licence in (None, OWN) else a.licence
    if not licences.permitted(licence):
        raise ValueError(f"{a.licence!r} is not on the list of permitted licences ({licences.LIST.name})")
    for folder in a.folders or ():
        if not Path(folder).is_dir():
            raise NotADirectoryError(f"{folder} is not a folder")
    places = [Path(folder) for folder in a.site_packages or ()] or installed.running_site_packages()
    packages = installed.find_packages(places)
    held_out = installed.held_out_files(packages)
    wanted = a.packages if a.packages is not None else bool(a.site_packages) or not a.folders
    own = [Source(Path(f).resolve().name, Path(f).resolve(), licence=licence) for f in a.folders or ()]
    return (own or find_stdlibs()) + (packages if wanted else []), held_out


def _show(summary: dict, tokens: dict) -> None:
    """Tables of the splits, of what was left out by reason, and of the sources."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    split = Table("split", title="Corpus", title_justify="left")
    left = Table("left out because", title_justify="left")
    source = Table("source", "licence", title_justify="left")
    for name in ("files", "MB", "tokens", "clusters", "chats"):
        split.add_column(name, justify="right")
    for name in ("files", "MB"):
        left.add_column(name, justify="right")
    for name in ("files kept", "MB kept", "MB read"):
        source.add_column(name, justify="right")
    source.add_column("most left out because")
    for name, s in summary["splits"].items():
        numbers = (s["files"], s["bytes"] / 1e6, tokens[name]["tokens"], s["clusters"], s["chat_documents"])
        split.add_row(name, *(_number(n) for n in numbers))
    for reason, n in summary["left_out"].items():
        left.add_row(reason, _number(n["files"]), _number(n["bytes"] / 1e6))
    for name, s in sorted(summary["sources"].items(), key=lambda pair: (-pair[1]["bytes_kept"], pair[0])):
        why = next(iter(s["left_out"]), "")
        sizes = (s["files_kept"], s["bytes_kept"] / 1e6, s["bytes_seen"] / 1e6)
        source.add_row(f"{name} {s['version']}".strip(), s["licence"], *(_number(n) for n in sizes), why)
    for table in (source, left, split):
        if table.row_count:
            console.print(table)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
