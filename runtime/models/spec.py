"""DecoderSpec: everything that distinguishes one decoder from another, as data.

The same spec is compiled into the serving plan (`runtime.engine.network`), built as a differentiable network
(`runtime.models.decoder`) and written as a numpy twin (`runtime.models.twin`). A model family is one file that maps its
Hugging Face config and the names of its tensors onto this spec (`runtime/models/llama.py`). Knows no files and no
weights' values. What the fields mean, operation by operation, is plainest in the twin.

Weights have canonical names, those of Hugging Face's Llama and for what Llama lacks those of its relatives (d d_model,
H heads, K key/value heads, D head_dim, F d_ff, V vocab_size, E experts, G expert_d_ff). Every matrix is (out, in):
    model.embed_tokens.weight (V, d)       model.norm.weight (d,)       lm_head.weight (V, d) unless tied, lm_head.bias
    model.embed_positions.weight (max_context, d) where positions are learned
    model.layers.N. (each norm and projection may have a .bias beside its .weight)
        input_layernorm, post_attention_layernorm (d,); pre_feedforward_layernorm, post_feedforward_layernorm (d,)
        self_attn.{q,k,v}_proj (H*D | K*D | K*D, d)   self_attn.o_proj (d, H*D)   self_attn.{q,k}_norm (D,) or (width,)
        mlp.gate_proj (F, d) if gated   mlp.up_proj (F, d)   mlp.down_proj (d, F)
        mlp.gate (E, d) and mlp.experts.M.{gate,up,down}_proj (G, d | G, d | d, G) in layers with experts
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import InitVar, dataclass

from runtime.files.errors import FormatError
from runtime.nn.rotary import RopeSpec

ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "relu", "relu2", "quick_gelu")
_CHOICES = {
    "norm": ("rms", "layer"),
    "norm_layout": ("pre", "post", "sandwich"),
    "activation": ACTIVATIONS,
    "positions": ("rope", "learned", "none"),
    "qk_norm": (None, "head", "full"),
}
_MOST_EXPERTS = 1 << 16  # of all layers: each has weights with names of their own
_SIZES = ("vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff", "max_context")


@dataclass(frozen=True)
class DecoderSpec:
    """Shape of a decoder. With the defaults: pre-norm, RMSNorm, rotary positions, grouped queries, SwiGLU, no biases.

    rope_theta: short for rope=RopeSpec(theta, head_dim).
    """

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    rope_theta: InitVar[float | None] = None
    norm_eps: float = 1e-5
    max_context: int = 512
    tied: bool = True
    # ---- norms: x is the stream; "pre": x + f(norm(x)), "post": x + norm(f(x)), "sandwich": x + norm(f(norm(x)))
    norm: str = "rms"
    norm_bias: bool = False  # of every norm, also of q_norm and k_norm; only with norm "layer"
    norm_layout: str = "pre"
    parallel: bool = False  # x + attention(norm(x)) + mlp(norm'(x)); only with layout "pre"
    shared_norm: bool = False  # norm' is norm (input_layernorm); only with parallel
    # ---- feed-forward: down(activation(gate(h)) * up(h)) if gated, else down(activation(up(h)))
    activation: str = "silu"
    gated: bool = True
    mlp_bias: bool = False
    # ---- attention
    qkv_bias: bool = False
    o_bias: bool = False
    head_bias: bool = False  # lm_head.bias
    qk_norm: str | None = None  # `norm` of queries and keys before rotation, of each "head" or of all at once
    attention_scale: float | None = None  # times q.k; None: head_dim ** -0.5
    attention_softcap: float = 0.0  # scores become cap * tanh(scores / cap); 0: none
    windows: tuple[int, ...] = ()  # of each layer: a position sees itself and the window - 1 before it; 0: all
    # ---- positions
    positions: str = "rope"
    rope: RopeSpec | None = None  # None where positions are not "rope"
    local_rope: RopeSpec | None = None  # for layers with a window, where it differs
    layer_rope: tuple[bool, ...] = ()  # of each layer: rotate at all? Empty: all do
    # ---- scales
    embedding_scale: float = 1.0
    residual_scale: float = 1.0  # of what attention and feed-forward add to x
    logits_scale: float = 1.0
    final_softcap: float = 0.0  # logits become cap * tanh(logits / cap) after logits_scale; 0: none
    # ---- mixture of experts: softmax over E router scores, the best k, each expert gated with width expert_d_ff
    n_experts: int = 0
    experts_per_token: int = 0
    expert_d_ff: int = 0
    norm_topk: bool = False  # the chosen k weights are divided by their sum
    sparse_layers: tuple[bool, ...] = ()  # of each layer: experts instead of one feed-forward? Empty: all, if n_experts

    def __post_init__(self, rope_theta: float | None) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                choices = ", ".join(map(str, known))
                raise ValueError(f"{name} {getattr(self, name)!r} is not supported; supported: {choices}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {self.n_heads} is not a multiple of n_kv_heads {self.n_kv_heads}")
        self._set_positions(rope_theta)
        self._set_numbers()
        self._set_layers()
        if self.norm_bias and self.norm == "rms":
            raise ValueError("an RMSNorm has no bias: norm_bias needs norm 'layer'")
        if self.parallel and self.norm_layout != "pre":
            raise ValueError("parallel attention and feed-forward need norm_layout 'pre'")
        if self.shared_norm and not self.parallel:
            raise ValueError("shared_norm needs parallel attention and feed-forward")

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)

    def _set_positions(self, rope_theta: float | None) -> None:
        for name in ("rope", "local_rope"):
            if isinstance(getattr(self, name), Mapping):  # a spec that went through JSON
                self._set(name, RopeSpec(**getattr(self, name)))
        if self.positions != "rope":
            if self.rope or self.local_rope or rope_theta is not None:
                raise ValueError(f"positions are {self.positions!r}: there is nothing to rotate")
            return
        if self.rope is not None and rope_theta is not None:
            raise ValueError("give rope or rope_theta, not both")
        if self.rope is None:
            self._set("rope", RopeSpec(10000.0 if rope_theta is None else rope_theta, self.head_dim))
        for rope in (self.rope, self.local_rope):
            if rope is not None and rope.dim > self.head_dim:
                raise ValueError(f"{rope.dim} rotated values do not fit in head_dim {self.head_dim}")

    def _set_numbers(self) -> None:
        if self.attention_scale is None:
            self._set("attention_scale", self.head_dim**-0.5)
        for name in ("norm_eps", "attention_softcap", "final_softcap"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
        for name in ("attention_scale", "embedding_scale", "residual_scale", "logits_scale"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, got {value!r}")

    def _set_layers(self) -> None:
        experts = self.n_experts > 0
        if experts and not (0 < self.experts_per_token <= self.n_experts and self.expert_d_ff > 0):
            raise ValueError(f"{self.experts_per_token} of {self.n_experts} experts of width {self.expert_d_ff}")
        if self.n_experts * self.n_layers > _MOST_EXPERTS:
            raise ValueError(f"{self.n_experts} experts in {self.n_layers} layers are more than {_MOST_EXPERTS}")
        if experts and not self.gated:
            raise ValueError("experts are supported with a gated feed-forward only")
        for name, default in (("windows", 0), ("layer_rope", True), ("sparse_layers", experts)):
            values = tuple(getattr(self, name)) or (default,) * self.n_layers
            if len(values) != self.n_layers or any(type(v) is not type(default) for v in values):
                raise ValueError(f"{name} must be {self.n_layers} of {type(default).__name__}, got {len(values)}")
            self._set(name, values)
        if min(self.windows) < 0:
            raise ValueError("a window cannot be negative; 0 means no window")
        if any(self.sparse_layers) and not experts:
            raise ValueError("sparse_layers need n_experts")

    # ---- derived -------------------------------------------------------------------------------------------------

    @property
    def qkv_width(self) -> int:
        """Columns of the fused query-key-value projection: (H + 2K) * D."""
        return (self.n_heads + 2 * self.n_kv_heads) * self.head_dim

    @property
    def kv_width(self) -> int:
        """Columns of one layer's keys (or values): K * D."""
        return self.n_kv_heads * self.head_dim

    def rope_of(self, layer: int) -> RopeSpec | None:
        """How a layer rotates its queries and keys; None if it does not."""
        if self.rope is None or not self.layer_rope[layer]:
            return None
        return self.local_rope if self.local_rope and self.windows[layer] else self.rope

    @property
    def head_name(self) -> str:
        """Name of the matrix that scores the vocabulary."""
        return "model.embed_tokens.weight" if self.tied else "lm_head.weight"

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical name -> shape of every weight this model has, in file order."""
        d = self.d_model
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, d)}
        if self.positions == "learned":
            shapes["model.embed_positions.weight"] = (self.max_context, d)
        for n in range(self.n_layers):
            shapes |= self._layer_shapes(n)
        shapes |= self._norm_shapes("model.norm", d)
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocab_size, d)
        if self.head_bias:
            shapes["lm_head.bias"] = (self.vocab_size,)
        return shapes

    def _norm_shapes(self, name: str, width: int) -> dict[str, tuple[int, ...]]:
        shapes = {name + ".weight": (width,)}
        return shapes | {name + ".bias": (width,)} if self.norm_bias else shapes

    def _layer_shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        d, q, kv = self.d_model, self.n_heads * self.head_dim, self.kv_width
        p = f"model.layers.{n}."
        shapes: dict[str, tuple[int, ...]] = {}

        def matrix(name: str, rows: int, columns: int, bias: bool) -> None:
            shapes[p + name + ".weight"] = (rows, columns)
            if bias:
                shapes[p + name + ".bias"] = (rows,)

        before, after = self.norm_names(n)
        if before[0]:
            shapes |= self._norm_shapes(before[0], d)
        matrix("self_attn.q_proj", q, d, self.qkv_bias)
        matrix("self_attn.k_proj", kv, d, self.qkv_bias)
        matrix("self_attn.v_proj", kv, d, self.qkv_bias)
        if self.qk_norm:
            for name, width in (("q", q), ("k", kv)):
                width = self.head_dim if self.qk_norm == "head" else width
                shapes |= self._norm_shapes(f"{p}self_attn.{name}_norm", width)
        matrix("self_attn.o_proj", d, q, self.o_bias)
        for name in (after[0], None if self.shared_norm else before[1]):
            if name:
                shapes |= self._norm_shapes(name, d)
        if self.sparse_layers[n]:
            matrix("mlp.gate", self.n_experts, d, False)
            parts = [(f"mlp.experts.{e}.", self.expert_d_ff) for e in range(self.n_experts)]
        else:
            parts = [("mlp.", self.d_ff)]
        for prefix, width in parts:
            if self.gated:
                matrix(prefix + "gate_proj", width, d, self.mlp_bias)
            matrix(prefix + "up_proj", width, d, self.mlp_bias)
            matrix(prefix + "down_proj", d, width, self.mlp_bias)
        if after[1]:
            shapes |= self._norm_shapes(after[1], d)
        return shapes

    def norm_names(self, layer: int) -> tuple[tuple[str | None, str | None], tuple[str | None, str | None]]:
        """((norm before attention, before feed-forward), (norm after attention, after feed-forward)), without .weight.

        None where the layout has none; with shared_norm both in front are the same.
        """
        p = f"model.layers.{layer}."
        first, second = p + "input_layernorm", p + "post_attention_layernorm"
        third, fourth = p + "pre_feedforward_layernorm", p + "post_feedforward_layernorm"
        if self.norm_layout == "post":
            return (None, None), (second, fourth)
        if self.norm_layout == "sandwich":
            return (first, third), (second, fourth)
        return (first, first if self.shared_norm else second), (None, None)

    def matrix_names(self) -> Iterator[str]:
        """Canonical names of the weights that are multiplied with rows (all but norms, biases and position tables)."""
        for name, shape in self.weight_shapes().items():
            if len(shape) == 2 and name != "model.embed_positions.weight":
                yield name

    def n_params(self) -> int:
        """Number of trained values."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    def check_weights(self, shapes: Mapping[str, tuple[int, ...]], path: object = "model") -> None:
        """Raise FormatError that names every missing tensor, or the first one with a wrong shape."""
        wanted = self.weight_shapes()
        missing = [name for name in wanted if name not in shapes]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise FormatError("missing_tensor", path, None, f"the file lacks {', '.join(missing[:3])}{more}")
        for name, shape in wanted.items():
            if tuple(shapes[name]) != shape:
                raise FormatError(
                    "shape", path, None, f"{name} has shape {tuple(shapes[name])}, the config says {shape}"
                )

    @staticmethod
    def from_hf_config(config: Mapping, path: object = "config.json") -> DecoderSpec:
        """Spec of a Hugging Face config, through the family file named by its `model_type`."""
        from runtime.models.families import family_of

        return family_of(config, path).spec(config, path)

    def to_hf_config(self) -> dict:
        """A Hugging Face config (model_type llama) that describes this model; transformers loads it."""
        from runtime.models import llama

        return llama.config(self)
