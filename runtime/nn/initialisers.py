"""Rules for initial weights: functions (shape, rng) -> float32 array. The same seed gives the same bits.

A weight of shape (out, in) has fan_in = in and fan_out = out. Knows no layers; `init.py` draws a whole decoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Initialiser = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"initial weights: shape {shape}, expected (out, in)")
    return shape[1], shape[0]


def _uniform(shape: tuple[int, ...], bound: float, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(shape, dtype=np.float32) * np.float32(2) - np.float32(1)) * np.float32(bound)


def normal(std: float) -> Initialiser:
    """Normal with mean 0 and the given standard deviation, for any shape."""
    return lambda shape, rng: rng.standard_normal(shape, dtype=np.float32) * np.float32(std)


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """All zero; draws nothing."""
    return np.zeros(shape, dtype=np.float32)


def xavier_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform within +-sqrt(6 / (fan_in + fan_out)): for tanh and sigmoid (Glorot & Bengio 2010)."""
    fan_in, fan_out = _fans(shape)
    return _uniform(shape, (6 / (fan_in + fan_out)) ** 0.5, rng)


def xavier_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    fan_in, fan_out = _fans(shape)
    return normal((2 / (fan_in + fan_out)) ** 0.5)(shape, rng)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform within +-sqrt(6 / fan_in): keeps the variance through relu (He et al. 2015)."""
    return _uniform(shape, (6 / _fans(shape)[0]) ** 0.5, rng)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / fan_in (He et al. 2015)."""
    return normal((2 / _fans(shape)[0]) ** 0.5)(shape, rng)


def gpt2(residual_layers: int | None = None) -> Initialiser:
    """Normal with std 0.02, for projections into the residual stream / sqrt(2 * layers) (Radford et al. 2019)."""
    return normal(0.02 if residual_layers is None else 0.02 / (2 * residual_layers) ** 0.5)
