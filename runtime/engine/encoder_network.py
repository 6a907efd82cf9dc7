"""Runs an EncoderSpec with its weights: many texts of different lengths in one pass, without padding between them.

Every kernel call works on the rows of all texts; attention alone sees where one ends. Knows no tokens' meaning.
Shapes: R rows of all texts together, d width, H heads of D values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import native_kernels as nk
from runtime.files.safetensors import float32_to_bf16
from runtime.models.encoder_spec import EncoderSpec

PRECISIONS = ("f32", "bf16", "q8_0")
_KERNEL = {"gelu": "gelu_erf"}  # where the kernels have another name
_HIDDEN = np.float32(-1e9)  # added to the score of a key that nobody may see
_QUANT_BLOCK = 32


class _Product:
    """rows -> rows times the transposed matrix [+ bias] [+ residual], the matrix stored as the precision says."""

    def __init__(self, matrix: np.ndarray, bias: np.ndarray | None, precision: str) -> None:
        self.rows, self.bias = matrix.shape[0], bias
        if precision == "q8_0" and matrix.shape[1] % _QUANT_BLOCK == 0:
            blocks = nk.quantize("Q8_0", np.ascontiguousarray(matrix))
            self.matrix, self.run = nk.quant_pack("Q8_0", blocks, *matrix.shape), self._quantised
        elif precision == "bf16":
            self.matrix, self.run = float32_to_bf16(matrix), self._bf16
        else:
            self.matrix, self.run = np.ascontiguousarray(matrix), self._f32

    def _f32(self, x: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray:
        return nk.gemm(x, self.matrix, trans_b=True, bias=self.bias, residual=residual)

    def _bf16(self, x: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray:
        return nk.gemm_bf16(x, self.matrix, trans_b=True, bias=self.bias, residual=residual)

    def _quantised(self, x: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray:
        return nk.gemm_quant("Q8_0", x, self.matrix, self.rows, bias=self.bias, residual=residual)


class EncoderNetwork:
    """An encoder ready to serve.

    weights: canonical name -> object with .float32() (see runtime/models/sources.py). precision: of the matrices:
    "f32", "bf16", or "q8_0" (rows that are no multiple of 32 stay float32). Any number of threads may run it at once.
    """

    def __init__(self, spec: EncoderSpec, weights: Mapping, precision: str = "f32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.spec, self.precision = spec, precision
        shapes = spec.weight_shapes()

        def read(name: str) -> np.ndarray:
            return np.ascontiguousarray(weights[name].float32())

        def product(*names: str) -> _Product:
            parts = [[read(f"{name}.{kind}") for name in names if f"{name}.{kind}" in shapes]
                     for kind in ("weight", "bias")]  # fmt: skip
            return _Product(np.concatenate(parts[0]), np.concatenate(parts[1]) if parts[1] else None, precision)

        def norm(name: str) -> tuple[np.ndarray, np.ndarray] | None:
            if name + ".weight" not in shapes:
                return None
            bias = read(name + ".bias") if spec.norm_bias else np.zeros(spec.d_model, np.float32)
            return read(name + ".weight"), bias

        self._tokens = read("model.embed_tokens.weight")
        self._positions = read("model.embed_positions.weight") if spec.position_rows else None
        self._segments = read("model.embed_segments.weight") if spec.n_segments else None
        self._embed_norm, self._norm = norm("model.embed_norm"), norm("model.norm")
        self._layers = []
        for n in range(spec.n_layers):
            p = f"model.layers.{n}."
            inner = ("gate_proj", "up_proj") if spec.gated else ("up_proj",)
            self._layers.append(
                (
                    product(*(f"{p}self_attn.{part}_proj" for part in "qkv")),
                    product(p + "self_attn.o_proj"),
                    product(*(f"{p}mlp.{name}" for name in inner)),
                    product(p + "mlp.down_proj"),
                    norm(p + "attention_norm"),
                    norm(p + "mlp_norm"),
                )
            )

    # ---- one pass ----------------------------------------------------------------------------------------------

    def run(
        self, texts: Sequence[np.ndarray], segments: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """States float32 (R, d) after the last layer, text behind text. texts: int32 ids (T,), T >= 1 and checked.

        segments: int32 (R,), 0 everywhere if None. mask: bool (R,), False for keys that no position sees.
        """
        spec = self.spec
        lengths = [len(text) for text in texts]
        x = self._embedded(texts, segments)
        ropes = {rope: _tables(rope, lengths) for rope in {spec.rope_of(n) for n in range(spec.n_layers)} if rope}
        hidden = None if mask is None or mask.all() else np.where(mask, np.float32(0), _HIDDEN)
        width = spec.head_dim + (hidden is not None)
        store = np.empty((2, nk.kv_bytes("f32", spec.n_heads, len(x), width)), np.uint8)
        sequences, at, row_bytes = [], 0, store.shape[1] // len(x)
        for length in lengths:
            sequences.append((at, length, 0, *store[:, at * row_bytes : (at + length) * row_bytes]))
            at += length
        for n in range(spec.n_layers):
            x = self._layer(n, x, sequences, ropes.get(spec.rope_of(n)), hidden)
        return self._normed(x, self._norm) if self._norm else x

    def _embedded(self, texts: Sequence[np.ndarray], segments: np.ndarray | None) -> np.ndarray:
        spec = self.spec
        ids = np.concatenate(texts)
        x = nk.embedding(self._tokens, ids)
        if self._positions is not None:
            places = [np.arange(len(text)) for text in texts]
            if spec.counted_positions:
                kept = [text != spec.pad_id for text in texts]
                places = [np.cumsum(k) * k + spec.pad_id for k in kept]
            nk.add(x, nk.embedding(self._positions, np.concatenate(places).astype(np.int32)), out=x)
        if self._segments is not None:
            kinds = np.zeros(len(ids), np.int32) if segments is None else segments
            nk.add(x, nk.embedding(self._segments, kinds), out=x)
        return self._normed(x, self._embed_norm)

    def _normed(self, x: np.ndarray, norm: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return nk.layernorm(x, *norm, self.spec.norm_eps)[0]

    def _layer(self, n: int, x: np.ndarray, sequences: list, rope, hidden: np.ndarray | None) -> np.ndarray:
        qkv_of, out_of, up_of, down_of, attention_norm, mlp_norm = self._layers[n]
        post = self.spec.norm_layout == "post"
        h = x if post or attention_norm is None else self._normed(x, attention_norm)
        x = out_of.run(self._mixed(n, qkv_of.run(h), sequences, rope, hidden), x)
        if post:
            x = self._normed(x, attention_norm)
        inner = self._activated(up_of.run(x if post else self._normed(x, mlp_norm)))
        x = down_of.run(inner, x)
        return self._normed(x, mlp_norm) if post else x

    def _activated(self, inner: np.ndarray) -> np.ndarray:
        kind = _KERNEL.get(self.spec.activation, self.spec.activation)
        if not self.spec.gated:
            return nk.activation(kind, inner, out=inner)
        return nk.swiglu(inner) if kind == "silu" else nk.geglu(inner, kind=kind)

    def _mixed(self, n: int, qkv: np.ndarray, sequences: list, rope, hidden: np.ndarray | None) -> np.ndarray:
        """qkv (R, 3d) -> attention's output (R, d)."""
        H, D = self.spec.n_heads, self.spec.head_dim
        heads = qkv.reshape(len(qkv), 3 * H, D)
        if rope is not None:
            nk.rope(heads[:, : 2 * H], *rope)
        if hidden is not None:  # one more dimension, in which every query is 1 and every key its mask
            wide = np.zeros((len(qkv), 3 * H, D + 1), np.float32)
            wide[..., :D], wide[:, :H, D], wide[:, H : 2 * H, D] = heads, 1, hidden[:, None]
            heads = wide
        q, k, v = heads[:, :H], heads[:, H : 2 * H], heads[:, 2 * H :]
        for at, length, _, keys, values in sequences:
            nk.kv_store("f32", k[at : at + length], keys, 0)
            nk.kv_store("f32", v[at : at + length], values, 0)
        mixed = nk.attention_cached(q, sequences, H, "f32", D**-0.5, window=self.spec.windows[n], causal=False)
        return np.ascontiguousarray(mixed[..., :D]).reshape(len(qkv), H * D)


def _tables(rope, lengths: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cos, sin, row of them for each position of all texts); a scaling may depend on the length of a text."""
    if len({rope.regime(length) for length in lengths}) == 1:
        rows = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
        return (*rope.tables(max(lengths), max(lengths)), rows)
    pairs = [rope.tables(length, length) for length in lengths]
    cos, sin = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return cos, sin, np.arange(sum(lengths), dtype=np.int32)
