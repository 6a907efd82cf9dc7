"""GPT-2 family: learned positions, LayerNorm, GELU, biases; its matrices are stored as (in, out)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runtime.files import limits
from runtime.models.keys import Keys
from runtime.models.sources import Source, fused, renamed
from runtime.models.spec import DecoderSpec

IS_FAMILY = True

NAMES = {  # canonical -> stored, shared with GPTBigCode
    "model.embed_tokens": "wte",
    "model.embed_positions": "wpe",
    "model.norm": "ln_f",
    "model.layers": "h",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a GPT2Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    if keys.flag("add_cross_attention", False):
        raise keys.unsupported("add_cross_attention", "a decoder alone is")
    heads = keys.sizes()["n_heads"]
    return gpt2_like(keys, n_kv_heads=heads, activation=keys.activation("activation_function", default="gelu_new"))


def gpt2_like(keys: Keys, **fields) -> DecoderSpec:
    """DecoderSpec of a config that spells its sizes as GPT-2 does; fields of DecoderSpec win over what is read."""
    sizes = keys.sizes()
    head_dim = Keys({}, keys.path).head_dim(sizes["d_model"], sizes["n_heads"])
    return keys.build(
        DecoderSpec,
        **sizes,
        head_dim=head_dim,
        d_ff=keys.integer("n_inner", default=4 * sizes["d_model"], high=limits.FEED_FORWARD),
        norm_eps=keys.number("layer_norm_epsilon", default=1e-5),
        max_context=keys.context(1024, "n_positions", "max_position_embeddings"),
        tied=keys.flag("tie_word_embeddings", True),
        norm="layer",
        norm_bias=True,
        gated=False,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        positions="learned",
        attention_scale=None if keys.flag("scale_attn_weights", True) else 1.0,
        **fields,
    )


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie: query, key and value in one matrix, all but tables and norms turned."""
    found = renamed(spec, NAMES)
    for n in range(spec.n_layers):
        at = f"model.layers.{n}."
        for kind in ("weight", "bias"):
            parts = [f"{at}self_attn.{part}_proj.{kind}" for part in "qkv"]
            fused(found, f"h.{n}.attn.c_attn.{kind}", parts, transposed=kind == "weight")
        for name in ("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"):
            source = found[f"{at}{name}.weight"]
            found[f"{at}{name}.weight"] = replace(source, shape=source.shape[::-1], transposed=True)
        if config.get("scale_attn_by_inverse_layer_idx"):  # scores of layer n are divided by n + 1: so are its queries
            for kind in ("weight", "bias"):
                name = f"{at}self_attn.q_proj.{kind}"
                found[name] = replace(found[name], times=1 / (n + 1))
    return found
