"""Initial weights have the variance that their papers ask for, and the same bits for the same seed."""

import numpy as np
import pytest

from runtime.nn import initialisers as init

SHAPE = (600, 400)  # fan_out, fan_in


@pytest.mark.parametrize(
    ("rule", "std"),
    [
        (init.xavier_uniform, (2 / 1000) ** 0.5),
        (init.xavier_normal, (2 / 1000) ** 0.5),
        (init.he_uniform, (2 / 400) ** 0.5),
        (init.he_normal, (2 / 400) ** 0.5),
        (init.gpt2(), 0.02),
        (init.gpt2(residual_layers=8), 0.02 / 4),
        (init.normal(0.3), 0.3),
    ],
)
def test_mean_and_deviation_are_those_of_the_rule(rule, std):
    weights = rule(SHAPE, np.random.default_rng(0))
    assert weights.shape == SHAPE and weights.dtype == np.float32
    assert abs(weights.mean()) < 0.01 * std and abs(weights.std() / std - 1) < 0.01
    np.testing.assert_array_equal(weights, rule(SHAPE, np.random.default_rng(0)))
    assert (weights != rule(SHAPE, np.random.default_rng(1))).mean() > 0.99


def test_uniform_rules_stay_within_their_bounds():
    for rule, bound in ((init.xavier_uniform, (6 / 1000) ** 0.5), (init.he_uniform, (6 / 400) ** 0.5)):
        weights = rule(SHAPE, np.random.default_rng(0))
        assert 0.99 * bound < np.abs(weights).max() <= bound * (1 + 1e-6)


def test_he_keeps_the_size_of_signals_through_relu_and_xavier_through_tanh():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 400)).astype(np.float32)
    relu = x
    for _ in range(5):
        relu = np.maximum(relu @ init.he_normal((400, 400), rng).T, 0)
    assert 0.5 < np.sqrt((relu**2).mean()) < 2
    linear = x
    for _ in range(5):
        linear = linear @ init.xavier_uniform((400, 400), rng).T
    assert 0.8 < linear.std() < 1.25


def test_shapes_without_fans_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(out, in\)"):
        init.he_normal((3,), np.random.default_rng(0))
