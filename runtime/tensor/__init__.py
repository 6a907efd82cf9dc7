"""Tensor with a reverse-mode tape, and the operations that a Llama-style model needs. numpy holds the values."""

from runtime.tensor.ops import (
    add,
    attention,
    cross_entropy,
    embedding,
    linear,
    linear_cross_entropy,
    mul,
    reshape,
    rmsnorm,
    rope,
    sum_,
    swiglu,
)
from runtime.tensor.tensor import Tensor, no_grad

__all__ = [
    "Tensor",
    "add",
    "attention",
    "cross_entropy",
    "embedding",
    "linear",
    "linear_cross_entropy",
    "mul",
    "no_grad",
    "reshape",
    "rmsnorm",
    "rope",
    "sum_",
    "swiglu",
]
