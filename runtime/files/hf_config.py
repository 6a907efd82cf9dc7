"""config.json of a Hugging Face model folder: strict JSON, and every number that becomes a shape checked.

Knows names and ranges of the common keys; what they mean for a network is decided in runtime/models.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import limits
from .errors import FormatError
from .reader import read_json

_INTEGERS = {
    "vocab_size": (1, limits.VOCABULARY),
    "hidden_size": (1, limits.WIDTH),
    "num_hidden_layers": (1, limits.LAYERS),
    "num_attention_heads": (1, limits.HEADS),
    "num_key_value_heads": (1, limits.HEADS),
    "head_dim": (1, limits.HEAD_DIM),
    "intermediate_size": (1, limits.FEED_FORWARD),
    "max_position_embeddings": (1, limits.CONTEXT),
    "sliding_window": (1, limits.CONTEXT),
}
_FLOATS = {
    "rms_norm_eps": (0.0, 1.0),
    "layer_norm_eps": (0.0, 1.0),
    "layer_norm_epsilon": (0.0, 1.0),
    "rope_theta": (1e-3, 1e12),
    "partial_rotary_factor": (0.0, 1.0),
    "initializer_range": (0.0, 1e3),
}
_BOOLEANS = ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window")


def read_config(folder: str | os.PathLike) -> dict:
    """config.json as a dict. folder: the model folder (or the file itself).

    Keys that are absent or null are left to the caller. Raises FormatError for numbers out of range and for heads that
    do not divide; FileNotFoundError without the file.
    """
    path = Path(folder)
    if path.is_dir():
        path = path / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a model folder needs a config.json")
    config = read_json(path, "config", max_bytes=limits.STRING)
    if not isinstance(config, dict):
        raise FormatError("config", path, None, "config is not a JSON object")
    check_config(config, path)
    return config


def own_section(config: dict) -> dict:
    """What this program keeps for itself in a config, under "hearth"; empty if there is none or it is no object."""
    own = config.get("hearth")
    return own if isinstance(own, dict) else {}


def check_config(config: dict, path: str | os.PathLike) -> None:
    """The range checks alone, for a config that comes from elsewhere (metadata of another format)."""
    for key, (low, high) in _INTEGERS.items():
        value = config.get(key)
        if value is not None and (type(value) is not int or not low <= value <= high):
            raise FormatError("config", path, None, f"{key} must be an integer from {low} to {high}, not {value!r:.40}")
    ropes = [config[key] for key in ("rope_parameters", "rope_scaling") if isinstance(config.get(key), dict)]
    for source in (config, *({"rope_theta": rope.get("rope_theta")} for rope in ropes)):
        for key, (low, high) in _FLOATS.items():
            value = source.get(key)
            if value is not None and (type(value) not in (int, float) or not low <= value <= high):
                raise FormatError(
                    "config", path, None, f"{key} must be a number from {low} to {high}, not {value!r:.40}"
                )
    for key in _BOOLEANS:
        if config.get(key) is not None and type(config[key]) is not bool:
            raise FormatError("config", path, None, f"{key} must be true or false")
    if config.get("model_type") is not None and not isinstance(config["model_type"], str):
        raise FormatError("config", path, None, "model_type must be a string")
    heads, width = config.get("num_attention_heads"), config.get("hidden_size")
    kv_heads = config.get("num_key_value_heads")
    if heads and width and not config.get("head_dim") and width % heads:
        raise FormatError("config", path, None, f"hidden_size {width} is not divisible by {heads} attention heads")
    if heads and kv_heads and heads % kv_heads:
        raise FormatError(
            "config", path, None, f"{heads} attention heads are not divisible by {kv_heads} key/value heads"
        )
