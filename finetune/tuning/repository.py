"""What a repository gives to learn from: its own Python files without copies and secrets, and those that are held out.

Files that resemble each other stay on one side (`data/clusters.py`). Three sides: `train`; `choose`, which decides when
to stop; `judge`, on which the result is measured and which nothing else ever sees. Also the general code that is mixed
in so that the model does not forget. Knows no models.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from runtime.code.secret_rules import without_secrets
from runtime.code.walk import Tree, walk
from runtime.files.errors import FormatError
from runtime.files.reader import read_bytes

from ..data import chat, sources
from ..data.clusters import clusters
from ..data.corpus import load_corpus
from ..data.dedupe import Duplicates, signature

SIDES = ("train", "choose", "judge")
JUDGE, JUDGE_BYTES = 0.10, 400_000  # share of the text and bytes, whichever is less
CHOOSE, CHOOSE_BYTES = 0.05, 100_000
MAX_TEXT = 64_000_000  # bytes of files that are read; which ones of a larger repository, a hash of their path says
MIN_FILES, MIN_TRAIN_BYTES, MIN_JUDGE_LINES = 6, 20_000, 80

Progress = Callable[[int, int, str], None]


class TooSmall(ValueError):
    """The repository holds too little to learn from and to judge by; the message says how much is needed."""


@dataclass(frozen=True)
class SourceFile:
    """One file of the repository as it is trained on: normalised, lines that look like secrets taken out."""

    path: str
    text: str
    cluster: str = ""

    @cached_property
    def bytes(self) -> int:
        return len(self.text.encode())


@dataclass
class Repository:
    """name: of its folder. sides: files by side. left_out: (path, reason). secret_lines: number by path."""

    name: str
    sides: dict[str, list[SourceFile]]
    left_out: list[tuple[str, str]]
    secret_lines: dict[str, int]
    others: Counter[str] = field(default_factory=Counter)

    @property
    def secret_files(self) -> list[str]:
        return [path for path, reason in self.left_out if reason == "secret file"]

    @property
    def sha256(self) -> str:
        """Of what is trained on and of what is held out."""
        digest = hashlib.sha256()
        for side in SIDES:
            for file in self.sides[side]:
                digest.update(f"{side}\0{file.path}\0{file.text}\0".encode())
        return digest.hexdigest()


def read_repository(root: str | os.PathLike, progress: Progress | None = None) -> Repository:
    """Walk, read, clean and split. Raises FileNotFoundError, NotADirectoryError, ValueError; TooSmall is one."""
    tree = walk(root, (".py",))
    left_out = list(tree.left_out)
    _bound(tree, left_out)
    files, secret_lines = [], {}
    for path, text, reason in _texts(tree, progress):
        if reason:
            left_out.append((path, reason))
            continue
        text, lines = without_secrets(text)
        if lines:
            secret_lines[path] = lines
        files.append(SourceFile(path, text))
    kept = _once(files, left_out)
    name = tree.root.name or "repository"
    if not kept:
        why = Counter(reason for _, reason in left_out)
        listed = ", ".join(f"{n} {reason}" for reason, n in why.most_common()) or "no Python file was found"
        raise TooSmall(f"{root} holds no Python file to learn from ({listed})")
    return Repository(name, split(kept, root), sorted(left_out), secret_lines, tree.others)


def _bound(tree: Tree, left_out: list[tuple[str, str]]) -> None:
    room, stay = MAX_TEXT, set()
    for file in sorted(tree.files, key=lambda file: hashlib.sha256(file.path.encode()).digest()):
        if file.size <= room:
            room -= file.size
            stay.add(file.path)
        else:
            left_out.append((file.path, f"beyond {MAX_TEXT / 1e6:.0f} MB of text"))
    tree.files = [file for file in tree.files if file.path in stay]


def _texts(tree: Tree, progress: Progress | None) -> Iterable[tuple[str, str, str | None]]:
    """(path, text, why not) of every file of the walk."""
    for n, file in enumerate(tree.files):
        if progress and n % 16 == 0:
            progress(n, len(tree.files), file.path)
        try:
            data = read_bytes(file.file, sources.MAX_BYTES)
        except (OSError, FormatError):
            yield file.path, "", "cannot be read"
            continue
        text = None if b"\0" in data else sources.normalise(data)
        reason = "not UTF-8 text" if text is None else sources.reject_reason(text)
        yield file.path, text or "", reason


def _once(files: list[SourceFile], left_out: list[tuple[str, str]]) -> list[SourceFile]:
    """Without copies; each file with its cluster."""
    seen, kept, signs = Duplicates(), [], []
    for file in files:
        digest, sign = hashlib.sha256(file.text.encode()).hexdigest(), signature(file.text)
        if copied := seen.exact(digest) or seen.near(sign):
            left_out.append((file.path, f"copy of {copied}" if seen.exact(digest) else f"nearly a copy of {copied}"))
            continue
        seen.add(file.path, digest, sign)
        kept.append(file)
        signs.append(sign)
    groups = clusters([file.path for file in kept], signs)
    return [SourceFile(file.path, file.text, group) for file, group in zip(kept, groups, strict=True)]


def split(files: list[SourceFile], root: object = "the repository") -> dict[str, list[SourceFile]]:
    """Files by side, whole clusters in the order of their hash: first to judge, then to choose, the rest to train.

    A cluster of more than a quarter of the text is always trained on. Raises TooSmall.
    """
    groups: dict[str, list[SourceFile]] = {}
    for file in files:
        groups.setdefault(file.cluster, []).append(file)
    sizes = {cluster: sum(file.bytes for file in group) for cluster, group in groups.items()}
    total = sum(sizes.values())
    wanted = {"judge": min(JUDGE * total, JUDGE_BYTES), "choose": min(CHOOSE * total, CHOOSE_BYTES)}
    sides: dict[str, list[SourceFile]] = {side: [] for side in SIDES}
    for cluster in sorted(groups, key=lambda name: hashlib.sha256(name.encode()).digest()):
        side = "train"
        if sizes[cluster] <= total / 4:
            if _size(sides["judge"]) < wanted["judge"] or _lines(sides["judge"]) < MIN_JUDGE_LINES:
                side = "judge"
            elif _size(sides["choose"]) < wanted["choose"]:
                side = "choose"
        sides[side] += groups[cluster]
    enough = _size(sides["train"]) >= MIN_TRAIN_BYTES and _lines(sides["judge"]) >= MIN_JUDGE_LINES
    if len(files) < MIN_FILES or not enough or not sides["choose"]:
        raise TooSmall(
            f"{root} is too small to tune on: {len(files)} usable Python files with {total / 1e3:.1f} kB; needed are "
            f"about {MIN_FILES} files that do not resemble each other, {MIN_TRAIN_BYTES / 1e3:.0f} kB to train on and "
            f"{MIN_JUDGE_LINES} lines in files that are held out to judge"
        )
    return {side: sorted(found, key=lambda file: file.path) for side, found in sides.items()}


def _size(files: list[SourceFile]) -> int:
    return sum(file.bytes for file in files)


def _lines(files: list[SourceFile]) -> int:
    return sum(1 for file in files for line in file.text.split("\n") if line.strip())


@dataclass(frozen=True)
class General:
    """Code that is not the repository's. name: where it comes from. replay: texts to mix in; held_out: texts to see
    what was forgotten; choose: others, to choose by; known: sha256 of every file of the corpus, by which a repository
    that it holds is recognised."""

    name: str
    replay: list[str]
    held_out: list[str]
    choose: list[str]
    known: frozenset[str] = frozenset()


def general_code(corpus: str | os.PathLike, replay_bytes: int, held_out_bytes: int, seed: int = 0) -> General:
    """From the corpus folder if there is one, else from the library of the running interpreter: about so many bytes,
    of `choose` half as many as of `held_out`.

    Raises FormatError for a broken corpus.
    """
    folder = Path(corpus)
    if (folder / "summary.json").is_file():
        found = load_corpus(folder)
        train: Iterable[str] = (document.text for document in found.documents("train"))
        rest: Iterable[str] = (document.text for document in found.documents("val") + found.documents("test"))
        known = frozenset(str(entry.get("sha256")) for entry in found.manifest.files)
        name = "the corpus"
    else:
        library = sources.running_stdlib()
        sides: dict[bool, list[Path]] = {True: [], False: []}
        for relative, file in sources.walk(library, include_tests=False):
            if sources.path_reason(relative) is None:
                sides[hashlib.sha256(relative.encode()).digest()[0] < 16].append(file)  # one in sixteen is held out
        train = _library_texts(sides[False], replay_bytes, seed)
        rest = _library_texts(sides[True], 2 * held_out_bytes, seed)
        name, known = f"the standard library ({library.name})", frozenset()
    apart = _some(rest, held_out_bytes + held_out_bytes // 2, seed)
    return General(name, _some(train, replay_bytes, seed), apart[: -len(apart) // 3], apart[-len(apart) // 3 :], known)


def _library_texts(files: list[Path], wanted: int, seed: int) -> Iterable[str]:
    size = 0
    for n in np.random.default_rng(seed).permutation(len(files)):
        if size > 4 * wanted + 100_000:
            return
        try:
            text = sources.normalise(read_bytes(files[n], sources.MAX_BYTES))
        except (OSError, FormatError):
            continue
        if text and sources.reject_reason(text) is None:
            size += len(text)
            yield text


def _some(texts: Iterable[str], wanted: int, seed: int) -> list[str]:
    """Parts of at most 8,000 characters, cut at lines, in a random order, until there are about `wanted` bytes."""
    texts = list(texts)
    rng, out, size = np.random.default_rng(seed), [], 0
    for n in rng.permutation(len(texts)):
        if size >= wanted:
            break
        text = texts[n]
        if len(text) > 8000:
            start = text.rfind("\n", 0, int(rng.integers(0, len(text) - 8000)) + 1) + 1
            end = text.rfind("\n", start, start + 8000) + 1
            text = text[start : end if end > start else start + 8000]
        if text.strip():
            out.append(text)
            size += len(text.encode())
    return out


def chats(texts: Iterable[str]) -> list[chat.ChatDocument]:
    """Chat documents made from the documented functions of texts that the running interpreter can parse."""
    found = []
    for text in texts:
        tree = sources.parses(text)
        if tree is not None:
            found += chat.from_source(text, tree)
    return found
