"""GPT-NeoX family (Pythia): attention and feed-forward side by side, a quarter of each head rotated, biases."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.files import limits
from runtime.models.keys import Keys
from runtime.models.rope_config import rope_spec, stretched
from runtime.models.sources import Source, fused_by_head, renamed
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a GPTNeoXConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    sizes, bias = keys.sizes(), keys.flag("attention_bias", True)
    head_dim = Keys({}, path).head_dim(sizes["d_model"], sizes["n_heads"])
    context = keys.context(2048)
    rope = rope_spec(
        keys,
        head_dim,
        context,
        keys.number("rotary_emb_base", default=10000.0),
        keys.number("rotary_pct", default=0.25),
    )
    return keys.build(
        DecoderSpec,
        **sizes,
        n_kv_heads=sizes["n_heads"],
        head_dim=head_dim,
        d_ff=keys.integer("intermediate_size", high=limits.FEED_FORWARD),
        rope=rope,
        norm_eps=keys.number("layer_norm_eps", default=1e-5),
        max_context=stretched(rope, context),
        tied=keys.flag("tie_word_embeddings", False),
        norm="layer",
        norm_bias=True,
        parallel=keys.flag("use_parallel_residual", True),
        activation=keys.activation("hidden_act", default="gelu"),
        gated=False,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=True,
    )


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie: in one matrix, each head's query, key and value together."""
    found = renamed(
        spec,
        {
            "embed_tokens": "embed_in",
            "model.norm": "model.final_layer_norm",
            "lm_head": "embed_out",
            "self_attn.o_proj": "attention.dense",
            "mlp.up_proj": "mlp.dense_h_to_4h",
            "mlp.down_proj": "mlp.dense_4h_to_h",
        },
    )
    for n in range(spec.n_layers):
        for kind in ("weight", "bias") if spec.qkv_bias else ("weight",):
            parts = [f"model.layers.{n}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            fused_by_head(found, f"layers.{n}.attention.query_key_value.{kind}", parts, spec.n_heads)
    return found
