"""Llama family (also DeepSeek-Coder, SmolLM2, Mellum, Seed-Coder, Granite code): config keys as transformers has them.

Its tensor names are the canonical ones. `llama_like` reads what most later families kept from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.files import limits
from runtime.models.keys import Keys
from runtime.models.rope_config import rope_spec, stretched
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a LlamaConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    attention_bias = keys.flag("attention_bias", False)
    return llama_like(keys, qkv_bias=attention_bias, o_bias=attention_bias, mlp_bias=keys.flag("mlp_bias", False))


def llama_like(
    keys: Keys,
    *,
    vocab_size: int | None = None,
    heads: int | None = None,
    context: int = 2048,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    theta: float = 10000.0,
    eps: float = 1e-6,
    tied: bool = False,
    rope_options: Mapping | None = None,
    **fields,
) -> DecoderSpec:
    """DecoderSpec of a config that spells its sizes as Llama does.

    vocab_size, heads, context, kv_heads, head_dim, theta, eps, tied: the class defaults of the family. rope_options:
    further arguments of `rope_spec`. fields: further fields of DecoderSpec, which win over what is read here.
    """
    sizes = keys.sizes(vocab_size, heads)
    head_dim = keys.head_dim(sizes["d_model"], sizes["n_heads"], head_dim)
    context = keys.context(context)
    if "rope" not in fields:
        fields["rope"] = rope_spec(keys, head_dim, context, theta, **(rope_options or {}))
    read = {
        **sizes,
        "n_kv_heads": keys.kv_heads(sizes["n_heads"], kv_heads),
        "head_dim": head_dim,
        "d_ff": keys.integer("intermediate_size", high=limits.FEED_FORWARD),
        "norm_eps": keys.number("rms_norm_eps", default=eps),
        "max_context": stretched(fields["rope"], context),
        "tied": keys.flag("tie_word_embeddings", tied),
    }
    if "activation" not in fields:
        read["activation"] = keys.activation("hidden_act", default="silu")
    return keys.build(DecoderSpec, **(read | fields))


def config(spec: DecoderSpec) -> dict:
    """LlamaConfig dict of a spec, readable by old and new transformers; ValueError if the spec is no Llama."""
    rope = spec.rope
    found = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.d_model,
        "num_hidden_layers": spec.n_layers,
        "num_attention_heads": spec.n_heads,
        "num_key_value_heads": spec.n_kv_heads,
        "head_dim": spec.head_dim,
        "intermediate_size": spec.d_ff,
        "hidden_act": "silu",
        "rms_norm_eps": spec.norm_eps,
        "rope_theta": rope.theta if rope else None,
        "rope_parameters": {"rope_type": "default", "rope_theta": rope.theta} if rope else None,
        "max_position_embeddings": spec.max_context,
        "tie_word_embeddings": spec.tied,
        "attention_bias": spec.qkv_bias,
        "mlp_bias": spec.mlp_bias,
        "torch_dtype": "bfloat16",
    }
    if DecoderSpec.from_hf_config(found) != spec:
        raise ValueError("this model has parts that a LlamaConfig cannot describe: keep its own config.json")
    return found
