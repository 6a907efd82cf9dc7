"""Attention against the numpy twin, finite differences and torch: tile edges, grouped heads, caches, strided views."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import reference

# B, T, S, H, KH, D: edges of query tiles (4 .. 64 lanes), key tiles (64), decoding (few rows), odd head dimensions.
SHAPES = [
    (1, 1, 1, 1, 1, 8),
    (2, 1, 37, 4, 2, 64),
    (1, 1, 1100, 2, 1, 64),
    (1, 3, 600, 2, 2, 20),
    (1, 7, 7, 2, 1, 13),
    (2, 9, 20, 2, 1, 20),
    (1, 17, 33, 2, 2, 8),
    (1, 33, 33, 3, 1, 33),
    (2, 65, 65, 2, 2, 64),
    (1, 70, 200, 4, 2, 40),
    (1, 130, 130, 2, 1, 128),
    (1, 20, 66, 1, 1, 256),
]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_agree_with_the_twin(isa, shape, causal, normal, close):
    B, T, S, H, KH, D = shape
    q, k, v, dout = normal(B, T, H, D), normal(B, S, KH, D), normal(B, S, KH, D), normal(B, T, H, D)
    scale = D**-0.5
    out, lse = nk.attention(q, k, v, scale, causal)
    expected, expected_lse = reference.attention(q, k, v, scale, causal)
    close(out, expected, 5e-6)
    close(lse, expected_lse, 2e-6)
    got = nk.attention_backward(dout, q, k, v, out, lse, scale, causal)
    want = reference.attention_backward(dout, q, k, v, expected, expected_lse, scale, causal)
    largest = max(np.abs(w).max() for w in want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and np.isfinite(g).all()
        assert np.abs(g - w).max() <= 1e-5 * largest  # with one key dq and dk are 0 up to rounding


@pytest.mark.parametrize("causal", [True, False])
def test_backward_agrees_with_finite_differences(isa, causal, rng, numeric_gradient, close):
    q, k, v = rng.standard_normal((1, 5, 4, 3)), rng.standard_normal((1, 7, 2, 3)), rng.standard_normal((1, 7, 2, 3))
    dout = rng.standard_normal(q.shape)

    def loss():
        return float((reference.attention(q, k, v, 0.5, causal)[0] * dout).sum())

    f32 = [a.astype(np.float32) for a in (dout, q, k, v)]
    out, lse = nk.attention(*f32[1:], 0.5, causal)
    got = nk.attention_backward(*f32, out, lse, 0.5, causal)
    for g, x in zip(got, (q, k, v), strict=True):
        close(g, numeric_gradient(loss, x), 2e-5)


@pytest.mark.parametrize("T", [1, 2, 5, 40, 100])
def test_slices_of_a_fused_buffer_give_the_same_bits_as_copies(isa, T, normal):
    B, H, KH, D = 2, 4, 2, 24
    wide = (H + 2 * KH) * D
    qkv, dqkv = normal(B, T, wide), np.full((B, T, wide), 7, np.float32)

    def parts(a):
        cuts = np.split(a, [H * D, (H + KH) * D], axis=2)
        return [c.reshape(B, T, -1, D) for c in cuts]

    q, k, v = parts(qkv)
    assert all(np.shares_memory(x, qkv) for x in (q, k, v))
    out, lse = nk.attention(q, k, v, 0.2)
    copies = [np.ascontiguousarray(x) for x in (q, k, v)]
    expected, expected_lse = nk.attention(*copies, 0.2)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(lse, expected_lse)
    dout = normal(B, T, H, D)
    given = parts(dqkv)
    got = nk.attention_backward(dout, q, k, v, out, lse, 0.2, True, *given)
    assert all(g is x for g, x in zip(got, given, strict=True))
    want = nk.attention_backward(dout, *copies, out, lse, 0.2)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)
    for g, w in zip(nk.attention_backward(dout, q, k, v, out, lse, 0.2), want, strict=True):  # views in, new arrays out
        np.testing.assert_array_equal(g, w)


def test_gradients_into_strides_other_than_the_inputs_are_the_same(isa, normal):
    q, k, v, dout = (normal(1, 6, 2, 8) for _ in range(4))
    out, lse = nk.attention(q, k, v, 0.3)
    want = nk.attention_backward(dout, q, k, v, out, lse, 0.3)
    wide = np.zeros((1, 6, 48), np.float32)
    given = [wide[:, :, 16 * i : 16 * i + 16].reshape(1, 6, 2, 8) for i in range(3)]
    got = nk.attention_backward(dout, q, k, v, out, lse, 0.3, True, *given)
    for g, x, w in zip(got, given, want, strict=True):
        assert g is x
        np.testing.assert_array_equal(x, w)


def test_later_keys_do_not_change_a_causal_row(isa, normal, close):
    q, k, v = normal(1, 80, 2, 16), normal(1, 80, 2, 16), normal(1, 80, 2, 16)
    whole, _ = nk.attention(q, k, v, 0.25)
    for t in (1, 2, 30, 64, 65, 79):  # a prefix, and one new row over a cache
        prefix, _ = nk.attention(q[:, :t], k[:, :t], v[:, :t], 0.25)
        close(prefix, whole[:, :t], 2e-6)
        row, _ = nk.attention(q[:, t : t + 1], k[:, : t + 1], v[:, : t + 1], 0.25)
        close(row, whole[:, t : t + 1], 2e-6)


def test_large_scores_neither_overflow_nor_lose_the_winner(isa, normal):
    for T in (2, 40):
        q, k, v = normal(1, T, 1, 8), normal(1, 90, 1, 8), normal(1, 90, 1, 8)
        out, lse = nk.attention(q * 1000, k * 1000, v, 1.0, False)
        expected, expected_lse = reference.attention(q * 1000, k * 1000, v, 1.0, False)
        np.testing.assert_allclose(lse, expected_lse, rtol=1e-5)
        winners = (expected[..., None] == v[:, None].transpose(0, 1, 3, 4, 2)).any()
        assert winners and np.isfinite(out).all()


def test_threads_do_not_change_a_bit(isa, normal, same_bits_for_any_threads):
    q, k, v, dout = normal(2, 150, 4, 24), normal(2, 170, 2, 24), normal(2, 170, 2, 24), normal(2, 150, 4, 24)
    few, cache = normal(1, 2, 3, 24), normal(1, 1300, 3, 24)

    def run():
        out, lse = nk.attention(q, k, v, 0.2)
        return out, lse, *nk.attention_backward(dout, q, k, v, out, lse, 0.2), *nk.attention(few, cache, cache, 0.2)

    same_bits_for_any_threads(run)


def test_lse_is_computed_on_demand_and_out_is_used(normal):
    q = normal(1, 4, 2, 8)
    out = np.empty_like(q)
    result, lse = nk.attention(q, q.copy(), q.copy(), 0.3, out=out, need_lse=False)
    assert result is out and lse is None


def test_bad_arguments_are_refused(normal):
    q, k = normal(1, 4, 2, 8), normal(1, 4, 2, 8)
    cases = [
        ((q, normal(1, 4, 2, 6), normal(1, 4, 2, 6)), r"q \(1, 4, 2, 8\) and k \(1, 4, 2, 6\)"),
        ((normal(1, 4, 3, 8), k, k), "multiple of key heads"),
        ((normal(2, 4, 2, 8), k, k), "batch"),
        ((q, k, normal(1, 5, 2, 8)), r"v: shape \(1, 5, 2, 8\), expected \(1, 4, 2, 8\)"),
        ((q, k[:, :3], k[:, :3]), "at least 4 keys"),
        ((normal(4, 2, 8), k, k), r"q: shape \(4, 2, 8\)"),
        ((q, k, normal(1, 4, 4, 8)[:, :, :2]), "different strides"),
        ((normal(1, 2, 1, 300), normal(1, 2, 1, 300), normal(1, 2, 1, 300)), "head dimension 300"),
        ((q[..., ::2], k, k), "contiguous"),
    ]
    for args, message in cases:
        with pytest.raises(ValueError, match=message):
            nk.attention(*args, 0.5)
    with pytest.raises(ValueError, match="out and q overlap"):
        nk.attention(q, k, k.copy(), 0.5, out=q)
    out, lse = nk.attention(q, k, k, 0.5)
    with pytest.raises(ValueError, match=r"lse: shape \(1, 4, 2\), expected \(1, 2, 4\)"):
        nk.attention_backward(q, q, k, k, out, lse.reshape(1, 4, 2), 0.5)
    with pytest.raises(ValueError, match="overlap"):
        nk.attention_backward(q, q, k, k.copy(), out, lse, 0.5, dk=k, dv=np.empty_like(k))


@pytest.mark.peer
@pytest.mark.parametrize("B, T, S, H, KH, D", [(2, 70, 70, 4, 2, 64), (1, 5, 90, 2, 2, 32)])
def test_agrees_with_torch(isa, B, T, S, H, KH, D, normal, close):
    torch = pytest.importorskip("torch")
    q, k, v, dout = normal(B, T, H, D), normal(B, S, KH, D), normal(B, S, KH, D), normal(B, T, H, D)
    tq, tk, tv = (torch.tensor(x, requires_grad=True) for x in (q, k, v))
    mask = torch.arange(S)[None, :] <= torch.arange(T)[:, None] + (S - T)
    heads = [tq.transpose(1, 2)] + [x.transpose(1, 2).repeat_interleave(H // KH, dim=1) for x in (tk, tv)]
    expected = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(1, 2)
    expected.backward(torch.tensor(dout))
    out, lse = nk.attention(q, k, v, D**-0.5)
    close(out, expected.detach().numpy(), 5e-6)
    got = nk.attention_backward(dout, q, k, v, out, lse, D**-0.5)
    for g, t in zip(got, (tq, tk, tv), strict=True):
        close(g, t.grad.numpy(), 1e-5)
