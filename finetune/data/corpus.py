"""The corpus: one folder with the text of every split, a manifest that accounts for every file, and the chat
documents.

    manifest.jsonl   one JSON line per file: path, sha256, bytes, licence, source, version, split, cluster, start (byte
                     offset in the split's text)
    summary.json     counts, what was left out and why, sources, hash of the manifest, sha256 of each text file
    {train,val,test}.txt, chat-{train,val,test}.jsonl
    tokenizer.json   trained on the train split; summary.json holds its hash (`shards.attach`)

Reproducible: the same source files give the same bytes. Which files, `collect.py` chooses. Knows nothing about tokens
(`shards.py`, `packing.py`).
"""

import hashlib
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune.data import chat, decontaminate, sources, unseen
from finetune.data.candidates import TEST_SHARE, Kept, Ledger, Rules
from finetune.data.clusters import choose_split
from finetune.data.collect import Progress, collect
from runtime.files.atomic import atomic_write_bytes
from runtime.files.errors import FormatError
from runtime.files.reader import parse_json, read_bytes, read_json
from runtime.text import Tokenizer, load_tokenizer

SPLITS = ("train", "val", "test")
MAX_TEXT = 4 << 30


class EmptyCorpus(ValueError):
    """No file passed the rules; the message says what was looked at and why it was refused."""


@dataclass(frozen=True)
class Document:
    """One source file. path: source name and relative path, e.g. "cpython-3.13/json/decoder.py"; package: its source;
    cluster: its group of near-duplicates."""

    path: str
    text: str
    package: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class Manifest:
    """summary: as summary.json; files: the manifest's lines."""

    summary: dict
    files: list[dict]

    @property
    def sha256(self) -> str:
        return self.summary["manifest_sha256"]


@dataclass(frozen=True)
class Corpus:
    """A loaded corpus: `documents(split)` gives its files, `chat(split)` its chat documents."""

    folder: Path
    manifest: Manifest
    texts: dict[str, bytes]

    @property
    def sha256(self) -> str:
        return self.manifest.sha256

    def documents(self, split: str) -> list[Document]:
        """Files of "train", "val" or "test" in manifest order."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        text = self.texts[split]
        return [
            Document(
                f["path"],
                text[f["start"] : f["start"] + f["bytes"]].decode("utf-8"),
                f.get("source") or f["path"].partition("/")[0],
                f.get("cluster", ""),
            )
            for f in self.manifest.files
            if f["split"] == split
        ]

    def tokenizer(self) -> Tokenizer:
        """The tokenizer beside the texts. Raises FileNotFoundError without one, FormatError for another one than the
        corpus was built with."""
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: build the corpus again with `hearth corpus build`")
        tokenizer = load_tokenizer(path)
        if self.manifest.summary.get("tokenizer_sha256") not in (None, tokenizer.sha256):
            raise FormatError(
                "tokenizer", path, None, "is another tokenizer than the corpus was built with; build the corpus again"
            )
        return tokenizer

    def chat(self, split: str) -> list[chat.ChatDocument]:
        """Chat documents made from the functions of that split."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        return chat.read_jsonl(self.folder / f"chat-{split}.jsonl")


def build_corpus(
    out_dir: str | os.PathLike,
    include_tests: bool = True,
    split: Sequence[float] = (0.90, 0.05, 0.05),
    progress: Progress | None = None,
    origins: Sequence[sources.Source] | None = None,
    exclude_file: str | os.PathLike | None = None,
    max_package_bytes: int = 0,
    test_share: float = TEST_SHARE,
    held_out: Sequence[tuple[Path, str]] = (),
    workers: int | None = None,
) -> Manifest:
    """Walk the sources, keep what passes the rules once, and write the corpus folder.

    origins: default find_stdlibs(); the newest version wins among near-duplicates. split: shares of train, val, test,
    drawn by cluster of near-duplicates. exclude_file: text whose runs of 10 code tokens no kept file may contain,
    beside those of the evaluation sets. max_package_bytes: of one package at most, 0: no limit. test_share: of a
    package's kept bytes, tests at most. held_out: (file, name)
    that no kept file may resemble. workers: processes that read, default one a core.
    Raises EmptyCorpus when nothing is left, ValueError for shares that are not three positive numbers.
    """
    if len(split) != 3 or min(split) < 0 or split[0] <= 0:
        raise ValueError(f"split needs three shares (train > 0, val, test), got {tuple(split)}")
    if not 0 <= test_share <= 1:
        raise ValueError(f"the share of tests must lie between 0 and 1, got {test_share}")
    began = time.monotonic()
    origins = sorted(sources.find_stdlibs() if origins is None else origins, key=lambda s: s.version, reverse=True)
    forbidden = decontaminate.evaluation_windows()
    if exclude_file:
        text = read_bytes(exclude_file, MAX_TEXT).decode("utf-8", "replace")
        forbidden = np.union1d(forbidden, decontaminate.telling_windows([text]))
    rules = Rules(include_tests, test_share, max_package_bytes, forbidden=forbidden, held_out=tuple(held_out))
    kept, ledger = collect(origins, rules, progress, workers)
    if not kept:
        looked = ", ".join(str(o.root) for o in origins) or "nowhere"
        reasons = sorted(ledger.reasons.items(), key=lambda pair: -pair[1]["files"])
        why = ", ".join(f"{n['files']} {reason}" for reason, n in reasons) or "no Python file found"
        raise EmptyCorpus(f"the corpus is empty: looked in {looked}; {why}")
    return _write(Path(out_dir), kept, ledger, rules, origins, list(split), began)


def _write(out: Path, kept: list[Kept], ledger: Ledger, rules: Rules, origins, split, began: float) -> Manifest:
    out.mkdir(parents=True, exist_ok=True)
    texts: dict[str, list[bytes]] = {name: [] for name in SPLITS}
    talks: dict[str, list[chat.ChatDocument]] = {name: [] for name in SPLITS}
    at = dict.fromkeys(SPLITS, 0)
    files = []
    per_source: dict[str, Counter] = {o.name: Counter() for o in origins}
    for k in kept:
        side, source = choose_split(k.cluster, split), k.candidate.source
        files.append(
            {
                "path": k.candidate.path,
                "sha256": k.candidate.sha256,
                "bytes": len(k.text),
                "licence": source.licence,
                "source": source.name,
                "version": source.text_version,
                "split": side,
                "cluster": k.cluster,
                "start": at[side],
            }
        )
        at[side] += len(k.text)
        texts[side].append(k.text)
        talks[side] += k.talks
        per_source[source.name].update(files_kept=1, bytes_kept=len(k.text))
    hashes = {}
    for name in SPLITS:
        for file, body in ((f"{name}.txt", b"".join(texts[name])), (f"chat-{name}.jsonl", chat.to_jsonl(talks[name]))):
            hashes[file] = hashlib.sha256(body).hexdigest()
            atomic_write_bytes(out / file, body)
    lines = "".join(json.dumps(f, ensure_ascii=False, sort_keys=True) + "\n" for f in files).encode()
    summary = {
        "version": 2,
        "manifest_sha256": hashlib.sha256(lines).hexdigest(),
        "sha256": hashes,
        "splits": {
            name: {
                "files": len(texts[name]),
                "bytes": at[name],
                "clusters": len({f["cluster"] for f in files if f["split"] == name}),
                "chat_documents": len(talks[name]),
            }
            for name in SPLITS
        },
        "left_out": _table(ledger.reasons),
        "sources": {
            o.name: {
                "version": o.text_version,
                "licence": o.licence,
                "files_seen": ledger.seen[o.name]["files"],
                "bytes_seen": ledger.seen[o.name]["bytes"],
                "files_kept": per_source[o.name]["files_kept"],
                "bytes_kept": per_source[o.name]["bytes_kept"],
                "left_out": _table(ledger.by_source[o.name]),
            }
            for o in origins
        },
        "drops": ledger.drops,
        "unseen": sorted(unseen.names()),
        "tests_included": rules.include_tests,
        "has_test_suite": any(sources.is_test(f["path"].partition("/")[2]) for f in files),
        "max_package_bytes": rules.max_package_bytes,
        "test_share": rules.test_share,
        "shares": split,
        "parsed_with": platform.python_version(),
        "seconds": round(time.monotonic() - began, 1),
    }
    atomic_write_bytes(out / "manifest.jsonl", lines)
    atomic_write_bytes(out / "summary.json", json.dumps(summary, indent=1).encode())  # last: makes the folder valid
    return Manifest(summary, files)


def _table(reasons: Mapping[str, Counter]) -> dict[str, dict[str, int]]:
    """{reason: {files, bytes}}, most bytes first."""
    return {r: {"files": n["files"], "bytes": n["bytes"]} for r, n in sorted(reasons.items(), key=_bytes_first)}


def _bytes_first(pair: tuple[str, Counter]) -> tuple[int, str]:
    return -pair[1]["bytes"], pair[0]


def load_corpus(folder: str | os.PathLike) -> Corpus:
    """Read a corpus folder and check every hash.

    Raises FileNotFoundError when it was never built, FormatError when a file does not match the manifest.
    """
    folder = Path(folder)
    if not (folder / "summary.json").is_file():
        raise FileNotFoundError(f"no corpus in {folder}: build one with `hearth corpus build`")
    summary = read_json(folder / "summary.json", "corpus summary")
    try:
        hashes, counts, wanted = summary["sha256"], summary["splits"], summary["manifest_sha256"]
        sizes = {name: int(counts[name]["bytes"]) for name in SPLITS}
    except (KeyError, TypeError, ValueError) as e:
        raise FormatError("corpus", folder / "summary.json", None, f"lacks {e}; build the corpus again") from None
    lines = read_bytes(folder / "manifest.jsonl", 256 << 20, "manifest")
    _same(folder / "manifest.jsonl", lines, wanted)
    files = [parse_json(line, folder / "manifest.jsonl", "manifest line") for line in lines.splitlines()]
    texts = {}
    for name in SPLITS:
        texts[name] = read_bytes(folder / f"{name}.txt", MAX_TEXT, f"text of {name}")
        _same(folder / f"{name}.txt", texts[name], hashes.get(f"{name}.txt"))
        if len(texts[name]) != sizes[name]:
            raise FormatError("corpus", folder / f"{name}.txt", None, "has another size than the summary says")
    return Corpus(folder, Manifest(summary, files), texts)


def _same(path: Path, data: bytes, sha256: str | None) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise FormatError("corpus", path, None, "does not match its hash in the corpus; build the corpus again")
