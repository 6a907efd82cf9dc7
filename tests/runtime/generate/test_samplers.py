"""Samplers: filters keep what their definitions say, draws follow the distribution, logprobs are the model's."""

import math

import numpy as np
import pytest

from runtime.generate import samplers
from runtime.generate.samplers import NEG_INF, make_sampler

PROBS = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
LOGITS = (np.log(PROBS) + 7).astype(np.float32)


def kept(positions, n=5):
    """Positions that a filter keeps, None being all."""
    return list(range(n)) if positions is None else positions.tolist()


def test_log_softmax_is_stable_and_normalised():
    for x in (LOGITS, LOGITS + 1e4, np.array([-1e30, 0, 80], np.float32), np.array([NEG_INF, 0.0], np.float32)):
        logp = samplers.log_softmax(x)
        assert abs(np.exp(logp.astype(np.float64)).sum() - 1) < 1e-6
        assert samplers.logprob_of(x, 1) == pytest.approx(float(logp[1]), abs=1e-5)
    np.testing.assert_allclose(samplers.log_softmax(LOGITS), np.log(PROBS), atol=1e-6)


def test_top_k_keeps_exactly_k_also_with_ties():
    assert kept(samplers.top_k(LOGITS, 2)) == [0, 1]
    assert kept(samplers.top_k(np.zeros(5, np.float32), 3)) == [0, 1, 2]
    assert kept(samplers.top_k(LOGITS, 0)) == kept(samplers.top_k(LOGITS, 9)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, [0]), (0.39, [0]), (0.41, [0, 1]), (0.71, [0, 1, 2]), (1.0, [0, 1, 2, 3, 4])]
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(p, expected):
    assert kept(samplers.top_p(LOGITS, p)) == expected
    shuffled = np.array([3, 0, 4, 1, 2])
    assert sorted(shuffled[kept(samplers.top_p(LOGITS[shuffled], p))]) == expected


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_top_p_on_a_large_vocabulary_equals_the_full_sort(scale):
    x = (np.random.default_rng(0).standard_normal(20_000) * scale).astype(np.float32)
    order = np.argsort(-x, kind="stable")
    mass = np.cumsum(np.exp((x - x.max())[order], dtype=np.float64))
    count = int(np.searchsorted(mass, 0.9 * mass[-1])) + 1
    assert abs(len(kept(samplers.top_p(x, 0.9), x.size)) - count) <= 1  # the two sums round differently


def test_min_p_is_relative_to_the_best():
    assert kept(samplers.min_p(LOGITS, 0.3)) == [0, 1, 2]
    assert kept(samplers.min_p(LOGITS, 1.0)) == [0]
    assert kept(samplers.min_p(LOGITS, 0.0)) == [0, 1, 2, 3, 4]


def test_filters_change_nothing_in_place():
    x = LOGITS.copy()
    for f, v in ((samplers.temperature, 0.5), (samplers.top_k, 2), (samplers.top_p, 0.5), (samplers.min_p, 0.5)):
        f(x, v)
    samplers.only(x, np.array([1]))
    np.testing.assert_array_equal(x, LOGITS)


def frequencies(draw, n=20_000, **kwargs):
    counts = np.zeros(len(LOGITS))
    for _ in range(n):
        counts[draw(LOGITS, **kwargs)[0]] += 1
    return counts / n


def test_draws_follow_softmax():
    np.testing.assert_allclose(frequencies(make_sampler(temperature=1.0, seed=1)), PROBS, atol=0.012)


def test_temperature_sharpens():
    sharp = PROBS**2 / (PROBS**2).sum()
    np.testing.assert_allclose(frequencies(make_sampler(temperature=0.5, seed=2)), sharp, atol=0.012)


@pytest.mark.parametrize("t", [1e-6, 1e-40, 1e-300])
def test_a_tiny_temperature_takes_the_best(t):
    logits = np.array([3.0, 900.0, -900.0, 899.0], np.float32)
    assert make_sampler(temperature=t, seed=0)(logits)[0] == 1


def test_filters_renormalise_and_exclude():
    expected = np.array([0.4, 0.3, 0, 0, 0]) / 0.7
    for options in ({"top_k": 2}, {"top_p": 0.69}, {"min_p": 0.7}):
        got = frequencies(make_sampler(temperature=1.0, seed=3, **options), 10_000)
        np.testing.assert_allclose(got, expected, atol=0.02)
        assert got[2:].sum() == 0


def test_allowed_ids_are_the_only_ones():
    got = frequencies(make_sampler(temperature=1.0, seed=4), 10_000, allowed=np.array([2, 3]))
    np.testing.assert_allclose(got, [0, 0, 0.6, 0.4, 0], atol=0.02)
    assert make_sampler()(LOGITS, allowed=np.array([4, 3]))[0] == 3


def test_greedy_takes_the_best_and_the_lowest_id_on_ties():
    assert make_sampler()(LOGITS)[0] == 0
    assert make_sampler()(np.array([1, 5, 5], np.float32))[0] == 1
    assert make_sampler(temperature=0, top_k=1, top_p=0.1)(LOGITS[::-1].copy())[0] == 4


@pytest.mark.parametrize("options", [{}, {"temperature": 0.3, "top_k": 2, "seed": 0}, {"temperature": 2.0, "seed": 1}])
def test_logprob_is_the_models_own_before_temperature_and_filters(options):
    draw = make_sampler(**options)
    for allowed in (None, np.array([1, 2])):
        id, logprob = draw(LOGITS, allowed)
        assert logprob == pytest.approx(math.log(PROBS[id]), abs=1e-5)


def test_the_same_seed_gives_the_same_draws():
    def ids(seed):
        draw = make_sampler(temperature=1.0, seed=seed)
        return [draw(LOGITS)[0] for _ in range(50)]

    assert ids(7) == ids(7) != ids(8)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_p": 1.1},
        {"min_p": "x"},
        {"seed": -1},
    ],
)
def test_parameters_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        make_sampler(**bad)


def test_nan_logits_and_nothing_allowed_are_errors():
    with pytest.raises(ValueError, match="NaN"):
        make_sampler()(np.array([0, np.nan], np.float32))
    with pytest.raises(ValueError, match="allowed"):
        make_sampler()(LOGITS, allowed=np.array([], np.int64))
    with pytest.raises(ValueError, match="excluded"):
        samplers.sample(np.full(3, NEG_INF), np.random.default_rng(0))
