"""AdamW over named parameters (Loshchilov & Hutter 2019), with global-norm clipping folded into its one pass.

Parameters: dict name -> object with float32 arrays .data and .grad. Matrices decay; norms, biases and embeddings do
not. Moments are float32, one pair per parameter. Knows no models beyond the names' endings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from runtime.tensor.optim_ops import adamw, sum_squares


@dataclass(frozen=True)
class AdamWSettings:
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0  # largest global gradient norm; 0 = no clipping


def decays(name: str, data: np.ndarray) -> bool:
    """Weight decay for matrices only: not for vectors (norms, biases) and not for embeddings."""
    return data.ndim >= 2 and "embed" not in name


def clip_scale(parameters: Mapping, clip: float) -> tuple[float, float]:
    """(global L2 norm of all gradients, factor that brings it down to `clip`; 1 for clip = 0).

    The norm is summed in double precision in the order of the names. FloatingPointError if it is not finite.
    """
    norm = math.sqrt(sum(sum_squares(p.grad) for p in parameters.values() if p.grad is not None))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient is not finite")
    return norm, min(1.0, clip / norm) if clip and norm else 1.0


class AdamW:
    def __init__(self, parameters: Mapping, settings: AdamWSettings):
        self.parameters = parameters
        self.settings = settings
        self.moments = {name: (np.zeros_like(p.data), np.zeros_like(p.data)) for name, p in parameters.items()}

    def step(self, lr: float, step: int) -> float:
        """Update every parameter in place; step counts from 1. Returns the gradient norm before clipping.

        Raises FloatingPointError, and changes nothing, if the norm is not finite.
        """
        norm, scale = clip_scale(self.parameters, self.settings.clip)
        self.apply(lr, step, scale)
        return norm

    def apply(self, lr: float, step: int, scale: float) -> None:
        """The update alone, with every gradient multiplied by `scale`."""
        s = self.settings
        for name, p in self.parameters.items():
            if p.grad is None:
                continue
            m, v = self.moments[name]
            decay = s.weight_decay if decays(name, p.data) else 0.0
            adamw(p.data, p.grad, m, v, lr, s.beta1, s.beta2, s.eps, decay, step, scale)

    def state(self) -> dict[str, np.ndarray]:
        """The live moments by name: "m/<parameter>", "v/<parameter>"."""
        return {f"{kind}/{name}": pair[i] for name, pair in self.moments.items() for i, kind in enumerate("mv")}
