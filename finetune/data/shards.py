"""Tokenised shards: the ids of every split as .npy files with a checksum, the tokenizer's hash and the documents'
bounds.

    shards.json                       tokenizer and corpus hashes, per split: tokens, documents, bytes, sha256
    {train,val,test}.ids.npy          uint16 (uint32 beyond 65536 entries); each document ends with <|endoftext|>
    {train,val,test}.docs.npy         int64 (documents + 1,): document i is ids[docs[i]:docs[i + 1]]

They stand in the corpus folder. For plain left-to-right reading (n-gram counts); fill-in-the-middle needs characters
and re-encodes (`packing.py`).
"""

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune.data.corpus import SPLITS, Corpus
from runtime.files.atomic import atomic_write_bytes
from runtime.files.errors import FormatError
from runtime.files.reader import read_bytes, read_json
from runtime.text import Tokenizer

END = "<|endoftext|>"


@dataclass(frozen=True)
class Shard:
    """ids: (tokens,) of one split; docs: (documents + 1,) bounds; n_bytes: UTF-8 bytes of the text without
    markers."""

    ids: np.ndarray
    docs: np.ndarray
    n_bytes: int


def write_shards(
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: str | os.PathLike,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict:
    """Encode every split into `folder`; gives the contents of shards.json. Raises ValueError for a vocabulary
    without <|endoftext|>."""
    if END not in tokenizer.special:
        raise ValueError(f"the tokenizer has no {END}; train one with finetune's special tokens")
    folder = Path(folder)
    summary = {"version": 1, "tokenizer_sha256": tokenizer.sha256, "corpus_sha256": corpus.sha256, "splits": {}}
    for name in SPLITS:
        ids, bounds, size = _encoded(corpus, tokenizer, name, progress)
        entry = {"tokens": len(ids), "documents": len(bounds) - 1, "bytes": size}
        for key, values in (("ids", ids), ("docs", bounds)):
            body = io.BytesIO()
            np.save(body, values, allow_pickle=False)
            entry[f"{key}_sha256"] = hashlib.sha256(body.getvalue()).hexdigest()
            atomic_write_bytes(folder / f"{name}.{key}.npy", body.getvalue())
        summary["splits"][name] = entry
    atomic_write_bytes(folder / "shards.json", json.dumps(summary, indent=1).encode())
    return summary


def attach(corpus: Corpus, tokenizer: Tokenizer, progress: Callable[[int, int, str], None] | None = None) -> dict:
    """Give a corpus folder its tokenizer: tokenizer.json, the token shards, and its hash in the summary.

    Gives the contents of shards.json.
    """
    tokenizer.save(corpus.folder / "tokenizer.json")
    written = write_shards(corpus, tokenizer, corpus.folder, progress)
    corpus.manifest.summary["tokenizer_sha256"] = tokenizer.sha256
    atomic_write_bytes(corpus.folder / "summary.json", json.dumps(corpus.manifest.summary, indent=1).encode())
    return written


def split_ids(
    corpus: Corpus, tokenizer: Tokenizer, split: str, progress: Callable[[int, int, str], None] | None = None
) -> np.ndarray:
    """Ids of a split, (tokens,), each document followed by <|endoftext|> where the tokenizer has one: from the shards
    if they are of this tokenizer and this corpus, else encoded now."""
    try:
        return load_shard(corpus.folder, tokenizer, split, corpus.sha256).ids
    except (FileNotFoundError, OtherTokenizer):
        return _encoded(corpus, tokenizer, split, progress)[0]


def _encoded(corpus, tokenizer, split, progress) -> tuple[np.ndarray, np.ndarray, int]:
    """(ids, bounds of the documents, UTF-8 bytes) of a split."""
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    end = np.array([tokenizer.special[END]] if END in tokenizer.special else [], dtype)
    documents = corpus.documents(split)
    parts, bounds, size = [np.zeros(0, dtype)], [0], 0
    for n, document in enumerate(documents):
        if progress and n % 16 == 0:
            progress(n, len(documents), split)
        ids = tokenizer.encode_array(document.text)
        parts += [ids.astype(dtype), end]
        bounds.append(bounds[-1] + len(ids) + len(end))
        size += len(document.text.encode())
    return np.concatenate(parts), np.array(bounds, np.int64), size


class OtherTokenizer(FormatError):
    """The shards were written with another tokenizer than the one at hand."""


def load_shard(folder: str | os.PathLike, tokenizer: Tokenizer, split: str, corpus_sha256: str | None = None) -> Shard:
    """One split's ids, checked against its hash, the tokenizer and, if given, the corpus's hash.

    Raises FileNotFoundError when there are no shards, OtherTokenizer for those of another tokenizer, FormatError for
    those of another corpus, a wrong hash or bad bounds.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if not (folder / "shards.json").is_file():
        raise FileNotFoundError(f"no token shards in {folder}: build the corpus again with `hearth corpus build`")
    summary = read_json(folder / "shards.json", "shards.json")
    if not isinstance(summary, dict) or summary.get("tokenizer_sha256") != tokenizer.sha256:
        raise OtherTokenizer(
            "tokenizer", folder / "shards.json", None, "was written with another tokenizer; build the corpus again"
        )
    if corpus_sha256 is not None and summary.get("corpus_sha256") != corpus_sha256:
        raise FormatError("shards", folder / "shards.json", None, "belongs to another corpus; build the corpus again")
    entry = (summary.get("splits") or {}).get(split)
    if not isinstance(entry, dict) or type(entry.get("bytes")) is not int:
        raise FormatError("shards", folder / "shards.json", None, f"has no entry for {split}; build the corpus again")
    ids, docs = (_array(folder / f"{split}.{key}.npy", entry.get(f"{key}_sha256")) for key in ("ids", "docs"))
    good = ids.ndim == 1 and docs.ndim == 1 and ids.dtype in (np.uint16, np.uint32) and docs.dtype == np.int64
    if not (good and len(docs) and docs[0] == 0 and docs[-1] == len(ids) and (np.diff(docs) > 0).all()):
        raise FormatError("shards", folder / f"{split}.docs.npy", None, "document bounds do not fit the ids")
    if len(ids) and int(ids.max()) >= tokenizer.vocab_size:
        raise FormatError("shards", folder / f"{split}.ids.npy", None, "holds ids beyond the tokenizer's vocabulary")
    return Shard(ids, docs, entry["bytes"])


def _array(path: Path, sha256: object) -> np.ndarray:
    body = read_bytes(path, 16 << 30, "token shard")
    if hashlib.sha256(body).hexdigest() != sha256:
        raise FormatError("checksum", path, None, "does not match its hash; build the corpus again")
    try:
        return np.load(io.BytesIO(body), allow_pickle=False)
    except ValueError:
        raise FormatError("npy", path, None, "is not a .npy array") from None
