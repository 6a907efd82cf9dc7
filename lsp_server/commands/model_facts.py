"""What can be said about a model from its headers alone: sizes, storage types, tokenizer, or why it cannot be used."""

from collections import Counter
from pathlib import Path
from typing import Any

from runtime.files.errors import FormatError


def describe(name: str, folder: Path) -> dict[str, Any]:
    """One line of the list: {"name", "folder", "parameters", "context", "bytes", "storage", "error"}.

    `error` says why a model cannot be used; the facts are then None.
    """
    from runtime.model import find_model, has_tokenizer
    from runtime.models.families import open_model

    entry: dict[str, Any] = {"name": name, "folder": str(folder)}
    entry |= dict.fromkeys(("parameters", "context", "bytes", "storage", "error"))
    try:
        path = find_model(folder)
        stored = open_model(path)
        if not has_tokenizer(path, stored.weights.file):
            raise ValueError("no tokenizer.json: the model cannot read text")
        sizes = storage(stored.weights.file)
        entry |= {
            "parameters": stored.spec.n_params(),
            "context": stored.spec.max_context,
            "bytes": sum(sizes.values()),
            "storage": max(sizes, key=lambda kind: sizes[kind]),
        }
    except (FormatError, OSError, ValueError) as error:
        entry["error"] = " ".join(str(error).split())
    return entry


def storage(file) -> Counter:
    """Storage type -> bytes, of the tensors of a WeightFile."""
    sizes: Counter = Counter()
    for name in file.names():
        sizes[file.type(name)] += file.nbytes(name)
    return sizes


def inspect(name_or_path: str, tensors: bool = False) -> dict[str, Any]:
    """Everything about one model; also of a file that this engine cannot run, as far as its header says it.

    FileNotFoundError and FormatError only where not even the header can be read.
    """
    from runtime.files.tensors import open_weights
    from runtime.model import find_model, has_tokenizer
    from runtime.models.families import open_model

    path = find_model(name_or_path)
    file = open_weights(path)
    sizes = storage(file)
    facts: dict[str, Any] = {"path": str(path), "format": "GGUF" if file.is_gguf else "safetensors"}
    facts |= {"family": None, "parameters": None, "layers": None, "width": None, "heads": None, "vocabulary": None}
    facts |= {"context": None, "kv_per_token": None}
    facts |= {
        "bytes": sum(sizes.values()),
        "storage": dict(sizes.most_common()),
        "tokenizer": has_tokenizer(path, file),
    }
    try:
        stored = open_model(path)
        spec = stored.spec
        facts |= {
            "family": stored.config.get("model_type"),
            "parameters": spec.n_params(),
            "layers": spec.n_layers,
            "width": spec.d_model,
            "heads": f"{spec.n_heads} x {spec.head_dim}, {spec.n_kv_heads} of keys and values",
            "vocabulary": spec.vocab_size,
            "context": spec.max_context,
            "kv_per_token": 4 * spec.n_layers * spec.kv_width,  # keys and values as float16
        }
        for kind in sizes:
            file.tensor(next(name for name in file.names() if file.type(name) == kind))
        facts["error"] = None
    except (FormatError, ValueError) as error:
        if file.is_gguf:
            facts["family"] = file.metadata.text("general.architecture", "unknown")
        facts["error"] = " ".join(str(error).split())
    if tensors:
        facts["tensors"] = [{"name": n, "type": file.type(n), "shape": list(file.shape(n))} for n in file.names()]
    return facts
