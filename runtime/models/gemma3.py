"""Gemma 3 with pictures: the language model inside it, described by `text_config`. The picture tower is left unread."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models import gemma3_text
from runtime.models.gemma import sources as sources
from runtime.models.keys import Keys
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of the text_config in a Gemma3Config dict. FormatError names what is missing or not supported."""
    keys = Keys(config, path)
    text = keys.get("text_config")
    if not isinstance(text, Mapping):
        raise keys.error("missing_key", "the config lacks 'text_config'")
    tied = {"tie_word_embeddings": config["tie_word_embeddings"]} if "tie_word_embeddings" in config else {}
    return gemma3_text.spec({**text, **tied}, path)
