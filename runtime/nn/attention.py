"""Attention layer: multi-head or grouped, causal or full, with rotary positions if a table is given.

Shapes: B batch, T positions, d width, H heads, K key/value heads, D head width. Knows no cache: serving has its own.
"""

from __future__ import annotations

import numpy as np

from runtime import tensor as t
from runtime.nn.initialisers import Initialiser, xavier_uniform
from runtime.nn.layers import Dense
from runtime.nn.module import Module
from runtime.nn.rotary import RopeSpec
from runtime.tensor import Tensor


class Attention(Module):
    """x (B, T, d) -> (B, T, d): softmax(q k^T / sqrt(D)) v for each head, between two dense layers.

    qkv.weight ((H + 2K) * D, d) holds queries, keys and values in this order. kv_heads < heads: groups of heads share
    keys and values (Ainslie et al. 2023). rope_theta: queries and keys are turned by their positions first.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        rng: np.random.Generator,
        kv_heads: int | None = None,
        causal: bool = True,
        bias: bool = True,
        rope_theta: float | None = None,
        max_positions: int = 512,
        initialiser: Initialiser = xavier_uniform,
        out_initialiser: Initialiser | None = None,
    ) -> None:
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or kv_heads < 1 or width % heads or heads % kv_heads:
            raise ValueError(f"attention: width {width}, {heads} heads and {kv_heads} key heads do not divide evenly")
        self.heads, self.kv_heads, self.head_width, self.causal = heads, kv_heads, width // heads, causal
        self.qkv = Dense(width, (heads + 2 * kv_heads) * self.head_width, rng, bias, initialiser)
        self.out = Dense(width, width, rng, bias, out_initialiser or initialiser)
        self._rotary = None
        if rope_theta is not None:
            if self.head_width % 2:
                raise ValueError(f"attention: rotary positions need an even head width, got {self.head_width}")
            self._rotary = RopeSpec(rope_theta, self.head_width).tables(max_positions)

    def __call__(self, x: Tensor, residual: Tensor | None = None, lengths: np.ndarray | None = None) -> Tensor:
        """`residual` (B, T, d) is added to the result. `lengths` (B,): positions of each row that are not padding.

        Padding stands at a row's end: no position sees it, and what comes out there means nothing.
        """
        if len(x.shape) != 3:
            raise ValueError(f"attention: x has shape {x.shape}, expected (B, T, d)")
        B, T, d = x.shape
        H, K, D = self.heads, self.kv_heads, self.head_width
        qkv = t.reshape(self.qkv(x), (B * T, H + 2 * K, D))
        if self._rotary is not None:
            cos, sin = self._rotary
            if len(cos) < T:
                raise ValueError(f"{T} positions exceed the {len(cos)} of the rotary table")
            qkv = t.rope(qkv, H + K, cos, sin, np.tile(np.arange(T, dtype=np.int32), B))
        qkv = t.reshape(qkv, (B, T, H + 2 * K, D))
        if lengths is None or self.causal:  # a causal row sees nothing that comes after it
            mixed = t.attention(qkv, H, K, D**-0.5, causal=self.causal)
        else:
            mixed = t.padded_attention(qkv, lengths, H, K, D**-0.5)
        return self.out(t.reshape(mixed, (B, T, d)), residual=residual)
