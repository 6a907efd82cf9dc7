"""What all optimisers share: settings, which parameters decay, clipping by the global norm, the form of a step.

Parameters: dict name -> object with float32 arrays .data and .grad. An optimiser's step(lr, step) changes .data in
place and returns the gradient norm; state() gives its live arrays by name, for a checkpoint. Knows no models beyond
the endings of names.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from runtime.tensor.optim_ops import sum_squares


@dataclass(frozen=True)
class OptimizerSettings:
    """clip: largest global gradient norm, 0 = no clipping. The rest is what the optimisers' own papers name so."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    momentum: float = 0.9  # of SGD
    nesterov: bool = False  # of SGD
    muon_ratio: float = 10.0
    weight_decay: float = 0.1
    clip: float = 1.0


def is_embedding(name: str) -> bool:
    """Look-up tables: tokens, positions, segments."""
    return "embed" in name


def decays(name: str, data: np.ndarray) -> bool:
    """The rule of weight decay: matrices only; not vectors (norms, biases), whose size means nothing to pull down, and
    not embeddings, whose rows a batch mostly does not touch."""
    return data.ndim >= 2 and not is_embedding(name)


def decay_groups(parameters: Mapping) -> dict[str, list[str]]:
    """Names of the parameters with and without weight decay: {"decay": [...], "no decay": [...]}."""
    groups: dict[str, list[str]] = {"decay": [], "no decay": []}
    for name, p in parameters.items():
        groups["decay" if decays(name, p.data) else "no decay"].append(name)
    return groups


def clip_scale(parameters: Mapping, clip: float) -> tuple[float, float]:
    """(global L2 norm of all gradients, factor that brings it down to `clip`; 1 for clip = 0).

    The norm is summed in double precision in the order of the names. FloatingPointError if it is not finite.
    """
    norm = math.sqrt(sum(sum_squares(p.grad) for p in parameters.values() if p.grad is not None))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient is not finite")
    return norm, min(1.0, clip / norm) if clip and norm else 1.0


class Optimizer(ABC):
    """One step is clipping, then apply(), which every optimiser writes for itself."""

    def __init__(self, parameters: Mapping, settings: OptimizerSettings):
        self.parameters, self.settings = parameters, settings

    def step(self, lr: float, step: int) -> float:
        """Update every parameter that has a gradient, in place; step counts from 1. Returns the norm before clipping.

        Raises FloatingPointError, and changes nothing, if the norm is not finite.
        """
        norm, scale = clip_scale(self.parameters, self.settings.clip)
        self.apply(lr, step, scale)
        return norm

    @abstractmethod
    def apply(self, lr: float, step: int, scale: float) -> None:
        """The update alone, with every gradient multiplied by `scale`."""

    def decay(self, name: str, data: np.ndarray) -> float:
        """Weight decay of one parameter."""
        return self.settings.weight_decay if decays(name, data) else 0.0

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """The live arrays by name: "m/<parameter>" for momentum or first moment, "v/<parameter>" for the second."""
