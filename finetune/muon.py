"""Muon (Jordan et al. 2024): momentum whose update is made orthogonal, for the matrices inside the blocks.

Each step replaces a matrix's momentum by the nearest (semi-)orthogonal matrix, found by five Newton–Schulz iterations,
so that all its directions are learnt at the same rate. Embeddings, heads and vectors stay with AdamW. Source: Keller
Jordan's reference implementation and its blog post. Knows no models beyond the names' endings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtime.tensor.optim_ops import product

from .adam import AdamW
from .optim import Optimizer, OptimizerSettings, is_embedding

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
    """Whether Muon takes this parameter: matrices but for embeddings and the head that gives the scores."""
    return data.ndim == 2 and not is_embedding(name) and name not in ("lm_head.weight", "head.weight")


class Muon(Optimizer):
    """Muon for matrices inside blocks, AdamW for the rest.

    settings.muon_ratio: Muon's learning rate divided by AdamW's (the schedule gives the latter). Weight decay is
    decoupled for both.
    """

    def __init__(self, parameters: Mapping, settings: OptimizerSettings, momentum: float = 0.95):
        super().__init__(parameters, settings)
        self.momentum = momentum
        self.matrices = {name: p for name, p in parameters.items() if inside_blocks(name, p.data)}
        self.buffers = {name: np.zeros_like(p.data) for name, p in self.matrices.items()}
        self.rest = AdamW({name: p for name, p in parameters.items() if name not in self.matrices}, settings)

    def apply(self, lr: float, step: int, scale: float) -> None:
        self.rest.apply(lr, step, scale)
        rate = lr * self.settings.muon_ratio
        for name, p in self.matrices.items():
            if p.grad is None:
                continue
            buffer = self.buffers[name]
            gradient = p.grad * np.float32(scale)
            buffer *= np.float32(self.momentum)
            buffer += gradient
            update = orthogonalise(gradient + np.float32(self.momentum) * buffer)  # Nesterov's look ahead
            rows, columns = p.data.shape
            p.data *= np.float32(1.0 - rate * self.decay(name, p.data))
            p.data -= np.float32(rate * max(1.0, rows / columns) ** 0.5) * update

    def state(self) -> dict[str, np.ndarray]:
        return {f"m/{name}": buffer for name, buffer in self.buffers.items()} | self.rest.state()
