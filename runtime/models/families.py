"""Opens a model by its family file: one file per family, named after `model_type`, no registry to edit.

A family file has IS_FAMILY = True, `spec(config, path)` and, where its tensors do not have the canonical names,
`sources(spec, config, stored names)`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

import runtime.models
from runtime.files.errors import FormatError
from runtime.files.hf_config import read_config
from runtime.files.tensors import WeightFile, open_weights
from runtime.models import gguf_config
from runtime.models.gguf_names import gguf_sources
from runtime.models.sources import CanonicalWeights, Source, bare, by_bare_name, whole
from runtime.models.spec import DecoderSpec

# A model_type comes from outside: it must look like an identifier and be a family file, never any other module here.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\Z")


def family_of(config: Mapping, path: object = "config.json") -> ModuleType:
    """The module that maps this config onto a DecoderSpec; FormatError says which model_type is not supported."""
    kind = config.get("model_type")
    if isinstance(kind, str) and _NAME.match(kind) and importlib.util.find_spec(f"runtime.models.{kind}"):
        module = importlib.import_module(f"runtime.models.{kind}")
        if getattr(module, "IS_FAMILY", False):
            return module
    message = f"model_type {kind!r:.60} is not a family this engine runs; supported: {', '.join(family_names())}"
    raise FormatError("unsupported_model", path, None, message)


def family_names() -> list[str]:
    """Every model_type there is a family file for."""
    modules = (
        importlib.import_module(f"runtime.models.{m.name}") for m in pkgutil.iter_modules(runtime.models.__path__)
    )
    return sorted(m.__name__.rpartition(".")[2] for m in modules if getattr(m, "IS_FAMILY", False))


@dataclass(frozen=True)
class StoredModel:
    """A model as it lies in its files: Hugging Face config, spec, and weights by canonical name, not yet read."""

    path: str
    config: dict
    spec: DecoderSpec
    weights: CanonicalWeights


def open_model(path: str | os.PathLike) -> StoredModel:
    """The model in a folder with config.json and *.safetensors, or in a .gguf file.

    Every tensor that the config asks for is there and has its shape. Raises FileNotFoundError, FormatError.
    """
    if Path(path).is_dir():
        config = read_config(path)
        where = Path(path) / "config.json"
        spec = DecoderSpec.from_hf_config(config, where)
        return StoredModel(os.fspath(path), config, *_fitting(open_weights(path), config, spec, where))
    file = open_weights(path)
    if not file.is_gguf:
        raise FormatError("unsupported_model", path, None, "weights alone; give the folder with its config.json")
    config = gguf_config.config_of(file)
    spec = gguf_config.fitted(file, DecoderSpec.from_hf_config(config, path), path)
    sources = gguf_sources(spec, file.metadata.text("general.architecture"), file)
    gguf_config.check_used(file, sources)
    return StoredModel(os.fspath(path), config, spec, CanonicalWeights(file, sources))


def _fitting(
    file: WeightFile, config: Mapping, spec: DecoderSpec, path: object
) -> tuple[DecoderSpec, CanonicalWeights]:
    """The weights of a file, and the spec that fits them.

    A head that is stored beside a tied token table and differs from it is used, as transformers does.
    """
    family = family_of(config, path)
    stored = by_bare_name(file)
    sources = _sources(family, spec, config, stored)
    if spec.tied and _head_differs(file, stored, sources):
        spec = replace(spec, tied=False)
        sources = _sources(family, spec, config, stored)
    return spec, CanonicalWeights(file, sources)


def hugging_face_sources(spec: DecoderSpec, config: Mapping) -> dict[str, Source]:
    """Where the canonical weights of a model lie in its family's own checkpoints, wherever they were read from."""
    return _sources(family_of(config), spec, config, {})


def _sources(family: ModuleType, spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    return family.sources(spec, config, stored) if hasattr(family, "sources") else whole(spec)


def _head_differs(file: WeightFile, stored: Mapping[str, str], sources: Mapping[str, Source]) -> bool:
    """Whether a head is stored that is not the token table, by a few rows spread over both."""
    table = stored.get(bare(sources["model.embed_tokens.weight"].name))
    head = stored.get("lm_head.weight") or stored.get("embed_out.weight")
    if not table or not head or file.shape(table) != file.shape(head):
        return False
    pair = [file.tensor(name) for name in (table, head)]
    rows = np.linspace(0, pair[0].shape[0] - 1, 64).astype(np.int64)
    shown = [Source("", tensor.shape, rows=rows).apply(tensor, "").float32() for tensor in pair]
    return not np.array_equal(*shown, equal_nan=True)
