"""The numpy twin of a decoder: the plainest possible forward pass of every DecoderSpec, for learners and as oracle.

Uses the twins of the kernels (native_kernels.reference), one sequence, one head after the other, no cache, no fusing.
Shapes: T positions, d d_model, H heads, K key/value heads, D head_dim, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from native_kernels import reference as ref
from runtime.models.spec import DecoderSpec
from runtime.nn.rotary import RopeSpec

Weights = Mapping[str, np.ndarray]


def logits(
    spec: DecoderSpec,
    weights: Weights,
    ids,
    seen: Callable[[str, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Scores (T, V) of T token ids under weights by canonical name; `seen` as in Decoder.hidden, with (T, d)."""
    tell = (lambda name, values: None) if seen is None else seen
    scores = _project(hidden(spec, weights, ids, tell), weights, spec.head_name) * np.float32(spec.logits_scale)
    if spec.head_bias:
        scores = scores + weights["lm_head.bias"]
    return _softcap(scores, spec.final_softcap)


def hidden(spec: DecoderSpec, weights: Weights, ids, tell: Callable[[str, np.ndarray], None]) -> np.ndarray:
    """States (T, d) after the final norm."""
    ids = np.asarray(ids, dtype=np.int32)
    x = ref.embedding(weights["model.embed_tokens.weight"], ids) * np.float32(spec.embedding_scale)  # (T, d)
    if spec.positions == "learned":
        x = x + weights["model.embed_positions.weight"][: len(ids)]
    tell("model.embed_tokens", x)
    for n in range(spec.n_layers):
        x = _layer(spec, weights, n, x, tell)
        tell(f"model.layers.{n}", x)
    x = _norm(spec, weights, "model.norm", x)
    tell("model.norm", x)
    return x


def _layer(spec: DecoderSpec, weights: Weights, n: int, x: np.ndarray, tell) -> np.ndarray:
    """One layer (T, d) -> (T, d), in the order that spec.norm_layout and spec.parallel say."""
    before, after = spec.norm_names(n)

    def norm(name: str | None, values: np.ndarray) -> np.ndarray:
        if name is None:
            return values
        values = _norm(spec, weights, name, values)
        tell(name, values)
        return values

    scale = np.float32(spec.residual_scale)
    mixed = norm(after[0], _attention(spec, weights, n, norm(before[0], x))) * scale
    if spec.parallel:
        return x + mixed + _feed_forward(spec, weights, n, norm(before[1], x)) * scale
    x = x + mixed
    return x + norm(after[1], _feed_forward(spec, weights, n, norm(before[1], x))) * scale


def _project(x: np.ndarray, weights: Weights, name: str, bias: str | None = None) -> np.ndarray:
    return ref.gemm(x, weights[name], trans_b=True, bias=None if bias is None else weights[bias])


def _norm(spec: DecoderSpec, weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """RMSNorm or LayerNorm of each row by the weights `name`.weight and, if norms have one, `name`.bias."""
    if spec.norm == "rms":
        return ref.rmsnorm(x, weights[name + ".weight"], spec.norm_eps)[0]
    bias = weights[name + ".bias"] if spec.norm_bias else np.float32(0)
    return ref.layernorm(x, weights[name + ".weight"], bias, spec.norm_eps)[0]


def _softcap(x: np.ndarray, cap: float) -> np.ndarray:
    return cap * np.tanh(x / cap) if cap else x


# ---- attention -------------------------------------------------------------------------------------------------------


def _attention(spec: DecoderSpec, weights: Weights, n: int, h: np.ndarray) -> np.ndarray:
    """Self-attention of layer n over normalised rows h (T, d) -> (T, d)."""
    T, D = len(h), spec.head_dim
    p = f"model.layers.{n}.self_attn."

    def heads(name: str, count: int) -> np.ndarray:  # (T, count, D), normed as spec.qk_norm says
        x = _project(h, weights, f"{p}{name}_proj.weight", f"{p}{name}_proj.bias" if spec.qkv_bias else None)
        if spec.qk_norm == "full" and name != "v":
            x = _norm(spec, weights, f"{p}{name}_norm", x)
        x = x.reshape(T, count, D)
        if spec.qk_norm == "head" and name != "v":
            x = _norm(spec, weights, f"{p}{name}_norm", x)
        return x

    q, k, v = heads("q", spec.n_heads), heads("k", spec.n_kv_heads), heads("v", spec.n_kv_heads)
    rope = spec.rope_of(n)
    if rope is not None:
        q, k = _rotate(rope, q), _rotate(rope, k)
    group = spec.n_heads // spec.n_kv_heads
    mixed = np.stack([_head(spec, n, q[:, i], k[:, i // group], v[:, i // group]) for i in range(spec.n_heads)], axis=1)
    return _project(mixed.reshape(T, -1), weights, p + "o_proj.weight", p + "o_proj.bias" if spec.o_bias else None)


def _rotate(rope: RopeSpec, x: np.ndarray) -> np.ndarray:
    """Turn each pair of the first rope.dim values of x (T, heads, D) by the angle of its position."""
    cos, sin = (table[:, None, :] for table in rope.tables(len(x)))  # (T, 1, dim/2)
    first = slice(0, rope.dim, 2) if rope.interleaved else slice(0, rope.dim // 2)
    second = slice(1, rope.dim, 2) if rope.interleaved else slice(rope.dim // 2, rope.dim)
    turned = x.copy()
    turned[..., first] = x[..., first] * cos - x[..., second] * sin
    turned[..., second] = x[..., second] * cos + x[..., first] * sin
    return turned


def _head(spec: DecoderSpec, n: int, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """softmax(q k^T) v of one head, each (T, D): a position sees itself and what stands before it in its window."""
    scores = _softcap(ref.gemm(q, k, trans_b=True).astype(np.float64) * spec.attention_scale, spec.attention_softcap)
    distance = np.arange(len(q))[:, None] - np.arange(len(k))[None, :]
    window = spec.windows[n] or len(q)
    scores = np.where((distance >= 0) & (distance < window), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return ref.gemm((shares / shares.sum(axis=1, keepdims=True)).astype(np.float32), v)


# ---- feed-forward ----------------------------------------------------------------------------------------------------


def _feed_forward(spec: DecoderSpec, weights: Weights, n: int, h: np.ndarray) -> np.ndarray:
    p = f"model.layers.{n}.mlp."
    if not spec.sparse_layers[n]:
        return _mlp(spec, weights, p, h)
    router = ref.gemm(h, weights[p + "gate.weight"], trans_b=True).astype(np.float64)
    shares = np.exp(router - router.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)  # (T, E)
    out = np.zeros_like(h)
    for t in range(len(h)):
        chosen = np.argsort(-shares[t], kind="stable")[: spec.experts_per_token]
        total = shares[t, chosen].sum() if spec.norm_topk else 1.0
        for e in chosen:
            out[t] += np.float32(shares[t, e] / total) * _mlp(spec, weights, f"{p}experts.{e}.", h[t : t + 1])[0]
    return out


def _mlp(spec: DecoderSpec, weights: Weights, p: str, h: np.ndarray) -> np.ndarray:
    """down(activation(gate(h)) * up(h)), or without a gate down(activation(up(h)))."""

    def project(x: np.ndarray, name: str) -> np.ndarray:
        return _project(x, weights, f"{p}{name}.weight", f"{p}{name}.bias" if spec.mlp_bias else None)

    up = project(h, "up_proj")
    inner = _activate(spec.activation, project(h, "gate_proj")) * up if spec.gated else _activate(spec.activation, up)
    return project(inner, "down_proj")


def _activate(kind: str, x: np.ndarray) -> np.ndarray:
    if kind == "relu2":
        return np.maximum(x, 0) ** 2
    if kind == "quick_gelu":  # x * sigmoid(1.702 x)
        return ref.activation("silu", 1.702 * x) / np.float32(1.702)
    return ref.activation("gelu_erf" if kind == "gelu" else kind, x)
