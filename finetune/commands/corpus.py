"""`hearth corpus build`: collect, clean, split, and train a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .common import bar, count, default_corpus, parser


def run(argv: Sequence[str]) -> int:
    p = parser(
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
    p.add_argument("--vocab-size", type=count, default=4096, help="entries of the tokenizer (default 4096)")
    p.add_argument("--no-tests", action="store_true", help="leave out test files")
    p.add_argument("--exclude-code-of", metavar="FILE", help="leave out files that share code with this evaluation set")
    a = p.parse_args(argv)
    from runtime.text import train_bpe

    from ..data.corpus import build_corpus, load_corpus
    from ..data.sources import Source

    origins = None
    if a.folders:
        for folder in a.folders:
            if not Path(folder).is_dir():
                raise NotADirectoryError(f"{folder} is not a folder")
        origins = [Source(Path(f).resolve().name, Path(f).resolve(), licence=a.licence) for f in a.folders]
    out = Path(a.out) if a.out else default_corpus()
    with bar("reading") as progress:
        manifest = build_corpus(
            out, include_tests=not a.no_tests, progress=progress, origins=origins, exclude_file=a.exclude_code_of
        )
    corpus = load_corpus(out)
    with bar("tokenizer") as progress:
        tokenizer = train_bpe((d.text for d in corpus.documents("train")), a.vocab_size, progress=progress)
    tokenizer.save(out / "tokenizer.json")
    for name, split in manifest.summary["splits"].items():
        print(f"{name:6} {split['files']:6} files {split['bytes'] / 1e6:8.2f} MB {split['chat_documents']:6} chats")
    print(f"tokenizer {tokenizer.vocab_size} entries; manifest {manifest.sha256[:16]}; in {out}")
    return 0
