"""The numpy twin of a decoder: the plainest possible forward pass, for learners and as oracle of the tests.

Uses the twins of the kernels (native_kernels.reference), one sequence, no cache, no fusing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from native_kernels import reference as ref
from runtime.models.spec import DecoderSpec
from runtime.nn.rotary import rotary_tables


def logits(
    spec: DecoderSpec,
    weights: Mapping[str, np.ndarray],
    ids,
    seen: Callable[[str, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Scores (T, V) of T token ids under weights by Hugging Face name; `seen` as in Decoder.hidden, with (T, d)."""
    tell = (lambda name, values: None) if seen is None else seen
    ids = np.asarray(ids, dtype=np.int32)
    T, H, K, D = len(ids), spec.n_heads, spec.n_kv_heads, spec.head_dim
    cos, sin = rotary_tables(T, D, spec.rope_theta)
    positions = np.arange(T, dtype=np.int32)

    def project(x: np.ndarray, name: str) -> np.ndarray:
        return ref.gemm(x, weights[name], trans_b=True)

    x = ref.embedding(weights["model.embed_tokens.weight"], ids)  # (T, d)
    tell("model.embed_tokens", x)
    for n in range(spec.n_layers):
        p = f"model.layers.{n}."
        h, _ = ref.rmsnorm(x, weights[p + "input_layernorm.weight"], spec.norm_eps)
        tell(p + "input_layernorm", h)
        q = ref.rope(project(h, p + "self_attn.q_proj.weight").reshape(T, H, D), cos, sin, positions)
        k = ref.rope(project(h, p + "self_attn.k_proj.weight").reshape(T, K, D), cos, sin, positions)
        v = project(h, p + "self_attn.v_proj.weight").reshape(T, K, D)
        mixed, _ = ref.attention(q[None], k[None], v[None], D**-0.5)
        x = x + project(mixed.reshape(T, H * D), p + "self_attn.o_proj.weight")
        h, _ = ref.rmsnorm(x, weights[p + "post_attention_layernorm.weight"], spec.norm_eps)
        tell(p + "post_attention_layernorm", h)
        gate_up = np.concatenate([project(h, p + "mlp.gate_proj.weight"), project(h, p + "mlp.up_proj.weight")], axis=1)
        x = x + project(ref.swiglu(gate_up), p + "mlp.down_proj.weight")
        tell(f"model.layers.{n}", x)
    h, _ = ref.rmsnorm(x, weights["model.norm.weight"], spec.norm_eps)
    tell("model.norm", h)
    return project(h, "model.embed_tokens.weight" if spec.tied else "lm_head.weight")
