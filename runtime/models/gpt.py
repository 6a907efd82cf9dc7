"""GPT: the decoder of GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each part, GELU, biases.

The head is the token table once more (tied). Weights start as the paper says: normal with std 0.02, projections into
the residual stream divided by sqrt(2 * layers), biases 0. `from_hugging_face` takes the weights of a GPT-2 checkpoint
under their names there, `to_hugging_face` gives them back. Knows no cache: it is made for training and reading.

Shapes: B batch, T positions, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from runtime.files.errors import FormatError
from runtime.models.checks import check_ids, flat_targets
from runtime.nn.attention import Attention
from runtime.nn.block import TransformerBlock
from runtime.nn.feed_forward import FeedForward
from runtime.nn.initialisers import gpt2
from runtime.nn.layers import Embedding, LayerNorm
from runtime.nn.module import Module
from runtime.nn.positions import LearnedPositions
from runtime.tensor import Tensor, gelu, linear, linear_cross_entropy, reshape


@dataclass(frozen=True)
class GPTSpec:
    """The shape of a GPT; as it stands, GPT-2 small with its 124 million parameters. The inner width is 4 d."""

    vocab_size: int = 50257
    n_layers: int = 12
    n_heads: int = 12
    d_model: int = 768
    max_context: int = 1024
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_layers", "n_heads", "d_model", "max_context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")


class GPT(Module):
    """Parameters: embed_tokens (V, d), embed_positions (max_context, d), blocks.N.*, norm; see TransformerBlock."""

    def __init__(self, spec: GPTSpec, seed: int = 0) -> None:
        self.spec = spec
        d, rng = spec.d_model, np.random.default_rng(seed)
        start = {"initialiser": gpt2(), "out_initialiser": gpt2(residual_layers=spec.n_layers)}
        self.embed_tokens = Embedding(spec.vocab_size, d, rng, gpt2())
        self.embed_positions = LearnedPositions(spec.max_context, d, rng)
        self.blocks = [
            TransformerBlock(
                Attention(d, spec.n_heads, rng, **start),
                LayerNorm(d, spec.norm_eps),
                FeedForward(d, 4 * d, rng, lambda x: gelu(x, "tanh"), **start),
                LayerNorm(d, spec.norm_eps),
            )
            for _ in range(spec.n_layers)
        ]
        self.norm = LayerNorm(d, spec.norm_eps)

    def hidden(self, ids: np.ndarray) -> Tensor:
        """Final normalised states of int32 ids (B, T) -> (B*T, d)."""
        B, T = check_ids(ids, self.spec.vocab_size, self.spec.max_context)
        x = self.embed_positions(self.embed_tokens(ids))  # (B, T, d)
        for block in self.blocks:
            x = block(x)
        return reshape(self.norm(x), (B * T, self.spec.d_model))

    def logits(self, ids: np.ndarray) -> Tensor:
        """Scores (B, T, V) of what follows each of the int32 ids (B, T)."""
        return reshape(linear(self.hidden(ids), self.embed_tokens.weight), (*np.shape(ids), self.spec.vocab_size))

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean cross-entropy in nats of targets (B, T), negative targets ignored; shape ()."""
        flat = flat_targets(ids, targets, self.spec.vocab_size)
        return linear_cross_entropy(self.hidden(ids), self.embed_tokens.weight, flat)

    # ---- GPT-2 checkpoints ---------------------------------------------------------------------------------------

    @staticmethod
    def from_hugging_face(config: Mapping, weights: Mapping[str, np.ndarray], path: object = "model") -> GPT:
        """A GPT with the weights of a GPT2LMHeadModel (names with or without "transformer.").

        FormatError names what the config asks for and this class is not, or the tensor that is missing or has another
        shape.
        """
        model = GPT(_spec(config, path))
        own = model.parameters()
        for theirs, ours, turned in _names(model.spec):
            found = weights.get(theirs, weights.get("transformer." + theirs))
            if found is None:
                raise FormatError("missing_tensor", path, None, f"the file lacks {theirs}")
            values = np.asarray(found).T if turned else np.asarray(found)
            if values.shape != own[ours].shape:
                raise FormatError(
                    "shape", path, None, f"{theirs} has shape {np.shape(found)}, not what the config says"
                )
            own[ours].data[...] = values
        return model

    def to_hugging_face(self) -> dict[str, np.ndarray]:
        """GPT2LMHeadModel's name -> array, by which `load_state_dict(..., strict=False)` and tie_weights() work."""
        own = self.parameters()
        return {
            "transformer." + theirs: np.ascontiguousarray(own[ours].data.T if turned else own[ours].data)
            for theirs, ours, turned in _names(self.spec)
        }


_IN_A_BLOCK = {  # GPT-2's name -> ours
    "ln_1": "norm1",
    "attn.c_attn": "attention.qkv",  # query, key and value one after another, as here
    "attn.c_proj": "attention.out",
    "ln_2": "norm2",
    "mlp.c_fc": "feed_forward.up",
    "mlp.c_proj": "feed_forward.down",
}


def _names(spec: GPTSpec) -> Iterator[tuple[str, str, bool]]:
    """(GPT-2's name, ours, whether the matrix is turned): its `Conv1D` layers keep weights as (in, out)."""
    yield "wte.weight", "embed_tokens.weight", False
    yield "wpe.weight", "embed_positions.weight", False
    for n in range(spec.n_layers):
        for theirs, ours in _IN_A_BLOCK.items():
            for kind in ("weight", "bias"):
                turned = kind == "weight" and not theirs.startswith("ln")
                yield f"h.{n}.{theirs}.{kind}", f"blocks.{n}.{ours}.{kind}", turned
    yield "ln_f.weight", "norm.weight", False
    yield "ln_f.bias", "norm.bias", False


def _spec(config: Mapping, path: object) -> GPTSpec:
    """GPTSpec of a Hugging Face GPT2Config dict; keys that it leaves out are GPT-2 small's."""
    only = {"model_type": "gpt2", "activation_function": "gelu_new", "scale_attn_weights": True}
    only |= {"scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True, "add_cross_attention": False}
    for key, value in only.items():
        if config.get(key, value) != value:
            raise FormatError("unsupported_model", path, None, f"{key} = {config[key]!r} is not supported")
    keys = {"vocab_size": "vocab_size", "n_layers": "n_layer", "n_heads": "n_head", "d_model": "n_embd"}
    keys |= {"max_context": "n_positions", "norm_eps": "layer_norm_epsilon"}
    try:
        spec = GPTSpec(**{ours: config[theirs] for ours, theirs in keys.items() if theirs in config})
    except (TypeError, ValueError) as error:
        raise FormatError("value", path, None, str(error)) from None
    if config.get("n_inner") not in (None, 4 * spec.d_model):
        raise FormatError("unsupported_model", path, None, f"n_inner = {config['n_inner']!r} is not supported")
    return spec
