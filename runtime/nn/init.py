"""Initial weights from a seed. GPT-2's rule: normal with std 0.02, residual projections / sqrt(2 * layers)."""

from __future__ import annotations

import numpy as np

from runtime.models.spec import DecoderSpec

_RESIDUAL = ("o_proj.weight", "down_proj.weight")


def init_weights(spec: DecoderSpec, seed: int = 0, std: float = 0.02) -> dict[str, np.ndarray]:
    """Hugging Face name -> float32 array for every weight of the spec; norms are 1, biases 0. Same seed, same bits."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    for name, shape in spec.weight_shapes().items():
        if len(shape) == 1:
            make = np.zeros if name.endswith(".bias") else np.ones
            weights[name] = make(shape, dtype=np.float32)
            continue
        scale = std / np.sqrt(2 * spec.n_layers) if name.endswith(_RESIDUAL) else std
        weights[name] = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
    return weights
