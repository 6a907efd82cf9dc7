"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019): steps scaled by running means of gradient and square.

They differ in weight decay alone: Adam adds it to the gradient, so that it is scaled like one (L2 regularisation);
AdamW pulls the weight down beside the step (decoupled). Moments are float32, a pair per parameter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtime.tensor.optim_ops import adamw

from .optim import Optimizer, OptimizerSettings


class AdamW(Optimizer):
    def __init__(self, parameters: Mapping, settings: OptimizerSettings):
        super().__init__(parameters, settings)
        self.moments = {name: (np.zeros_like(p.data), np.zeros_like(p.data)) for name, p in parameters.items()}

    def apply(self, lr: float, step: int, scale: float) -> None:
        s = self.settings
        for name, p in self.parameters.items():
            if p.grad is not None:
                m, v = self.moments[name]
                adamw(p.data, p.grad, m, v, lr, s.beta1, s.beta2, s.eps, self.decay(name, p.data), step, scale)

    def state(self) -> dict[str, np.ndarray]:
        return {f"{kind}/{name}": pair[i] for name, pair in self.moments.items() for i, kind in enumerate("mv")}


class Adam(AdamW):
    def apply(self, lr: float, step: int, scale: float) -> None:
        s = self.settings
        for name, p in self.parameters.items():
            if p.grad is not None:
                m, v = self.moments[name]
                gradient = p.grad * np.float32(scale) + np.float32(self.decay(name, p.data)) * p.data
                adamw(p.data, gradient, m, v, lr, s.beta1, s.beta2, s.eps, 0.0, step, 1.0)
