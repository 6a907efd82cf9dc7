"""EncoderSpec: everything that distinguishes one encoder (BERT and its relatives) from another, as data.

The same spec is served (`runtime.engine.encoder_network`) and, with BERT's own settings, trained
(`runtime.models.encoder`). A family is one file that maps its Hugging Face config and tensor names onto it
(`runtime/models/bert.py`). Knows no files and no weights' values.

Canonical names of the weights (d d_model, F d_ff, V vocab_size; matrices are (out, in); a .bias where the spec says):
    model.embed_tokens.weight (V, d)   model.embed_positions.weight (rows, d) where positions are learned
    model.embed_segments.weight (n_segments, d)   model.embed_norm, model.norm (d,): the latter in layout "pre"
    model.layers.N.  self_attn.{q,k,v,o}_proj (d, d)   attention_norm, mlp_norm (d,)
                     mlp.gate_proj (F, d) if gated   mlp.up_proj (F, d)   mlp.down_proj (d, F)
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.nn.rotary import RopeSpec

ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu")
GATED_ACTIVATIONS = ("gelu", "gelu_tanh", "silu")


@dataclass(frozen=True)
class EncoderSpec:
    """The shape of an encoder; with the defaults: BERT's.

    sep_id, pad_id: tokens that end a piece and that fill a row up; None where the model does not say.
    """

    vocab_size: int
    sep_id: int | None
    pad_id: int | None
    d_model: int = 128
    n_layers: int = 2
    n_heads: int = 2
    d_ff: int = 512
    max_context: int = 128
    n_segments: int = 2  # 0: none
    norm_eps: float = 1e-12
    # ---- norms: "post": norm(x + f(x)); "pre": x + f(norm(x)), none before the first attention, one after the last
    norm_layout: str = "post"
    norm_bias: bool = True
    activation: str = "gelu"
    gated: bool = False  # down(activation(gate(h)) * up(h))
    attention_bias: bool = True  # of all four projections
    mlp_bias: bool = True
    positions: str = "learned"  # or "rope"
    counted_positions: bool = False  # RoBERTa: text counts from pad_id + 1 on, padding stands at pad_id
    rope: RopeSpec | None = None
    local_rope: RopeSpec | None = None  # for layers with a window, where it differs
    windows: tuple[int, ...] = ()  # of each layer: a position sees those less than `window` away; 0: all

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "d_ff", "max_context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if not isinstance(self.n_segments, int) or self.n_segments < 0:
            raise ValueError(f"n_segments must be an integer of at least 0, got {self.n_segments!r}")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        for name in ("sep_id", "pad_id"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < self.vocab_size:
                raise ValueError(f"{name} {value} is outside the vocabulary of {self.vocab_size}")
        for name, known in (("norm_layout", ("post", "pre")), ("positions", ("learned", "rope"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not supported; supported: {', '.join(known)}")
        activations = GATED_ACTIVATIONS if self.gated else ACTIVATIONS
        if self.activation not in activations:
            raise ValueError(f"activation {self.activation!r} is not supported; supported: {', '.join(activations)}")
        if self.counted_positions and (self.pad_id is None or self.positions != "learned"):
            raise ValueError("positions that are counted from the padding need a pad_id and a table")
        if (self.positions == "rope") != (self.rope is not None):
            raise ValueError("rope is given exactly where positions are 'rope'")
        for rope in (self.rope, self.local_rope):
            if rope is not None and (rope.dim != self.head_dim or rope.interleaved):
                raise ValueError(f"an encoder rotates whole heads of {self.head_dim} values, not {rope.dim} of them")
        windows = tuple(self.windows) or (0,) * self.n_layers
        if len(windows) != self.n_layers or min(windows) < 0:
            raise ValueError(f"windows must be {self.n_layers} numbers of at least 0, got {windows}")
        object.__setattr__(self, "windows", windows)

    @property
    def head_dim(self) -> int:
        return self.d_model // self.n_heads

    @property
    def position_rows(self) -> int:
        """Rows of the table of positions; 0 without one."""
        if self.positions != "learned":
            return 0
        return self.max_context + (self.pad_id + 1 if self.counted_positions else 0)

    def rope_of(self, layer: int) -> RopeSpec | None:
        """How a layer rotates its queries and keys; None if it does not."""
        return self.local_rope if self.local_rope and self.windows[layer] else self.rope

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name -> shape of every weight that the final states need, in file order."""
        d = self.d_model
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, d)}

        def part(name: str, shape: tuple[int, ...], bias: bool) -> None:
            shapes[name + ".weight"] = shape
            if bias:
                shapes[name + ".bias"] = shape[:1]

        if self.position_rows:
            shapes["model.embed_positions.weight"] = (self.position_rows, d)
        if self.n_segments:
            shapes["model.embed_segments.weight"] = (self.n_segments, d)
        part("model.embed_norm", (d,), self.norm_bias)
        for n in range(self.n_layers):
            p = f"model.layers.{n}."
            for name in "qkvo":
                part(f"{p}self_attn.{name}_proj", (d, d), self.attention_bias)
            if self.norm_layout == "post" or n:
                part(p + "attention_norm", (d,), self.norm_bias)
            for name in ("gate_proj", "up_proj") if self.gated else ("up_proj",):
                part(f"{p}mlp.{name}", (self.d_ff, d), self.mlp_bias)
            part(p + "mlp.down_proj", (d, self.d_ff), self.mlp_bias)
            part(p + "mlp_norm", (d,), self.norm_bias)
        if self.norm_layout == "pre":
            part("model.norm", (d,), self.norm_bias)
        return shapes
