"""Keys: reads a Hugging Face config key by key, with a default, a type, a range, and an error that names the key.

Knows no family. A key that is null counts as absent, except for `get`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from runtime.files import limits
from runtime.files.errors import FormatError

# What the transformers library calls the activations that a DecoderSpec has.
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu2",
    "quick_gelu": "quick_gelu",
}


class Keys:
    """One config. Every reader takes the names a key may have, in order, and raises FormatError that names it."""

    def __init__(self, config: Mapping, path: object = "config.json") -> None:
        self.config, self.path = config, path

    def error(self, kind: str, message: str) -> FormatError:
        return FormatError(kind, self.path, None, message)

    def unsupported(self, key: str, supported: str) -> FormatError:
        """FormatError: the value of a key asks for what this engine lacks."""
        return self.error("unsupported_model", f"{key} = {self.config.get(key)!r:.60} is not supported; {supported}")

    def get(self, key: str, default=None):
        """As stored: null stays None."""
        return self.config.get(key, default)

    def _first(self, names: tuple[str, ...]) -> tuple[str, object]:
        for name in names:
            if self.config.get(name) is not None:
                return name, self.config[name]
        return names[0], None

    def integer(self, *names: str, default: int | None = None, low: int = 1, high: int = limits.DIM) -> int:
        name, value = self._first(names)
        if value is None:
            if default is None:
                raise self.error("missing_key", f"the config lacks {name!r}")
            return default
        if type(value) is not int or not low <= value <= high:
            raise self.error("value", f"{name} must be an integer from {low} to {high}, not {value!r:.40}")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        name, value = self._first(names)
        if value is None:
            if default is None:
                raise self.error("missing_key", f"the config lacks {name!r}")
            return default
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.error("value", f"{name} must be a finite number, not {value!r:.40}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if type(value) is not bool:
            raise self.error("value", f"{name} must be true or false, not {value!r:.40}")
        return value

    def activation(self, *names: str, default: str) -> str:
        """The DecoderSpec's name of an activation."""
        name, value = self._first(names)
        value = default if value is None else value
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise self.unsupported(name, f"supported: {', '.join(_ACTIVATIONS)}")
        return _ACTIVATIONS[value]

    def layer_list(self, name: str, layers: int) -> list | None:
        """A list with one entry for each layer, or None."""
        value = self.config.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) < layers:
            raise self.error("value", f"{name} must be a list of {layers} entries, one for each layer")
        return value[:layers]

    def window(self, default: int | None) -> int:
        """sliding_window, 0 for none. The default stands for an absent key; null means none."""
        value = self.config.get("sliding_window", default)
        if value is None:
            return 0
        if type(value) is not int or not 1 <= value <= limits.CONTEXT:
            raise self.error("value", f"sliding_window must be an integer from 1 or null, not {value!r:.40}")
        return value

    def windows(self, layers: int, window: int, sliding) -> tuple[int, ...]:
        """Window of each layer: of those that layer_types calls "sliding_attention", or without it those in `sliding`.

        sliding: function of the layer's number.
        """
        kinds = self.layer_list("layer_types", layers)
        if kinds is None:
            return tuple(window if sliding(n) else 0 for n in range(layers))
        unknown = [kind for kind in kinds if kind not in ("full_attention", "sliding_attention")]
        if unknown:
            message = f"layer type {unknown[0]!r:.40} is not supported; supported: full_attention, sliding_attention"
            raise self.error("unsupported_model", message)
        return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)

    # ---- what nearly all families spell alike --------------------------------------------------------------------

    def sizes(self, vocab_size: int | None = None, n_heads: int | None = None) -> dict[str, int]:
        """vocab_size, d_model, n_layers, n_heads of DecoderSpec under their usual keys; the arguments are defaults."""
        return {
            "vocab_size": self.integer("vocab_size", default=vocab_size, high=limits.VOCABULARY),
            "d_model": self.integer("hidden_size", "n_embd", high=limits.WIDTH),
            "n_layers": self.integer("num_hidden_layers", "n_layer", high=limits.LAYERS),
            "n_heads": self.integer("num_attention_heads", "n_head", default=n_heads, high=limits.HEADS),
        }

    def kv_heads(self, heads: int, default: int | None = None) -> int:
        """num_key_value_heads; null means as many as heads, absent means the default (None: as many as heads)."""
        if "num_key_value_heads" not in self.config and default is not None:
            kv_heads = default
        else:
            kv_heads = self.integer("num_key_value_heads", default=heads, high=limits.HEADS)
        if heads % kv_heads:
            raise self.error("value", f"{heads} attention heads are not divisible by {kv_heads} key/value heads")
        return kv_heads

    def head_dim(self, width: int, heads: int, default: int | None = None) -> int:
        """head_dim, or the default, or width / heads."""
        if self.config.get("head_dim") is None and default is None and width % heads:
            raise self.error("value", f"hidden_size {width} is not divisible by {heads} attention heads")
        return self.integer("head_dim", default=default or width // heads, high=limits.HEAD_DIM)

    def context(self, default: int, *names: str) -> int:
        """Positions the model was made for (max_position_embeddings); FormatError if they are null."""
        names = names or ("max_position_embeddings",)
        if any(name in self.config for name in names) and self._first(names)[1] is None:
            raise self.error("value", f"{names[0]} must be an integer, not null")
        return self.integer(*names, default=default, high=limits.CONTEXT)

    def build(self, make, **fields):
        """make(**fields), its ValueError turned into a FormatError about this config."""
        try:
            return make(**fields)
        except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
            raise self.error("value", str(error)) from None
