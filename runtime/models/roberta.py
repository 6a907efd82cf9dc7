"""RoBERTa family (Liu et al. 2019): a BERT whose positions are counted from the padding token's number on."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.bert import bert_like
from runtime.models.bert import sources as sources
from runtime.models.encoder_spec import EncoderSpec
from runtime.models.keys import Keys

IS_ENCODER = True


def spec(config: Mapping, path: object = "config.json") -> EncoderSpec:
    """EncoderSpec of a RobertaConfig dict. FormatError names the key that is missing or not supported."""
    return bert_like(Keys(config, path), vocab_size=50265, pad_id=1, counted=True)
