"""load_adapter: an adapter's files, fitted to a model: its modules become canonical weights, with their rows in order.

A module of the files may be several canonical weights (fused query, key and value) or have its rows in another order;
`Source` (runtime/models/sources.py) says which rows are whose, of the model's weights as of what changes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import native_kernels as nk
from runtime.adapters.adapter import Adapter, LowRank
from runtime.adapters.gguf_lora import read_gguf_lora
from runtime.adapters.peft import read_peft
from runtime.adapters.raw import RawAdapter, RawPart
from runtime.files.errors import FormatError
from runtime.files.reader import shown
from runtime.models.families import hugging_face_sources
from runtime.models.gguf_names import ARCHITECTURES, gguf_sources
from runtime.models.sources import Source, bare
from runtime.models.spec import DecoderSpec


def load_adapter(
    path: str | os.PathLike, config: Mapping, spec: DecoderSpec, weight: Callable[[str], np.ndarray], key: object = None
) -> Adapter:
    """The adapter at `path`, a PEFT folder or a GGUF file, for the model of this config and spec.

    weight: canonical name -> the model's float32 weight (DoRA needs the length of its rows). key: see Adapter. Raises
    FileNotFoundError, and FormatError that names what does not fit the model.
    """
    path = Path(path)
    raw = read_gguf_lora(path) if path.is_file() else read_peft(path)
    places = _places(raw, config, spec)
    parts: dict[str, LowRank] = {}
    for part in raw.parts:
        if part.embedding:
            parts["model.embed_tokens"] = _embedding(raw, part, places, spec)
            continue
        found = places.get(bare(part.module) + ".weight")
        if not found or any(source.item is not None for _, source in found):
            raise _error(raw, "unknown_module", part, "is no matrix of this model that can be adapted")
        for name, source in found:
            parts[name.removesuffix(".weight")] = _fitted(raw, part, name, source, spec, weight)
    for module, values in raw.same:
        _check_same(raw, module, values, places, spec, weight)
    return Adapter(path.stem if path.is_file() else path.name, parts, key)


def _error(raw: RawAdapter, kind: str, part: RawPart, message: str) -> FormatError:
    return FormatError(kind, raw.path, None, f"{shown(part.module)} {message}")


def _places(raw: RawAdapter, config: Mapping, spec: DecoderSpec) -> dict[str, list[tuple[str, Source]]]:
    """Stored name of a matrix, bare -> the canonical weights in it; the table of tokens also as the head."""
    if raw.architecture is None:
        sources = hugging_face_sources(spec, config)
        head = "lm_head.weight"
    else:
        own = ARCHITECTURES.get(str(config.get("model_type")))
        if raw.architecture != own:
            message = f"is for the architecture {raw.architecture!r:.40}, the model is {own!r}"
            raise FormatError("architecture", raw.path, None, message)
        sources = gguf_sources(spec, raw.architecture)
        head = "output.weight"
    if spec.tied:
        sources["lm_head.weight"] = Source(head, (spec.vocab_size, spec.d_model))
    places: dict[str, list[tuple[str, Source]]] = {}
    for name, source in sources.items():
        if name != "model.embed_tokens.weight" and len(source.shape) == 2 and name != "model.embed_positions.weight":
            places.setdefault(bare(source.name), []).append((name, source))
    places[""] = [("model.embed_tokens.weight", sources["model.embed_tokens.weight"])]
    return places


def _fitted(
    raw: RawAdapter, part: RawPart, name: str, source: Source, spec: DecoderSpec, weight: Callable[[str], np.ndarray]
) -> LowRank:
    rows, columns = source.shape[::-1] if source.transposed else source.shape
    if (part.b.shape[0], part.a.shape[1]) != (rows, columns):
        shape = (part.b.shape[0], part.a.shape[1])
        raise _error(raw, "shape", part, f"is adapted as {shape}, in the model it has shape {(rows, columns)}")
    own = slice(None) if source.rows is None else source.rows
    a = np.ascontiguousarray(part.a)
    b = part.b[own] * np.float32(part.scale * source.times)
    if part.magnitude is None:
        return LowRank(a, np.ascontiguousarray(b))
    # W' = m (W + B A) / |W + B A|, row by row; the model's own W x is there already, so its rows get the factors.
    whole = weight(spec.head_name if name == "lm_head.weight" else name)
    changed = nk.gemm(np.ascontiguousarray(b), a) + whole
    lengths = np.sqrt(np.square(changed, dtype=np.float64).sum(axis=1)).astype(np.float32) / np.float32(source.times)
    if not lengths.all():
        raise _error(raw, "value", part, "has a row of zeros, which no magnitude can scale")
    factors = part.magnitude[own] / lengths
    return LowRank(a, np.ascontiguousarray(b * factors[:, None]), np.ascontiguousarray(factors))


def _embedding(raw: RawAdapter, part: RawPart, places: Mapping, spec: DecoderSpec) -> LowRank:
    if bare(part.module) + ".weight" != bare(places[""][0][1].name):
        raise _error(raw, "unknown_module", part, "is not the table of tokens of this model")
    shape = (part.b.shape[0], part.a.shape[1])
    if shape != (spec.d_model, spec.vocab_size):
        wanted = (spec.vocab_size, spec.d_model)
        raise _error(raw, "shape", part, f"is adapted as {shape[::-1]}, in the model it has shape {wanted}")
    return LowRank(np.ascontiguousarray(part.a), np.ascontiguousarray(part.b * np.float32(part.scale)))


def _check_same(raw: RawAdapter, module: str, values, places: Mapping, spec: DecoderSpec, weight) -> None:
    """PEFT repeats the token table and the head beside an adapter of them: they must be the model's own."""
    stored = bare(module) + ".weight"
    names = ["model.embed_tokens.weight"] if stored == bare(places[""][0][1].name) else []
    names += [spec.head_name for name, _ in places.get(stored, []) if name == "lm_head.weight"]
    if not names or not np.array_equal(values(), weight(names[0])):
        message = f"{shown(module)} is stored whole and is not the model's own weight: not supported"
        raise FormatError("unsupported_adapter", raw.path, None, message)
