"""Learning-rate schedule, checkpoints' odd values, metrics, intervals."""

import math

import numpy as np
import pytest

from finetune import checkpoint
from finetune.evaluate import Evaluation, logit_scorer, proportion, ratio, score_batches, wilson
from finetune.memory import keep_large_blocks
from finetune.report import Metrics, read_metrics, write_curve
from finetune.schedule import Schedule


def test_warm_up_then_cosine_to_the_minimum():
    s = Schedule(peak=1.0, warmup=10, total=110, min_ratio=0.1)
    assert s.rate(1) == pytest.approx(0.1) and s.rate(10) == 1.0
    assert s.rate(60) == pytest.approx(0.55)
    assert s.rate(110) == pytest.approx(0.1) == s.rate(1000)
    rates = [s.rate(i) for i in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


def test_before_the_horizon_is_known_the_rate_does_not_depend_on_it():
    unknown, known = Schedule(1.0, 50, None), Schedule(1.0, 50, 500)
    assert [unknown.rate(i) for i in range(1, 51)] == [known.rate(i) for i in range(1, 51)]


@pytest.mark.parametrize("bad", [{"peak": 0}, {"peak": math.nan}, {"warmup": 10}, {"min_ratio": 2}, {"warmup": -1}])
def test_impossible_schedules_are_refused(bad):
    with pytest.raises(ValueError):
        Schedule(**{"peak": 1.0, "warmup": 1, "total": 10, **bad})


def test_checkpoint_state_keeps_large_integers_exactly(tmp_path):
    state = {"data": {"rng": np.random.default_rng(5).bit_generator.state, "list": [1, 2.5, None, True]}}
    path = checkpoint.save(tmp_path, 7, {"w": np.ones(2, np.float32)}, {"m/w": np.zeros(2, np.float32)}, state)
    back = checkpoint.load(path)
    assert back.step == 7 and back.state["data"] == state["data"]


def test_a_save_that_fails_leaves_the_last_checkpoint(tmp_path):
    arrays = {"w": np.ones(2, np.float32)}
    checkpoint.save(tmp_path, 1, arrays, arrays, {})
    with pytest.raises(ValueError):
        checkpoint.save(tmp_path, 2, arrays, arrays, {"bad": math.nan})
    assert checkpoint.latest(tmp_path).name == "step-00000001"
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 1
    checkpoint.save(tmp_path, 3, arrays, arrays, {})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-00000001", "step-00000003"]


def test_metrics_drop_what_lies_after_the_checkpoint_and_a_cut_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = Metrics(path)
    for step in range(1, 6):
        log.write(step=step, loss=1.0 / step)
    log.close()
    path.write_text(path.read_text() + '{"step": 6, "lo')
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4, 5]
    Metrics(path, resume_step=3).close()
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3]


def test_a_curve_of_nothing_says_so(tmp_path):
    assert "fewer" in write_curve(tmp_path / "none.jsonl", tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_keep_large_blocks_is_harmless():
    assert keep_large_blocks() in (True, False)


def test_wilson_intervals_match_known_values():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)
    assert proportion(0, 0)["value"] is None


def test_scores_count_bytes_of_the_targets_only():
    targets = np.array([[1, -1, 2]], np.int32)
    score = score_batches(lambda i, t: 0.5, [(targets, targets)], np.array([0, 3, 5]))
    assert (score.tokens, score.bytes, score.loss) == (2, 8, 0.5)
    assert score.bits_per_byte == pytest.approx(2 * 0.5 / math.log(2) / 8)
    with pytest.raises(ValueError, match="no validation"):
        score_batches(lambda i, t: 0.5, [], np.array([1]))


# ---- Evaluation with a model that is known exactly: it always continues one fixed text ------------------------------

TOKENS = [b"", b"a", b" ", b"=", b"b", b"\n", b"\n    ", b"c"]


def evaluation(fixed, window=64, sure=20.0):
    def logits(ids):
        out = np.zeros((len(ids), len(TOKENS)), np.float32)
        for i, id in enumerate(ids):
            out[i, fixed.get(id, 0)] = sure
        return out

    return Evaluation(logit_scorer(logits), TOKENS, window, start=0)


def test_a_perfect_model_has_no_loss():
    e = evaluation({0: 1, 1: 3, 3: 4, 4: 6, 6: 7, 7: 5, 5: 1})
    e.add([1, 3, 4, 6, 7, 5] * 5)
    r = e.results()
    assert r["top1"]["value"] == 1.0 and r["bits_per_byte"]["value"] < 1e-6
    assert r["perplexity"]["value"] == pytest.approx(1.0)


def test_one_wrong_token_of_six_costs_a_sixth_and_its_loss():
    e = evaluation({0: 1, 1: 3, 3: 7, 4: 6, 6: 7, 7: 5, 5: 1})  # "=" is followed by "c" instead of "b"
    e.add([1, 3, 4, 6, 7, 5] * 5)
    r = e.results()
    assert r["top1"]["value"] == pytest.approx(5 / 6)
    assert r["bits_per_byte"]["value"] == pytest.approx(5 * 20 / math.log(2) / 50, rel=1e-4)


def test_ratios_resample_documents():
    even = ratio(np.full(30, 2.0), np.full(30, 4.0))
    assert even == {"value": 0.5, "n": 120, "low": 0.5, "high": 0.5}
    uneven = ratio(np.arange(30.0), np.full(30, 10.0))
    assert uneven["low"] < uneven["value"] == 1.45 < uneven["high"]
    assert 1.0 < uneven["low"] < 1.3 < 1.6 < uneven["high"] < 1.9  # 1.96 * 8.66 / 10 / sqrt(30) = 0.31 on each side
    assert ratio(np.zeros(0), np.zeros(0))["value"] is None


def test_windows_change_nothing_for_a_model_without_memory():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((8, 8)).astype(np.float32)
    text = rng.integers(1, 8, 333).tolist()
    results = []
    for window in (2, 7, 64, 1000):
        e = Evaluation(logit_scorer(lambda ids: table[np.array(ids)]), TOKENS, window, start=0)
        e.add(text)
        results.append(e.results())
    assert results[0]["bits_per_byte"]["n"] == sum(len(TOKENS[i]) for i in text)
    for other in results[1:]:
        assert other["bits_per_byte"]["value"] == pytest.approx(results[0]["bits_per_byte"]["value"], rel=1e-6)
        assert other["top1"]["value"] == results[0]["top1"]["value"]


def test_evaluating_nothing_is_an_error():
    with pytest.raises(ValueError, match="no text"):
        evaluation({}).results()
