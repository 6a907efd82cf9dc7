"""Qwen3 family: Qwen2 whose biases are optional, with a norm on each head's query and key."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.qwen2 import qwen_windows
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Qwen3Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    bias = keys.flag("attention_bias", False)
    return llama_like(
        keys,
        context=32768,
        kv_heads=32,
        head_dim=128,
        qk_norm="head",
        qkv_bias=bias,
        o_bias=bias,
        windows=qwen_windows(keys),
    )
