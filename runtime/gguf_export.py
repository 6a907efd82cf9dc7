"""`quantize`: writes a model as GGUF in a smaller storage type, from a Hugging Face folder or from another GGUF.

The file carries tokenizer and hyperparameters, loads in llama.cpp and answers there as here. Works tensor by tensor,
in pieces, so that a model larger than memory can be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from runtime.files.errors import FormatError
from runtime.files.gguf_mix import TYPES, storage_types
from runtime.files.gguf_rows import TensorRows, rows_of
from runtime.files.gguf_write import write_gguf
from runtime.files.tensors import WeightFile, open_weights
from runtime.models.gguf_layout import exported

_BLOCKS_VERSION = 2  # general.quantization_version: of ggml's block layouts
# What belongs to the file that was read, not to the model.
_OF_THE_FILE = ("general.file_type", "general.quantization_version", "general.alignment", "split.")


def quantize(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    type: str = "Q4_K_M",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the model `src` (folder with config.json and *.safetensors, or *.gguf) to the file `dst`; returns its path.

    type: F16, Q8_0, Q6_K, Q4_K_M (a mix, as llama.cpp's) or Q4_0. dst is replaced only when the new file is complete.
    progress(bytes written, bytes in all). Raises ValueError (unknown type, dst is src, a model that GGUF cannot
    describe), FormatError (src), FileNotFoundError.
    """
    if type not in TYPES:
        raise ValueError(f"type must be one of {', '.join(TYPES)}, not {type!r}")
    src, dst = Path(src), Path(dst)
    if dst.is_dir():
        raise ValueError(f"{dst} is a folder; name the file to write, for example {dst / 'model.gguf'}")
    if not src.exists():
        raise FileNotFoundError(f"{src}: no such file or folder")
    if dst.exists() and dst.samefile(src):
        raise ValueError(f"{dst} is the model that is read; choose another name")
    if src.is_dir():
        metadata, tensors, experts = exported(src)
    else:
        weights = open_weights(src)
        if not weights.is_gguf:
            message = "holds weights alone; give the folder with its config.json"
            raise FormatError("unsupported_model", src, None, message)
        metadata, tensors, experts = _of_gguf(weights)
    kinds = storage_types({tensor.name: tensor.shape for tensor in tensors}, type, experts)
    metadata |= {"general.file_type": TYPES[type][1], "general.quantization_version": _BLOCKS_VERSION}
    write_gguf(dst, metadata, [tensor.as_type(kinds[tensor.name], src) for tensor in tensors], progress)
    return dst


def _of_gguf(weights: WeightFile) -> tuple[dict[str, object], list[TensorRows], int]:
    """Metadata, tensors and number of experts of a GGUF file."""
    metadata = {key: weights.metadata.typed(key) for key in weights.metadata if not key.startswith(_OF_THE_FILE)}
    architecture = weights.metadata.text("general.architecture")
    experts = weights.metadata.integer(f"{architecture}.expert_count", 0)
    return metadata, [_whole(weights, name) for name in weights.names()], experts


def _whole(weights: WeightFile, name: str) -> TensorRows:
    tensor = weights.tensor(name)
    return TensorRows(name, tensor.shape, partial(rows_of, tensor), partial(weights.release, name))
