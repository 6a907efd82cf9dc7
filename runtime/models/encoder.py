"""Encoder: a BERT (Devlin et al. 2019): every position sees the whole row, masked tokens are guessed from both sides.

Token, position and segment embeddings are added; each layer is post-norm. The head (dense, GELU, norm, the token table
once more and a bias) is computed only where something is to be guessed. A row is `[CLS] first [SEP] second [SEP]` and
padding; what belongs to the second piece and what is padding can be read off its ids. Knows no way to choose the
masked positions: `finetune/data/masked.py`.

Shapes: B batch, T positions, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from runtime.models.checks import check_ids, flat_targets
from runtime.models.encoder_spec import EncoderSpec
from runtime.nn.attention import Attention
from runtime.nn.block import TransformerBlock
from runtime.nn.feed_forward import FeedForward
from runtime.nn.initialisers import gpt2
from runtime.nn.layers import Dense, Embedding, LayerNorm, parameter
from runtime.nn.module import Module
from runtime.nn.positions import LearnedPositions
from runtime.tensor import Tensor, add, cross_entropy, embedding, gelu, linear, reshape

_SIZES = (
    *("vocab_size", "sep_id", "pad_id", "d_model", "n_layers", "n_heads", "d_ff", "max_context"),
    *("n_segments", "norm_eps"),
)


class Encoder(Module):
    """Parameters: embed_tokens (V, d), embed_positions, embed_segments, embed_norm, blocks.N.*, head_*.

    ValueError for a spec with other settings than BERT's: those are served, not trained.
    """

    def __init__(self, spec: EncoderSpec, seed: int = 0) -> None:
        sizes = {name: getattr(spec, name) for name in _SIZES}
        if spec != EncoderSpec(**sizes) or None in (spec.sep_id, spec.pad_id) or not spec.n_segments:
            raise ValueError("only encoders with the settings of BERT can be trained")
        self.spec = spec
        d, eps, rng = spec.d_model, spec.norm_eps, np.random.default_rng(seed)
        self.embed_tokens = Embedding(spec.vocab_size, d, rng, gpt2())
        self.embed_positions = LearnedPositions(spec.max_context, d, rng)
        self.embed_segments = Embedding(spec.n_segments, d, rng, gpt2())
        self.embed_norm = LayerNorm(d, eps)
        self.blocks = [
            TransformerBlock(
                Attention(d, spec.n_heads, rng, causal=False, initialiser=gpt2()),
                LayerNorm(d, eps),
                FeedForward(d, spec.d_ff, rng, gelu, initialiser=gpt2()),
                LayerNorm(d, eps),
                pre_norm=False,
            )
            for _ in range(spec.n_layers)
        ]
        self.head_dense = Dense(d, d, rng, initialiser=gpt2())
        self.head_norm = LayerNorm(d, eps)
        self.head_bias = parameter(np.zeros(spec.vocab_size, dtype=np.float32))

    def token_types(self, ids: np.ndarray) -> np.ndarray:
        """Segments int32 (B, T): 0 up to the first separator and with it, 1 after it."""
        is_sep = ids == self.spec.sep_id
        return ((np.cumsum(is_sep, axis=1) - is_sep) > 0).astype(np.int32)

    def mask(self, ids: np.ndarray) -> np.ndarray:
        """bool (B, T): False where the row is filled up."""
        return ids != self.spec.pad_id

    def hidden(self, ids: np.ndarray, mask: np.ndarray | None = None, token_types: np.ndarray | None = None) -> Tensor:
        """States (B*T, d) of int32 ids (B, T). mask (B, T): 1 for text, 0 for padding, which stands at the row's end.

        token_types (B, T): the segment of each position. Without them both are read off the ids. What comes out at
        padding means nothing.
        """
        B, T = check_ids(ids, self.spec.vocab_size, self.spec.max_context)
        lengths = _lengths(self.mask(ids) if mask is None else mask, (B, T))
        types = np.asarray(self.token_types(ids) if token_types is None else token_types, dtype=np.int32)
        if types.shape != (B, T) or int(types.min()) < 0 or int(types.max()) >= self.spec.n_segments:
            raise ValueError(f"token_types must be {(B, T)} numbers below {self.spec.n_segments}")
        x = add(self.embed_tokens(ids), self.embed_segments(types))  # (B, T, d)
        x = self.embed_norm(self.embed_positions(x))
        for block in self.blocks:
            x = block(x, lengths=None if (lengths == T).all() else lengths)
        return reshape(x, (B * T, self.spec.d_model))

    def scores(self, states: Tensor) -> Tensor:
        """The masked-LM head: states (R, d) -> scores (R, V)."""
        x = self.head_norm(gelu(self.head_dense(states)))
        return linear(x, self.embed_tokens.weight, bias=self.head_bias)

    def logits(self, ids: np.ndarray, mask: np.ndarray | None = None, token_types: np.ndarray | None = None) -> Tensor:
        """Scores (B, T, V) of what stands at each position of int32 ids (B, T); arguments as `hidden`."""
        return reshape(self.scores(self.hidden(ids, mask, token_types)), (*np.shape(ids), self.spec.vocab_size))

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        """Mean cross-entropy in nats of the targets (B, T) that are not negative; shape ()."""
        flat = flat_targets(ids, targets, self.spec.vocab_size)
        places = np.flatnonzero(flat >= 0).astype(np.int32)
        if not places.size:
            raise ValueError("there is nothing to guess: every target is negative")
        states = embedding(self.hidden(ids), places)  # the rows of the places alone, (R, d)
        return cross_entropy(self.scores(states), np.ascontiguousarray(flat[places]))

    # ---- BERT checkpoints ----------------------------------------------------------------------------------------

    def load_hugging_face(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take the weights of a BertForMaskedLM of the same shape. KeyError or ValueError name the one that differs."""
        own = self.parameters()
        for ours, theirs in _names(self.spec):
            values = np.concatenate([np.asarray(weights[name]) for name in theirs])
            if values.shape != own[ours].shape:
                raise ValueError(f"{theirs[0]}: shape {values.shape}, expected {own[ours].shape}")
            own[ours].data[...] = values

    def to_hugging_face(self) -> dict[str, np.ndarray]:
        """BertForMaskedLM's name -> array, by which `load_state_dict(..., strict=False)` and tie_weights() work."""
        own, found = self.parameters(), {}
        for ours, theirs in _names(self.spec):
            found |= dict(zip(theirs, np.split(own[ours].data, len(theirs)), strict=True))
        return found


def _lengths(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Positions of each row before its padding, (B,); ValueError for padding before text and for rows without text."""
    mask = np.asarray(mask) != 0
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, the ids {shape}")
    lengths = mask.sum(axis=1)
    if not lengths.all() or (mask != (np.arange(shape[1]) < lengths[:, None])).any():
        raise ValueError("the padding must stand at the end of each row, after at least one token")
    return lengths


_IN_A_LAYER = {  # ours -> BERT's, stacked by rows
    "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.out": ("attention.output.dense",),
    "norm1": ("attention.output.LayerNorm",),
    "feed_forward.up": ("intermediate.dense",),
    "feed_forward.down": ("output.dense",),
    "norm2": ("output.LayerNorm",),
}


def _names(spec: EncoderSpec) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(our name, the names of a BertForMaskedLM that it consists of)."""
    at = "bert.embeddings."
    yield "embed_tokens.weight", (at + "word_embeddings.weight",)
    yield "embed_positions.weight", (at + "position_embeddings.weight",)
    yield "embed_segments.weight", (at + "token_type_embeddings.weight",)
    pairs = {"embed_norm": (at + "LayerNorm",)}
    for n in range(spec.n_layers):
        layer = f"bert.encoder.layer.{n}."
        pairs |= {f"blocks.{n}.{ours}": tuple(layer + name for name in theirs) for ours, theirs in _IN_A_LAYER.items()}
    pairs |= {"head_dense": ("cls.predictions.transform.dense",), "head_norm": ("cls.predictions.transform.LayerNorm",)}
    for ours, theirs in pairs.items():
        for kind in ("weight", "bias"):
            yield f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs)
    yield "head_bias", ("cls.predictions.bias",)
