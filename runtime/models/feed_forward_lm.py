"""FeedForwardLM: a neural language model with a fixed window, after Bengio et al. 2003.

The last n tokens are looked up in one embedding table, their vectors are laid side by side and go through one tanh
layer and one dense layer to the scores of the next token (the paper's y = b + U tanh(d + Hx), without the optional
direct connections W). It knows where each of the n tokens stands, and nothing of what came before them.

Shapes: B batch, T positions, n window, m embedding width, h hidden width, V vocabulary.
"""

from __future__ import annotations

import numpy as np

from runtime.models.checks import check_ids, flat_targets
from runtime.nn.initialisers import normal
from runtime.nn.layers import Dense, Embedding
from runtime.nn.module import Module
from runtime.tensor import Tensor, cross_entropy, reshape, tanh


class FeedForwardLM(Module):
    """Parameters: embed_tokens.weight (V, m), tanh_layer.weight (h, n*m) and bias (h,), head.weight (V, h) and bias
    (V,). `start` is the id that stands before a row's first token.
    """

    def __init__(self, vocab_size: int, window: int, width: int, hidden: int, start: int = 0, seed: int = 0) -> None:
        if min(vocab_size, window, width, hidden) < 1:
            raise ValueError("vocabulary, window, width and hidden must all be at least 1")
        if not 0 <= start < vocab_size:
            raise ValueError(f"start {start} is outside the vocabulary of {vocab_size}")
        rng = np.random.default_rng(seed)
        self.vocab_size, self.window, self.start = vocab_size, window, start
        self.embed_tokens = Embedding(vocab_size, width, rng, normal(0.5))
        self.tanh_layer = Dense(window * width, hidden, rng)
        self.head = Dense(hidden, vocab_size, rng)

    def hidden(self, ids: np.ndarray) -> Tensor:
        """tanh layer over the window that ends at each of the int32 ids (B, T) -> (B*T, h)."""
        B, T = check_ids(ids, self.vocab_size)
        before = np.full((B, self.window - 1), self.start, dtype=np.int32)
        row = np.concatenate([before, ids], axis=1)  # (B, n - 1 + T)
        windows = np.lib.stride_tricks.sliding_window_view(row, self.window, axis=1)  # (B, T, n), the last is ids[b, t]
        x = reshape(self.embed_tokens(windows), (B * T, -1))  # (B*T, n*m)
        return tanh(self.tanh_layer(x))

    def logits(self, ids: np.ndarray) -> Tensor:
        """Scores (B, T, V) of what follows each of the int32 ids (B, T)."""
        return reshape(self.head(self.hidden(ids)), (*np.shape(ids), self.vocab_size))

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T), negative targets ignored; shape ()."""
        flat = flat_targets(ids, targets, self.vocab_size)
        return cross_entropy(self.head(self.hidden(ids)), flat)
