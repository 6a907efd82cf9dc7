"""TransformerBlock: attention and feed-forward, each with a norm and a residual, the norm before or after.

Shapes: B batch, T positions, d width. Knows no particular layers: it is given its four parts.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from runtime.nn.module import Module
from runtime.tensor import Tensor


class TransformerBlock(Module):
    """x (B, T, d) -> (B, T, d).

    Pre-norm (GPT-2, Llama): x + f(norm(x)); the residual stream stays free. Post-norm (Vaswani et al. 2017, BERT):
    norm(x + f(x)).
    """

    def __init__(self, attention: Module, norm1: Module, feed_forward: Module, norm2: Module, pre_norm: bool = True):
        self.attention, self.norm1 = attention, norm1
        self.feed_forward, self.norm2 = feed_forward, norm2
        self.pre_norm = pre_norm

    def __call__(self, x: Tensor, lengths: np.ndarray | None = None) -> Tensor:
        """`lengths` (B,): positions of each row that are not padding; only the attention asks for it."""
        attention = self.attention if lengths is None else partial(self.attention, lengths=lengths)
        for layer, norm in ((attention, self.norm1), (self.feed_forward, self.norm2)):
            x = layer(norm(x), residual=x) if self.pre_norm else norm(layer(x, residual=x))
        return x
