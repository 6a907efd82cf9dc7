"""Layers against torch's, and what they promise: shapes, seeds, causality, evaluation, clear errors."""

import numpy as np
import pytest

from runtime import tensor as t
from runtime.nn.attention import Attention
from runtime.nn.block import TransformerBlock
from runtime.nn.feed_forward import FeedForward, GatedFeedForward
from runtime.nn.layers import Dense, Dropout, Embedding, LayerNorm, RMSNorm
from runtime.nn.positions import LearnedPositions, SinusoidalPositions, sinusoidal_table
from runtime.tensor import Tensor


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def x(rng):
    return Tensor(rng.standard_normal((2, 6, 8)))


def attention_parts(rng, **options):
    return {
        "attention": Attention(8, 2, rng, **options),
        "norm1": LayerNorm(8),
        "feed_forward": FeedForward(8, 24, rng),
        "norm2": LayerNorm(8),
    }


def every_layer(rng):
    return {
        "dense": Dense(8, 5, rng),
        "layernorm": LayerNorm(8),
        "rmsnorm": RMSNorm(8),
        "feed-forward": FeedForward(8, 20, rng, activation=t.silu),
        "swiglu": GatedFeedForward(8, 20, rng),
        "geglu": GatedFeedForward(8, 20, rng, gate="geglu", bias=True),
        "sinusoidal": SinusoidalPositions(9, 8),
        "learned": LearnedPositions(9, 8, rng),
        "multi-head": Attention(8, 4, rng),
        "grouped, rotary, full": Attention(8, 4, rng, kv_heads=2, causal=False, rope_theta=100.0),
        "pre-norm block": TransformerBlock(**attention_parts(rng)),
        "post-norm block": TransformerBlock(**attention_parts(rng, causal=False), pre_norm=False),
    }


NAMES = list(every_layer(np.random.default_rng(0)))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_every_parameter_agree_with_central_differences(name, rng, x):
    layer = every_layer(rng)[name]
    leaf = Tensor(x.data.copy(), requires_grad=True)
    out = layer(leaf)
    assert out.shape[:2] == (2, 6)
    weights = rng.standard_normal(out.shape).astype(np.float32)
    layer.zero_grad()
    out.backward(weights)
    for where, parameter in {**layer.parameters(), "x": leaf}.items():
        direction = rng.standard_normal(parameter.shape).astype(np.float32)
        kept, values = parameter.data.copy(), []
        for step in (2e-3, -2e-3):
            parameter.data[...] = kept + np.float32(step) * direction
            values.append(float((layer(leaf).data.astype(np.float64) * weights).sum()))
        parameter.data[...] = kept
        numeric = (values[0] - values[1]) / 4e-3
        exact = float((parameter.grad.astype(np.float64) * direction).sum())
        assert abs(numeric - exact) < 1e-2 * max(1.0, abs(numeric), float(np.abs(parameter.grad).sum() ** 0.5)), where


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name):
    first, again, other = (every_layer(np.random.default_rng(seed))[name] for seed in (1, 1, 2))
    for key, parameter in first.parameters().items():
        np.testing.assert_array_equal(parameter.data, again.parameters()[key].data)
    random = [key for key, p in first.parameters().items() if p.data.std() > 0]
    assert all((first.parameters()[key].data != other.parameters()[key].data).any() for key in random)


def test_parameters_are_named_by_their_place_and_shared_ones_appear_once(rng):
    block = TransformerBlock(**attention_parts(rng))
    assert list(block.parameters()) == [
        "attention.qkv.weight", "attention.qkv.bias", "attention.out.weight", "attention.out.bias",
        "norm1.weight", "norm1.bias", "feed_forward.up.weight", "feed_forward.up.bias",
        "feed_forward.down.weight", "feed_forward.down.bias", "norm2.weight", "norm2.bias",
    ]  # fmt: skip
    block.norm2 = block.norm1
    assert len(block.parameters()) == 10


def test_weights_are_loaded_whole_or_not_at_all(rng):
    dense, other = Dense(3, 2, rng), Dense(3, 2, rng)
    dense.load({name: p.data for name, p in other.parameters().items()})
    np.testing.assert_array_equal(dense.weight.data, other.weight.data)
    with pytest.raises(ValueError, match=r"differing names \['bias'\]"):
        dense.load({"weight": other.weight.data})
    with pytest.raises(ValueError, match=r"weight: shape \(3, 2\), expected \(2, 3\)"):
        dense.load({"weight": other.weight.data.T, "bias": other.bias.data})


def test_causal_attention_does_not_see_the_future_and_full_attention_does(rng, x):
    changed = Tensor(x.data.copy())
    changed.data[:, 4:] += 1
    for causal in (True, False):
        layer = Attention(8, 2, rng, causal=causal, rope_theta=100.0)
        before, after = layer(x).data[:, :4], layer(changed).data[:, :4]
        assert np.allclose(before, after) == causal


def test_only_positions_tell_permuted_inputs_apart(rng):
    """Full attention over equal vectors gives equal rows; with a position table they differ."""
    same = Tensor(np.ones((1, 6, 8)))
    layer = Attention(8, 2, rng, causal=False)
    assert np.ptp(layer(same).data, axis=1).max() < 1e-6
    assert np.ptp(layer(SinusoidalPositions(6, 8)(same)).data, axis=1).max() > 1e-3


def test_the_sinusoidal_table_is_that_of_the_paper():
    table = sinusoidal_table(50, 16)
    for position, i in [(0, 0), (7, 3), (49, 7)]:
        angle = position / 10000 ** (2 * i / 16)
        np.testing.assert_allclose(table[position, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], rtol=1e-6)


def test_dropout_drops_while_training_only(rng, x):
    layer = TransformerBlock(**attention_parts(rng))
    layer.dropout = Dropout(0.5, seed=4)
    assert (layer.dropout(x).data == 0).any()
    layer.train(False)
    assert layer.dropout(x) is x
    np.testing.assert_array_equal(Dropout(0.5, seed=4)(x).data, Dropout(0.5, seed=4)(x).data)


def test_embedding_looks_rows_up(rng):
    layer = Embedding(5, 3, rng)
    ids = [[4, 0], [1, 4]]
    np.testing.assert_array_equal(layer(np.array(ids)).data, layer.weight.data[ids])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng, x: Attention(8, 3, rng), "width 8, 3 heads and 3 key heads do not divide evenly"),
        (lambda rng, x: Attention(8, 4, rng, kv_heads=3), "4 heads and 3 key heads"),
        (lambda rng, x: Attention(6, 2, rng, rope_theta=10.0), "even head width, got 3"),
        (lambda rng, x: Attention(8, 2, rng, rope_theta=10.0, max_positions=5)(x), "6 positions exceed the 5"),
        (lambda rng, x: Attention(8, 2, rng)(x[0]), r"x has shape \(6, 8\), expected \(B, T, d\)"),
        (lambda rng, x: SinusoidalPositions(5, 8)(x), "6 positions exceed the 5"),
        (lambda rng, x: sinusoidal_table(5, 7), "must be even, got 7"),
        (lambda rng, x: GatedFeedForward(8, 9, rng, gate="reglu"), "gate 'reglu', expected one of swiglu, geglu"),
        (lambda rng, x: Dropout(1.5), "p is 1.5"),
        (lambda rng, x: Dense(7, 3, rng)(x), r"linear: x \(2, 6, 8\) does not fit weight \(3, 7\)"),
    ],
)
def test_what_does_not_fit_is_named(call, message, rng, x):
    with pytest.raises(ValueError, match=message):
        call(rng, x)


@pytest.mark.peer
@pytest.mark.parametrize("causal", [True, False])
def test_attention_agrees_with_torch(causal, rng, x):
    torch = pytest.importorskip("torch")
    ours, theirs = Attention(8, 2, rng, causal=causal), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    ours.load(
        {
            "qkv.weight": theirs.in_proj_weight.detach().numpy(),
            "qkv.bias": rng.standard_normal(24),
            "out.weight": theirs.out_proj.weight.detach().numpy(),
            "out.bias": theirs.out_proj.bias.detach().numpy(),
        }
    )
    theirs.in_proj_bias.data = torch.tensor(ours.qkv.bias.data)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(6) if causal else None
    tx = torch.tensor(x.data)
    expected = theirs(tx, tx, tx, attn_mask=mask)[0]
    np.testing.assert_allclose(ours(x).data, expected.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_block_and_its_gradients_agree_with_torch(pre_norm, rng, x):
    torch = pytest.importorskip("torch")
    ours = TransformerBlock(**attention_parts(rng, causal=False), pre_norm=pre_norm)
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=pre_norm
    )
    names = {
        "attention.qkv.weight": "self_attn.in_proj_weight",
        "attention.qkv.bias": "self_attn.in_proj_bias",
        "attention.out.weight": "self_attn.out_proj.weight",
        "attention.out.bias": "self_attn.out_proj.bias",
        "feed_forward.up.weight": "linear1.weight",
        "feed_forward.up.bias": "linear1.bias",
        "feed_forward.down.weight": "linear2.weight",
        "feed_forward.down.bias": "linear2.bias",
    } | {f"norm{i}.{part}": f"norm{i}.{part}" for i in (1, 2) for part in ("weight", "bias")}
    weights = dict(theirs.named_parameters())
    ours.load({name: weights[other].detach().numpy() for name, other in names.items()})
    leaf, tx = Tensor(x.data, requires_grad=True), torch.tensor(x.data, requires_grad=True)
    out, expected = ours(leaf), theirs(tx)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    dout = rng.standard_normal(out.shape).astype(np.float32)
    out.backward(dout)
    expected.backward(torch.tensor(dout))
    np.testing.assert_allclose(leaf.grad, tx.grad.numpy(), rtol=1e-3, atol=1e-4)
    for name, parameter in ours.parameters().items():
        wanted = weights[names[name]].grad.numpy()
        np.testing.assert_allclose(parameter.grad, wanted, rtol=1e-3, atol=1e-4, err_msg=name)
