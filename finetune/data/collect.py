"""Chooses the files of a corpus: reads every file of the sources, applies each rule in order, and counts what it
leaves out and why.

Order: held-out package, licence, vendored copy, quality, exact and near duplicates (newest version first), likeness to
a held-out package, share of a package, evaluation sets. Reads files on several processes; the result does not
depend on how many. Knows nothing about splits or the folder that is written (`corpus.py`).
"""

import hashlib
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from finetune.data import chat, clusters, decontaminate, licences, sources, unseen
from finetune.data.candidates import Candidate, Kept, Ledger, Rules
from finetune.data.dedupe import Duplicates, signature
from runtime.files.errors import FormatError
from runtime.files.reader import read_bytes

Progress = Callable[[int, int, str], None]  # done, total, what
MAX_FILE = 16 << 20
PARALLEL = 400  # files from which the start of more processes pays


def collect(
    origins: Sequence[sources.Source], rules: Rules, progress: Progress | None = None, workers: int | None = None
) -> tuple[list[Kept], Ledger]:
    """The files that pass every rule, in order of path, and what was left out.

    origins: newest version first; the first of two near-duplicates stays.
    """
    ledger = Ledger()
    candidates = _quality(list(_by_name(origins, rules, ledger)), ledger, progress, workers)
    candidates = _unlike_unseen(list(_once(candidates, ledger)), rules, ledger)
    candidates = list(_fair_share(candidates, rules, ledger))
    kept = _clean(sorted(candidates, key=lambda c: c.path), rules, ledger, progress, workers)
    return kept, ledger


def _by_name(origins, rules: Rules, ledger: Ledger) -> Iterator[Candidate]:
    """What may be read at all: permitted licence, no held-out package, no vendored copy."""
    for source in origins:
        permitted = licences.permitted(source.licence)
        for relative, file in sources.walk(source):
            c = Candidate(source, relative, file, file.stat().st_size)
            ledger.see(c)
            if unseen.is_unseen(source.name, relative):
                ledger.leave(c, "held-out package")
            elif not permitted:
                ledger.leave(c, "licence not permitted")
            elif reason := sources.path_reason(relative):
                ledger.leave(c, reason)
            elif not rules.include_tests and sources.is_test(relative):
                ledger.leave(c, "test file")
            else:
                yield c


def _read(file: Path) -> str | None:
    return sources.normalise(read_bytes(file, MAX_FILE))


def examine(file: str) -> tuple[str | None, str, int, bytes]:
    """(why not, sha256, bytes, signature) of one file."""
    try:
        text = _read(Path(file))
    except (OSError, FormatError):
        return "unreadable", "", 0, b""
    reason = "not UTF-8" if text is None else sources.reject_reason(text)
    if reason is None and sources.parses(text) is None:
        reason = "does not parse"  # before the duplicates: an older version may parse where the newest does not
    if reason:
        return reason, "", 0, b""
    data = text.encode("utf-8")
    return None, hashlib.sha256(data).hexdigest(), len(data), signature(text).tobytes()


def _quality(found: list[Candidate], ledger, progress, workers) -> Iterator[Candidate]:
    results = _map(examine, [str(c.file) for c in found], workers)
    for n, (c, (reason, digest, size, sign)) in enumerate(zip(found, results, strict=True)):
        if progress and n % 64 == 0:
            progress(n, len(found), "reading")
        if reason:
            ledger.leave(c, reason)
        else:
            c.sha256, c.bytes, c.sign = digest, size, np.frombuffer(sign, np.uint64)
            yield c


def _once(found: Iterable[Candidate], ledger: Ledger) -> Iterator[Candidate]:
    seen = Duplicates()
    for c in found:
        if seen.exact(c.sha256):
            ledger.leave(c, "exact duplicate")
        elif seen.near(c.sign):
            ledger.leave(c, "near duplicate")
        else:
            seen.add(c.path, c.sha256, c.sign)
            yield c


def _unlike_unseen(found: list[Candidate], rules: Rules, ledger: Ledger) -> list[Candidate]:
    """Files that resemble none of the held-out files."""
    met, signs, names = clusters.Neighbours(), [], []
    for file, name in rules.held_out:
        try:
            text = _read(file)
        except (OSError, FormatError):
            continue
        if text and sources.reject_reason(text) is None:
            signs.append(signature(text))
            names.append(name)
            met.meet(len(signs) - 1, signs[-1])
    good = []
    for c in found:
        near = [i for i in met.meet(-1, c.sign, remember=False) if clusters.alike(c.sign, signs[i])]
        if near:
            ledger.leave(c, "like a held-out package")
            ledger.drops.append({"path": c.path, "reason": "like a held-out package", "what": names[min(near)]})
        else:
            good.append(c)
    return good


def _fair_share(found: list[Candidate], rules: Rules, ledger: Ledger) -> Iterator[Candidate]:
    """At most so many bytes of each package, and of those so many of tests; which files, a hash of their path says."""
    families: dict[str, list[Candidate]] = defaultdict(list)
    for c in found:
        families[c.source.family].append(c)
    for name, files in families.items():
        total = sum(c.bytes for c in files)
        limit = rules.max_package_bytes if rules.max_package_bytes and name not in rules.exempt else total
        tests = [c for c in files if sources.is_test(c.relative)]
        code = [c for c in files if not sources.is_test(c.relative)]
        share = limit
        if code and rules.test_share < 1:  # a folder of nothing but tests is taken as it is
            beside = sum(c.bytes for c in code) * rules.test_share / (1 - rules.test_share)
            share = min(limit * rules.test_share, beside)
        chosen = list(_choose(tests, share))
        chosen += _choose(code, limit - sum(c.bytes for c in chosen))
        stay = {c.path for c in chosen}
        for c in files:
            if c.path in stay:
                yield c
            else:
                ledger.leave(
                    c, "over the share of tests" if sources.is_test(c.relative) else "over the share of a package"
                )


def _choose(files: list[Candidate], budget: float) -> Iterator[Candidate]:
    for c in sorted(files, key=lambda c: hashlib.sha256(c.relative.encode()).digest()):
        if c.bytes <= budget:
            budget -= c.bytes
            yield c


def inspect(file: str, forbidden: np.ndarray) -> tuple[bytes, np.ndarray, list[chat.ChatDocument]]:
    """(text, forbidden windows, chat documents) of one file that `examine` let pass."""
    text = _read(Path(file))
    windows = decontaminate.shared(decontaminate.code_windows(text), forbidden)
    return text.encode("utf-8"), windows, chat.from_source(text, sources.parses(text))


def _clean(found: list[Candidate], rules: Rules, ledger: Ledger, progress, workers) -> list[Kept]:
    """Drops what shares code with an evaluation set, and puts the rest into clusters."""
    results = []
    job = partial(inspect, forbidden=rules.forbidden)
    for n, (c, result) in enumerate(zip(found, _map(job, [str(c.file) for c in found], workers), strict=True)):
        if progress and n % 64 == 0:
            progress(n, len(found), "checking")
        if hashlib.sha256(result[0]).hexdigest() != c.sha256:
            raise FormatError("source", c.file, None, "changed while it was read; build the corpus again")
        results.append(result)
    groups = clusters.clusters([f"{c.source.family}/{c.relative}" for c in found], [c.sign for c in found])
    kept = []
    hits = decontaminate.contaminated([windows for _, windows, _ in results])
    for c, group, (text, _, talks), n in zip(found, groups, results, hits, strict=True):
        if n:
            ledger.leave(c, "shares code with an evaluation set")
            ledger.drops.append({"path": c.path, "reason": "shares code with an evaluation set", "windows": n})
        else:
            kept.append(Kept(c, text, group, talks))
    return kept


def _map(function: Callable, files: list[str], workers: int | None) -> Iterator:
    """`function` of every file, in order, on `workers` processes (default: one a core)."""
    workers = min(workers or os.cpu_count() or 1, 16)
    if workers == 1 or len(files) < PARALLEL:
        yield from map(function, files)
        return
    # Not multiprocessing.Pool, which waits for ever for a worker that was killed; this one raises BrokenProcessPool.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, files, chunksize=16)
