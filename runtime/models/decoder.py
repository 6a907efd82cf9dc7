"""Decoder: the network of a DecoderSpec as differentiable Tensors, for training and evaluation.

Weights that are multiplied with the same input are stored as one array (query-key-value, gate-up), so that one matrix
product serves them; `parameters()` shows them under their Hugging Face names as views of those arrays. Parameters and
their gradients are allocated once. Knows no optimiser and no data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from runtime.models.checks import check_ids, flat_targets
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.tensor import (
    Tensor,
    attention,
    embedding,
    linear,
    linear_cross_entropy,
    reshape,
    rmsnorm,
    rope,
    swiglu,
)


class Block:
    """Weights of one layer, fused: qkv ((H+2K)*D, d), out (d, H*D), gate_up (2F, d), down (d, F), two norms (d,)."""

    def __init__(self, spec: DecoderSpec, prefix: str, weights: Mapping[str, np.ndarray], add) -> None:
        attn, mlp = prefix + "self_attn.", prefix + "mlp."
        self.norm1 = add(weights, [prefix + "input_layernorm.weight"])
        self.qkv = add(weights, [attn + f"{name}_proj.weight" for name in "qkv"])
        self.out = add(weights, [attn + "o_proj.weight"])
        self.norm2 = add(weights, [prefix + "post_attention_layernorm.weight"])
        self.gate_up = add(weights, [mlp + "gate_proj.weight", mlp + "up_proj.weight"])
        self.down = add(weights, [mlp + "down_proj.weight"])


class Decoder:
    """A trainable decoder. `weights` maps Hugging Face names to arrays; without it they come from `seed`."""

    def __init__(self, spec: DecoderSpec, seed: int = 0, weights: Mapping[str, np.ndarray] | None = None) -> None:
        self.spec = spec
        if weights is None:
            weights = init_weights(spec, seed)
        spec.check_weights({name: np.shape(w) for name, w in weights.items()})
        self._named: dict[str, Tensor] = {}
        self._fused: list[Tensor] = []
        self.embed = self._add(weights, ["model.embed_tokens.weight"])
        self.blocks = [Block(spec, f"model.layers.{n}.", weights, self._add) for n in range(spec.n_layers)]
        self.norm = self._add(weights, ["model.norm.weight"])
        self.head = self.embed if spec.tied else self._add(weights, ["lm_head.weight"])
        self._cos, self._sin = spec.rope.tables(spec.max_context)

    def _add(self, weights: Mapping[str, np.ndarray], names: list[str]) -> Tensor:
        """One parameter made of the named weights stacked by rows; each name becomes a view of it."""
        data = np.concatenate([np.asarray(weights[name], dtype=np.float32) for name in names])
        fused = Tensor(data, requires_grad=True)
        fused.grad = np.zeros_like(fused.data)
        start = 0
        for name in names:
            stop = start + len(weights[name])
            view = Tensor(fused.data[start:stop], requires_grad=True)
            view.grad = fused.grad[start:stop]
            self._named[name] = view
            start = stop
        self._fused.append(fused)
        return fused

    def parameters(self) -> dict[str, Tensor]:
        """Hugging Face name -> Tensor; `.data` and `.grad` are the live arrays."""
        return self._named

    def zero_grad(self) -> None:
        for parameter in self._fused:
            parameter.zero_grad()

    def hidden(self, ids: np.ndarray, seen: Callable[[str, np.ndarray], None] | None = None) -> Tensor:
        """Final normalised states of int32 ids (B, T) -> (B*T, d).

        `seen` is told the output (B*T, d) of each part that the Hugging Face model has a module for, under its name.
        """
        tell = (lambda name, values: None) if seen is None else seen
        spec = self.spec
        B, T = check_ids(ids, spec.vocab_size, spec.max_context)
        positions = np.tile(np.arange(T, dtype=np.int32), B)
        heads = spec.n_heads + 2 * spec.n_kv_heads
        rotated = spec.n_heads + spec.n_kv_heads
        scale = spec.head_dim**-0.5
        x = embedding(self.embed, ids.reshape(-1))  # (B*T, d)
        tell("model.embed_tokens", x.data)
        for n, block in enumerate(self.blocks):
            h = rmsnorm(x, block.norm1, spec.norm_eps)
            tell(f"model.layers.{n}.input_layernorm", h.data)
            qkv = reshape(linear(h, block.qkv), (B * T, heads, spec.head_dim))
            qkv = reshape(rope(qkv, rotated, self._cos, self._sin, positions), (B, T, heads, spec.head_dim))
            mixed = reshape(attention(qkv, spec.n_heads, spec.n_kv_heads, scale), (B * T, -1))
            x = linear(mixed, block.out, residual=x)
            h = rmsnorm(x, block.norm2, spec.norm_eps)
            tell(f"model.layers.{n}.post_attention_layernorm", h.data)
            x = linear(swiglu(linear(h, block.gate_up)), block.down, residual=x)
            tell(f"model.layers.{n}", x.data)
        x = rmsnorm(x, self.norm, spec.norm_eps)
        tell("model.norm", x.data)
        return x

    def logits(self, ids: np.ndarray) -> Tensor:
        """Scores (B, T, V) of int32 ids (B, T)."""
        B, T = np.shape(ids)
        return reshape(linear(self.hidden(ids), self.head), (B, T, self.spec.vocab_size))

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T), negative targets ignored; shape ()."""
        flat = flat_targets(ids, targets, self.spec.vocab_size)
        return linear_cross_entropy(self.hidden(ids), self.head, flat)
