"""DecoderSpec: everything that distinguishes one decoder from another, as data.

The same spec is compiled into the serving plan (`runtime.engine.compile`), built as a differentiable network
(`runtime.models.decoder`) and written as a numpy twin (`runtime.models.twin`). A model family is one file that maps its
Hugging Face config onto this spec (`runtime/models/llama.py`). Knows no files and no weights' values.

Shapes of the weights, by Hugging Face name (d = d_model, H heads, K key/value heads, D head_dim, F d_ff, V vocab_size):
    model.embed_tokens.weight (V, d)           model.norm.weight (d,)        lm_head.weight (V, d) unless tied
    model.layers.N.input_layernorm.weight (d,) model.layers.N.post_attention_layernorm.weight (d,)
    model.layers.N.self_attn.{q,k,v}_proj.weight (H*D | K*D | K*D, d)   model.layers.N.self_attn.o_proj.weight (d, H*D)
    model.layers.N.mlp.{gate,up}_proj.weight (F, d)                      model.layers.N.mlp.down_proj.weight (d, F)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.files.errors import FormatError


@dataclass(frozen=True)
class DecoderSpec:
    """Shape of a pre-norm decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases."""

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    max_context: int = 512
    tied: bool = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff", "max_context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {self.n_heads} is not a multiple of n_kv_heads {self.n_kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even for rotary positions, got {self.head_dim}")

    @property
    def qkv_width(self) -> int:
        """Columns of the fused query-key-value projection: (H + 2K) * D."""
        return (self.n_heads + 2 * self.n_kv_heads) * self.head_dim

    @property
    def kv_width(self) -> int:
        """Columns of one layer's keys (or values): K * D."""
        return self.n_kv_heads * self.head_dim

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Hugging Face name -> shape of every weight this model has, in file order."""
        d, q, kv, f = self.d_model, self.n_heads * self.head_dim, self.kv_width, self.d_ff
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, d)}
        for n in range(self.n_layers):
            p = f"model.layers.{n}."
            shapes |= {
                p + "input_layernorm.weight": (d,),
                p + "self_attn.q_proj.weight": (q, d),
                p + "self_attn.k_proj.weight": (kv, d),
                p + "self_attn.v_proj.weight": (kv, d),
                p + "self_attn.o_proj.weight": (d, q),
                p + "post_attention_layernorm.weight": (d,),
                p + "mlp.gate_proj.weight": (f, d),
                p + "mlp.up_proj.weight": (f, d),
                p + "mlp.down_proj.weight": (d, f),
            }
        shapes["model.norm.weight"] = (d,)
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocab_size, d)
        return shapes

    def n_params(self) -> int:
        """Number of trained values."""
        total = 0
        for shape in self.weight_shapes().values():
            size = 1
            for n in shape:
                size *= n
            total += size
        return total

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
