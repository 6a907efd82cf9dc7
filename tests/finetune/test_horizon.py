"""The horizon of a run: what may be moved, what is refused, what is kept for a longer run, and how a signal ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import finetune
from finetune import checkpoint, horizon
from finetune.interrupt import finish_on_signals
from finetune.report import read_metrics
from finetune.schedule import Schedule
from finetune.trainer import TrainingError

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import trainer

WSD = {"schedule": "wsd", "decay": 0.4}


def rates(out):
    return {row["step"]: row["lr"] for row in read_metrics(out / "metrics.jsonl") if "loss" in row}


def test_wsd_warms_up_stays_and_goes_straight_down_in_its_share():
    s = Schedule(peak=2.0, warmup=10, total=100, min_ratio=0.1, kind="wsd", decay=0.4)
    assert s.stable_until == 60
    assert s.rate(5) == 1.0 and s.rate(10) == s.rate(11) == s.rate(60) == 2.0
    assert s.rate(80) == pytest.approx(2.0 * 0.55) and s.rate(100) == pytest.approx(0.2) == s.rate(500)
    falls = np.diff([s.rate(i) for i in range(60, 101)])
    np.testing.assert_allclose(falls, falls[0])
    longer = Schedule(2.0, 10, 1000, 0.1, "wsd", 0.4)
    assert [s.rate(i) for i in range(1, 61)] == [longer.rate(i) for i in range(1, 61)]


@pytest.mark.parametrize("bad", [{"kind": "step"}, {"decay": 0}, {"decay": 1.5}])
def test_schedules_of_no_such_kind_are_refused(bad):
    with pytest.raises(ValueError, match=r"schedule|decay"):
        Schedule(**({"peak": 1.0, "warmup": 1, "total": 10} | bad))


def test_a_longer_horizon_before_the_decay_gives_the_run_that_had_it_from_the_start(tmp_path):
    whole = trainer(tmp_path / "whole", steps=40, **WSD)
    whole.run()
    cut = trainer(tmp_path / "cut", steps=20, **WSD)
    cut.listener.saved = lambda step, path: cut.stop() if step == 8 else None
    cut.run()
    assert cut.step == 8
    longer = trainer(tmp_path / "cut", steps=40, **WSD)
    longer.resume()
    horizon.move(longer)
    assert json.loads((longer.checkpoints / "step-00000008" / "state.json").read_text())["schedule"]["total"] == 40
    longer.run()
    assert rates(tmp_path / "cut") == rates(tmp_path / "whole")
    for name, p in whole.parameters.items():
        np.testing.assert_array_equal(p.data, longer.parameters[name].data)


def test_after_the_decay_began_only_the_checkpoint_before_it_goes_on_longer(tmp_path):
    trainer(tmp_path / "whole", steps=40, **WSD).run()
    trainer(tmp_path / "run", steps=20, **WSD).run()
    again = trainer(tmp_path / "run", steps=40, **WSD)
    again.resume()
    with pytest.raises(TrainingError, match=r"began after step 12, step 20 .* --from stable"):
        horizon.move(again)
    again = trainer(tmp_path / "run", steps=40, **WSD)
    again.resume("stable")
    horizon.move(again)
    again.run()
    assert rates(tmp_path / "run") == rates(tmp_path / "whole")
    assert checkpoint.load(again.checkpoints / "stable").step == 24  # the new horizon's own
    left = tmp_path / "run" / "left-20"  # the shorter run's end is not lost
    assert checkpoint.load(checkpoint.latest(left / "checkpoints")).step == 20 and len(rates(left)) == 20


def test_horizons_that_would_change_rates_of_the_past_are_refused(tmp_path):
    trainer(tmp_path / "cosine", steps=8).run()
    again = trainer(tmp_path / "cosine", steps=16)
    again.resume()
    with pytest.raises(TrainingError, match=r'"cosine".* stays at 8 steps'):
        horizon.move(again)
    run = trainer(tmp_path / "wsd", steps=40, **WSD)
    run.listener.saved = lambda step, path: run.stop() if step == 16 else None
    run.run()
    for steps, message in ((20, r"20 steps are too few: 16 are done.*after step 12"), (3, "does not fit|too few")):
        again = trainer(tmp_path / "wsd", steps=steps, **WSD)
        again.resume()
        with pytest.raises(TrainingError, match=message):
            horizon.move(again)
    again = trainer(tmp_path / "wsd", minutes=1e-6, **WSD)
    again.resume()
    with pytest.raises(TrainingError, match="give more"):
        horizon.move(again)
    with pytest.raises(TrainingError, match='no checkpoint "best"'):
        again.resume("best")


def test_minutes_count_from_the_first_step_when_the_horizon_moves(tmp_path):
    run = trainer(tmp_path, steps=400, **WSD)
    run.listener.saved = lambda step, path: run.stop() if step == 24 else None
    run.run()
    again = trainer(tmp_path, minutes=run.seconds / 60 * 3, **WSD)
    again.resume()
    horizon.move(again)
    assert again.schedule.total == pytest.approx(72, abs=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_keeps_it(tmp_path, number):
    packages = str(Path(finetune.__file__).parents[1])
    environment = {**os.environ, "HEARTH_THREADS": "1", "PYTHONPATH": packages}
    command = [sys.executable, str(Path(__file__).parent / "tiny_run.py"), str(tmp_path), "100000", "--signals"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(rates(tmp_path)) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    last = max(rates(tmp_path))
    assert out == f"stopped after {last}\n"
    assert checkpoint.load(checkpoint.latest(tmp_path / "checkpoints")).step == last


def test_a_second_signal_stops_at_once_and_the_handlers_come_back(capfd):
    before = signal.getsignal(signal.SIGINT)
    asked = []
    with pytest.raises(KeyboardInterrupt), finish_on_signals(lambda: asked.append(1)) as caught:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [1] and caught.signal == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "finishing the step" in capfd.readouterr().err


def test_bf16_products_train_the_same_toy_with_other_numbers(tmp_path):
    ends = {}
    for precision in ("f32", "bf16"):
        run = trainer(tmp_path / precision, steps=40, precision=precision)
        run.run()
        ends[precision] = [row["loss"] for row in read_metrics(run.out / "metrics.jsonl")]
        assert all(p.data.dtype == np.float32 for p in run.parameters.values())
    assert ends["bf16"] != ends["f32"]
    np.testing.assert_allclose(ends["bf16"][:5], ends["f32"][:5], rtol=0.02)
    assert ends["bf16"][-1] < 0.5 * ends["bf16"][0]
