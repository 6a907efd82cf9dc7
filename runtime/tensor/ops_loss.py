"""Losses, each beside its vector-Jacobian product: mean squared error, cross-entropy, cross-entropy without logits.

Shapes: R rows, d width, V vocabulary. Results have shape (). Targets carry no gradient.
"""

from __future__ import annotations

import numpy as np

import native_kernels as nk
from runtime.tensor.broadcasting import check, dense
from runtime.tensor.precision import product
from runtime.tensor.tensor import Tensor, needs_grad


def mse_loss(prediction: Tensor, target: np.ndarray) -> Tensor:
    """Mean of (prediction - target)^2 over all values; target is an array of the same shape."""
    wanted = np.asarray(target, dtype=np.float32)
    check(wanted.shape == prediction.shape, f"mse_loss: prediction {prediction.shape} and target {wanted.shape} differ")
    check(wanted.size > 0, f"mse_loss: shape {wanted.shape} has no values")
    difference = prediction.data - wanted

    def vjp(dout):
        return (difference * (dout.reshape(-1)[0] * np.float32(2 / wanted.size)),)

    return Tensor.from_op(np.mean(difference.astype(np.float64) ** 2), (prediction,), vjp)


def cross_entropy(logits: Tensor, targets: np.ndarray) -> Tensor:
    """Mean of -log softmax(logits (R, V))[target] over rows with target >= 0; shape ()."""
    counted = max(1, int((targets >= 0).sum()))
    dlogits = np.empty(logits.shape, dtype=np.float32)
    losses = nk.softmax_cross_entropy(dense(logits), targets, dlogits=dlogits, scale=1.0 / counted)

    def vjp(dout):
        return (dlogits * dout.reshape(-1)[0],)

    return Tensor.from_op(np.asarray(losses.sum(dtype=np.float64) / counted, dtype=np.float32), (logits,), vjp)


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: np.ndarray, chunk: int = 1024) -> Tensor:
    """cross_entropy(linear(x (R, d), weight (V, d)), targets) in chunks of rows, so that full logits never exist.

    Where gradients are needed, they are computed in the forward pass, while a chunk's logits are in cache, for a loss
    whose own gradient is 1; the backward pass only scales them.
    """
    values, w = dense(x), dense(weight)
    rows = x.shape[0]
    counted = max(1, int((targets >= 0).sum()))
    train = needs_grad(x, weight)
    dx = np.empty(x.shape, dtype=np.float32) if train else None
    dweight = np.zeros(weight.shape, dtype=np.float32) if train else None
    logits = np.empty((min(chunk, rows), weight.shape[0]), dtype=np.float32)
    total = 0.0
    for start in range(0, rows, chunk):
        part = slice(start, min(start + chunk, rows))
        scores = logits[: part.stop - start]
        product(values[part], w, out=scores, trans_b=True)
        losses = nk.softmax_cross_entropy(scores, targets[part], dlogits=scores if train else None, scale=1.0 / counted)
        total += float(losses.sum(dtype=np.float64))
        if train:
            product(scores, w, out=dx[part])
            product(scores, values[part], out=dweight, trans_a=True, accumulate=True)

    def vjp(dout):
        factor = float(dout.reshape(-1)[0])
        target, share = weight.grad_target()
        nk.axpy(target, dweight, factor)
        return (dx if factor == 1.0 else dx * np.float32(factor)), share

    return Tensor.from_op(np.asarray(total / counted, dtype=np.float32), (x, weight), vjp)
