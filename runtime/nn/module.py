"""Module: a part of a network that finds its own parameters. Knows no arithmetic, no optimiser and no files.

A parameter is a Tensor attribute that needs a gradient; parts are Modules, alone or in lists. Names are the ways to
them: "blocks.0.norm.weight".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runtime.tensor import Tensor


class Module:
    """Base of all layers. Subclasses set Tensors and Modules as attributes and define __call__."""

    training = True

    def parts(self) -> Iterator[tuple[str, Module]]:
        """Modules right below this one, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", part) for i, part in enumerate(value) if isinstance(part, Module))

    def parameters(self) -> dict[str, Tensor]:
        """Name -> Tensor of every parameter; one that stands in two places appears once, under its first name."""
        found: dict[str, Tensor] = {}
        seen: set[int] = set()

        def walk(module: Module, prefix: str) -> None:
            for name, value in vars(module).items():
                if isinstance(value, Tensor) and value.requires_grad and id(value) not in seen:
                    seen.add(id(value))
                    found[prefix + name] = value
            for name, part in module.parts():
                walk(part, f"{prefix}{name}.")

        walk(self, "")
        return found

    def zero_grad(self) -> None:
        """Make every gradient zero; those that do not exist yet are made."""
        for parameter in self.parameters().values():
            parameter.grad_buffer().fill(0.0)

    def train(self, training: bool = True) -> None:
        """Switch this module and all below it to training, or with False to evaluation (no dropout)."""
        self.training = training
        for _, part in self.parts():
            part.train(training)

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Copy values into the parameters; ValueError unless names and shapes are exactly the same."""
        own = self.parameters()
        if own.keys() != weights.keys():
            raise ValueError(f"weights do not fit: differing names {sorted(own.keys() ^ weights.keys())}")
        for name, parameter in own.items():
            if np.shape(weights[name]) != parameter.shape:
                raise ValueError(f"{name}: shape {np.shape(weights[name])}, expected {parameter.shape}")
        for name, parameter in own.items():
            parameter.data[...] = weights[name]
