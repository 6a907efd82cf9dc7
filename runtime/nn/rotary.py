"""Tables of the rotary position embedding (Su et al. 2021), half-split pairs as in Hugging Face Llama."""

from __future__ import annotations

import numpy as np


def rotary_tables(max_positions: int, head_dim: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin, each float32 (max_positions, head_dim/2): angle = position * theta^(-2i/head_dim)."""
    inverse_frequency = 1.0 / theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
    angles = np.arange(max_positions, dtype=np.float32)[:, None] * inverse_frequency.astype(np.float32)[None, :]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
