"""Decoder: the network of a DecoderSpec as differentiable Tensors, for training and evaluation.

Weights that are multiplied with the same input are stored as one array (query-key-value, gate-up), so that one matrix
product serves them; `parameters()` shows them under their canonical names as views of those arrays. Parameters and
their gradients are allocated once. What a spec may have and this cannot train is refused by `check_trainable`: mixtures
of experts, soft-caps, rotation of a part of each head, windows shorter than a text. Knows no optimiser and no data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from runtime.models.checks import check_ids, flat_targets
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.nn.rotary import RopeSpec
from runtime.tensor import (
    Tensor,
    add,
    attention,
    concatenate,
    embedding,
    geglu,
    gelu,
    index,
    layernorm,
    linear,
    linear_cross_entropy,
    mul,
    relu,
    reshape,
    rmsnorm,
    rope,
    silu,
    swiglu,
)

_GATED = {"silu": swiglu, "gelu": lambda x: geglu(x, "erf"), "gelu_tanh": geglu}
_PLAIN = {"silu": silu, "gelu": gelu, "gelu_tanh": lambda x: gelu(x, "tanh"), "relu": relu}


def check_trainable(spec: DecoderSpec) -> None:
    """ValueError names the first part of a spec that Decoder does not have."""
    known = _GATED if spec.gated else _PLAIN
    ropes = [r for r in (spec.rope, spec.local_rope) if r is not None]
    for what, there in {
        "a mixture of experts": spec.n_experts > 0,
        "soft-caps": bool(spec.attention_softcap or spec.final_softcap),
        "a head with a bias": spec.head_bias,
        f"the activation {spec.activation}": spec.activation not in known,
        "rotary positions of a part of each head": any(r.dim != spec.head_dim for r in ropes),
        "rotary positions of neighbouring values": any(r.interleaved for r in ropes),
    }.items():
        if there:
            raise ValueError(f"training does not support {what}")


class Block:
    """Weights of one layer, fused: qkv ((H+2K)*D, d), out (d, H*D), up (F, d) or [gate | up] (2F, d), down (d, F).

    before, after: norms of attention and feed-forward, pairs (weight, bias or None), None where the layout has none;
    the biases of projections are None where the spec has none.
    """

    def __init__(self, spec: DecoderSpec, n: int, weights: Mapping[str, np.ndarray], add) -> None:
        attn, mlp = f"model.layers.{n}.self_attn.", f"model.layers.{n}.mlp."

        def stack(prefix: str, parts: list[str], bias: bool) -> tuple[Tensor, Tensor | None]:
            whole = add(weights, [f"{prefix}{part}.weight" for part in parts])
            return whole, add(weights, [f"{prefix}{part}.bias" for part in parts]) if bias else None

        def norm(name: str | None) -> tuple[Tensor, Tensor | None] | None:
            if name is None:
                return None
            return add(weights, [name + ".weight"]), add(weights, [name + ".bias"]) if spec.norm_bias else None

        self.names = spec.norm_names(n)
        (first, second), after = self.names
        self.before = [norm(first)]
        self.qkv = stack(attn, [f"{name}_proj" for name in "qkv"], spec.qkv_bias)
        self.qk_norm = [norm(f"{attn}{name}_norm") for name in "qk"] if spec.qk_norm else None
        self.out = stack(attn, ["o_proj"], spec.o_bias)
        self.before.append(self.before[0] if spec.shared_norm else norm(second))
        self.up = stack(mlp, ["gate_proj", "up_proj"] if spec.gated else ["up_proj"], spec.mlp_bias)
        self.down = stack(mlp, ["down_proj"], spec.mlp_bias)
        self.after = [norm(name) for name in after]


class Decoder:
    """A trainable decoder. `weights` maps canonical names to arrays; without it they come from `seed`."""

    def __init__(self, spec: DecoderSpec, seed: int = 0, weights: Mapping[str, np.ndarray] | None = None) -> None:
        check_trainable(spec)
        self.spec = spec
        if weights is None:
            weights = init_weights(spec, seed)
        spec.check_weights({name: np.shape(w) for name, w in weights.items()})
        self._named: dict[str, Tensor] = {}
        self._fused: list[Tensor] = []
        self.embed = self._add(weights, ["model.embed_tokens.weight"])
        learned = spec.positions == "learned"
        self.positions = self._add(weights, ["model.embed_positions.weight"]) if learned else None
        self.blocks = [Block(spec, n, weights, self._add) for n in range(spec.n_layers)]
        bias = self._add(weights, ["model.norm.bias"]) if spec.norm_bias else None
        self.norm = (self._add(weights, ["model.norm.weight"]), bias)
        self.head = self.embed if spec.tied else self._add(weights, ["lm_head.weight"])
        self._zero = Tensor(np.zeros(spec.d_model, dtype=np.float32))
        self._tables: dict = {}

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
        """Canonical name -> Tensor; `.data` and `.grad` are the live arrays."""
        return self._named

    def zero_grad(self) -> None:
        for parameter in self._fused:
            parameter.zero_grad()

    # ---- forward -------------------------------------------------------------------------------------------------

    def hidden(self, ids: np.ndarray, seen: Callable[[str, np.ndarray], None] | None = None) -> Tensor:
        """Final normalised states of int32 ids (B, T) -> (B*T, d).

        `seen` is told the output (B*T, d) of each part that the Hugging Face model has a module for, under its name.
        """
        tell = (lambda name, values: None) if seen is None else seen
        spec = self.spec
        B, T = check_ids(ids, spec.vocab_size, spec.max_context)
        shortest = min((window for window in spec.windows if window), default=T)
        if shortest < T:
            raise ValueError(f"training does not support texts of {T} positions where a layer's window has {shortest}")
        positions = np.tile(np.arange(T, dtype=np.int32), B)
        x = _scaled(embedding(self.embed, ids.reshape(-1)), spec.embedding_scale)  # (B*T, d)
        if self.positions is not None:
            x = add(x, embedding(self.positions, positions))
        tell("model.embed_tokens", x.data)
        for n, block in enumerate(self.blocks):
            x = self._layer(n, block, x, positions, (B, T), tell)
            tell(f"model.layers.{n}", x.data)
        x = self._norm(self.norm, x)
        tell("model.norm", x.data)
        return x

    def _layer(self, n: int, block: Block, x: Tensor, positions: np.ndarray, shape: tuple[int, int], tell) -> Tensor:
        """One layer on rows x (B*T, d), in the order that the spec says (see runtime/models/twin.py)."""
        before, after = block.names

        def normed(pair, name: str | None, values: Tensor) -> Tensor:
            if pair is None:
                return values
            values = self._norm(pair, values)
            tell(name, values.data)
            return values

        h = normed(block.before[0], before[0], x)
        mixed = self._mixed(n, block, h, positions, shape)
        # What is added to x without a norm or a scale between is added by the product itself.
        fused = block.after[0] is None and self.spec.residual_scale == 1
        part = linear(mixed, block.out[0], residual=x if fused else None, bias=block.out[1])
        if not fused:
            part = add(x, _scaled(normed(block.after[0], after[0], part), self.spec.residual_scale))
        if not self.spec.parallel:
            h = normed(block.before[1], before[1], part)
        elif not self.spec.shared_norm:
            h = normed(block.before[1], before[1], x)
        inner = linear(h, block.up[0], bias=block.up[1])
        inner = (_GATED if self.spec.gated else _PLAIN)[self.spec.activation](inner)
        out = linear(inner, block.down[0], residual=part if fused else None, bias=block.down[1])
        if fused:
            return out
        return add(part, _scaled(normed(block.after[1], after[1], out), self.spec.residual_scale))

    def _mixed(self, n: int, block: Block, h: Tensor, positions: np.ndarray, shape: tuple[int, int]) -> Tensor:
        """Values mixed by attention, (B*T, H*D)."""
        spec, (B, T) = self.spec, shape
        heads, rotated, D = spec.n_heads + 2 * spec.n_kv_heads, spec.n_heads + spec.n_kv_heads, spec.head_dim
        qkv = linear(h, block.qkv[0], bias=block.qkv[1])  # (B*T, (H+2K)*D)
        if block.qk_norm is not None:
            qkv = self._qk_normed(block.qk_norm, qkv)
        how = spec.rope_of(n)
        if how is not None:
            qkv = rope(reshape(qkv, (B * T, heads, D)), rotated, *self._rotary(how, T), positions)
        qkv = reshape(qkv, (B, T, heads, D))
        mixed = attention(qkv, spec.n_heads, spec.n_kv_heads, spec.attention_scale)
        return reshape(mixed, (B * T, spec.n_heads * D))

    def _qk_normed(self, norms, qkv: Tensor) -> Tensor:
        """Queries and keys of qkv (R, (H+2K)*D) normed, of each head or all at once, as spec.qk_norm says."""
        spec, rows = self.spec, qkv.shape[0]
        width = spec.n_heads * spec.head_dim
        cuts, parts = (slice(0, width), slice(width, width + spec.kv_width)), []
        for pair, cut in zip(norms, cuts, strict=True):
            part = index(qkv, (slice(None), cut))
            size = spec.head_dim if spec.qk_norm == "head" else part.shape[1]
            part_rows = reshape(part, (rows * (part.shape[1] // size), size))
            parts.append(reshape(self._norm(pair, part_rows), (rows, cut.stop - cut.start)))
        return concatenate([*parts, index(qkv, (slice(None), slice(width + spec.kv_width, None)))], axis=1)

    def _norm(self, pair: tuple[Tensor, Tensor | None], x: Tensor) -> Tensor:
        weight, bias = pair
        if self.spec.norm == "rms":
            return rmsnorm(x, weight, self.spec.norm_eps)
        zero = self._zero if weight.shape == self._zero.shape else Tensor(np.zeros(weight.shape, dtype=np.float32))
        return layernorm(x, weight, zero if bias is None else bias, self.spec.norm_eps)

    def _rotary(self, how: RopeSpec, T: int) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin for all positions, of texts with T."""
        key = how, how.regime(T)
        if key not in self._tables:
            self._tables[key] = how.tables(self.spec.max_context, T)
        return self._tables[key]

    # ---- scores --------------------------------------------------------------------------------------------------

    def logits(self, ids: np.ndarray) -> Tensor:
        """Scores (B, T, V) of int32 ids (B, T)."""
        B, T = np.shape(ids)
        states = _scaled(self.hidden(ids), self.spec.logits_scale)
        return reshape(linear(states, self.head), (B, T, self.spec.vocab_size))

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T), negative targets ignored; shape ()."""
        flat = flat_targets(ids, targets, self.spec.vocab_size)
        return linear_cross_entropy(_scaled(self.hidden(ids), self.spec.logits_scale), self.head, flat)


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else mul(x, Tensor(np.float32(scale)))
