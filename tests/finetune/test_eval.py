"""Comparisons of two models: another vocabulary, another context, the same carets; told in numbers and in words."""

import inspect
import json
import textwrap

import numpy as np
import pytest

import runtime
from finetune import tables
from finetune.cli import commands
from finetune.commands.evaluation import evaluate_model, opponents_of
from finetune.evaluate import DocumentScore, difference, ratio, sign_test
from finetune.floor import Repeater
from finetune.measure import Measurement, narrow, paired
from runtime.code.caret import Caret
from runtime.code.prompt import Prompt
from runtime.text import train_bpe

TEXT = inspect.getsource(textwrap)


@pytest.mark.parametrize(
    ("better", "worse", "p"), [(0, 0, 1), (1, 0, 1), (5, 5, 1), (8, 2, 0.109375), (10, 0, 1 / 512), (0, 6, 1 / 32)]
)  # fmt: skip
def test_the_sign_test_is_exact(better, worse, p):
    assert sign_test(better, worse) == pytest.approx(p)
    assert sign_test(worse, better) == sign_test(better, worse)


def test_the_sign_test_takes_thousands():
    assert sign_test(3000, 3000) == 1.0 and 0 < sign_test(1500, 1300) < 0.001 < sign_test(1500, 1400) < 0.1


def test_differences_draw_the_same_documents_for_both_sides():
    rng = np.random.default_rng(2)
    hard = rng.uniform(1, 9, 40)  # documents differ much, the two sides little
    size = np.full(40, 10.0)
    found = difference(hard - 0.5, size, hard, size)
    assert found["value"] == pytest.approx(-0.05) and found["low"] == pytest.approx(-0.05) == found["high"]
    alone = ratio(hard, size)
    assert alone["high"] - alone["low"] > 0.1
    assert difference(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))["value"] is None


def measurement(nats, sizes, vocabulary):
    documents = [DocumentScore(i, n, 10, size, 5) for i, (n, size) in enumerate(zip(nats, sizes, strict=True))]
    return Measurement(documents, {}, [], np.zeros(0, bool), np.zeros(0), vocabulary)


def test_models_of_two_vocabularies_are_compared_by_the_byte_and_not_by_the_token():
    ours, theirs = measurement([7.0, 14.0], [10, 20], "a"), measurement([14.0, 28.0], [9, 19], "b")
    found = paired(ours, theirs)
    assert found["bits_per_byte"]["value"] == pytest.approx((21 / 30 - 42 / 28) / np.log(2)) and "top1" not in found
    assert found["line_exact_match"]["mid_line"]["value"] is None
    assert "top1" in paired(ours, measurement([1.0, 2.0], [10, 20], "a"))


def other(value, low, high, **lines):
    bits = {"value": value, "n": 9, "low": low, "high": high}
    exact = {"value": 0.1, "n": 40, "low": 0.02, "high": 0.2, "better": 9, "worse": 5, "p": 0.4} | lines
    similar = {"value": 0.0, "n": 40, "low": -0.1, "high": 0.1, "better": 3, "worse": 5, "p": 0.7}
    top1 = {"value": -0.031, "n": 9, "low": -0.04, "high": -0.02}
    results = {"bits_per_byte": bits, "top1": top1, "line_exact_match": {"mid_line": exact}, "edit_similarity": similar}
    return {"name": "B", "paired": results}


def test_a_comparison_says_who_is_better_and_by_how_much():
    bits, top1, line, similar = tables.sentences("A", other(-0.11, -0.13, -0.09))
    assert bits == "bits per byte: A is better by 0.110 bits per byte [0.090, 0.130]."
    assert top1 == "top1: B is better by 3.1 points [2.0, 4.0]."
    assert line.startswith("line exact match, inside a line: no difference shown between A and B (+10.0 points")
    assert "9 lines only A has right, 5 only B; exact sign test p = 0.40." in line and "no difference" in similar
    assert tables.sentences("A", other(0.11, 0.09, 0.13))[0].startswith("bits per byte: B is better by 0.110 ")
    assert "no difference shown" in tables.sentences("A", other(0.01, -0.02, 0.03))[0]
    sure = tables.sentences("A", other(0.1, 0.0, 0.2, p=0.01, better=20, worse=5))[2]
    assert "A is better by 10.0 points" in sure and "p = 0.010" in sure
    assert [row[-1] for row in tables.paired_rows(other(-0.11, -0.13, -0.09))[1]] == [
        "better", "worse", "no difference shown", "no difference shown",
    ]  # fmt: skip


# ---- the longest suffix as an opponent ---------------------------------------------------------------------------


def test_the_repeater_goes_on_as_the_document_did_and_is_silent_without_a_match():
    tokenizer = train_bpe([TEXT], 400, special_tokens=["<|endoftext|>"])
    subject = Repeater(tokenizer, 0)
    caret = Caret(["value = unheard_\n", "\n"], 0, 16)
    known = "value = unheard_of(zebra)\n" * 3
    assert subject.raw(Prompt(known + "value = unheard_", "", 30), caret) == "of(zebra)\n"
    assert subject.raw(Prompt("value = unheard_", "\n" + known, 30), caret) == "of(zebra)\n"
    assert subject.raw(Prompt("zq", "", 30), caret) == ""
    ids = tokenizer.encode(known)
    nats, best = subject.score(ids, 0, ids[1:])
    assert nats[-8:].max() < 1.0 < nats[:4].min() and best[-8:].tolist() == ids[-8:]


# ---- another model as an opponent --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory, write_model):
    root = tmp_path_factory.mktemp("pair")
    return [
        write_model(root / "mine", TEXT, vocab=400, context=128, seed=1),
        write_model(root / "long", TEXT[:4000], vocab=330, context=256, seed=2),
        write_model(root / "short", TEXT, vocab=400, context=64, seed=3),
    ]


def test_a_longer_context_is_cut_to_the_same_one_and_a_shorter_one_is_told(folders):
    mine, long, short = (str(folder) for folder in folders)
    model = runtime.load_model(mine)
    opponents = opponents_of([long, short, mine], model, None)
    report = evaluate_model(model, [TEXT[:3000], TEXT[3000:6000]], carets=8, opponents=opponents)
    for each in opponents:
        each["subject"].close()
    assert [o["context"] for o in report["opponents"]] == [128, 64, 128] and report["settings"]["context"] == 128
    assert [o["name"] for o in report["opponents"]] == ["long", "short", f"mine ({mine})"]
    itself = report["opponents"][2]
    assert itself["results"] == {k: v for k, v in report["results"].items() if k != "pass_at_1"}
    bits = itself["paired"]["bits_per_byte"]
    assert bits["value"] == bits["low"] == bits["high"] == 0
    assert all(r["better"] == r["worse"] == 0 and r["p"] == 1 for r in itself["paired"]["line_exact_match"].values())
    longer = report["opponents"][0]
    assert "top1" not in longer["paired"] and "top1" in itself["paired"]
    assert longer["results"]["bits_per_byte"]["n"] == report["results"]["bits_per_byte"]["n"]
    whole = runtime.load_model(long)
    assert whole.spec.max_context == 256
    narrow(whole, 1000)
    assert whole.spec.max_context == 256


def test_eval_prints_the_json_that_is_promised(folders, tmp_path, capsys):
    (tmp_path / "held.py").write_text(TEXT)
    argv = [str(folders[0]), "--on", str(tmp_path / "held.py"), "--carets", "5", "--max-bytes", "3000"]
    more = ["--opponent", "suffix", str(folders[1]), "--probes", "--json"]
    assert commands["eval"]([*argv, *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found)[:3] == ["model", "set", "results"] and found["set"] == str(tmp_path / "held.py")
    results = found["results"]
    assert list(results) == [
        "bits_per_byte", "perplexity", "top1", "line_exact_match", "edit_similarity", "pass_at_1",
    ]  # fmt: skip
    assert list(results["line_exact_match"]) == ["line_start", "mid_line", "trigger"]
    for r in [*results["line_exact_match"].values(), *(v for k, v in results.items() if k != "line_exact_match")]:
        assert list(r) == ["value", "n", "low", "high"]
    assert [o["name"] for o in found["opponents"]] == ["longest suffix", "long"]
    assert all(
        "no difference shown" in text or " is better by " in text for o in found["opponents"] for text in o["words"]
    )
    assert {"common_words", "brackets", "colons", "valid_pairs", "cloze", "questions"} <= set(found["probes"])
    assert commands["eval"]([*argv, "--opponent", "suffix"]) == 0
    shown = capsys.readouterr().out
    assert (
        "mine against longest suffix" in shown and "right alone" in shown and max(map(len, shown.splitlines())) <= 120
    )


def test_all_without_a_corpus_leaves_the_ngrams_out_and_says_so(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "held.py").write_text(TEXT[:3000])
    argv = [str(folders[0]), "--on", str(tmp_path / "held.py"), "--carets", "3", "--all", "--json"]
    assert commands["eval"](argv) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "no corpus" in err and [o["name"] for o in found["opponents"]] == ["longest suffix"]
    assert len(found["diversity"]["distinct_3"]) == 4 and set(found["diversity"]["rises"]) == {
        "distinct_1", "distinct_2", "distinct_3",
    }  # fmt: skip


def test_one_text_has_intervals_of_some_width(folders):
    model = runtime.load_model(str(folders[0]))
    other = opponents_of([str(folders[1]), "suffix"], model, None)
    report = evaluate_model(model, [TEXT[:6000]], carets=8, opponents=other)
    other[0]["subject"].close()
    for key in ("bits_per_byte", "top1", "perplexity"):
        assert report["results"][key]["low"] < report["results"][key]["value"] < report["results"][key]["high"]
    assert report["results"]["bits_per_byte"]["n"] == 6000
    words, same = report["opponents"]
    assert words["paired"]["bits_per_byte"]["low"] is None and "one text is too few" in words["words"][0]
    assert same["paired"]["bits_per_byte"]["low"] < same["paired"]["bits_per_byte"]["high"]
    assert tables.paired_rows(words)[1][0][2] == "-"
