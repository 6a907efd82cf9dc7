"""Learning works: networks of these layers find XOR, two spirals, drawn digits and a rule over a sequence."""

import numpy as np

from runtime import tensor as t
from runtime.nn import __main__ as xor
from runtime.nn.attention import Attention
from runtime.nn.block import TransformerBlock
from runtime.nn.feed_forward import FeedForward, GatedFeedForward
from runtime.nn.initialisers import he_normal
from runtime.nn.layers import Dense, Dropout, Embedding, LayerNorm, RMSNorm
from runtime.nn.module import Module
from runtime.nn.positions import LearnedPositions
from runtime.tensor import Tensor, no_grad
from runtime.tensor.optim_ops import adamw


def train(network, loss_of, steps, lr):
    """`steps` steps of Adam on loss_of(step) with the rate falling to 0; returns the losses."""
    moments = {n: (np.zeros_like(p.data), np.zeros_like(p.data)) for n, p in network.parameters().items()}
    losses = []
    for step in range(1, steps + 1):
        network.zero_grad()
        loss = loss_of(step)
        loss.backward()
        losses.append(loss.item())
        for name, p in network.parameters().items():
            adamw(p.data, p.grad, *moments[name], lr * (1 - step / (steps + 1)), 0.9, 0.99, 1e-8, 0.0, step)
    return losses


class Classifier(Module):
    """Dense layers with relu between them."""

    def __init__(self, sizes, rng):
        self.layers = [Dense(a, b, rng, initialiser=he_normal) for a, b in zip(sizes, sizes[1:], strict=False)]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def test_xor_by_squared_error():
    network = xor.Xor(np.random.default_rng(1))
    losses = xor.learn(network, 400)
    assert losses[0] > 0.2 and losses[-1] < 0.01
    np.testing.assert_array_equal(network(xor.CORNERS).data > 0.5, xor.XOR > 0)


def test_one_dense_layer_cannot_learn_xor():
    """The counterpart that makes the test above mean something: without a hidden layer the error stays at guessing."""
    assert xor.learn(xor.Xor(np.random.default_rng(1), hidden=0), 400)[-1] > 0.24


def spirals(n, rng):
    """Two spirals of one turn each, with a little noise: points (2n, 2) and classes (2n,)."""
    angle = np.sqrt(rng.random(n)) * 2 * np.pi + 0.5
    arm = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / 6
    points = np.concatenate([arm, -arm]) + rng.standard_normal((2 * n, 2)) * 0.02
    return points.astype(np.float32), np.repeat(np.arange(2, dtype=np.int32), n)


def test_two_spirals():
    rng = np.random.default_rng(2)
    (points, classes), (fresh, wanted) = spirals(150, rng), spirals(150, rng)
    network = Classifier([2, 48, 48, 2], rng)
    losses = train(network, lambda step: t.cross_entropy(network(Tensor(points)), classes), 300, 0.02)
    assert losses[-1] < 0.05
    with no_grad():
        assert (network(Tensor(fresh)).data.argmax(axis=1) == wanted).mean() > 0.97


DIGITS = ["###\n#.#\n#.#\n#.#\n###", ".#.\n##.\n.#.\n.#.\n###", "###\n..#\n###\n#..\n###", "###\n..#\n.##\n..#\n###",
          "#.#\n#.#\n###\n..#\n..#", "###\n#..\n###\n..#\n###", "###\n#..\n###\n#.#\n###", "###\n..#\n.#.\n.#.\n.#.",
          "###\n#.#\n###\n#.#\n###", "###\n#.#\n###\n..#\n###"]  # fmt: skip


def drawn_digits(n, rng):
    """Digits of 5 x 3 dots somewhere on a noisy field of 8 x 6: images (n, 48) and classes (n,)."""
    shapes = np.array([[[c == "#" for c in line] for line in digit.split("\n")] for digit in DIGITS])
    classes = rng.integers(0, 10, n).astype(np.int32)
    images = rng.standard_normal((n, 8, 6)).astype(np.float32) * 0.2
    for image, digit, row, column in zip(images, classes, rng.integers(0, 4, n), rng.integers(0, 4, n), strict=True):
        image[row : row + 5, column : column + 3] += shapes[digit]
    return images.reshape(n, 48), classes


def test_drawn_digits_with_dropout_and_layernorm():
    rng = np.random.default_rng(3)
    fresh, wanted = drawn_digits(400, rng)

    class Reader(Classifier):
        def __init__(self):
            super().__init__([48, 96, 96, 10], rng)
            self.norm, self.dropout = LayerNorm(96), Dropout(0.1, seed=1)

        def __call__(self, x):
            x = self.dropout(self.norm(self.layers[0](x)).gelu())
            return self.layers[2](self.layers[1](x).silu())

    network = Reader()

    def loss_of(step):
        images, classes = drawn_digits(128, rng)
        return t.cross_entropy(network(Tensor(images)), classes)

    losses = train(network, loss_of, 500, 0.01)
    network.train(False)
    with no_grad():
        right = (network(Tensor(fresh)).data.argmax(axis=1) == wanted).mean()
    assert losses[0] > 2 and right > 0.95


def test_a_transformer_learns_to_repeat():
    """Only attention over positions can do it: the second half of a sequence repeats the first."""
    rng = np.random.default_rng(4)

    class Repeater(Module):
        def __init__(self):
            self.embedding, self.positions = Embedding(8, 32, rng), LearnedPositions(12, 32, rng)
            self.blocks = [
                TransformerBlock(Attention(32, 4, rng), LayerNorm(32), FeedForward(32, 64, rng), LayerNorm(32)),
                TransformerBlock(
                    Attention(32, 4, rng, kv_heads=2, rope_theta=100.0), RMSNorm(32),
                    GatedFeedForward(32, 64, rng, gate="geglu"), RMSNorm(32)
                ),
            ]  # fmt: skip
            self.norm, self.head = LayerNorm(32), Dense(32, 8, rng, bias=False)

        def __call__(self, ids):
            x = self.positions(self.embedding(ids))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    network = Repeater()

    def batch():
        half = rng.integers(0, 8, (32, 6))
        ids = np.concatenate([half, half], axis=1).astype(np.int32)
        targets = np.full((32, 12), -1, dtype=np.int32)
        targets[:, 5:11] = ids[:, 6:]  # what comes next is known from the first repeated place on
        return ids, targets

    def loss_of(step):
        ids, targets = batch()
        return t.cross_entropy(network(ids).reshape(-1, 8), targets.reshape(-1))

    losses = train(network, loss_of, 250, 0.01)
    assert losses[0] > 1.5 and losses[-1] < 0.1
    ids, targets = batch()
    with no_grad():
        best = network(ids).data.argmax(axis=-1)
    assert (best == targets)[targets >= 0].mean() > 0.97
