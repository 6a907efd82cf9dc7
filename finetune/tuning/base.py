"""The model that a tuning starts from, and the folder that it ends in: same config, same tokenizer, other weights.

A result is written beside its place and renamed, so that a name never stands for half a model. Knows no training.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_text, fsync_folder
from runtime.files.errors import FormatError
from runtime.files.hf_config import own_section
from runtime.files.safetensors import write_safetensors
from runtime.folders import models_folder
from runtime.model import find_model, with_served_context
from runtime.models.decoder import check_trainable
from runtime.models.families import open_model
from runtime.models.spec import DecoderSpec
from runtime.text import FimFormat, load_tokenizer

_COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
    "chat_template.jinja",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True)
class Base:
    """name: as the user knows it. spec: with the context that is served. weights: float32 by canonical name.

    to_stored: turns such weights into those of the base's own files; None: they are the same.
    """

    name: str
    folder: Path
    config: dict
    spec: DecoderSpec
    tokenizer: object
    weights: dict[str, np.ndarray]
    to_stored: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] | None = None

    @property
    def suffix_first(self) -> bool:
        """Whether completion puts the suffix before the prefix."""
        return own_section(self.config).get("fim_order") == "spm"

    @property
    def has_chat(self) -> bool:
        return {"<|im_start|>", "<|im_end|>"} <= set(self.tokenizer.special)


def load_base(path_or_name: str | None) -> Base:
    """Raises FileNotFoundError, FormatError, ValueError with a sentence: no such model, another family, no tokenizer,
    no fill-in-the-middle tokens."""
    folder = find_model(path_or_name)
    name = "embedded" if path_or_name in (None, "default") else folder.name
    stored = open_model(folder)
    spec = stored.spec
    check_trainable(spec)
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"the model {name!r} has no tokenizer.json: it cannot read text")
    tokenizer = load_tokenizer(folder)
    if FimFormat.find(tokenizer.special) is None or "<|endoftext|>" not in tokenizer.special:
        raise ValueError(
            f"the tokenizer of the model {name!r} has no tokens to fill in the middle (<|fim_prefix|> … and "
            "<|endoftext|>): it cannot learn completion"
        )
    if tokenizer.vocab_size > spec.vocab_size:
        message = f"the tokenizer has {tokenizer.vocab_size} entries, the model only {spec.vocab_size}"
        raise FormatError("vocabulary", folder / "tokenizer.json", None, message)
    spec = with_served_context(spec, folder / "config.json")
    weights = {name: stored.weights.float32(name) for name in spec.weight_shapes()}
    return Base(name, folder, stored.config, spec, tokenizer, weights, stored.weights.to_stored)


def target_of(out: str | None, repository: str) -> tuple[str, Path]:
    """(name or path to give to --model, folder) of a result. out: a name in the models folder, or a path.

    Raises ValueError for a name that could not be loaded.
    """
    if out is None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", repository).strip("-._")[:80] or "repository"
        return f"{name}-tuned", models_folder() / f"{name}-tuned"
    if os.sep in out or (os.altsep and os.altsep in out) or out in (".", ".."):
        return out, Path(out).expanduser().absolute()
    if not _NAME.match(out) or out == "default":
        raise ValueError(f"--out {out!r}: a name is made of letters, digits and . _ -; a folder is written with a /")
    return out, models_folder() / out


def write_model(folder: Path, base: Base, weights: Mapping[str, np.ndarray], about: Mapping) -> None:
    """A model folder in `folder`: bfloat16 weights, the base's config with `about` in its own section, its tokenizer
    byte for byte. Raises FormatError if the tokenizer was changed meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, folder / name)
    if load_tokenizer(folder).sha256 != base.tokenizer.sha256:
        raise FormatError("tokenizer", base.folder / "tokenizer.json", None, "was changed while the tuning ran")
    config = dict(base.config) | {"hearth": own_section(base.config) | {"tuned": dict(about)}}
    stored = base.to_stored(weights) if base.to_stored else weights
    write_safetensors(folder / "model.safetensors", stored, {"format": "pt"}, dtypes="BF16")
    atomic_write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def install(source: Path, target: Path) -> None:
    """Put a copy of the folder `source` in the place of `target`; what stood there goes once the new one is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = _beside(target, "new"), _beside(target, "old")
    if old.exists() and not target.exists():  # somebody was killed between the two renames below
        os.rename(old, target)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    try:
        shutil.copytree(source, new)
        for file in new.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as stream:
                    os.fsync(stream.fileno())
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
        fsync_folder(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path, what: str) -> Path:
    """A name on the same file system. For a model of the models folder outside of that folder, where every folder is
    taken for a model."""
    place = target.parent.parent if target.parent == models_folder() else target.parent
    return place / f".{target.name}.{what}"
