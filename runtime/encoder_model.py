"""EncoderModel: an encoder with its tokenizer, ready to turn texts into states and vectors; `load_encoder` reads one.

What the vectors are good for (retrieval) is not known here. Any number of threads may call a model at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from runtime.engine.encoder_network import PRECISIONS, EncoderNetwork
from runtime.files.errors import FormatError
from runtime.files.hf_config import read_config
from runtime.files.tensors import open_weights
from runtime.models.encoder_spec import EncoderSpec
from runtime.models.sources import CanonicalWeights, by_bare_name
from runtime.pooling import Pooling, read_pooling
from runtime.text import load_tokenizer

ROWS = 2048  # tokens of one pass: enough for the full speed of the products, little enough to stay in the caches
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\Z")


class EncoderModel:
    """config: the Hugging Face config; spec: its EncoderSpec; tokenizer: or None; pooling: how texts become vectors."""

    def __init__(
        self, name: str, config: dict, spec: EncoderSpec, tokenizer, network: EncoderNetwork, pooling: Pooling
    ) -> None:
        self.name, self.config, self.spec, self.tokenizer = name, config, spec, tokenizer
        self.network, self.pooling = network, pooling
        self.max_length = min(pooling.max_length or spec.max_context, spec.max_context)

    def hidden(self, ids: Sequence[int], mask=None, token_types=None) -> np.ndarray:
        """float32 (T, d): states after the last layer (and the final norm, if there is one) of one sequence.

        mask (T,): 0 for positions that no position sees. token_types (T,): segments, 0 if not given. ids are taken as
        they are. ValueError if ids are empty, outside the vocabulary or too many, or if shapes or types do not fit.
        """
        ids = self._checked(ids)
        if mask is not None:
            mask = np.asarray(mask) != 0
            if mask.shape != ids.shape or not mask.any():
                raise ValueError(f"mask must be {ids.shape} numbers, not all of them 0")
        return self.network.run([ids], self._checked_types(token_types, ids.shape), mask)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, d): a vector for each text, pooled and normalised as the folder declares (else mean, normalised).

        Texts are cut to `max_length` tokens. Their text is data: what looks like a special token is plain text.
        ValueError without a tokenizer, TypeError for anything but texts.
        """
        if self.tokenizer is None:
            raise ValueError(f"the model {self.name!r} has no tokenizer: it cannot embed texts")
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("embed takes a list of texts")
        rows = [self._ids(text) for text in texts]
        vectors = np.zeros((len(rows), len(self.pooling.modes) * self.spec.d_model), np.float32)
        # texts of like length stand together, so that a pass is neither much longer nor much shorter than ROWS
        order = sorted((n for n in range(len(rows)) if len(rows[n])), key=lambda n: len(rows[n]))
        while order:
            part, count = [], 0
            while order and (not part or count + len(rows[order[-1]]) <= ROWS):
                part.append(order.pop())
                count += len(rows[part[-1]])
            states = self.network.run([rows[n] for n in part])
            at = 0
            for n in part:
                vectors[n] = self.pooling(states[at : at + len(rows[n])])
                at += len(rows[n])
        return vectors

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """An encoder scores no next token: ValueError."""
        raise ValueError(f"the model {self.name!r} is an encoder: it has hidden and embed, but no scores")

    def generate(self, *args, **options):
        """An encoder writes no text: ValueError."""
        raise ValueError(f"the model {self.name!r} is an encoder: it cannot generate text")

    infill = generate

    def _ids(self, text: str) -> np.ndarray:
        text = (self.pooling.prompt + text).strip()
        template = self.tokenizer.spec.template  # ids of special tokens, None for the text between them
        body = self.tokenizer.encode_array(text.lower() if self.pooling.lower else text)
        body = body[: max(0, self.max_length - len(template) + 1)]
        parts = [body if i is None else [i] for i in template]
        return self._within(np.concatenate(parts)[: self.max_length].astype(np.int32))

    def _within(self, ids: np.ndarray) -> np.ndarray:
        if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= self.spec.vocab_size):
            low, high = int(ids.min()), int(ids.max())
            raise ValueError(f"ids reach from {low} to {high}, outside the vocabulary of {self.spec.vocab_size}")
        return ids

    def _checked(self, ids: Sequence[int]) -> np.ndarray:
        array = np.asarray(ids)
        if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
            raise ValueError("ids must be a non-empty sequence of integers")
        if array.size > self.spec.max_context:
            raise ValueError(f"{array.size} ids exceed the context of {self.spec.max_context}")
        return self._within(array).astype(np.int32)

    def _checked_types(self, token_types, shape: tuple[int, ...]) -> np.ndarray | None:
        if token_types is None:
            return None
        types, n = np.asarray(token_types), self.spec.n_segments
        if n == 0:
            raise ValueError("this model has no token types: token_types must be None")
        if types.shape != shape or types.dtype.kind not in "iu" or int(types.min()) < 0 or int(types.max()) >= n:
            raise ValueError(f"token_types must be {shape} integers below {n}")
        return types.astype(np.int32)


def encoder_family(model_type: object) -> ModuleType | None:
    """The family file of an encoder, or None. A model_type comes from outside: it must look like an identifier."""
    if isinstance(model_type, str) and _NAME.match(model_type):
        name = f"runtime.models.{model_type}"
        if importlib.util.find_spec(name):
            module = importlib.import_module(name)
            return module if getattr(module, "IS_ENCODER", False) else None
    return None


def load_encoder(folder: str | os.PathLike, weights: str = "auto") -> EncoderModel | None:
    """The encoder in a folder with config.json and *.safetensors; None if the model there is no encoder.

    weights: "auto" and "f32" (exact), "bf16", "q8_0". Raises FileNotFoundError, FormatError, ValueError.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        return None
    config = read_config(folder)
    family = encoder_family(config.get("model_type"))
    if family is None:
        return None
    precision = "f32" if weights == "auto" else weights
    if precision not in PRECISIONS:
        raise ValueError(f"an encoder's weights must be one of auto, {', '.join(PRECISIONS)}, got {weights!r}")
    spec = family.spec(config, folder / "config.json")
    file = open_weights(folder)
    stored = CanonicalWeights(file, family.sources(spec, config, by_bare_name(file)))
    tokenizer = load_tokenizer(folder) if (folder / "tokenizer.json").is_file() else None
    if tokenizer is not None and tokenizer.vocab_size > spec.vocab_size:
        message = f"the tokenizer has {tokenizer.vocab_size} entries, the model only {spec.vocab_size}"
        raise FormatError("vocabulary", folder / "tokenizer.json", None, message)
    network = EncoderNetwork(spec, stored, precision)
    return EncoderModel(folder.name, config, spec, tokenizer, network, read_pooling(folder))
