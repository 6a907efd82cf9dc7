"""Reads GGUF adapters (general.type "adapter", adapter.type "lora"): tensors NAME.lora_a and NAME.lora_b, and alpha.

As llama.cpp's convert_lora_to_gguf writes them. Knows no model: modules have llama.cpp's names.
"""

from __future__ import annotations

import os

from runtime.adapters.raw import RawAdapter, RawPart
from runtime.files.errors import FormatError
from runtime.files.reader import shown
from runtime.files.tensors import open_weights


def read_gguf_lora(path: str | os.PathLike) -> RawAdapter:
    """The adapter in a .gguf file. Raises FileNotFoundError, FormatError that names the key or tensor."""
    file = open_weights(path)
    if not file.is_gguf or file.metadata.text("general.type", "model") != "adapter":
        raise FormatError("unsupported_adapter", path, None, "is no GGUF adapter: general.type is not 'adapter'")
    kind = file.metadata.text("adapter.type")
    if kind != "lora":
        raise FormatError("unsupported_adapter", path, None, f"adapter.type is {kind!r:.40}; supported: lora")
    alpha = file.metadata.number("adapter.lora.alpha", 0.0)
    parts = []
    names = set(file.names())
    for name in file.names():
        stem, _, side = name.rpartition(".")
        if side not in ("lora_a", "lora_b") or not stem.endswith(".weight"):
            raise FormatError("unsupported_tensor", path, None, f"{shown(name)} belongs to no LoRA")
        if not {stem + ".lora_a", stem + ".lora_b"} <= names:
            raise FormatError("missing_tensor", path, None, f"{shown(stem)} has only one of lora_a and lora_b")
        if side == "lora_b":
            continue
        a, b = file.float32(stem + ".lora_a"), file.float32(stem + ".lora_b")
        module = stem.removesuffix(".weight")
        embedding = module == "token_embd"
        a = a.T if embedding and a.ndim == 2 else a  # stored as a table of rows
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
            raise FormatError("shape", path, None, f"{shown(stem)}: {a.shape} and {b.shape} do not belong together")
        # As llama.cpp: without an alpha the change counts as it is.
        parts.append(RawPart(module, a, b, alpha / a.shape[0] if alpha else 1.0, None, embedding))
    if not parts:
        raise FormatError("missing_tensor", path, None, "holds no adapter")
    return RawAdapter(os.fspath(path), parts, [], file.metadata.text("general.architecture"))
