"""Texts to measure on: a split of the corpus, files and folders, or the installed packages that are held out.

Whole files in a fixed random order; or sections, of which every file gives one before any gives a second, so that a
small budget still meets many files. Knows no models.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data.corpus import SPLITS, load_corpus
from .data.installed import find_packages, running_site_packages
from .data.sections import sections
from .data.sources import Source, normalise, reject_reason, walk
from .data.unseen import PROJECT, names

UNSEEN = "unseen"
_SECTION_LINES = 200


@dataclass(frozen=True)
class HeldOut:
    """texts: what to measure on. packages: those that `unseen` stands for here, with versions. corpus: hash of the
    corpus whose split was read, or None."""

    texts: list[str]
    packages: tuple[str, ...] = ()
    corpus: str | None = None


def unseen_packages() -> list[Source]:
    """The held-out packages that are installed in the running environment.

    This project itself is held out too, but changes with every commit: figures on it could not be compared.
    """
    return [s for s in find_packages(running_site_packages()) if s.name in names() and s.name != PROJECT]


def texts_of(
    on: Sequence[str],
    corpus: str | os.PathLike,
    max_bytes: int,
    note: Callable[[str], None] = print,
    whole: bool = False,
) -> HeldOut:
    """At most max_bytes of the splits, files, folders and "unseen" named in `on`, together: sections, or whole files.

    Beginnings of files alone, with their licences and imports, would say little about the rest. What the corpus's
    rules refuse in a folder (tables of data, generated files) is left out, and `note` is told. Raises
    FileNotFoundError for what is nowhere, ValueError if nothing is left.
    """
    found: list[str] = []
    packages: list[str] = []
    refused: Counter[str] = Counter()
    seen = 0
    loaded = load_corpus(corpus) if set(on) & set(SPLITS) else None
    for name in on:
        if name in SPLITS:
            found += [d.text for d in loaded.documents(name)]
            continue
        if name == UNSEEN:
            installed = unseen_packages()
            if not installed:
                raise FileNotFoundError(
                    f"none of the held-out packages is installed here ({', '.join(sorted(names()))})"
                )
            packages += [f"{s.name} {s.text_version}".strip() for s in installed]
            files = [file for source in installed for _, file in walk(source)]
        else:
            path = Path(name)
            if not path.exists():
                raise FileNotFoundError(f"{name}: neither train, val, test or unseen nor a file or folder")
            files = [file for _, file in walk(Source(path.name, path))] if path.is_dir() else [path]
        picky = name == UNSEEN or Path(name).is_dir()  # a file that was named is taken
        for file in files:
            seen += 1
            text = normalise(file.read_bytes())
            reason = "not UTF-8" if text is None else reject_reason(text) if picky and text else None
            if reason:
                refused[reason] += 1
            elif text:
                found.append(text)
    if refused:
        why = ", ".join(f"{n} {reason}" for reason, n in refused.most_common())
        note(f"left out: {refused.total()} of {seen} files ({why})")
    texts = (_whole if whole else _mixed)(found, max_bytes)
    if not texts:
        raise ValueError(f"{' '.join(on)}: there is no Python text")
    return HeldOut(texts, tuple(packages), loaded.sha256 if loaded else None)


def _mixed(files: Sequence[str], max_bytes: int) -> list[str]:
    """Sections of the files until max_bytes; something of many files rather than two whole ones."""
    rng = np.random.default_rng(0)
    shuffled = []  # (which section of its file, a random number, text)
    for text in files:
        parts = [part for part in sections(text, _SECTION_LINES) if part.strip()]
        shuffled += [(turn, rng.random(), parts[i]) for turn, i in enumerate(rng.permutation(len(parts)))]
    out, size, longest = [], 0, max(2000, max_bytes // 25)
    for _, _, text in sorted(shuffled):
        if size >= max_bytes:
            break
        out.append(text[: min(max_bytes - size, longest)])
        size += len(out[-1].encode())
    return out


def _whole(files: Sequence[str], max_bytes: int) -> list[str]:
    """Files as they are until max_bytes; what is left of the budget goes to the beginning of the next one."""
    out, size = [], 0
    for i in np.random.default_rng(0).permutation(len(files)):
        if size >= max_bytes:
            break
        text = files[i].encode()[: max_bytes - size].decode("utf-8", "ignore")
        if text.strip():
            out.append(text)
        size += len(text.encode())
    return out
