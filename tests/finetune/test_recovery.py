"""Runs that really go wrong: NaN, poisoned batches, overfitting; what the run does about it, says and writes down."""

import sys
from pathlib import Path

import numpy as np
import pytest

from finetune import checkpoint
from finetune.evaluate import score_batches
from finetune.report import read_metrics, write_curve
from finetune.trainer import Listener, TrainingError
from finetune.watch import WatchSettings
from runtime.models.decoder import Decoder

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import SPEC, CountingBatches, trainer

pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")

MARK = 7  # a batch of nothing but this token is a poisoned one


class Poisoned(CountingBatches):
    """Batches that count, but for those numbered in `bad` (from 1): all one token, which no step follows."""

    def __init__(self, bad, seed=0):
        super().__init__(seed)
        self.bad, self.made = set(bad), 0

    def __next__(self):
        ids, targets = super().__next__()
        self.made += 1
        return (np.full_like(ids, MARK), targets) if self.made in self.bad else (ids, targets)

    def state_dict(self):
        return super().state_dict() | {"made": self.made}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.made = state["made"]


class Overflows(Decoder):
    """A decoder whose loss, or only its gradient, leaves the range of float32 on a poisoned batch."""

    what = "loss"

    def loss(self, ids, targets):
        loss = super().loss(ids, targets)
        if not (ids == MARK).all():
            return loss
        if self.what == "loss":
            return loss * 1e38 * 1e38
        weight = self.parameters()["model.norm.weight"]
        nothing = (weight - weight.data.copy()).sum()  # exactly 0, with gradient 1
        return loss + nothing * 1e30 * 1e30


class Ear(Listener):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def run_of(out, bad=(), what=None, steps=24, **options):
    model = Overflows(SPEC, seed=3) if what else Decoder(SPEC, seed=3)
    model.what = what
    watch = WatchSettings(**options.pop("watch", {}))
    return trainer(out, steps=steps, model=model, batches=Poisoned(bad), watch=watch, listener=Ear(), **options)


def rows(out, key):
    return [row for row in read_metrics(out / "metrics.jsonl") if key in row]


@pytest.mark.parametrize(("what", "says"), [("loss", "the loss is inf"), ("gradient", "the gradient is not finite")])
def test_nan_goes_back_to_a_good_checkpoint_and_leaves_its_batch_out(tmp_path, what, says):
    t = run_of(tmp_path, bad=[19], what=what)
    t.run()
    assert t.step == 24 and t.rollbacks == 1 and t.rate_factor == 0.5
    # step 19 fails: the checkpoint of step 16 is too young to be proved, that of step 12 too, so the oldest kept is it
    sentence = f"step 19: {says}; went back to step 12, left out the batches since, learning rate now 0.5 of the"
    assert any(note.startswith(sentence) for note in t.listener.notes)
    (event,) = rows(tmp_path, "event")
    assert (event["event"], event["seen"], event["action"], event["step"]) == ("nan", 19, "rollback", 12)
    assert [row["step"] for row in rows(tmp_path, "loss")] == list(range(1, 25))  # every step once
    assert [row["undone"] for row in rows(tmp_path, "undone")] == list(range(13, 19))
    after = {row["step"]: row["lr"] for row in rows(tmp_path, "loss")}
    assert after[13] == pytest.approx(t.schedule.rate(13) / 2) and after[12] == t.schedule.rate(12)
    assert t.batches.made == 24 + 6 + 1  # six batches again, one left out
    assert all(np.isfinite(p.data).all() for p in t.parameters.values())


def test_a_run_that_went_back_resumes_to_the_same_numbers(tmp_path):
    whole = run_of(tmp_path / "whole", bad=[19], what="loss")
    whole.run()
    cut = run_of(tmp_path / "cut", bad=[19], what="loss")

    def killed(step, total, row):
        if step == 15 and cut.rollbacks:
            raise KeyboardInterrupt

    cut.listener.stepped = killed
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    again = run_of(tmp_path / "cut", bad=[19], what="loss")
    again.run(resume=True)
    assert again.rollbacks == 1 and again.rate_factor == 0.5
    for name, p in whole.parameters.items():
        np.testing.assert_array_equal(p.data, again.parameters[name].data)
    same = [(row["step"], row["loss"]) for row in rows(tmp_path / "whole", "loss")]
    assert [(row["step"], row["loss"]) for row in rows(tmp_path / "cut", "loss")] == same
    assert len(rows(tmp_path / "cut", "event")) == 1


def test_after_so_many_rollbacks_the_run_stops_with_the_checkpoint_intact(tmp_path):
    t = run_of(tmp_path, bad=range(9, 99), what="loss", watch={"rollbacks": 2, "factor": 0.1})
    with pytest.raises(TrainingError, match=r"step 5: .* training stopped after 2 rollbacks\. .* step 4 is intact"):
        t.run()
    assert [(e["action"], e["seen"]) for e in rows(tmp_path, "event")] == [
        ("rollback", 9),
        ("rollback", 5),
        ("stop", 5),
    ]
    assert t.rate_factor == pytest.approx(0.01)
    saved = checkpoint.load(checkpoint.latest(t.checkpoints))
    assert saved.step == 4 and all(np.isfinite(array).all() for array in saved.weights.values())


def test_nan_before_any_checkpoint_or_with_stop_stops_with_a_sentence(tmp_path):
    t = run_of(tmp_path / "early", bad=[2], what="loss")
    with pytest.raises(TrainingError, match=r"step 2: the loss is inf; training stopped, for there is no earlier"):
        t.run()
    assert checkpoint.latest(t.checkpoints) is None
    t = run_of(tmp_path / "stop", bad=[6], what="gradient", watch={"nan": "stop"})
    with pytest.raises(TrainingError, match=r"step 6: the gradient is not finite; .* step 4 is intact"):
        t.run()
    (event,) = rows(tmp_path / "stop", "event")
    assert (event["event"], event["action"]) == ("nan", "stop")


def test_weights_that_are_nan_stop_the_run(tmp_path):
    t = run_of(tmp_path)
    t.parameters["model.norm.weight"].data[:] = np.nan
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan; training stopped"):
        t.run()


@pytest.mark.parametrize("action", ["note", "rollback", "stop"])
def test_a_poisoned_batch_is_a_spike(tmp_path, action):
    t = run_of(tmp_path, bad=[44], steps=48, watch={"spike": action})
    if action == "stop":
        with pytest.raises(TrainingError, match=r"step 44: the loss jumped to .* training stopped\. .* step 40 is"):
            t.run()
    else:
        t.run()
        assert t.step == 48 and t.rollbacks == (action == "rollback")
    (event,) = rows(tmp_path, "event")
    assert (event["event"], event["seen"], event["action"]) == ("spike", 44, action)
    assert event["text"].startswith("step 44: the loss jumped to ")
    if action == "rollback":
        assert event["step"] == 36 and max(row["loss"] for row in rows(tmp_path, "loss")[36:]) < 3.0
        assert any("went back to step 36" in note for note in t.listener.notes)
    elif action == "note":
        assert rows(tmp_path, "loss")[43]["loss"] > 3.0 and "training goes on" in event["text"]


class FewRows:
    """The same two batches of random tokens for ever: there is nothing to learn but to know them by heart."""

    def __init__(self, seed=1):
        rng = np.random.default_rng(seed)
        made = [rng.integers(0, 32, (4, 25)).astype(np.int32) for _ in range(2)]
        self.batches = [(np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])) for rows in made]
        self.at = 0

    def __next__(self):
        self.at += 1
        return self.batches[self.at % 2]

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


@pytest.fixture
def no_picture(monkeypatch):
    """A picture at each of a hundred evaluations would take longer than the training."""
    monkeypatch.setattr("finetune.trainer.write_curve", lambda *_: None)


def overfitting(out, steps, **watch):
    model = Decoder(SPEC, seed=3)
    held_out = FewRows(seed=2).batches

    def evaluate():
        return score_batches(lambda ids, targets: model.loss(ids, targets).item(), held_out, np.ones(32, np.int64))

    watch = WatchSettings(**watch)
    options = {"lr": 2e-2, "eval_every": 4, "evaluate": evaluate, "watch": watch, "listener": Ear(), "model": model}
    return trainer(out, steps=steps, batches=FewRows(), **options)


def test_overfitting_is_seen_and_only_said_if_wanted_so(tmp_path, no_picture):
    t = overfitting(tmp_path, 40)
    t.run()
    event = rows(tmp_path, "event")[0]
    assert (event["event"], event["action"]) == ("rising", "note") and t.step == 40
    assert "validation loss rose 3 times in a row" in event["text"] and event["text"].endswith("goes on")
    assert "the training loss fell from" in event["text"] and "overfitting" in event["text"]
    best = checkpoint.load(t.checkpoints / "best")
    values = {row["step"]: row["val_loss"] for row in rows(tmp_path, "val_loss")}
    assert best.step == min(values, key=values.get) < 40


def test_overfitting_stops_the_run_and_keeps_the_best_weights(tmp_path, no_picture):
    t = overfitting(tmp_path, 120, rising="stop")
    t.run()
    assert t.step < 60 and checkpoint.step_of(checkpoint.latest(t.checkpoints)) == t.step
    assert t.listener.notes[-1].endswith(f"training stopped. The best weights are in {t.checkpoints / 'best'}")
    t.resume("best")  # the model itself, for who goes on in the same process
    values = {row["step"]: row["val_loss"] for row in rows(tmp_path, "val_loss")}
    assert t.evaluate().loss == pytest.approx(min(values.values()), abs=1e-6)


def test_overfitting_goes_back_to_the_best_with_a_lower_rate_until_it_stops(tmp_path, no_picture):
    t = overfitting(tmp_path, 120, rising="rollback", rollbacks=2, factor=0.5)
    t.run()
    events = rows(tmp_path, "event")
    assert [event["action"] for event in events] == ["rollback", "rollback", "stop"]
    assert all(event["event"] == "rising" for event in events) and t.rate_factor == 0.25
    assert "after 2 rollbacks" in t.listener.notes[-1] and t.step < 120


def test_early_stop_when_validation_gets_no_better(tmp_path, no_picture):
    t = overfitting(tmp_path, 120, patience=4, rising_evals=99)
    t.run()
    (event,) = rows(tmp_path, "event")
    best = checkpoint.load(t.checkpoints / "best").step
    assert (event["event"], event["action"], event["seen"]) == ("early stop", "stop", t.step) and t.step == best + 16
    assert f"of step {best} in 4 evaluations; training stopped. The best weights are in" in event["text"]


def test_the_picture_shows_what_was_taken_back_and_every_event(tmp_path):
    figure = pytest.importorskip("matplotlib.figure")
    run_of(tmp_path, bad=[19], what="loss").run()
    assert write_curve(tmp_path / "metrics.jsonl", tmp_path / "c.png") is None
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    made = []
    original = figure.Figure.subplots
    figure.Figure.subplots = lambda self, *a, **k: made.append(original(self, *a, **k)) or made[-1]
    try:
        write_curve(tmp_path / "metrics.jsonl", tmp_path / "c.png")
    finally:
        figure.Figure.subplots = original
    losses, norms, rates = made[0]
    labels = losses.get_legend_handles_labels()[1]
    assert "taken back" in labels and "training, each step" in labels
    assert [text.get_text() for text in losses.texts] == ["nan at step 19: rollback"]
    assert norms.get_ylabel() == "gradient norm" and rates.get_ylabel() == "learning rate"
