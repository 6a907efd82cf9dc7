"""The trainer on a tiny real model: it learns, survives kill -9 bit for bit, and says clearly what is wrong."""

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
from finetune import checkpoint
from finetune.evaluate import score_batches
from finetune.report import read_metrics
from finetune.trainer import Listener, TrainingError, TrainSettings
from runtime.files.errors import FormatError
from runtime.models.decoder import Decoder

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import SPEC, CountingBatches, trainer


def losses(out):
    return {row["step"]: row["loss"] for row in read_metrics(out / "metrics.jsonl") if "loss" in row}


def test_a_tiny_training_learns_to_count(tmp_path):
    t = trainer(tmp_path, steps=60)
    t.run()
    seen = losses(tmp_path)
    assert len(seen) == 60
    assert seen[1] > 3.0 and np.mean([seen[i] for i in range(55, 61)]) < 0.5


def test_accumulated_gradients_are_that_of_the_whole_batch(tmp_path):
    gradients = []
    for passes in (1, 2, 3, 4, 9):  # of 4 rows
        t = trainer(tmp_path / str(passes), steps=1, accumulate=passes)
        loss, tokens = t._gradients(1)
        gradients.append((loss, tokens, {n: p.grad.copy() for n, p in t.parameters.items()}))
    for loss, tokens, grads in gradients[1:]:
        assert tokens == gradients[0][1] and loss == pytest.approx(gradients[0][0], rel=1e-5)
        for name, grad in grads.items():
            np.testing.assert_allclose(grad, gradients[0][2][name], atol=2e-5, err_msg=name)


def test_resume_after_kill_9_is_bit_exact(tmp_path):
    script, steps = str(Path(__file__).parent / "tiny_run.py"), 400
    packages = str(Path(finetune.__file__).parents[1])  # the child imports what this process imports
    environment = {**os.environ, "HEARTH_THREADS": "1", "PYTHONPATH": packages}

    def start(out, *extra):
        return subprocess.Popen([sys.executable, script, str(out), str(steps), *extra], env=environment)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kills = 0
    process = start(killed)
    for wanted in (40, 130, 220):
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if max(losses(killed), default=0) >= wanted:
                break
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            process = start(killed, "--resume")
    assert process.wait(timeout=120) == 0
    assert kills >= 2
    assert start(whole).wait(timeout=120) == 0
    assert losses(killed) == losses(whole)  # every float of every step
    assert len(losses(whole)) == steps
    ends = [checkpoint.load(checkpoint.latest(out / "checkpoints")) for out in (whole, killed)]
    for name, array in ends[0].weights.items():
        np.testing.assert_array_equal(array, ends[1].weights[name])


def test_steps_are_bit_exact_with_several_threads(tmp_path):
    for name in ("a", "b"):
        trainer(tmp_path / name, steps=12).run()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


def test_a_resumed_run_keeps_its_schedule_and_horizon(tmp_path):
    trainer(tmp_path, steps=20).run()
    t = trainer(tmp_path, steps=999, lr=1.0)
    t.run(resume=True)  # nothing left to do: the checkpoint's own 20 steps count
    assert t.step == 20 and t.schedule.peak == 1e-2
    assert len(losses(tmp_path)) == 20


def test_minutes_become_steps_once(tmp_path):
    notes = []

    class Ear(Listener):
        def note(self, text):
            notes.append(text)

    t = trainer(tmp_path, minutes=0.02, warmup=100, listener=Ear())
    start = time.perf_counter()
    t.run()
    assert time.perf_counter() - start < 30
    assert t.schedule.total == t.step > 20 and t.schedule.warmup < t.schedule.total
    assert any("per step" in note for note in notes)
    assert checkpoint.load(checkpoint.latest(t.checkpoints)).state["schedule"]["total"] == t.step


def test_evaluation_samples_and_curve(tmp_path):
    samples = []
    model = Decoder(SPEC, seed=3)
    held_out = [next(CountingBatches(seed=99))]

    def evaluate():
        return score_batches(lambda i, t: model.loss(i, t).item(), held_out, np.ones(32, np.int64))

    t = trainer(
        tmp_path, steps=30, model=model, eval_every=10, sample_every=15, evaluate=evaluate, sample=samples.append
    )
    score = t.run()
    assert samples == [15, 30]
    rows = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "val_loss" in row]
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert rows[-1]["val_loss"] == score.loss < rows[0]["val_loss"]
    assert score.bits_per_byte == pytest.approx(score.loss / np.log(2))
    pytest.importorskip("matplotlib")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_last_two_checkpoints_are_kept_and_unfinished_ones_removed(tmp_path):
    left = tmp_path / "checkpoints" / ".unfinished-00000099"
    left.mkdir(parents=True)
    trainer(tmp_path, steps=16).run()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-00000012", "step-00000016"]


def test_a_second_run_in_the_same_folder_needs_resume(tmp_path):
    trainer(tmp_path, steps=4).run()
    with pytest.raises(TrainingError, match="--resume"):
        trainer(tmp_path, steps=4).run()
    with pytest.raises(TrainingError, match="nothing to resume"):
        trainer(tmp_path / "new", steps=4).run(resume=True)


def test_another_tokenizer_is_refused_on_resume(tmp_path):
    trainer(tmp_path, steps=4, facts={"tokenizer": "a" * 64}).run()
    with pytest.raises(TrainingError, match="another tokenizer"):
        trainer(tmp_path, steps=4, facts={"tokenizer": "b" * 64}).run(resume=True)


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "gone"])
def test_a_broken_checkpoint_is_named(tmp_path, file, damage):
    trainer(tmp_path, steps=4).run()
    path = checkpoint.latest(tmp_path / "checkpoints") / file
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"\xff" * len(data))
    with pytest.raises((FormatError, FileNotFoundError), match=file.replace(".", r"\.")):
        trainer(tmp_path, steps=4).run(resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"facts": [1]},
        {"watch": []},
        {"watch": {"losses": ["x"]}},
        {"rollbacks": {}},
        {"tokens": None},
        {"schedule": []},
        {"schedule": {"lr": 1}},
        {"seconds": "x"},
    ],
)
def test_a_state_with_parts_of_the_wrong_type_is_named(tmp_path, change):
    trainer(tmp_path, steps=4).run()
    path = checkpoint.latest(tmp_path / "checkpoints") / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=r"state\.json"):
        trainer(tmp_path, steps=4).run(resume=True)


def test_a_checkpoint_of_another_shape_changes_nothing(tmp_path):
    trainer(tmp_path, steps=4).run()
    other = Decoder(SPEC.__class__(**{**SPEC.__dict__, "d_ff": 96}), seed=3)
    before = {n: p.data.copy() for n, p in other.parameters().items()}
    with pytest.raises(FormatError, match="shape"):
        trainer(tmp_path, steps=4, model=other).run(resume=True)
    for name, p in other.parameters().items():
        np.testing.assert_array_equal(p.data, before[name])


def test_a_batch_without_targets_is_an_error(tmp_path):
    class Empty(CountingBatches):
        def __next__(self):
            ids, targets = super().__next__()
            return ids, np.full_like(targets, -1)

    with pytest.raises(TrainingError, match="no target"):
        trainer(tmp_path, steps=2, batches=Empty()).run()


@pytest.mark.parametrize("bad", [{}, {"steps": 3, "minutes": 1.0}, {"steps": 0}, {"minutes": -1.0}])
def test_the_horizon_is_steps_or_minutes(bad):
    with pytest.raises(ValueError):
        TrainSettings(**bad)
