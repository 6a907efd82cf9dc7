"""BERT family (Devlin et al. 2019): learned positions, segments, post-norm, exact GELU, biases everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.files import limits
from runtime.models.encoder_spec import EncoderSpec
from runtime.models.keys import Keys
from runtime.models.sources import Source, renamed

IS_ENCODER = True

NAMES = {  # canonical -> stored, shared with RoBERTa
    "model.embed_tokens": "embeddings.word_embeddings",
    "model.embed_positions": "embeddings.position_embeddings",
    "model.embed_segments": "embeddings.token_type_embeddings",
    "model.embed_norm": "embeddings.LayerNorm",
    "model.layers": "encoder.layer",
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.o_proj": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp.up_proj": "intermediate.dense",
    "mlp.down_proj": "output.dense",
    "mlp_norm": "output.LayerNorm",
}


def spec(config: Mapping, path: object = "config.json") -> EncoderSpec:
    """EncoderSpec of a BertConfig dict. FormatError names the key that is missing or not supported."""
    return bert_like(Keys(config, path), vocab_size=30522, pad_id=0, counted=False)


def bert_like(keys: Keys, vocab_size: int, pad_id: int, counted: bool) -> EncoderSpec:
    """EncoderSpec of a config with BERT's keys; vocab_size and pad_id stand for absent keys."""
    if keys.get("position_embedding_type", "absolute") not in (None, "absolute"):
        raise keys.unsupported("position_embedding_type", "only absolute positions are")
    for name in ("is_decoder", "add_cross_attention"):
        if keys.flag(name, False):
            raise keys.unsupported(name, "an encoder alone is")
    sizes = {
        "vocab_size": keys.integer("vocab_size", default=vocab_size, high=limits.VOCABULARY),
        "d_model": keys.integer("hidden_size", default=768, high=limits.WIDTH),
        "n_layers": keys.integer("num_hidden_layers", default=12, high=limits.LAYERS),
        "n_heads": keys.integer("num_attention_heads", default=12, high=limits.HEADS),
        "d_ff": keys.integer("intermediate_size", default=3072, high=limits.FEED_FORWARD),
    }
    pad = keys.integer("pad_token_id", default=pad_id, low=0, high=sizes["vocab_size"] - 1)
    context = keys.context(512)
    if counted and context <= pad + 1:
        raise keys.error("value", f"max_position_embeddings {context} leave no position after the padding's, {pad}")
    return keys.build(
        EncoderSpec,
        **sizes,
        sep_id=None,
        pad_id=pad,
        max_context=context - (pad + 1 if counted else 0),
        n_segments=keys.integer("type_vocab_size", default=2, low=0, high=limits.VOCABULARY),
        norm_eps=keys.number("layer_norm_eps", default=1e-12),
        activation=keys.activation("hidden_act", default="gelu"),
        counted_positions=counted,
    )


def sources(spec: EncoderSpec, config: Mapping, stored: Mapping[str, str]) -> dict[str, Source]:
    """Where the canonical weights lie; checkpoints of the first years call a norm's parameters gamma and beta."""
    found = renamed(spec, NAMES)
    if "embeddings.LayerNorm.gamma" not in stored:
        return found
    for name, source in found.items():
        for new, old in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
            if source.name.endswith(new):
                found[name] = Source(source.name.removesuffix(new) + old, source.shape)
    return found
