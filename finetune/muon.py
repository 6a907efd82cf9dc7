"""Muon (Jordan et al. 2024): momentum whose update is made orthogonal, for the matrices inside the blocks.

Each step replaces a matrix's momentum by the nearest (semi-)orthogonal matrix, found by five Newton–Schulz iterations,
so that all its directions are learnt at the same rate. Embeddings, heads and vectors stay with AdamW. Source: Keller
Jordan's reference implementation and its blog post. Knows no models beyond the names' endings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtime.tensor.optim_ops import product

from .optim import AdamW, AdamWSettings, clip_scale

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: steepest at zero, singular values end between 0.7 and 1.2
ITERATIONS = 5


def orthogonalise(matrix: np.ndarray) -> np.ndarray:
    """float32 (m, n) -> about U V^T of its singular value decomposition U S V^T; zeros stay zeros."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = np.ascontiguousarray(matrix.T if tall else matrix)
    x = x / np.float32(np.sqrt(np.square(x, dtype=np.float64).sum()) + 1e-7)
    for _ in range(ITERATIONS):
        gram = product(x, x, trans_b=True)
        x = np.float32(a) * x + product(np.float32(b) * gram + np.float32(c) * product(gram, gram), x)
    return np.ascontiguousarray(x.T) if tall else x


def inside_blocks(name: str, data: np.ndarray) -> bool:
    """Whether Muon takes this parameter: matrices but for embeddings and the head."""
    return data.ndim == 2 and "embed" not in name and "lm_head" not in name


class Muon:
    """Muon for matrices inside blocks, AdamW for the rest; the same interface as AdamW.

    ratio: Muon's learning rate divided by AdamW's (the schedule gives the latter). Decoupled weight decay is
    `settings.weight_decay` for both.
    """

    def __init__(self, parameters: Mapping, settings: AdamWSettings, ratio: float = 10.0, momentum: float = 0.95):
        self.parameters, self.settings, self.ratio, self.momentum = parameters, settings, ratio, momentum
        self.matrices = {name: p for name, p in parameters.items() if inside_blocks(name, p.data)}
        self.buffers = {name: np.zeros_like(p.data) for name, p in self.matrices.items()}
        others = {name: p for name, p in parameters.items() if name not in self.matrices}
        self.rest = AdamW(others, settings)

    def step(self, lr: float, step: int) -> float:
        """Update every parameter in place; step counts from 1. Returns the global gradient norm before clipping.

        Raises FloatingPointError, and changes nothing, if the norm is not finite.
        """
        norm, scale = clip_scale(self.parameters, self.settings.clip)
        self.rest.apply(lr, step, scale)
        rate = lr * self.ratio
        for name, p in self.matrices.items():
            buffer = self.buffers[name]
            gradient = p.grad * np.float32(scale)
            buffer *= np.float32(self.momentum)
            buffer += gradient
            update = orthogonalise(gradient + np.float32(self.momentum) * buffer)  # Nesterov's look ahead
            rows, columns = p.data.shape
            p.data *= np.float32(1.0 - rate * self.settings.weight_decay)
            p.data -= np.float32(rate * max(1.0, rows / columns) ** 0.5) * update
        return norm

    def state(self) -> dict[str, np.ndarray]:
        """The live moments by name: "m/<parameter>" of every parameter, "v/<parameter>" of AdamW's."""
        return {f"m/{name}": buffer for name, buffer in self.buffers.items()} | self.rest.state()
