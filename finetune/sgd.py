"""Stochastic gradient descent with momentum (Polyak 1964), or with Nesterov's look ahead (Sutskever et al. 2013).

    v <- momentum * v + g        w <- w - lr * v          Nesterov: w <- w - lr * (g + momentum * v)

g is the clipped gradient plus weight decay times the weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .optim import Optimizer, OptimizerSettings


class SGD(Optimizer):
    def __init__(self, parameters: Mapping, settings: OptimizerSettings):
        super().__init__(parameters, settings)
        self.velocities = {name: np.zeros_like(p.data) for name, p in parameters.items()} if settings.momentum else {}

    def apply(self, lr: float, step: int, scale: float) -> None:
        momentum = np.float32(self.settings.momentum)
        for name, p in self.parameters.items():
            if p.grad is None:
                continue
            update = p.grad * np.float32(scale) + np.float32(self.decay(name, p.data)) * p.data
            if momentum:
                velocity = self.velocities[name]
                velocity *= momentum
                velocity += update
                update = update + momentum * velocity if self.settings.nesterov else velocity
            p.data -= np.float32(lr) * update

    def state(self) -> dict[str, np.ndarray]:
        return {f"m/{name}": velocity for name, velocity in self.velocities.items()}
