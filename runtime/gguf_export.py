"""`quantize`: writes a model as GGUF in a smaller storage type, from a Hugging Face folder or from another GGUF.

The file carries tokenizer and hyperparameters, loads in llama.cpp and answers there as here. Works tensor by tensor,
in pieces, so that a model larger than memory can be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import native_kernels as nk
from native_kernels.qtypes import QTYPES
from runtime.files.errors import FormatError
from runtime.files.gguf_mix import TYPES, storage_types
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.tensors import StoredTensor, WeightFile, open_weights

_PIECE = 1 << 23  # values that are float32 at a time
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
        from runtime.models.gguf_layout import exported

        metadata, tensors, experts = exported(src)
    else:
        weights = open_weights(src)
        if not weights.is_gguf:
            raise FormatError("unsupported_model", src, None, "weights alone; give the folder with its config.json")
        metadata, tensors, experts = _of_gguf(weights)
    kinds = storage_types({tensor.name: tensor.shape for tensor in tensors}, type, experts)
    metadata |= {"general.file_type": TYPES[type][1], "general.quantization_version": _BLOCKS_VERSION}
    written = [GgufTensor(t.name, kinds[t.name], t.shape, partial(_pieces, t, kinds[t.name], src)) for t in tensors]
    write_gguf(dst, metadata, written, progress)
    return dst


class TensorRows:
    """One tensor to be written: name and shape as GGUF has them; rows(begin, end) gives StoredTensors to stack.

    done(): called when the tensor has been read.
    """

    def __init__(self, name: str, shape: tuple[int, ...], rows: Callable[[int, int], list[StoredTensor]], done) -> None:
        self.name, self.shape, self.rows, self.done = name, shape, rows, done


def _of_gguf(weights: WeightFile) -> tuple[dict[str, object], list[TensorRows], int]:
    """Metadata, tensors and number of experts of a GGUF file."""
    kept = (key for key in weights.metadata if not key.startswith(_OF_THE_FILE))
    metadata = {key: _typed(weights, key) for key in kept}
    architecture = weights.metadata.text("general.architecture")
    experts = weights.metadata.integer(f"{architecture}.expert_count", 0)
    return metadata, [_whole(weights, name) for name in weights.names()], experts


def _typed(weights: WeightFile, key: str):
    """A metadata value that is written with the type it was read with."""
    kind, value = weights.metadata.type(key), weights.metadata[key]
    numpy_types = {"u8": "u1", "i8": "i1", "u16": "<u2", "i16": "<i2", "u32": "<u4", "i32": "<i4", "u64": "<u8"}
    numpy_types |= {"i64": "<i8", "f32": "<f4", "f64": "<f8"}
    return np.array(value, numpy_types[kind])[()] if kind in numpy_types else value


def _whole(weights: WeightFile, name: str) -> TensorRows:
    tensor = weights.tensor(name)
    return TensorRows(name, tensor.shape, partial(rows_of, tensor), partial(weights.release, name))


def rows_of(tensor: StoredTensor, begin: int, end: int) -> list[StoredTensor]:
    """Rows begin .. end of a tensor seen as a matrix, without copying."""
    size = QTYPES[tensor.type].row_bytes(tensor.shape[-1])
    return [
        StoredTensor(tensor.name, tensor.type, (end - begin, tensor.shape[-1]), tensor.data[begin * size : end * size])
    ]


def _pieces(tensor: TensorRows, kind: str, src: Path) -> Iterator[np.ndarray]:
    """The blocks of a tensor, some rows at a time; rows that have the wanted type already are copied as they are."""
    width, rows = tensor.shape[-1], int(np.prod(tensor.shape[:-1], dtype=np.int64))
    step = max(1, _PIECE // width)
    for begin in range(0, rows, step):
        for part in tensor.rows(begin, min(begin + step, rows)):
            if part.type == kind:
                yield part.data
                continue
            try:
                yield nk.quantize(kind, part.float32())
            except ValueError as error:
                raise FormatError("values", src, None, f"tensor {tensor.name!r}: {error}") from None
    tensor.done()
