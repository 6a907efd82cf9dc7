"""Metadata of a GGUF file -> the Hugging Face config of the same model, and what only the file's tensors tell.

Keys and defaults are llama.cpp's (`general.architecture` and `<architecture>.*`). Knows no tensor names beyond those
whose presence means something: gguf_names has them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from runtime.files import limits
from runtime.files.errors import FormatError
from runtime.files.gguf_metadata import Metadata
from runtime.files.reader import parse_json
from runtime.files.tensors import WeightFile
from runtime.models.gguf_names import ARCHITECTURES, OWN_SECTION
from runtime.models.sources import Source
from runtime.models.spec import DecoderSpec

_WINDOW_EVERY = {"gemma2": 2, "gemma3": 6}  # layers of which all but the last have a window
_LARGE = {"gemma2": 46, "gemma3": 62}  # layers of the 27B models, which scale queries by d_model / heads


class _Keys:
    """Reads `<architecture>.name`."""

    def __init__(self, file: WeightFile) -> None:
        self.metadata: Metadata = file.metadata
        self.architecture = self.metadata.text("general.architecture")

    def key(self, name: str) -> str:
        return f"{self.architecture}.{name}"

    def has(self, name: str) -> bool:
        return self.key(name) in self.metadata

    def integer(self, name: str, default: int | None = None, low: int = 0, high: int = limits.DIM) -> int:
        """An integer, or an array whose entries for all layers are equal."""
        key = self.key(name)
        if key in self.metadata and self.metadata.type(key).startswith("array"):
            values = np.unique(self.metadata.integers(key))
            if len(values) != 1 or not low <= int(values[0]) <= high:
                raise self.metadata.error(key, "differs from layer to layer, which is not supported")
            return int(values[0])
        return self.metadata.integer(key, default, low, high)

    def number(self, name: str, default: float | None = None) -> float:
        return self.metadata.number(self.key(name), default)


def config_of(file: WeightFile) -> dict:
    """The Hugging Face config of the model in a GGUF file. FormatError names the key or the architecture."""
    keys = _Keys(file)
    families = {architecture: kind for kind, architecture in ARCHITECTURES.items() if kind != "mistral"}
    kind = families.get(keys.architecture)
    if kind is None:
        message = f"architecture {keys.architecture!r:.60} is not supported; supported: {', '.join(families)}"
        raise FormatError("unsupported_model", file.path, None, message)
    if "token_embd.weight" not in file:
        raise FormatError("missing_tensor", file.path, None, "the file lacks token_embd.weight")
    layers = keys.integer("block_count", low=1, high=limits.LAYERS)
    width = keys.integer("embedding_length", low=1, high=limits.WIDTH)
    heads = keys.integer("attention.head_count", low=1, high=limits.HEADS)
    head_dim = keys.integer("attention.key_length", max(1, width // heads), low=1, high=limits.HEAD_DIM)
    if keys.integer("attention.value_length", head_dim) != head_dim:
        raise keys.metadata.error(keys.key("attention.value_length"), "differs from key_length: not supported")
    inner = keys.integer("feed_forward_length", 4 * width, low=1, high=limits.FEED_FORWARD)
    context = keys.integer("context_length", low=1, high=limits.CONTEXT)
    eps = "attention.layer_norm_rms_epsilon"
    eps = keys.number(eps if keys.has(eps) else "attention.layer_norm_epsilon")
    rope = _rope(file, keys, head_dim, context)
    config = {
        "model_type": kind,
        "vocab_size": file.shape("token_embd.weight")[0],
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.integer("attention.head_count_kv", heads, low=1, high=limits.HEADS),
        "head_dim": head_dim,
        "intermediate_size": inner,
        "max_position_embeddings": context,
        "rope_parameters": rope,
        "tie_word_embeddings": "output.weight" not in file,
        **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"), eps),
        **_family(keys, config_rope=rope, width=width, heads=heads, head_dim=head_dim, layers=layers, inner=inner),
        **_ends(keys.metadata),
        **_own(file),
    }
    if "original_max_position_embeddings" in rope:
        config["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    return config


def _family(keys: _Keys, config_rope: dict, width: int, heads: int, head_dim: int, layers: int, inner: int) -> dict:
    """Keys of the config that one architecture has and others lack."""
    name = keys.architecture
    if name in ("gpt2", "starcoder"):
        one = name == "starcoder" and keys.integer("attention.head_count_kv", heads) == 1
        return {"n_inner": inner, "multi_query": one}
    if name == "gptneox":
        return {"use_parallel_residual": keys.metadata.boolean(keys.key("use_parallel_residual"), True)}
    if name == "qwen3moe":
        used = keys.integer("expert_used_count", low=1)
        return {
            "num_experts": keys.integer("expert_count", low=1, high=limits.EXPERTS),
            "num_experts_per_tok": used,
            "moe_intermediate_size": keys.integer("expert_feed_forward_length", max(1, inner // used), low=1),
            "norm_topk_prob": True,
        }
    if name == "granite":
        scales = {"attention_multiplier": ("attention.scale", head_dim**-0.5)}
        scales |= {"embedding_multiplier": ("embedding_scale", 1.0), "residual_multiplier": ("residual_scale", 1.0)}
        scales |= {"logits_scaling": ("logit_scale", 1.0)}
        return {ours: keys.number(theirs, default) or default for ours, (theirs, default) in scales.items()}
    if name in _LARGE:
        found = {"query_pre_attn_scalar": width // heads if layers == _LARGE[name] else head_dim}
        if keys.has("attention.scale"):
            found["query_pre_attn_scalar"] = keys.number("attention.scale") ** -2.0
        caps = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
        for cap, default in caps.items():
            found[cap] = keys.number(cap, default if name == "gemma2" else 0.0)
        if name == "gemma3":
            local = {"rope_type": "default", "rope_theta": keys.number("rope.freq_base_swa", 10000.0)}
            found["rope_parameters"] = {"full_attention": config_rope, "sliding_attention": local}
        return found
    return {}


def _rope(file: WeightFile, keys: _Keys, head_dim: int, context: int) -> dict:
    """rope_parameters as transformers 5 has them."""
    dim = keys.integer("rope.dimension_count", head_dim, low=0, high=limits.HEAD_DIM) or head_dim
    rope = {
        "rope_type": "default",
        "rope_theta": keys.number("rope.freq_base", 10000.0),
        # A head's share is multiplied out and rounded down again: half a value more survives that.
        "partial_rotary_factor": 1.0 if dim >= head_dim else (dim + 0.5) / head_dim,
    }
    original = keys.integer("rope.scaling.original_context_length", context, low=1, high=limits.CONTEXT)
    attention = keys.number("rope.scaling.attn_factor", 1.0)
    tables = {n: f"rope_factors_{n}.weight" for n in ("short", "long")}
    if "rope_freqs.weight" in file:
        divisors = file.float32("rope_freqs.weight").tolist()
        return rope | {
            "rope_type": "longrope",
            "short_factor": divisors,
            "long_factor": divisors,
            "original_max_position_embeddings": context,
            "attention_factor": 1.0,
        }
    if all(name in file for name in tables.values()):
        divisors = {f"{n}_factor": file.float32(name).tolist() for n, name in tables.items()}
        scaled = {"original_max_position_embeddings": original, "attention_factor": attention}
        return rope | {"rope_type": "longrope"} | divisors | scaled
    factor = keys.number("rope.scaling.factor", 0.0) or keys.number("rope.scale_linear", 0.0)
    kind = keys.metadata.text(keys.key("rope.scaling.type"), "linear")
    if not factor or kind == "none":
        return rope
    if kind == "linear":
        return rope | {"rope_type": "linear", "factor": factor}
    if kind != "yarn":
        raise keys.metadata.error(keys.key("rope.scaling.type"), f"is {kind!r:.40}: supported are none, linear, yarn")
    scale = 0.1 * float(np.log(factor)) + 1.0 if factor > 1 else 1.0
    weight = keys.number("rope.scaling.yarn_log_multiplier", 0.0)
    if weight and factor > 1:
        attention /= 0.1 * weight * float(np.log(factor)) + 1.0
    return rope | {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": attention * scale,
        "beta_fast": keys.number("rope.scaling.yarn_beta_fast", 32.0),
        "beta_slow": keys.number("rope.scaling.yarn_beta_slow", 1.0),
    }


def _ends(metadata: Metadata) -> dict:
    """bos_token_id and eos_token_id; the end of a turn ends a text too."""
    found: dict = {}
    if "tokenizer.ggml.bos_token_id" in metadata:
        found["bos_token_id"] = metadata.integer("tokenizer.ggml.bos_token_id")
    ends = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot")]
    ids = [metadata.integer(key) for key in ends if key in metadata]
    return found | ({"eos_token_id": sorted(set(ids))} if ids else {})


def _own(file: WeightFile) -> dict:
    """What this program kept for itself in the config that the file was made from, under "hearth" again."""
    text = file.metadata.text(OWN_SECTION, "")
    return {"hearth": parse_json(text.encode(), file.path, what=OWN_SECTION)} if text else {}


def fitted(file: WeightFile, spec: DecoderSpec, path: object) -> DecoderSpec:
    """The spec with what a GGUF says by the presence of tensors (biases), or by keys of its own (windows, experts)."""
    keys = _Keys(file)

    def there(*names: str) -> bool:
        return any(f"blk.0.{name}.bias" in file for name in names)

    fields: dict = {
        "qkv_bias": there("attn_q", "attn_qkv"),
        "o_bias": there("attn_output"),
        "mlp_bias": there("ffn_up", "ffn_down"),
        "head_bias": "output.bias" in file,
    }
    rotated = keys.integer("rope.dimension_count", spec.head_dim) or spec.head_dim
    if spec.rope and spec.rope.dim != min(rotated, spec.head_dim):
        raise keys.metadata.error(keys.key("rope.dimension_count"), "must be the size of a head in this architecture")
    window = keys.integer("attention.sliding_window", 4096 if keys.architecture == "gemma2" else 0, high=limits.CONTEXT)
    fields["windows"] = tuple(window if has else 0 for has in _windowed(keys, spec.n_layers))
    if keys.architecture == "granite" and not keys.metadata.boolean(keys.key("rope.scaling.finetuned"), True):
        fields["layer_rope"] = (False,) * spec.n_layers
    if keys.architecture == "llama" and keys.integer("expert_count", 0, high=limits.EXPERTS):  # Mixtral
        fields |= {
            "n_experts": keys.integer("expert_count"),
            "experts_per_token": keys.integer("expert_used_count", low=1),
            "expert_d_ff": spec.d_ff,
            "norm_topk": True,
            "sparse_layers": (True,) * spec.n_layers,
        }
    try:
        return replace(spec, **fields)
    except ValueError as error:
        raise FormatError("metadata", path, None, str(error)) from None


def _windowed(keys: _Keys, layers: int) -> list[bool]:
    """Which layers have the window that attention.sliding_window gives."""
    name = keys.key("attention.sliding_window_pattern")
    if name in keys.metadata and keys.metadata.type(name).startswith("array"):
        pattern = np.asarray(keys.metadata[name])
        if len(pattern) < layers:
            raise keys.metadata.error(name, f"has {len(pattern)} entries for {layers} layers")
        return [bool(value) for value in pattern[:layers]]
    every = keys.integer("attention.sliding_window_pattern", _WINDOW_EVERY.get(keys.architecture, 0))
    return [every == 0 or n % every < every - 1 for n in range(layers)]


# What a file holds besides weights: read as part of the metadata, or computed here.
_NO_WEIGHTS = ("rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight", "attn_rot_embd.weight")


def check_used(file: WeightFile, sources: Mapping[str, Source]) -> None:
    """FormatError names the tensors of a file that its model would leave unread: it would be another model."""
    used = {source.name for source in sources.values()}
    unread = [name for name in file.names() if name not in used and not name.endswith(_NO_WEIGHTS)]
    if unread:
        more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
        message = f"the file has tensors that this engine has no use for: {', '.join(unread[:3])}{more}"
        raise FormatError("unsupported_model", file.path, None, message)
