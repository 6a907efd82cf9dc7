"""The text that all rungs learn from, the held-out text that all are scored on, and their two tokenizers.

Taken from a corpus; without one, a small corpus is built from the running interpreter's standard library. Documents are
cut into sections and shuffled, the same way every time. Also the floors: what one can say without any model.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.text import load_tokenizer, train_bpe
from runtime.text.lookup_train import train_characters

from ..data.corpus import build_corpus, load_corpus
from ..data.sections import sections
from ..data.sources import running_stdlib
from ..settings import TrainingError
from .recipe import TextSettings
from .rungs import END, SPECIAL_TOKENS


@dataclass(frozen=True)
class LadderText:
    """train, val: sections of documents. source: where they come from, for people."""

    train: list[str]
    val: list[str]
    source: str

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for side in (self.train, self.val):
            for text in side:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
            digest.update(b"\1")
        return digest.hexdigest()


def load_text(
    corpus: str | os.PathLike,
    needed: bool,
    out: Path,
    settings: TextSettings,
    progress: Callable | None = None,
    note: Callable[[str], None] | None = None,
) -> LadderText:
    """Text of the corpus folder. If there is none there and it is not `needed`, a corpus is built in out/text.

    progress(done, total, what); note(text) is told before one is built. Raises FileNotFoundError for a needed corpus
    that was never built, TrainingError for one without training or validation files.
    """
    folder = Path(corpus)
    source = f"the corpus in {folder}"
    if not needed and not (folder / "summary.json").is_file():
        folder = out / "text"
        library = running_stdlib()
        source = f"the standard library of {library.name}"
        if not (folder / "summary.json").is_file():
            if note:
                note(f"no corpus in {corpus}: building a small one from {source}")
            build_corpus(folder, include_tests=False, split=(0.9, 0.05, 0.05), progress=progress, origins=[library])
    found = load_corpus(folder)
    sides = []
    for split, limit in (("train", settings.train_mb * 1e6), ("val", settings.val_kb * 1e3)):
        parts = [part for d in found.documents(split) for part in sections(d.text, settings.section_lines)]
        if not parts:
            raise TrainingError(f"{source} has no {split} files")
        chosen, size = [], 0
        for i in np.random.default_rng(0).permutation(len(parts)):
            if size >= limit:
                break
            chosen.append(parts[i])
            size += len(parts[i].encode("utf-8", "surrogatepass"))
        sides.append(chosen)
    return LadderText(*sides, source)


def tokenizers(
    text: LadderText, settings: TextSettings, out: Path, keep: bool = False, progress: Callable | None = None
) -> dict:
    """The tokenizers by name, "characters" and "subwords", trained on the text and written to `out`.

    keep: read from there instead, if they exist.
    """
    limit, used = settings.subwords_mb * 1e6, []
    for part in text.train:
        if limit <= 0:
            break
        used.append(part)
        limit -= len(part)
    shown = None if progress is None else lambda done, total: progress(done, total, "subwords")
    makers = {
        "characters": lambda: train_characters(used, settings.characters, (END,)),
        "subwords": lambda: train_bpe(used, settings.subwords, SPECIAL_TOKENS, progress=shown),
    }
    found = {}
    for name, make in makers.items():
        path = out / f"{name}.json"
        if not keep or not path.is_file():
            out.mkdir(parents=True, exist_ok=True)
            make().save(path)
        found[name] = load_tokenizer(path)
    return found


def floors(text: LadderText) -> list[dict]:
    """Rows below the first rung: guessing, and counting how often each byte comes. {"name", "bits_per_byte"} each."""
    counts = [np.zeros(256, np.int64), np.zeros(256, np.int64)]
    for total, side in zip(counts, (text.train, text.val), strict=True):
        for part in side:
            total += np.bincount(np.frombuffer(part.encode("utf-8", "surrogatepass"), np.uint8), minlength=256)
    train, val = counts
    probability = (train + 1) / (train.sum() + 256)  # add-one: no byte is impossible
    bits = float(-(val * np.log2(probability)).sum() / val.sum())
    return [{"name": "guessing", "bits_per_byte": math.log2(256)}, {"name": "byte counts", "bits_per_byte": bits}]
