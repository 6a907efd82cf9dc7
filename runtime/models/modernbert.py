"""ModernBERT family (Warner et al. 2024): rotary positions, windows in most layers, gated feed-forward, pre-norm."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.files import limits
from runtime.models.encoder_spec import EncoderSpec
from runtime.models.keys import Keys
from runtime.models.rope_config import rope_spec, rope_table
from runtime.models.sources import Source, fused, renamed

IS_ENCODER = True

_NAMES = {  # canonical -> stored
    "model.embed_tokens": "embeddings.tok_embeddings",
    "model.embed_norm": "embeddings.norm",
    "model.norm": "final_norm",
    "model.layers": "layers",
    "attention_norm": "attn_norm",
    "self_attn.o_proj": "attn.Wo",
    "mlp.down_proj": "mlp.Wo",
}


def spec(config: Mapping, path: object = "config.json") -> EncoderSpec:
    """EncoderSpec of a ModernBertConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    vocab_size = keys.integer("vocab_size", default=50368, high=limits.VOCABULARY)
    width = keys.integer("hidden_size", default=768, high=limits.WIDTH)
    layers = keys.integer("num_hidden_layers", default=22, high=limits.LAYERS)
    heads = keys.integer("num_attention_heads", default=12, high=limits.HEADS)
    if width % heads:
        raise keys.error("value", f"hidden_size {width} is not divisible by {heads} attention heads")
    every = keys.integer("global_attn_every_n_layers", default=3, high=limits.LAYERS)
    # local_attention counts both sides: half of it, and the position itself
    window = keys.integer("local_attention", default=128, low=0, high=limits.CONTEXT) // 2 + 1
    context = keys.context(8192)
    full, local = (rope_spec(keys, width // heads, context, table=table) for table in _rope_tables(keys))
    pad = keys.get("pad_token_id", 50283)
    return keys.build(
        EncoderSpec,
        vocab_size=vocab_size,
        sep_id=None,
        pad_id=pad if type(pad) is int and 0 <= pad < vocab_size else None,
        d_model=width,
        n_layers=layers,
        n_heads=heads,
        d_ff=keys.integer("intermediate_size", default=1152, high=limits.FEED_FORWARD),
        max_context=context,
        n_segments=0,
        norm_eps=keys.number("norm_eps", default=1e-5),
        norm_layout="pre",
        norm_bias=keys.flag("norm_bias", False),
        activation=keys.activation("hidden_activation", default="gelu"),
        gated=True,
        attention_bias=keys.flag("attention_bias", False),
        mlp_bias=keys.flag("mlp_bias", False),
        positions="rope",
        rope=full,
        local_rope=local,
        windows=keys.windows(layers, window, lambda n: n % every != 0),
    )


def _rope_tables(keys: Keys) -> list[dict]:
    """What layers without and with a window rotate by: rope_parameters by layer type, or keys at the top level."""
    shared = rope_table(keys)
    by_type = {kind: shared.pop(kind, None) or {} for kind in ("full_attention", "sliding_attention")}
    if not all(isinstance(table, Mapping) for table in by_type.values()):
        raise keys.error("value", "rope_parameters of a layer type must be an object")
    thetas = (keys.number("global_rope_theta", default=160000.0), keys.number("local_rope_theta", default=10000.0))
    return [{"rope_theta": theta} | shared | table for theta, table in zip(thetas, by_type.values(), strict=True)]


def sources(spec: EncoderSpec, config: Mapping, stored: Mapping[str, str]) -> dict[str, Source]:
    """Where the canonical weights lie: query, key and value in one matrix, gate and up in another."""
    found = renamed(spec, _NAMES)
    for n in range(spec.n_layers):
        at = f"model.layers.{n}."
        for kind, there in (("weight", True), ("bias", spec.attention_bias)):
            if there:
                fused(found, f"layers.{n}.attn.Wqkv.{kind}", [f"{at}self_attn.{part}_proj.{kind}" for part in "qkv"])
        for kind, there in (("weight", True), ("bias", spec.mlp_bias)):
            if there:
                fused(found, f"layers.{n}.mlp.Wi.{kind}", [f"{at}mlp.{part}_proj.{kind}" for part in ("gate", "up")])
    return found
