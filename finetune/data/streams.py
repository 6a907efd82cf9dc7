"""Batches whose rows come from different documents: row b reads its own share of the corpus.

One Batcher fills row after row from one document after the other, so that a whole batch may come from a single file
and its gradient says little about the rest. Here the documents are dealt out to B one-row batchers.
Knows nothing of models.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from finetune.data.packing import Batcher
from runtime.text import Tokenizer


class RowStreams:
    """Endless iterator of (inputs, targets), int32 (B, T); what is not named here is handed on to every Batcher.

    With fewer documents than rows, rows share documents but not their order. Raises ValueError as Batcher does.
    """

    def __init__(
        self,
        documents: Sequence[str],
        tokenizer: Tokenizer,
        batch: int,
        length: int,
        seed: int = 0,
        **options,
    ):
        if not documents:
            raise ValueError("no documents to train on: the corpus is empty")
        if batch < 1:
            raise ValueError(f"batch {batch} must be at least 1")
        order = np.random.default_rng(seed).permutation(len(documents))
        self.rows = []
        for b in range(batch):
            share = order[b::batch] if len(documents) >= batch else order
            mine = [documents[i] for i in share]
            own_seed = seed * batch + b
            self.rows.append(Batcher(mine, tokenizer, 1, length, own_seed, **options))

    @property
    def epoch(self) -> int:
        """Passes that every row has finished over its share."""
        return min(row.epoch for row in self.rows)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        made = [next(row) for row in self.rows]
        return np.concatenate([ids for ids, _ in made]), np.concatenate([targets for _, targets in made])

    def state_dict(self) -> dict:
        """Small and JSON-able: the cursor of every row."""
        return {"epoch": self.epoch, "rows": [row.state_dict() for row in self.rows]}

    def load_state_dict(self, state: dict) -> None:
        """Continue where state_dict() was taken. Raises ValueError if the number of rows, seed or sizes differ."""
        if len(state["rows"]) != len(self.rows):
            raise ValueError(f"the saved batches had {len(state['rows'])} rows, these have {len(self.rows)}")
        for row, saved in zip(self.rows, state["rows"], strict=True):
            row.load_state_dict(saved)
