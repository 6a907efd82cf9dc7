"""Qwen2 family (Qwen2.5-Coder too): Llama with biases of query, key and value, and windows from some layer on."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Qwen2Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    return llama_like(keys, context=32768, kv_heads=32, qkv_bias=True, windows=qwen_windows(keys))


def qwen_windows(keys: Keys) -> tuple[int, ...]:
    """Windows as Qwen2 and Qwen3 declare them: use_sliding_window, and the layers from max_window_layers on."""
    layers = keys.sizes()["n_layers"]
    window = keys.window(4096) if keys.flag("use_sliding_window", False) else 0
    first = keys.integer("max_window_layers", default=28, low=0)
    return keys.windows(layers, window, lambda n: n >= first)
