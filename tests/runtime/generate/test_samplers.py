"""Samplers: filters keep what their definitions say, draws follow the distribution, logprobs are the model's."""

import math

import numpy as np
import pytest

from runtime.generate import Sampling, samplers
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


def brute_typical(probs, p):
    entropy = -(probs * np.log(probs)).sum()
    order = np.argsort(np.abs(-np.log(probs) - entropy), kind="stable")
    return sorted(order[: int(np.searchsorted(np.cumsum(probs[order]), p)) + 1].tolist())


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9])
def test_typical_keeps_what_is_nearest_to_the_entropy(p):
    assert kept(samplers.typical(LOGITS, p)) == brute_typical(PROBS, p)
    x = (np.random.default_rng(1).standard_normal(3000) * 2).astype(np.float32)
    probs = np.exp(x.astype(np.float64) - x.max())
    got, wanted = samplers.typical(x, p).tolist(), brute_typical(probs / probs.sum(), p)
    assert len(set(got) ^ set(wanted)) <= 2  # float32 at the border
    assert samplers.typical(x, 1.0) is None


def test_typical_bears_excluded_ids():
    x = np.concatenate([LOGITS, np.full(4, NEG_INF)])
    assert max(samplers.typical(x, 0.99)) < 5


def test_top_n_sigma_is_relative_to_the_spread():
    x = np.array([10, 9, 0, 0, 0, 0, NEG_INF], np.float32)
    sigma = x[:6].std()
    assert kept(samplers.top_n_sigma(x, 0.9 / sigma)) == [0]
    assert kept(samplers.top_n_sigma(x, 1.1 / sigma)) == [0, 1]
    assert samplers.top_n_sigma(x, 0.0) is None


@pytest.mark.parametrize("n", [1, 7, 500, 3000])
@pytest.mark.parametrize("kind", ["normal", "ties", "flat"])
def test_top_k_and_top_p_equal_full_sorts_on_large_vocabularies(n, kind):
    rng = np.random.default_rng(n)
    x = {"normal": rng.standard_normal(40_000), "ties": rng.integers(0, 9, 40_000), "flat": np.zeros(40_000)}[kind]
    x = x.astype(np.float32)
    order = np.argsort(-x, kind="stable")
    assert samplers.top_k(x, n).tolist() == sorted(order[:n].tolist())
    probs = np.exp(x.astype(np.float64))[order]
    p = float(probs[:n].sum() / probs.sum())
    assert abs(len(samplers.top_p(x, p)) - n) <= 2
    assert set(samplers.top_p(x, p).tolist()) <= set(order[: n + 2].tolist())


def test_the_order_of_the_chain_is_the_users():
    """min_p before a high temperature cuts the tail that it would otherwise lift into reach."""
    hot = {"temperature": 5.0, "min_p": 0.5, "seed": 0}
    first = frequencies(make_sampler(**hot, order=("min_p", "temperature")), 3000)
    later = frequencies(make_sampler(**hot, order=("temperature", "min_p")), 3000)
    assert first[2:].sum() == 0 and (later > 0.1).all()


def test_mirostat_keeps_to_its_surprise():
    rng = np.random.default_rng(0)
    for tau in (2.0, 4.0):
        chain = Sampling(temperature=1.0, mirostat_tau=tau, mirostat_eta=0.1, seed=1).chain()
        bits = []
        for _ in range(600):
            logits = (rng.standard_normal(2000) * 3).astype(np.float32)
            bits.append(-samplers.logprob_of(logits, chain.pick(logits)) / math.log(2))
        assert abs(np.mean(bits[200:]) - tau) < 0.5


def test_top_logprobs_are_sorted_and_the_models_own():
    top = samplers.top_logprobs(LOGITS, 3)
    assert [id for id, _ in top] == [0, 1, 2]
    np.testing.assert_allclose([logprob for _, logprob in top], np.log(PROBS[:3]), atol=1e-5)
    assert len(samplers.top_logprobs(LOGITS, 50)) == 5


def test_probabilities_are_those_of_the_draws():
    for options in ({}, {"temperature": 0.7}, {"temperature": 1.0, "top_k": 2}, {"temperature": 2.0, "top_p": 0.8}):
        chain = Sampling(**options, seed=3).chain()
        got = np.bincount([chain.pick(LOGITS) for _ in range(4000)], minlength=5) / 4000
        np.testing.assert_allclose(got, chain.probabilities(LOGITS), atol=0.03)


def test_draws_over_many_blocks_follow_softmax():
    """The two-step inversion: block, then within the block (chi-square over 64 groups of a 20,000-entry vocabulary)."""
    x = (np.random.default_rng(0).standard_normal(20_000) * 2).astype(np.float32)
    x[777:9000] = NEG_INF
    probs = np.exp(x.astype(np.float64) - x.max())
    probs /= probs.sum()
    rng = np.random.default_rng(5)
    drawn = np.array([samplers.sample(x, rng) for _ in range(12_000)])
    assert not ((drawn >= 777) & (drawn < 9000)).any()
    groups = np.arange(20_000) % 64
    counts, wanted = np.bincount(groups[drawn], minlength=64), np.bincount(groups, weights=probs) * 12_000
    assert ((counts - wanted) ** 2 / wanted).sum() < 63 + 3.1 * (2 * 63) ** 0.5


def test_filters_change_nothing_in_place():
    x = LOGITS.copy()
    for f, v in ((samplers.temperature, 0.5), (samplers.top_k, 2), (samplers.top_p, 0.5), (samplers.min_p, 0.5)):
        f(x, v)
    samplers.typical(x, 0.5), samplers.top_n_sigma(x, 1.0)
    samplers.only(x, np.array([1]))
    np.testing.assert_array_equal(x, LOGITS)


def frequencies(draw, n=6000, **kwargs):
    counts = np.zeros(len(LOGITS))
    for _ in range(n):
        counts[draw(LOGITS, **kwargs)[0]] += 1
    return counts / n


def test_draws_follow_softmax():
    np.testing.assert_allclose(frequencies(make_sampler(temperature=1.0, seed=1)), PROBS, atol=0.025)


def test_temperature_sharpens():
    sharp = PROBS**2 / (PROBS**2).sum()
    np.testing.assert_allclose(frequencies(make_sampler(temperature=0.5, seed=2)), sharp, atol=0.025)


@pytest.mark.parametrize("t", [1e-6, 1e-40, 1e-300])
def test_a_tiny_temperature_takes_the_best(t):
    logits = np.array([3.0, 900.0, -900.0, 899.0], np.float32)
    assert make_sampler(temperature=t, seed=0)(logits)[0] == 1


def test_filters_renormalise_and_exclude():
    expected = np.array([0.4, 0.3, 0, 0, 0]) / 0.7
    for options in ({"top_k": 2}, {"top_p": 0.69}, {"min_p": 0.7}):
        got = frequencies(make_sampler(temperature=1.0, seed=3, **options), 4000)
        np.testing.assert_allclose(got, expected, atol=0.03)
        assert got[2:].sum() == 0


def test_allowed_ids_are_the_only_ones():
    got = frequencies(make_sampler(temperature=1.0, seed=4), 4000, allowed=np.array([2, 3]))
    np.testing.assert_allclose(got, [0, 0, 0.6, 0.4, 0], atol=0.03)
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
        {"typical": 1.5},
        {"top_n_sigma": -1},
        {"order": ("top_k", "top_k")},
        {"order": ("nucleus",)},
        {"order": ("temperature",), "top_k": 3},
        {"mirostat_tau": -1, "temperature": 1},
        {"mirostat_tau": 5.0},
        {"mirostat_eta": 11},
        {"repetition_penalty": 0},
        {"presence_penalty": math.inf},
        {"frequency_penalty": "1"},
        {"penalty_window": -1},
        {"dry_multiplier": -1},
        {"dry_base": 0.5},
        {"dry_allowed_length": 0},
        {"dry_breakers": ("",)},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {1: 200}},
        {"logit_bias": [1]},
        {"logprobs": 1.5},
        {"logprobs": True},
        {"grammar": 5},
    ],
    ids=lambda bad: "-".join(bad),
)
def test_parameters_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Sampling(**bad)


def test_nan_logits_and_nothing_allowed_are_errors():
    with pytest.raises(ValueError, match="NaN"):
        make_sampler()(np.array([0, np.nan], np.float32))
    with pytest.raises(ValueError, match="allowed"):
        make_sampler()(LOGITS, allowed=np.array([], np.int64))
    with pytest.raises(ValueError, match="excluded"):
        samplers.sample(np.full(3, NEG_INF), np.random.default_rng(0))
