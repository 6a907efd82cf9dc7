"""The corpus: one folder with the text of every split, a manifest that accounts for every file, and the chat
documents.

    manifest.jsonl   one JSON line per file: path, sha256, bytes, split, start (byte offset in the split's text),
    licence summary.json     counts, what was left out and why, sources, hash of the manifest, sha256 of each text
    file {train,val,test}.txt, chat-{train,val,test}.jsonl

Reproducible: the same source files give the same bytes. Knows nothing about tokens (`shards.py`, `packing.py`).
"""

import hashlib
import json
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.data import chat, sources
from finetune.data.dedupe import Duplicates, signature
from runtime.files.atomic import atomic_write_bytes
from runtime.files.errors import FormatError
from runtime.files.reader import parse_json, read_bytes, read_json

SPLITS = ("train", "val", "test")
MAX_TEXT = 4 << 30
WINDOW = 10  # code tokens that a file may not share with an evaluation set

Progress = Callable[[int, int, str], None]  # done, total, what


class EmptyCorpus(ValueError):
    """No file passed the rules; the message says what was looked at and why it was refused."""


@dataclass(frozen=True)
class Document:
    """One source file. path: source name and relative path, e.g. "cpython-3.13/json/decoder.py"."""

    path: str
    text: str


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
            Document(f["path"], text[f["start"] : f["start"] + f["bytes"]].decode("utf-8"))
            for f in self.manifest.files
            if f["split"] == split
        ]

    def chat(self, split: str) -> list[chat.ChatDocument]:
        """Chat documents made from the functions of that split."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        return chat.read_jsonl(self.folder / f"chat-{split}.jsonl")


def split_key(path: str) -> str:
    """What decides a file's split: its module name, so that all versions of a file, wherever they moved, stay
    together."""
    parts = path.split("/")
    stem = parts[-1].removesuffix(".py")
    if stem in ("__init__", "__main__") and len(parts) > 1:
        stem = f"{parts[-2]}.{stem}"
    return stem.removeprefix("test_").lower()


def choose_split(path: str, split: Sequence[float]) -> str:
    """train, val or test from the hash of the module name; `split` are their shares."""
    digest = hashlib.sha256(split_key(path).encode()).digest()
    where = int.from_bytes(digest[:8], "big") / 2**64 * sum(split)
    return "train" if where < split[0] else "val" if where < split[0] + split[1] else "test"


def code_windows(text: str) -> set[int]:
    """Hashes of every run of 10 code tokens (words and single marks, comments included)."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return {
        int.from_bytes(hashlib.blake2b("\x00".join(tokens[i : i + WINDOW]).encode(), digest_size=8).digest(), "big")
        for i in range(len(tokens) - WINDOW + 1)
    }


def build_corpus(
    out_dir: str | os.PathLike,
    include_tests: bool = True,
    split: Sequence[float] = (0.96, 0.02, 0.02),
    progress: Progress | None = None,
    origins: Sequence[sources.Source] | None = None,
    exclude_file: str | os.PathLike | None = None,
) -> Manifest:
    """Walk the sources, keep what passes the rules once, and write the corpus folder.

    origins: default find_stdlibs(); the newest version wins among near-duplicates. split: shares of train, val, test.
    exclude_file: text whose runs of 10 code tokens no kept file may contain (an evaluation set).
    Raises EmptyCorpus when nothing is left, ValueError for shares that are not three positive numbers.
    """
    if len(split) != 3 or min(split) < 0 or split[0] <= 0:
        raise ValueError(f"split needs three shares (train > 0, val, test), got {tuple(split)}")
    began = time.monotonic()
    out = Path(out_dir)
    origins = sorted(sources.find_stdlibs() if origins is None else origins, key=lambda s: s.version, reverse=True)
    forbidden = code_windows(read_bytes(exclude_file, MAX_TEXT).decode("utf-8", "replace")) if exclude_file else set()
    todo = [(origin, relative, file) for origin in origins for relative, file in sources.walk(origin, include_tests)]
    seen = Duplicates()
    left_out: Counter[str] = Counter()
    left_bytes: Counter[str] = Counter()
    kept: list[tuple[dict, bytes]] = []
    talks: dict[str, list[chat.ChatDocument]] = {name: [] for name in SPLITS}
    per_origin: dict[str, Counter] = {o.name: Counter() for o in origins}

    for n, (origin, relative, file) in enumerate(todo):
        if progress and n % 16 == 0:
            progress(n, len(todo), f"{origin.name}/{relative}")
        try:
            data = read_bytes(file, 16 << 20)
        except (OSError, FormatError):
            left_out["unreadable"] += 1
            continue
        per_origin[origin.name]["files_seen"] += 1
        text = sources.normalise(data)
        reason = "not UTF-8" if text is None else sources.reject_reason(text)
        if reason is None:
            encoded = text.encode("utf-8")
            digest = hashlib.sha256(encoded).hexdigest()
            path = f"{origin.name}/{relative}"
            if seen.exact(digest):
                reason = "exact duplicate"
            elif seen.near(sign := signature(text)):
                reason = "near duplicate"
            elif (tree := sources.parses(text)) is None:
                reason = "does not parse"
            elif forbidden and not forbidden.isdisjoint(code_windows(text)):
                reason = "shares code with the excluded file"
        if reason:
            left_out[reason] += 1
            left_bytes[reason] += len(data)
            continue
        seen.add(path, digest, sign)
        side = choose_split(relative, split)
        kept.append(
            ({"path": path, "sha256": digest, "bytes": len(encoded), "split": side, "licence": origin.licence}, encoded)
        )
        per_origin[origin.name]["files_kept"] += 1
        per_origin[origin.name]["bytes_kept"] += len(encoded)
        talks[side] += chat.from_source(text, tree)

    if not kept:
        looked = ", ".join(str(o.root) for o in origins) or "nowhere"
        why = ", ".join(f"{n} {reason}" for reason, n in left_out.most_common()) or "no Python file found"
        raise EmptyCorpus(f"the corpus is empty: looked in {looked}; {why}")
    return _write(out, kept, talks, left_out, left_bytes, per_origin, origins, list(split), include_tests, began)


def _write(out, kept, talks, left_out, left_bytes, per_origin, origins, split, include_tests, began) -> Manifest:
    out.mkdir(parents=True, exist_ok=True)
    kept.sort(key=lambda pair: pair[0]["path"])
    texts: dict[str, list[bytes]] = {name: [] for name in SPLITS}
    at = dict.fromkeys(SPLITS, 0)
    for entry, data in kept:
        entry["start"] = at[entry["split"]]
        at[entry["split"]] += len(data)
        texts[entry["split"]].append(data)
    hashes = {}
    for name in SPLITS:
        body = b"".join(texts[name])
        hashes[f"{name}.txt"] = hashlib.sha256(body).hexdigest()
        atomic_write_bytes(out / f"{name}.txt", body)
        body = chat.to_jsonl(talks[name])
        hashes[f"chat-{name}.jsonl"] = hashlib.sha256(body).hexdigest()
        atomic_write_bytes(out / f"chat-{name}.jsonl", body)
    files = [entry for entry, _ in kept]
    lines = "".join(json.dumps(f, ensure_ascii=False, sort_keys=True) + "\n" for f in files).encode()
    summary = {
        "version": 1,
        "manifest_sha256": hashlib.sha256(lines).hexdigest(),
        "sha256": hashes,
        "splits": {
            name: {"files": len(texts[name]), "bytes": at[name], "chat_documents": len(talks[name])} for name in SPLITS
        },
        "left_out": {reason: {"files": n, "bytes": left_bytes[reason]} for reason, n in left_out.most_common()},
        "sources": {o.name: {"licence": o.licence, **per_origin[o.name]} for o in origins},
        "tests_included": include_tests,
        "has_test_suite": any(sources.is_test(f["path"]) for f in files),
        "shares": split,
        "parsed_with": platform.python_version(),
        "seconds": round(time.monotonic() - began, 1),
    }
    atomic_write_bytes(out / "manifest.jsonl", lines)
    atomic_write_bytes(out / "summary.json", json.dumps(summary, indent=1).encode())  # last: makes the folder valid
    return Manifest(summary, files)


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
