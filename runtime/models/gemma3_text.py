"""Gemma 3 family, text models: Gemma 2 without soft-caps, with a norm on each query and key, and two rotary bases.

Layers with a window (five of six) rotate with a base of their own and without the scaling of the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.gemma import gemma_like
from runtime.models.gemma import sources as sources
from runtime.models.gemma2 import query_scale, softcap
from runtime.models.keys import Keys
from runtime.models.rope_config import rope_spec
from runtime.models.spec import DecoderSpec

IS_FAMILY = True
_VOCABULARY, _HEADS, _CONTEXT = 262208, 8, 131072


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Gemma3TextConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    sizes = keys.sizes(_VOCABULARY, _HEADS)
    layers, context = sizes["n_layers"], keys.context(_CONTEXT)
    head_dim = keys.head_dim(sizes["d_model"], sizes["n_heads"], 256)
    pattern = keys.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    full, local = _rope_tables(keys)
    return gemma_like(
        keys,
        vocab_size=_VOCABULARY,
        heads=_HEADS,
        context=_CONTEXT,
        kv_heads=4,
        activation=keys.activation("hidden_activation", default="gelu_pytorch_tanh"),
        norm_layout="sandwich",
        qk_norm="head",
        attention_scale=query_scale(keys),
        attention_softcap=softcap(keys, "attn_logit_softcapping", 0.0),
        final_softcap=softcap(keys, "final_logit_softcapping", 0.0),
        windows=keys.windows(layers, keys.window(4096), lambda n: (n + 1) % pattern != 0),
        rope=rope_spec(keys, head_dim, context, table=full),
        local_rope=rope_spec(keys, head_dim, context, table=local),
    )


def _rope_tables(keys: Keys) -> tuple[dict, dict]:
    """What layers without and with a window rotate by: rope_parameters by layer type, or keys at the top level."""
    nested = keys.get("rope_parameters") or {}
    if not isinstance(nested, Mapping):
        raise keys.error("value", "rope_parameters must be an object")
    tables = {}
    for kind, key, default in (
        ("full_attention", "rope_theta", 1e6),
        ("sliding_attention", "rope_local_base_freq", 1e4),
    ):
        table = nested.get(kind) or {}
        if not isinstance(table, Mapping):
            raise keys.error("value", f"rope_parameters.{kind} must be an object")
        tables[kind] = {"rope_theta": keys.number(key, default=default)} | dict(table)
    scaling = keys.get("rope_scaling") or {}
    if not isinstance(scaling, Mapping):
        raise keys.error("value", "rope_scaling must be an object")
    tables["full_attention"] |= scaling
    return tables["full_attention"], tables["sliding_attention"]
