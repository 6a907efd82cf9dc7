"""Pooling: how a folder says that the states of a text become one vector (the files of sentence-transformers).

Reads modules.json, the pooling module's config.json, sentence_bert_config.json and config_sentence_transformers.json;
without modules.json it is the mean, normalised. Knows no network: states come in, vectors go out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.files import limits
from runtime.files.errors import FormatError
from runtime.files.reader import is_plain_name, read_json

# In the order in which several of them are joined, with the keys of the pooling module's config.
_KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


@dataclass(frozen=True)
class Pooling:
    """modes: joined in this order; normalize: to length 1. max_length: tokens of a text with special ones, None: no
    bound of its own. lower: texts are put in lower case first. prompt: stands before every text."""

    modes: tuple[str, ...] = ("mean",)
    normalize: bool = True
    max_length: int | None = None
    lower: bool = False
    prompt: str = ""

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """States (T, d) of one text, T >= 1 -> float32 (len(modes) * d,)."""
        vector = np.concatenate([_pooled(mode, states) for mode in self.modes])
        if self.normalize:
            vector = vector / max(float(np.sqrt(np.square(vector).sum())), 1e-12)
        return vector.astype(np.float32)


def _pooled(mode: str, states: np.ndarray) -> np.ndarray:
    if mode == "cls":
        return states[0]
    if mode == "lasttoken":
        return states[-1]
    if mode == "max":
        return states.max(axis=0)
    if mode == "weightedmean":  # later tokens count for more (Muennighoff 2022)
        weights = np.arange(1, len(states) + 1, dtype=np.float32)
        return (states * weights[:, None]).sum(axis=0) / weights.sum()
    return states.sum(axis=0) / (np.sqrt(len(states)) if mode == "mean_sqrt_len_tokens" else len(states))


def read_pooling(folder: str | os.PathLike) -> Pooling:
    """What the files of a folder declare. FormatError for modules that are not supported, and anything malformed."""
    folder = Path(folder)
    fields: dict = {}
    if (folder / "modules.json").is_file():
        fields = _modules(folder)
    settings = _object(folder / "sentence_bert_config.json")
    length, lower = settings.get("max_seq_length"), settings.get("do_lower_case")
    where = folder / "sentence_bert_config.json"
    if length is not None and (type(length) is not int or not 1 <= length <= limits.CONTEXT):
        raise FormatError("value", where, None, f"max_seq_length must be a positive integer, not {length!r:.40}")
    if lower is not None and type(lower) is not bool:
        raise FormatError("value", where, None, f"do_lower_case must be true or false, not {lower!r:.40}")
    return Pooling(**fields, max_length=length, lower=bool(lower), prompt=_prompt(folder))


def _object(path: Path) -> Mapping:
    """A JSON object, {} if there is no such file."""
    if not path.is_file():
        return {}
    value = read_json(path, path.name, max_bytes=limits.STRING)
    if not isinstance(value, dict):
        raise FormatError("config", path, None, f"{path.name} is not a JSON object")
    return value


def _modules(folder: Path) -> dict:
    path = folder / "modules.json"
    modules = read_json(path, "modules.json", max_bytes=limits.STRING)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise FormatError("config", path, None, "modules.json is not a list of objects")
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        message = f"modules {', '.join(kinds)!r:.80} are not supported; supported: Transformer, Pooling, Normalize"
        raise FormatError("unsupported_model", path, None, message)
    if modules[0].get("path") not in (None, "", "."):
        message = "the Transformer module must lie in the folder itself: load the folder that holds its config.json"
        raise FormatError("unsupported_model", path, None, message)
    inner = modules[1].get("path")
    if not is_plain_name(inner):  # a name from outside: it must stay in this folder
        raise FormatError("path", path, None, "the path of the Pooling module is no plain name")
    return {"modes": _modes(folder / inner / "config.json"), "normalize": kinds[-1] == "Normalize"}


def _modes(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise FormatError("missing_file", path, None, "modules.json names a pooling module without this file")
    config = _object(path)
    named = config.get("pooling_mode")
    if named is not None:
        modes = tuple(named if isinstance(named, list) else [named])
    else:
        modes = tuple(mode for mode, key in _KEYS.items() if config.get(key) is True)
    if not modes or any(mode not in _KEYS for mode in modes):
        raise FormatError("value", path, None, f"declares no pooling that is supported: {', '.join(_KEYS)}")
    return modes


def _prompt(folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    config = _object(path)
    name, prompts = config.get("default_prompt_name"), config.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise FormatError("value", path, None, "default_prompt_name names none of the prompts")
    return prompts[name]
