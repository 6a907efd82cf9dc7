"""A Hugging Face model as metadata and tensors of a GGUF file that llama.cpp reads: the writing side of GGUF.

The metadata is made from the DecoderSpec, the tensors from canonical weights by turning round the table of
`gguf_names`. Knows no storage types: the rows are given as they are stored.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from runtime.files import limits
from runtime.files.gguf_rows import TensorRows, chosen_rows
from runtime.files.hf_config import own_section
from runtime.files.reader import read_json
from runtime.files.tensors import StoredTensor
from runtime.models.families import StoredModel, open_model
from runtime.models.gguf_names import ARCHITECTURES, OWN_SECTION, gguf_sources
from runtime.models.sources import CanonicalWeights, Source
from runtime.models.spec import DecoderSpec
from runtime.text import load_tokenizer
from runtime.text.gguf_keys import gguf_keys

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


def exported(folder: str | os.PathLike) -> tuple[dict[str, object], list[TensorRows], int]:
    """Metadata, tensors in file order, and number of experts (0: none) of the model in a folder.

    ValueError where GGUF has no way to say what the model does; FormatError for lies in the folder.
    """
    model = open_model(folder)
    architecture = ARCHITECTURES.get(model.config["model_type"])
    if architecture is None:
        raise ValueError(f"GGUF files of {model.config['model_type']} models are not written")
    metadata = {"general.architecture": architecture, "general.type": "model", "general.name": Path(folder).name}
    metadata |= spec_keys(model.spec, architecture)
    if own_section(model.config):
        metadata[OWN_SECTION] = json.dumps(own_section(model.config))
    metadata |= _tokenizer_keys(Path(folder), model)
    return metadata, [*_tensors(model, architecture), *_rope_tensors(model.spec)], model.spec.n_experts


# ---- hyperparameters ------------------------------------------------------------------------------------------------


def spec_keys(spec: DecoderSpec, architecture: str) -> dict[str, object]:
    """Metadata of a spec under the keys that llama.cpp reads. ValueError where it has none for what the model does."""
    _check_implied(spec, architecture)
    keys: dict[str, object] = {
        "vocab_size": spec.vocab_size,
        "context_length": _context(spec),
        "embedding_length": spec.d_model,
        "block_count": spec.n_layers,
        "feed_forward_length": spec.d_ff,
        "attention.head_count": spec.n_heads,
        "attention.head_count_kv": spec.n_kv_heads,
        "attention.key_length": spec.head_dim,
        "attention.value_length": spec.head_dim,
        f"attention.layer_norm_{'rms_' if spec.norm == 'rms' else ''}epsilon": float(spec.norm_eps),
    }
    if any(spec.windows):
        keys["attention.sliding_window"] = max(spec.windows)
        if not all(spec.windows):
            keys["attention.sliding_window_pattern"] = np.array([window > 0 for window in spec.windows])
    if spec.attention_softcap:
        keys["attn_logit_softcapping"] = float(spec.attention_softcap)
    if spec.final_softcap:
        keys["final_logit_softcapping"] = float(spec.final_softcap)
    if architecture == "granite":
        keys |= {
            "attention.scale": float(spec.attention_scale),
            "embedding_scale": float(spec.embedding_scale),
            "residual_scale": float(spec.residual_scale),
            "logit_scale": 1.0 / spec.logits_scale,
        }
    if architecture == "gptneox":
        keys["use_parallel_residual"] = spec.parallel
    if spec.n_experts:
        keys |= {
            "expert_count": spec.n_experts,
            "expert_used_count": spec.experts_per_token,
            "expert_feed_forward_length": spec.expert_d_ff,
        }
    return {f"{architecture}.{key}": value for key, value in (keys | _rope_keys(spec)).items()}


def _context(spec: DecoderSpec) -> int:
    """Positions to declare: with a scaling that GGUF lacks, only those that need none."""
    return spec.rope.original_context if spec.rope and spec.rope.kind == "dynamic" else spec.max_context


def _rope_keys(spec: DecoderSpec) -> dict[str, object]:
    rope = spec.rope
    if rope is None:
        return {}
    keys: dict[str, object] = {"rope.dimension_count": rope.dim, "rope.freq_base": float(rope.theta)}
    if spec.local_rope:
        keys["rope.freq_base_swa"] = float(spec.local_rope.theta)
    if rope.kind in ("linear", "yarn"):
        keys |= {"rope.scaling.type": rope.kind, "rope.scaling.factor": float(rope.factor)}
    if rope.kind in ("yarn", "longrope"):
        keys["rope.scaling.original_context_length"] = rope.original_context
    if rope.kind == "yarn":
        implied = 1 + 0.1 * np.log(rope.factor) if rope.factor > 1 else 1.0  # what llama.cpp multiplies by itself
        keys["rope.scaling.attn_factor"] = float(rope.attention_factor / implied)
        keys["rope.scaling.yarn_beta_fast"] = float(rope.beta_fast)
        keys["rope.scaling.yarn_beta_slow"] = float(rope.beta_slow)
    if rope.kind == "longrope":
        keys |= {"rope.scaling.type": "longrope", "rope.scaling.attn_factor": float(rope.attention_factor)}
    return keys


_GELU = ("gemma", "gemma2", "gemma3", "gpt2", "starcoder", "starcoder2", "gptneox", "phi2")
_HEADS_FILL_WIDTH = ("qwen2", "olmo2", "starcoder", "starcoder2", "gptneox", "gpt2", "phi2", "phi3")
_OUTPUT_BIASES = {  # architecture -> whether it has biases of o_proj and of the feed-forward; absent: either way
    **dict.fromkeys(("qwen2", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "olmo2", "smollm3"), False),
    **dict.fromkeys(("starcoder2", "gptneox"), True),
}
_UNTIED = ("gptneox", "olmo2", "phi2")  # whose files always hold the head
_TIED = ("gemma", "gemma2")  # whose files never do


def _check_implied(spec: DecoderSpec, architecture: str) -> None:
    """What an architecture does without saying so must be what this model does; ValueError where it is not."""
    rotated = tuple(architecture != "smollm3" or (n + 1) % 4 != 0 for n in range(spec.n_layers))
    activations = ("gelu", "gelu_tanh") if architecture in _GELU else ("silu",)
    large = spec.n_layers == {"gemma2": 46, "gemma3": 62}.get(architecture)  # 27B: known by its number of layers
    scale = spec.attention_scale * (spec.d_model // spec.n_heads if large else spec.head_dim) ** 0.5
    wrong = {
        "which layers rotate": spec.rope is not None and spec.layer_rope != rotated,
        "an odd number of rotated values": spec.rope is not None and spec.rope.counted > 0,
        "YaRN without rounding": spec.rope is not None and not spec.rope.truncate,
        "the scale of its attention": architecture != "granite" and abs(scale - 1) > 1e-6,
        "experts in some layers only": bool(spec.n_experts) and not all(spec.sparse_layers),
        "experts whose weights do not sum to one": bool(spec.n_experts) and not spec.norm_topk,
        f"the activation {spec.activation}": spec.activation not in activations,
        "a head of its own": architecture in _TIED and not spec.tied,
        "heads that do not fill the width": architecture in _HEADS_FILL_WIDTH
        and spec.n_heads * spec.head_dim != spec.d_model,
        "these biases": _OUTPUT_BIASES.get(architecture, spec.o_bias) != spec.o_bias
        or _OUTPUT_BIASES.get(architecture, spec.mlp_bias) != spec.mlp_bias,
        "a norm of queries and keys": architecture == "phi2" and spec.qk_norm is not None,
        "more than one key head": architecture == "starcoder" and spec.n_kv_heads > 1,
        "that there are no soft-caps": architecture == "gemma2" and not (spec.attention_softcap and spec.final_softcap),
        "a soft-cap of its attention": architecture != "gemma2" and spec.attention_softcap > 0,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"GGUF has no way to say {what} for the architecture {architecture}")


# ---- tokenizer ------------------------------------------------------------------------------------------------------


def _tokenizer_keys(folder: Path, model: StoredModel) -> dict[str, object]:
    """The tokenizer's keys; a model without one says so in the way that llama.cpp accepts."""
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        return {"tokenizer.ggml.model": "no_vocab"}
    rows = model.spec.vocab_size
    keys = gguf_keys(load_tokenizer(folder), rows=rows, chat_template=_chat_template(folder))
    for role in ("bos", "eos"):
        declared = model.config.get(f"{role}_token_id")
        declared = declared[0] if isinstance(declared, list) and declared else declared
        if type(declared) is int and 0 <= declared < rows:
            keys[f"tokenizer.ggml.{role}_token_id"] = declared
    return keys


def _chat_template(folder: Path) -> str | None:
    """The folder's chat template: a file of its own, or the entry of tokenizer_config.json (the default of several)."""
    alone = folder / "chat_template.jinja"
    if alone.is_file() and alone.stat().st_size <= limits.STRING:
        return alone.read_text(encoding="utf-8", errors="strict")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return None
    root = read_json(config, "tokenizer config", max_depth=limits.TOKENIZER_JSON_DEPTH)
    found = root.get("chat_template") if isinstance(root, dict) else None
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


# ---- tensors --------------------------------------------------------------------------------------------------------


def _tensors(model: StoredModel, architecture: str) -> Iterator[TensorRows]:
    """The tensors of a file, each made of the canonical weights that lie in it."""
    parts: dict[str, list[tuple[str, Source]]] = {}
    spec = replace(model.spec, tied=model.spec.tied and architecture not in _UNTIED)
    for name, source in gguf_sources(spec, architecture).items():
        name = model.spec.head_name if name == "lm_head.weight" else name
        parts.setdefault(source.name, []).append((name, source))
    for stored, members in parts.items():
        shape = members[0][1].shape
        done = partial(_release, model.weights, [name for name, _ in members])
        if len(shape) == 1:
            yield TensorRows(stored, shape, partial(_vector, model.weights, members), done)
        else:
            yield TensorRows(stored, shape, partial(_rows, model.weights, members, *_origin(members)), done)


def _origin(members: list[tuple[str, Source]]) -> tuple[np.ndarray, np.ndarray]:
    """For each row of a stored matrix or stack: which member it comes from, and which row of it."""
    shape = members[0][1].shape
    member, row = np.empty(math.prod(shape[:-1]), np.int32), np.empty(math.prod(shape[:-1]), np.int64)
    for k, (_, source) in enumerate(members):
        stored = np.arange(shape[-2]) if source.rows is None else np.arange(shape[-2])[source.rows]
        stored = stored + (source.item or 0) * shape[-2]
        member[stored], row[stored] = k, np.arange(len(stored))
    return member, row


def _rows(weights: CanonicalWeights, members, member, row, begin: int, end: int) -> list[StoredTensor]:
    """Rows begin .. end of a stored matrix, cut where the weight that they come from changes."""
    member, row = member[begin:end], row[begin:end]
    cuts = [0, *(np.flatnonzero(np.diff(member)) + 1).tolist(), len(member)]
    found: list[StoredTensor] = []
    for start, stop in itertools.pairwise(cuts):
        found += chosen_rows(weights[members[member[start]][0]], row[start:stop])
    return found


def _vector(weights: CanonicalWeights, members, begin: int, end: int) -> list[StoredTensor]:
    """A stored vector (a norm, a bias) as float32."""
    stored = np.empty(members[0][1].shape, "<f4")
    for name, source in members:
        stored[slice(None) if source.rows is None else source.rows] = weights.float32(name)
    return [_float32(members[0][1].name, stored)]


def _float32(name: str, values: np.ndarray) -> StoredTensor:
    values = np.ascontiguousarray(values, "<f4")
    return StoredTensor(name, "F32", values.shape, values.view(np.uint8))


def _release(weights: CanonicalWeights, names: list[str]) -> None:
    for name in names:
        weights.release(name)


def _rope_tensors(spec: DecoderSpec) -> Iterator[TensorRows]:
    """Scalings that GGUF keeps as divisors of every frequency: Llama 3's and LongRoPE's."""
    rope = spec.rope
    if rope is None:
        return
    divisors = {}
    if rope.kind == "llama3":
        plain = replace(rope, kind="default").frequencies()
        divisors["rope_freqs.weight"] = plain / rope.frequencies()
    elif rope.kind == "longrope":
        divisors = {"rope_factors_long.weight": rope.long_factors, "rope_factors_short.weight": rope.short_factors}
    for name, values in divisors.items():
        tensor = _float32(name, np.asarray(values))
        yield TensorRows(name, tensor.shape, lambda begin, end, tensor=tensor: [tensor], lambda: None)
