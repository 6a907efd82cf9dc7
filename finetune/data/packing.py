"""Batches for training: rows of T + 1 ids packed from shuffled documents, with fill-in-the-middle holes and chat
documents.

A row is filled piece by piece. A piece is what is left of the current document, or as many of its lines as still
fit, so that a hole and its context always stand in one row; a piece without a hole simply runs to the end of the
row. Nothing is padded. Every random choice is a function of (seed, epoch, place), so the state is a few integers
and a batcher that resumes continues bit for bit. Knows nothing about models; `targets` is -1 where no loss is
wanted (questions of chat documents).
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np

from finetune.data.chat import ChatDocument, chat_ids
from finetune.data.fim import FimSettings, fim_ids
from runtime.text import FimFormat, Tokenizer

MIN_PIECE = 48  # tokens: less room than this gets no hole
SLACK = 12  # markers, and tokens that a hole's borders break apart


class _Document:
    """A document with the token count up to each of its lines: where it may be cut."""

    def __init__(self, text: str, tokenizer: Tokenizer, lengths: np.ndarray):
        self.bytes = text.encode()
        self.ids = tokenizer.encode_array(text)
        ends = np.cumsum(lengths[self.ids])  # byte position after each token
        newline = np.flatnonzero(np.frombuffer(self.bytes, np.uint8) == 10) + 1
        self.lines = np.concatenate([[0], newline[newline < len(self.bytes)], [len(self.bytes)]])
        self.tokens = np.searchsorted(ends, self.lines, side="right")  # whole tokens before each line start

    def fit(self, line: int, room: int) -> int:
        """The last line such that lines line..result have at most `room` tokens; `line` itself if not even one
        fits."""
        last = int(np.searchsorted(self.tokens, self.tokens[line] + room, side="right")) - 1
        return max(line, min(last, len(self.lines) - 1))

    def text(self, line: int, end: int) -> str:
        return self.bytes[self.lines[line] : self.lines[end]].decode()


class Batcher:
    """Iterator of (inputs, targets), both int32 (B, T), without end; `epoch` counts passes over the documents.

    documents: texts of the training split; chat, chat_rate: share of rows that begin with a whole chat document.
    Raises ValueError for no documents, sizes below 1 or a tokenizer without the markers that are asked for.
    """

    def __init__(
        self,
        documents: Sequence[str],
        tokenizer: Tokenizer,
        batch: int,
        length: int,
        seed: int = 0,
        fim: FimSettings | None = None,
        chat: Sequence[ChatDocument] = (),
        chat_rate: float = 0.05,
    ):
        self.fim = fim or FimSettings()
        if not documents:
            raise ValueError("no documents to train on: the corpus is empty")
        if batch < 1 or length < 1:
            raise ValueError(f"batch {batch} and length {length} must be at least 1")
        if not 0 <= chat_rate <= 1:
            raise ValueError(f"chat_rate {chat_rate} is not a share from 0 to 1")
        self.markers = FimFormat.find(tokenizer.special)
        if "<|endoftext|>" not in tokenizer.special or (self.fim.rate > 0 and self.markers is None):
            raise ValueError("the tokenizer lacks <|endoftext|> or the fill-in-the-middle tokens")
        self.documents = documents
        self.tokenizer = tokenizer
        self.batch, self.length, self.seed = batch, length, seed
        self.chat, self.chat_rate = chat, chat_rate if chat else 0.0
        self._end = tokenizer.special["<|endoftext|>"]
        self._lengths = np.array([len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)], np.int64)
        self._state = {"epoch": 0, "place": 0, "line": 0, "talked": 0}  # of the next batch
        self._order: tuple[int, np.ndarray] | None = None
        self._open: tuple[int, _Document] | None = None

    # ------------------------------------------------------------------ state
    @property
    def epoch(self) -> int:
        return self._state["epoch"]

    def state_dict(self) -> dict:
        """Small and JSON-able: where the batch after the last one handed out begins, and what it was made for."""
        return {
            **self._state,
            "seed": self.seed,
            "batch": self.batch,
            "length": self.length,
            "documents": len(self.documents),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue where state_dict() was taken. Raises ValueError when seed, sizes or the number of documents
        differ."""
        for key in ("seed", "batch", "length", "documents"):
            mine = len(self.documents) if key == "documents" else getattr(self, key)
            if state.get(key) != mine:
                raise ValueError(f"the saved batches had {key} {state.get(key)}, these have {mine}")
        self._state = {key: int(state[key]) for key in ("epoch", "place", "line", "talked")}
        if not 0 <= self._state["place"] < len(self.documents) or min(self._state.values()) < 0:
            raise ValueError("the saved place is outside the documents")
        self._open = None

    # ------------------------------------------------------------------ iteration
    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        ids = np.empty((self.batch, self.length + 1), np.int32)
        loss = np.ones((self.batch, self.length + 1), bool)
        for b in range(self.batch):
            self._row(ids[b], loss[b])
        targets = np.where(loss[:, 1:], ids[:, 1:], np.int32(-1))
        return np.ascontiguousarray(ids[:, :-1]), targets

    def _row(self, row: np.ndarray, loss: np.ndarray) -> None:
        at = self._talk(row, loss)
        while at < len(row):
            at += self._piece(row[at:])

    def _talk(self, row: np.ndarray, loss: np.ndarray) -> int:
        """Begin the row with a whole chat document now and then; how many ids it took."""
        state = self._state
        talked, state["talked"] = state["talked"], 0  # never twice running: a row must get on with its document
        rng = random.Random(f"chat/{self.seed}/{state['epoch']}/{state['place']}/{state['line']}")
        if talked or not self.chat_rate or rng.random() >= self.chat_rate:
            return 0
        ids, trained = chat_ids(self.chat[rng.randrange(len(self.chat))], self.tokenizer)
        n = len(ids)
        if n >= len(row):  # a cut answer would teach to stop anywhere
            return 0
        row[:n], row[n] = ids, self._end
        loss[:n], loss[n] = trained, False
        state["talked"] = 1
        return n + 1

    def _piece(self, row: np.ndarray) -> int:
        """Write the next piece of the current document into the row; how many ids it took."""
        state, room = self._state, len(row)
        document, line = self._document(self._number(state["epoch"], state["place"])), state["line"]
        rng = random.Random(f"{self.seed}/{state['epoch']}/{state['place']}/{line}/{room}")
        lines = len(document.lines) - 1
        if room >= MIN_PIECE and rng.random() < self.fim.rate:
            end = document.fit(line, room - SLACK)
            if end > line:
                ids = fim_ids(document.text(line, end), self.tokenizer, self.markers, self.fim, rng)
                if len(ids) <= room:
                    row[: len(ids)] = ids
                    self._advance(end, lines)
                    return len(ids)
        ids = document.ids[document.tokens[line] :] if line else document.ids
        if len(ids) < room:
            row[: len(ids)], row[len(ids)] = ids, self._end
            self._advance(lines, lines)
            return len(ids) + 1
        row[:] = ids[:room]
        # the next row starts with the line that was cut, or past it when the line alone is longer than a row
        end = int(np.searchsorted(document.tokens, document.tokens[line] + room, side="right")) - 1
        self._advance(end if end > line else line + (room > self.length), lines)
        return room

    def _advance(self, line: int, lines: int) -> None:
        state = self._state
        state["line"] = line
        if line >= lines:
            state["line"] = 0
            state["place"] += 1
            if state["place"] >= len(self.documents):
                state["place"] = 0
                state["epoch"] += 1

    def _number(self, epoch: int, place: int) -> int:
        if self._order is None or self._order[0] != epoch:
            order = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(self.documents))
            self._order = (epoch, order)
        return int(self._order[1][place])

    def _document(self, number: int) -> _Document:
        if self._open is None or self._open[0] != number:
            self._open = (number, _Document(self.documents[number], self.tokenizer, self._lengths))
        return self._open[1]


def windows(
    documents: Sequence[str], tokenizer: Tokenizer, batch: int, length: int, max_windows: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Left-to-right evaluation: (inputs, targets, bytes) with int32 (B, T) and the UTF-8 bytes that the targets
    spell.

    Windows are disjoint and never cross a document; a window's first id is the one before it (<|endoftext|> at the
    start of a document); short ones are filled up with target -1. bits per byte = sum of losses / ln 2 / sum of
    bytes, all targets counted.
    """
    if not documents:
        raise ValueError("no documents to evaluate on")
    end = tokenizer.special["<|endoftext|>"]
    lengths = np.array([len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)], np.int64)
    inputs, targets, size, filled, done = _blank(batch, length, end), _blank(batch, length, -1), 0, 0, 0
    for text in documents:
        ids = np.concatenate([np.array([end], np.int32), tokenizer.encode_array(text)])
        for at in range(0, len(ids) - 1, length):
            said = ids[at + 1 : at + 1 + length]
            inputs[filled, : len(said)], targets[filled, : len(said)] = ids[at : at + len(said)], said
            size += int(lengths[said].sum())
            filled += 1
            done += 1
            if filled == batch or done == max_windows:
                yield inputs, targets, size
                if done == max_windows:
                    return
                inputs, targets, size, filled = _blank(batch, length, end), _blank(batch, length, -1), 0, 0
    if filled:
        yield inputs, targets, size


def _blank(batch: int, length: int, value: int) -> np.ndarray:
    return np.full((batch, length), value, np.int32)
