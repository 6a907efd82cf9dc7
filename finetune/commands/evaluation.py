"""What `hearth eval` and `hearth export` share: the texts to measure on, the opponent, the report and its table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .common import bar, default_corpus

_SECTION_LINES = 200


def texts_of(on: Sequence[str], corpus: str | None, max_bytes: int) -> list[str]:
    """Sections of the documents of splits, or of the Python files of paths, in a fixed random order until max_bytes.

    One section of every file before a second one of any. Beginnings of files alone, with their licences and imports,
    would say little about the rest. What the corpus's rules refuse in a folder (tables of data, generated files) is
    left out, and said on standard error.
    """
    import numpy as np

    from ..data.sections import sections
    from ..data.sources import normalise, reject_reason

    found, refused, seen = [], Counter(), 0
    for name in on:
        if name in ("train", "val", "test"):
            from ..data.corpus import load_corpus

            found += [d.text for d in load_corpus(corpus or default_corpus()).documents(name)]
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


def opponent_of(model, corpus: str | None):
    """The n-gram + cache floor of the corpus's training files, in this model's tokens."""
    from ..data.corpus import load_corpus
    from ..floor import Floor, training_counts
    from ..measure import Opponent, start_id
    from ..pretrain import cache_folder

    if model.tokenizer is None:
        raise ValueError("the model has no tokenizer: it cannot be evaluated on text")
    with bar("counting n-grams") as progress:
        folder = cache_folder() / "ngram"
        counts = training_counts(load_corpus(corpus or default_corpus()), model.tokenizer, folder, progress=progress)
    return Opponent(Floor(counts, model.tokenizer, start_id(model)), model), counts


def evaluate_model(model, texts: Sequence[str], carets: int = 200, seed: int = 0, opponent=None) -> dict:
    """{"results", "settings"} of a model on texts, with `carets` carets of each kind; with an opponent of `_opponent`
    also "opponent" {"name", "results", …} and "paired". Raises ValueError without a tokenizer or text."""
    from ..carets import choose
    from ..measure import Network, measure, paired

    places = choose(texts, carets, seed)
    network = Network(model)
    try:
        with bar("evaluating") as progress:
            ours = measure(network, model, texts, places, progress)
    finally:
        network.close()
    size = sum(len(text.encode()) for text in texts)
    settings = {"documents": len(texts), "bytes": size, "carets": len(places), "seed": seed}
    report = {"results": ours.results(), "settings": settings | {"context": model.spec.max_context}}
    if opponent is not None:
        subject, counts = opponent
        with bar(f"evaluating {subject.name}") as progress:
            theirs = measure(subject, model, texts, places, progress)
        about = {"name": subject.name, "order": counts.order, "training_tokens": counts.total}
        report |= {"opponent": about | {"results": theirs.results()}, "paired": paired(ours, theirs)}
    return report


def print_table(report: dict) -> None:
    from ..export import table

    head, rows = table(report)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
