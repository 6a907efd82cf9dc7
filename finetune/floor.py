"""What a network must beat: an n-gram model of the same training files with a memory of the document, and that memory
alone (the longest suffix that was there before).

Both are measured as the network is: the same windows, the same prompts, carets, token healing and rules. The n-gram
counts are kept on disk, by the hashes of tokenizer and corpus. Knows no networks.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtime.code.caret import Caret
from runtime.code.ngram import NgramCounts, NgramModel
from runtime.code.prompt import Prompt
from runtime.code.stream import EnoughText
from runtime.code.suffix_model import SuffixModel
from runtime.files.errors import FormatError
from runtime.files.safetensors import read_safetensors, write_safetensors
from runtime.generate import Healer, TokenIndex

from .data.corpus import Corpus
from .data.shards import split_ids

ORDER = 6
_PARTS = ("ids", "counts", "first")
Progress = Callable[[int, int, str], None]


class Reader:
    """Asks a predictor what a network is asked, with its tokens and its windows (see `measure.Subject`).

    fresh: () -> a predictor that has read nothing, with feed(id) and distribution() -> float64 (vocab,).
    start: the id that begins a document, or None.
    """

    def __init__(self, name: str, fresh: Callable[[], object], tokenizer, start: int | None) -> None:
        self.name, self._fresh, self._tokenizer, self._start = name, fresh, tokenizer, start
        self._index = TokenIndex(tokenizer)
        self._special = frozenset(tokenizer.special.values())

    def score(self, ids: list[int], first: int, targets: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Nats and best id for each target, as `evaluate.Scorer`; the window `ids` is all that is remembered."""
        model = self._fresh()
        for id in ids[: first + 1]:
            model.feed(id)
        chance, best = np.empty(len(targets)), np.empty(len(targets), np.int64)
        for i, target in enumerate(targets):
            p = model.distribution()
            chance[i], best[i] = p[target], p.argmax()
            model.feed(target)
        return -np.log(chance), best

    def raw(self, prompt: Prompt, caret: Caret) -> str:
        """What it writes at the caret, greedily, before the rules. The text below the caret is read first.

        It stops where it knows no better than chance, and at a special token.
        """
        start = [] if self._start is None else [self._start]
        encode = self._tokenizer.encode
        kept, rest = self._index.split(start + encode(prompt.prefix))
        model = self._fresh()
        for id in start + encode(prompt.suffix) + kept:
            model.feed(id)
        healer = Healer(self._index, rest) if rest else None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        enough = EnoughText(caret)
        for _ in range(prompt.max_tokens):
            p = model.distribution()
            allowed = healer.allowed() if healer else None
            id = int(p.argmax() if allowed is None else allowed[p[allowed].argmax()])
            if id in self._special or p[id] <= p.min():
                break
            raw = healer.accept(id) if healer else self._tokenizer.token_bytes(id)
            if enough.feed(decoder.decode(raw)):
                break
            model.feed(id)
        return enough.text


class Floor(Reader):
    """The n-gram model with a memory of the document. counts: of the training files."""

    def __init__(self, counts: NgramCounts, tokenizer, start: int | None) -> None:
        super().__init__("n-gram + cache", lambda: NgramModel(counts), tokenizer, start)


class Repeater(Reader):
    """The document alone: what followed the last time its latest tokens stood there. It has read no training file."""

    def __init__(self, tokenizer, start: int | None) -> None:
        super().__init__("longest suffix", lambda: SuffixModel(tokenizer.vocab_size), tokenizer, start)


def training_counts(
    corpus: Corpus, tokenizer, folder: str | os.PathLike, order: int = ORDER, progress: Progress | None = None
) -> NgramCounts:
    """N-gram counts of the corpus's training files, each after the document marker; kept in `folder`.

    A kept file that is broken or of other sources is counted again. Raises ValueError for a corpus without text.
    """
    made_of = {"tokenizer": tokenizer.sha256, "corpus": corpus.sha256, "order": str(order), "format": "1"}
    path = Path(folder) / f"{tokenizer.sha256[:12]}-{corpus.sha256[:12]}-{order}.safetensors"
    if path.is_file():
        try:
            return _read(path, tokenizer.vocab_size, made_of)
        except (FormatError, ValueError):
            pass  # a cache: what is wrong in it is made again
    ids = split_ids(corpus, tokenizer, "train", progress)
    if not len(ids):
        raise ValueError("the corpus has no training files to count n-grams in")
    end = tokenizer.special.get("<|endoftext|>")
    if end is not None:  # the marker before each document in place of the one after it
        ids = np.concatenate([np.array([end], ids.dtype), ids[:-1]])
    counts = NgramCounts.of(ids, tokenizer.vocab_size, order)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"{part}.{level}": a for part in _PARTS for level, a in enumerate(counts.arrays[part])}
    write_safetensors(path, arrays, made_of | {"tail": " ".join(map(str, counts.tail))})
    return counts


def _read(path: Path, vocab: int, made_of: dict[str, str]) -> NgramCounts:
    file = read_safetensors(path)
    if {key: file.metadata.get(key) for key in made_of} != made_of:
        raise ValueError("counts of something else")
    levels = len(file) // len(_PARTS)
    arrays = [[file.array(f"{part}.{level}") for level in range(levels)] for part in _PARTS]
    return NgramCounts(vocab, *arrays, [int(node) for node in file.metadata.get("tail", "").split()])
