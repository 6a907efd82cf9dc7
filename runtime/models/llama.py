"""Llama family: maps a Hugging Face `LlamaConfig` onto DecoderSpec and back. As transformers has it."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.files.errors import FormatError
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def _theta(config: Mapping, path: object) -> float:
    """Base of the rotary frequencies; transformers 5 keeps it in `rope_parameters`, older files at the top level."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise FormatError("value", path, None, "rope_parameters and rope_scaling must be objects")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise FormatError("unsupported_model", path, None, f"rope scaling {kind!r} is not supported")
    return float(rope.get("rope_theta", config.get("rope_theta", 10000.0)))


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a LlamaConfig dict. FormatError names the key that is missing or not supported."""
    for key, only in (("hidden_act", "silu"), ("attention_bias", False), ("mlp_bias", False)):
        if config.get(key, only) != only:
            raise FormatError("unsupported_model", path, None, f"{key} = {config[key]!r} is not supported")
    try:
        heads = config["num_attention_heads"]
        d_model = config["hidden_size"]
        return DecoderSpec(
            vocab_size=config["vocab_size"],
            d_model=d_model,
            n_layers=config["num_hidden_layers"],
            n_heads=heads,
            n_kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or d_model // heads,
            d_ff=config["intermediate_size"],
            rope_theta=_theta(config, path),
            norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            max_context=config.get("max_position_embeddings", 2048),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise FormatError("missing_key", path, None, f"the config lacks {error.args[0]!r}") from None
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise FormatError("value", path, None, str(error)) from None


def config(spec: DecoderSpec) -> dict:
    """LlamaConfig dict of a spec, readable by old and new transformers."""
    return {
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
        "rope_theta": spec.rope.theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": spec.rope.theta},
        "max_position_embeddings": spec.max_context,
        "tie_word_embeddings": spec.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "bfloat16",
    }
