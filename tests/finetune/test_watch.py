"""What the watch calls an alarm, and what it does not: losses and validation losses of runs that went well or badly."""

import json
import math

import numpy as np
import pytest

from finetune.watch import ENOUGH, Watch, WatchSettings


def alarms(losses, **settings):
    watch = Watch(WatchSettings(**settings))
    return [alarm for step, loss in enumerate(losses, 1) if (alarm := watch.loss(step, float(loss)))]


def healthy(steps=600, noise=0.15, seed=0):
    """A falling, noisy curve with heavy tails; batches of real documents stayed within 4.6 robust deviations."""
    rng = np.random.default_rng(seed)
    return 1.5 + 6.0 * np.exp(-np.arange(steps) / 80) + noise * rng.standard_t(10, steps)


def test_healthy_runs_raise_no_alarm():
    for seed in range(10):
        assert not alarms(healthy(seed=seed))


@pytest.mark.parametrize("height", [2.0, 5.0, 50.0])
def test_a_spike_is_one_alarm_that_names_the_step_and_what_was_normal(height):
    losses = healthy()
    losses[400:407] += height
    (alarm,) = alarms(losses)
    assert (alarm.kind, alarm.step, alarm.action, alarm.is_fault) == ("spike", 401, "note", True)
    assert f"{losses[400]:.3f}" in alarm.text and f"{np.median(losses[300:400]):.3f}" in alarm.text


def test_two_spikes_are_two_alarms_and_the_first_does_not_hide_the_second():
    losses = healthy()
    losses[[300, 301, 340]] += 8.0
    assert [alarm.step for alarm in alarms(losses)] == [301, 341]


def test_a_new_level_that_stays_is_said_once():
    losses = healthy(1000)
    losses[500:] += 3.0
    assert [alarm.step for alarm in alarms(losses)] == [501]


def test_a_quiet_run_may_wobble_by_less_than_half_a_nat():
    losses = np.full(200, 0.02)
    losses[150] = 0.45
    assert not alarms(losses)
    losses[150] = 0.60
    assert alarms(losses)


def test_nothing_is_a_spike_before_enough_losses_are_known():
    assert not alarms([3.0] * (ENOUGH - 1) + [90.0])
    assert alarms([3.0] * ENOUGH + [90.0])


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_an_alarm_at_once(loss):
    (alarm,) = alarms([loss], nan="stop")
    assert (alarm.kind, alarm.step, alarm.action) == ("nan", 1, "stop") and str(loss) in alarm.text


def validated(values, training=None, **settings):
    watch, found = Watch(WatchSettings(**settings)), []
    for n, value in enumerate(values):
        if training is not None:
            watch.losses.clear()
            watch.losses.append(training[n])
        if alarm := watch.validation(10 * n + 10, value):
            found.append(alarm)
    return watch, found


def test_validation_that_rises_while_training_falls_is_overfitting():
    watch, (alarm,) = validated([3.0, 2.5, 2.6, 2.7, 2.9], training=[3.0, 2.0, 1.5, 1.0, 0.5], rising="rollback")
    assert (alarm.kind, alarm.step, alarm.action, alarm.is_fault) == ("rising", 50, "rollback", False)
    assert "rose 3 times in a row, from 2.5000 (step 20) to 2.9000" in alarm.text
    assert "fell from 2.0000 to 0.5000: overfitting" in alarm.text
    assert watch.best == (20, 2.5)


def test_validation_and_training_that_rise_together_are_not_called_overfitting():
    _, (alarm,) = validated([2.5, 2.6, 2.7, 2.9], training=[2.0, 2.1, 2.4, 2.6])
    assert "diverges" in alarm.text and "2.0000, now 2.6000" in alarm.text


def test_ups_and_downs_are_no_rise():
    _, found = validated([3.0, 3.1, 2.9, 3.0, 3.1, 2.8, 2.9, 2.7])
    assert not found


def test_patience_counts_evaluations_without_a_better_one():
    values = [3.0, 2.5, 2.6, 2.5, 2.4, 2.45, 2.41, 2.43]
    watch, (alarm,) = validated(values, patience=3, rising_evals=9)
    assert (alarm.kind, alarm.step, alarm.action) == ("early stop", 80, "stop")
    assert "2.4000 of step 50 in 3 evaluations" in alarm.text and watch.best == (50, 2.4)
    assert not validated(values, patience=0)[1]


def test_a_watch_that_is_resumed_raises_the_same_alarms():
    losses = healthy()
    losses[400:420] += 6.0
    for cut in (100, 399, 405):
        first = Watch(WatchSettings())
        for step in range(cut):
            first.loss(step + 1, losses[step])
        first.validation(5, 2.0), first.validation(6, 2.1)
        second = Watch(WatchSettings())
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        for step in range(cut, 600):
            assert first.loss(step + 1, losses[step]) == second.loss(step + 1, losses[step])
        for n, value in enumerate((2.2, 2.3, 2.0)):
            assert first.validation(n, value) == second.validation(n, value)
        assert first.state_dict() == second.state_dict()


@pytest.mark.parametrize(
    "bad",
    [{"nan": "note"}, {"spike": "ignore"}, {"rising": ""}, {"factor": 0}, {"spike_sigmas": -1}, {"rollbacks": -1}],
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        WatchSettings(**bad)
