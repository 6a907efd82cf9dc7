"""The precision of products while training: bfloat16 where asked for, float32 otherwise, and what it does to a loss."""

import numpy as np
import pytest

from native_kernels import reference
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.tensor import Tensor, precision
from runtime.tensor.ops import linear

SPEC = DecoderSpec(vocab_size=97, d_model=32, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=16, d_ff=48, max_context=32)


def test_products_round_their_operands_only_inside_the_block(rng):
    x = Tensor(rng.standard_normal((5, 33)).astype(np.float32), requires_grad=True)
    w = Tensor(rng.standard_normal((7, 33)).astype(np.float32), requires_grad=True)
    with precision.compute("bf16"):
        assert precision.current() == "bf16"
        out = linear(x, w)
        out.backward(np.ones(out.shape, np.float32))
    np.testing.assert_allclose(out.data, reference.gemm_bf16(x.data, w.data, trans_b=True), rtol=1e-5, atol=1e-5)
    dx = reference.gemm_bf16(np.ones((5, 7), np.float32), w.data)
    np.testing.assert_allclose(x.grad, dx, rtol=1e-5, atol=1e-5)
    assert precision.current() == "f32"
    np.testing.assert_allclose(linear(x, w).data, reference.gemm(x.data, w.data, trans_b=True), rtol=1e-5, atol=1e-5)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="known are f32, bf16"), precision.compute("f8"):
        pass


def test_loss_and_gradients_stay_close_to_float32(rng):
    model = Decoder(SPEC, seed=3)
    ids = rng.integers(0, 97, (2, 32)).astype(np.int32)
    targets = np.roll(ids, -1, 1)
    results = {}
    for name in precision.NAMES:
        model.zero_grad()
        with precision.compute(name):
            loss = model.loss(ids, targets)
            loss.backward()
        results[name] = loss.item(), np.concatenate([p.grad.ravel() for p in model.parameters().values()])
    assert results["f32"][0] != results["bf16"][0]
    assert results["f32"][0] == pytest.approx(results["bf16"][0], rel=2e-3)
    full, half = results["f32"][1], results["bf16"][1]
    cosine = (full * half).sum() / np.sqrt((full**2).sum() * (half**2).sum())
    assert cosine > 0.9995
