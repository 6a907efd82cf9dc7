"""What a corpus is chosen by and what is known of each file on the way: the rules, candidates, kept files, and the
ledger of what was left out. Data only; the choosing is in `collect.py`.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from finetune.data import chat, decontaminate, sources

TEST_SHARE = 1 / 3  # of a package's bytes: tests repeat themselves more than the code that they test


@dataclass(frozen=True)
class Rules:
    """include_tests: keep test files; test_share: of a package's kept bytes at most; max_package_bytes: of one package
    or library, 0 for no limit; exempt: packages without that limit; forbidden: hashes of code windows (uint64, sorted)
    that no file may hold; held_out: (file, name) of the held-out packages at hand, which no file may resemble."""

    include_tests: bool = True
    test_share: float = TEST_SHARE
    max_package_bytes: int = 0
    exempt: frozenset[str] = frozenset({"cpython"})
    forbidden: np.ndarray = field(default_factory=decontaminate.evaluation_windows)
    held_out: tuple[tuple[Path, str], ...] = ()


@dataclass
class Candidate:
    """A file on its way through the rules."""

    source: sources.Source
    relative: str
    file: Path
    size: int = 0
    sha256: str = ""
    bytes: int = 0
    sign: np.ndarray | None = None

    @property
    def path(self) -> str:
        return f"{self.source.name}/{self.relative}"


@dataclass
class Kept:
    """A file of the corpus with its text (UTF-8), cluster and chat documents."""

    candidate: Candidate
    text: bytes
    cluster: str
    talks: list[chat.ChatDocument]


class Ledger:
    """What was left out: files and bytes by reason, and by source and reason; `drops` names single files."""

    def __init__(self):
        self.reasons: dict[str, Counter] = defaultdict(Counter)
        self.by_source: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
        self.seen: dict[str, Counter] = defaultdict(Counter)
        self.drops: list[dict] = []

    def see(self, c: Candidate) -> None:
        self.seen[c.source.name].update(files=1, bytes=c.size)

    def leave(self, c: Candidate, reason: str) -> None:
        self.reasons[reason].update(files=1, bytes=c.size)
        self.by_source[c.source.name][reason].update(files=1, bytes=c.size)
