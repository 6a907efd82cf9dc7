"""Bigram: the smallest language model, a table that says for every token which one comes next.

Row i of the table holds the scores of what follows token i, so the table is an embedding as wide as the vocabulary
(V, V) and looking up is all the arithmetic there is. Trained by gradient it reaches what counting pairs would give
(Shannon 1948, "A Mathematical Theory of Communication", §3). Knows nothing but the last token.

Shapes: B batch, T positions, V vocabulary.
"""

from __future__ import annotations

import numpy as np

from runtime.models.checks import check_ids, flat_targets
from runtime.nn.initialisers import zeros
from runtime.nn.layers import Embedding
from runtime.nn.module import Module
from runtime.tensor import Tensor, cross_entropy, reshape


class Bigram(Module):
    """Parameters: embedding.weight (V, V). It starts at 0, where every token is equally likely; there is no seed."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.embedding = Embedding(vocab_size, vocab_size, np.random.default_rng(0), zeros)

    def logits(self, ids: np.ndarray) -> Tensor:
        """Scores (B, T, V) of what follows each of the int32 ids (B, T)."""
        check_ids(ids, self.vocab_size)
        return self.embedding(ids)

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T), negative targets ignored; shape ()."""
        flat = flat_targets(ids, targets, self.vocab_size)
        return cross_entropy(reshape(self.logits(ids), (-1, self.vocab_size)), flat)
