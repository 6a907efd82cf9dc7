"""Mistral family (also Codestral): Llama with a sliding window over every layer."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a MistralConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    layers = keys.sizes()["n_layers"]
    return llama_like(keys, context=4096 * 32, kv_heads=8, windows=(keys.window(4096),) * layers)
