"""Reads adapters of the PEFT library: a folder with adapter_config.json and adapter_model.safetensors.

LoRA, rsLoRA and DoRA with rank_pattern and alpha_pattern. Everything else that PEFT can ask for is refused by name.
Knows no model: modules are just names.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from runtime.adapters.raw import RawAdapter, RawPart
from runtime.files import limits
from runtime.files.errors import FormatError
from runtime.files.reader import read_json, shown
from runtime.files.safetensors import SafetensorsFile, read_safetensors

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PART = re.compile(r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(\.weight)?\Z")
# Keys that change what the weights mean, with the values that do not.
_PLAIN = {
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "layer_replication": (None,),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "lora_bias": (None, False),
    "use_qalora": (None, False),
    "use_bdlora": (None, False),
    "alora_invocation_tokens": (None, []),
    "arrow_config": (None,),
    "velora_config": (None,),
    "megatron_config": (None,),
    "init_lora_weights": (None, True, False, "gaussian", "eva", "orthogonal", "mica"),
}
_LITERAL = re.compile(r"[\w.\-]+\Z")


def read_peft(folder: str | os.PathLike) -> RawAdapter:
    """The adapter in a folder. Raises FileNotFoundError, FormatError that names the key or tensor."""
    folder = Path(folder)
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; an adapter's folder needs {CONFIG} and {WEIGHTS}")
    config = read_json(path, CONFIG, max_bytes=limits.STRING)
    if not isinstance(config, dict):
        raise FormatError("config", path, None, f"{CONFIG} is not a JSON object")
    alpha_of = _checked(config, path)
    if not (folder / WEIGHTS).is_file():
        kind = "pickle" if (folder / "adapter_model.bin").exists() else "missing_file"
        raise FormatError(kind, folder / WEIGHTS, None, "is not there; pickled weights are not read: save safetensors")
    file = read_safetensors(folder / WEIGHTS)
    found: dict[str, dict[str, str]] = {}
    same = []
    for name in file.names():
        match = _PART.search(name)
        module = name[: match.start() if match else None].removeprefix(_PREFIX)
        if match and match[1] not in found.setdefault(module, {}):
            found[module][match[1]] = name
        elif not match and module.endswith((".base_layer.weight", "embed_tokens.weight", "lm_head.weight")):
            module = module.removesuffix(".weight").removesuffix(".base_layer")
            same.append((module, lambda name=name: file.float32(name)))
        else:
            raise FormatError("unsupported_tensor", file.path, None, f"{shown(name)} belongs to no LoRA or DoRA")
    if not found:
        raise FormatError("missing_tensor", file.path, None, "holds no adapter")
    root = bool(config.get("use_rslora"))
    parts = [_part(file, module, names, config, alpha_of(module), root) for module, names in found.items()]
    return RawAdapter(os.fspath(folder), parts, same)


def _checked(config: Mapping, path: Path):
    """alpha(module) of a config; FormatError for what is not supported."""

    def wrong(key: str, what: str) -> FormatError:
        return FormatError("unsupported_adapter", path, None, f"{key} = {config.get(key)!r:.60} {what}")

    if config.get("peft_type") != "LORA":
        raise wrong("peft_type", "is not supported; supported: LORA (with use_rslora, use_dora)")
    for key, plain in _PLAIN.items():
        if key in config and config[key] not in plain:
            raise wrong(key, "is not supported: the adapter is more than LoRA, rsLoRA or DoRA on weights")
    for key in ("use_rslora", "use_dora", "fan_in_fan_out"):
        if type(config.get(key, False)) is not bool:
            raise wrong(key, "must be true or false")
    alphas = {"": config.get("lora_alpha", 8), **_pattern(config, "alpha_pattern", wrong)}
    _pattern(config, "rank_pattern", wrong)  # the ranks themselves are seen in the tensors
    for value in alphas.values():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise wrong("alpha_pattern" if value != alphas[""] else "lora_alpha", "must be finite numbers")

    def alpha(module: str) -> float:
        for key, value in alphas.items():
            if key and (module == key.removeprefix("^") or ("^" not in key and module.endswith("." + key))):
                return float(value)
        return float(alphas[""])

    return alpha


def _pattern(config: Mapping, key: str, wrong) -> dict:
    """A pattern's modules -> values, the names without their escapes.

    Its keys are regular expressions in PEFT; here they must be plain names: expressions from outside are not run.
    """
    pattern = config.get(key) or {}
    if not isinstance(pattern, dict):
        raise wrong(key, "must be an object")
    plain = {name.replace("\\.", ".").removesuffix("$"): value for name, value in pattern.items()}
    if not all(_LITERAL.match(name.removeprefix("^")) for name in plain):
        raise wrong(key, "holds a regular expression; supported are names of modules, whole or their ends")
    return plain


def _part(file: SafetensorsFile, module: str, names: dict[str, str], config: Mapping, alpha: float, root: bool):
    def lie(kind: str, message: str) -> FormatError:
        return FormatError(kind, file.path, None, f"{shown(module)}: {message}")

    embedding = "lora_embedding_A" in names or "lora_embedding_B" in names
    wanted = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A", "lora_B")
    if not set(wanted) <= set(names) or len(names) > 3 or (embedding and len(names) > 2):
        raise lie("missing_tensor", f"has {', '.join(sorted(names))}; needed are {' and '.join(wanted)}")
    a, b = (file.float32(names[kind]) for kind in wanted)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
        raise lie("shape", f"the shapes {a.shape} and {b.shape} do not belong together")
    magnitude = names.get("lora_magnitude_vector")
    if (magnitude is not None) != bool(config.get("use_dora")):
        raise lie("missing_tensor", f"use_dora is {config.get('use_dora', False)}, which its tensors do not agree with")
    if magnitude is not None:
        magnitude = file.float32(magnitude).reshape(-1)
        if magnitude.shape != b.shape[:1]:
            raise lie("shape", f"{magnitude.shape} magnitudes for {b.shape[0]} rows")
    rank = a.shape[0]
    return RawPart(module, a, b, alpha / (math.sqrt(rank) if root else rank), magnitude, embedding)
