"""Penalties: what their definitions say, on the ids that occurred and on no others; a Chooser applies them in order."""

import numpy as np
import pytest

from runtime.generate import Chooser, Constraint, Sampling, penalties

LOGITS = np.array([2.0, -1.0, 0.5, 3.0, 0.0, 1.0], np.float32)


def test_repetition_divides_and_multiplies():
    changes = penalties.repetition(LOGITS, [0, 1, 1], 2.0)
    assert changes == {0: 1.0, 1: -2.0}


def test_presence_counts_once_and_frequency_every_time():
    changes = penalties.presence_frequency(LOGITS, [3, 3, 4], 0.5, 0.25)
    assert changes == {3: 3.0 - 0.5 - 0.5, 4: 0.0 - 0.5 - 0.25}


def naive_dry(ids, allowed, breakers):
    """Length of the repetition that each id would lengthen, by trying every earlier place."""
    worst = {}
    for at in range(len(ids) - 1):
        n = 0
        while n <= at and ids[at - n] == ids[len(ids) - 1 - n] and ids[at - n] not in breakers:
            n += 1
        if n >= allowed and ids[at + 1] not in breakers:
            worst[ids[at + 1]] = max(worst.get(ids[at + 1], 0), n)
    return worst


@pytest.mark.parametrize("breakers", [frozenset(), frozenset({2}), frozenset({0, 5})])
def test_dry_grows_with_the_length_of_the_repetition(breakers):
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids = rng.integers(0, 4, rng.integers(0, 40)).tolist()
        got = penalties.dry(LOGITS, ids, 0.8, 1.5, 2, breakers)
        wanted = {i: LOGITS[i] - 0.8 * 1.5 ** (n - 2) for i, n in naive_dry(ids, 2, breakers).items()}
        assert got.keys() == wanted.keys()
        assert all(got[i] == pytest.approx(wanted[i]) for i in got)


def test_a_long_loop_stays_finite_and_quick():
    changes = penalties.dry(LOGITS, [1, 2, 3] * 2000, 5.0, 4.0, 2)
    assert np.isfinite(penalties.changed(LOGITS, changes)).all() and changes[1] < -1e20


def test_nothing_is_changed_in_place():
    before = LOGITS.copy()
    penalties.changed(LOGITS, penalties.bias(LOGITS, {1: 5.0, 2: -np.inf}))
    np.testing.assert_array_equal(LOGITS, before)


def chooser(prompt=(), breakers=frozenset(), **options):
    return Chooser(Sampling(**options), prompt, Constraint(None, frozenset()), breakers)


def test_a_bias_bans_and_forces():
    assert chooser(logit_bias={3: -np.inf}).choose(LOGITS).id == 0
    assert chooser(logit_bias={4: 10}).choose(LOGITS).id == 4


def test_repetition_counts_the_prompt_and_the_others_do_not():
    assert chooser(prompt=[3], repetition_penalty=5.0).choose(LOGITS).id == 0
    assert chooser(prompt=[3], presence_penalty=2.0).choose(LOGITS).id == 3
    now = chooser(frequency_penalty=0.6)
    assert [now.choose(LOGITS).id for _ in range(5)] == [3, 3, 0, 3, 0]


def test_the_window_forgets():
    now = chooser(prompt=[3, 1, 1], repetition_penalty=5.0, penalty_window=2)
    assert now.choose(LOGITS).id == 3


def test_dry_breaks_a_loop_also_under_greedy():
    looping = np.full((4, 4), -2.0, np.float32)
    for i in range(3):
        looping[i, (i + 1) % 3] = 2.0

    def text(**options):
        now, ids = chooser(prompt=[0], **options), [0]
        for _ in range(12):
            ids.append(now.choose(looping[ids[-1]]).id)
        return ids

    assert text() == [i % 3 for i in range(13)]
    assert text(dry_multiplier=2.0) != [i % 3 for i in range(13)]


def test_logprobs_are_before_penalties():
    top = chooser(logit_bias={3: -np.inf}, logprobs=2).choose(LOGITS)
    assert top.id == 0 and [id for id, _ in top.top] == [3, 0] and top.logprob == pytest.approx(top.top[1][1])


def test_everything_banned_is_an_error():
    with pytest.raises(ValueError, match="excluded"):
        chooser(logit_bias=dict.fromkeys(range(6), -np.inf)).choose(LOGITS)
