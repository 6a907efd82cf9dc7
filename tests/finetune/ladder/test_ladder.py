"""The ladder end to end: one command trains every rung, goes on after a kill, and gives table, JSON and picture."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from finetune.cli import commands
from finetune.data import sources
from finetune.ladder.recipe import parse_ladder
from finetune.ladder.report import samples_of, table_of
from finetune.ladder.text import LadderText, floors, load_text
from finetune.recipe import RecipeError, read

RUNGS = ("bigram", "window", "gpt", "llama", "encoder")
KEYS = {
    "name", "kind", "parameters", "tokenizer", "vocab_size", "steps", "tokens", "seconds", "tokens_per_second",
    "perplexity", "bits_per_byte", "comparable", "scored_bytes", "sample",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(corpus, recipe, tmp_path_factory):
    """The folder of a ladder that was never interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert commands["pretrain"](arguments(corpus, recipe, out)) == 0
    return out


def arguments(corpus, recipe, out, *more):
    return ["--recipe", str(recipe), "--corpus", str(corpus), "--out", str(out), *more]


def start(corpus, recipe, out, *more):
    code = "import sys; from finetune.cli import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, "pretrain", *arguments(corpus, recipe, out, *more)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process, ready):
    deadline = time.monotonic() + 300
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not get there in five minutes"
        time.sleep(0.005)


def steps_done(folder):
    path = folder / "metrics.jsonl"
    return path.read_text().count('"loss"') if path.exists() else 0


def comparable(results):
    """What does not depend on the clock."""
    drop = {"seconds", "tokens_per_second"}
    return [{k: v for k, v in row.items() if k not in drop} for row in results["rungs"]]


def test_every_rung_is_trained_and_reported(finished):
    results = json.loads((finished / "results.json").read_text())
    assert [row["name"] for row in results["rungs"]] == list(RUNGS)
    for row in results["rungs"]:
        assert set(row) == KEYS
        assert row["parameters"] > 1000 and row["tokens"] > 0 and row["tokens_per_second"] > 0
        assert row["perplexity"] > 1 and 0 < row["bits_per_byte"] < 8 and len(row["sample"].strip()) > 20
        assert row["comparable"] == (row["name"] != "encoder")
    assert results["text"]["train_bytes"] > 50_000 and results["text"]["val_bytes"] > 5_000
    scored = {row["scored_bytes"] for row in results["rungs"] if row["comparable"]}
    assert scored == {results["text"]["val_bytes"]}, "bits per byte are over the same bytes for every tokenizer"
    assert results["floors"][0]["bits_per_byte"] == 8.0
    assert results["floors"][1]["bits_per_byte"] < 5.5
    for row in results["rungs"]:
        losses = [json.loads(x) for x in (finished / folder_of(row["name"]) / "metrics.jsonl").read_text().splitlines()]
        scores = [x["val_bits_per_byte"] for x in losses if "val_bits_per_byte" in x]
        assert len(scores) >= 3 and scores[-1] < scores[0]
        assert scores[-1] == pytest.approx(row["bits_per_byte"])


def folder_of(name):
    return f"{RUNGS.index(name) + 1}-{name}"


def test_the_samples_show_guesses_of_the_encoder_and_text_of_the_others(finished):
    samples = {row["name"]: row["sample"] for row in json.loads((finished / "results.json").read_text())["rungs"]}
    assert all(samples[name].startswith("def ") for name in RUNGS[:-1])
    assert "[" in samples["encoder"] and "<|mask|>" not in samples["encoder"]


def test_a_model_that_writes_bytes_at_random_does_not_command_the_terminal():
    row = {"name": "bigram", "parameters": 1, "tokens_per_second": 1, "perplexity": 1.0, "bits_per_byte": 8.0}
    row |= {"comparable": True, "seconds": 1.0, "sample": "\x1b[2Jdef\x9b a\n\x07b"}
    assert samples_of({"rungs": [row]}).endswith("\ufffd[2Jdef\ufffd a\n\ufffdb")
    console = Console(file=io.StringIO(), width=160)
    console.print(table_of({"text": {"train_bytes": 1, "source": "x"}, "floors": [], "rungs": [row]}, 160))
    assert "def" in console.file.getvalue() and not set(console.file.getvalue()) & set("\x1b\x07\x9b")


def test_the_picture_shows_something(finished):
    image = pytest.importorskip("matplotlib.image")
    pixels = image.imread(finished / "ladder.png")[:, :, :3]
    assert min(pixels.shape[:2]) > 300 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_the_table_is_printed_and_finished_rungs_are_not_trained_again(finished, corpus, recipe, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if "checkpoints" in str(path)}
    assert before
    assert commands["pretrain"](arguments(corpus, recipe, finished, "--resume")) == 0
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if "checkpoints" in str(path)} == before
    printed = capsys.readouterr().out
    for name in (*RUNGS, "guessing", "byte counts", "bits per byte", "not comparable", "results.json", "ladder.png"):
        assert name in printed


def test_a_folder_with_a_run_is_not_overwritten_and_other_settings_are_refused(finished, corpus, recipe, capsys):
    assert commands["pretrain"](arguments(corpus, recipe, finished)) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert commands["pretrain"](arguments(corpus, recipe, finished, "--resume", "--steps", "7")) == 1
    assert "another rung bigram" in capsys.readouterr().err
    assert commands["pretrain"](arguments(corpus, recipe, finished / "new", "--resume")) == 1
    assert "nothing to resume" in capsys.readouterr().err


def test_a_killed_ladder_goes_on_to_the_same_numbers(finished, corpus, recipe, tmp_path):
    process = start(corpus, recipe, tmp_path)
    try:
        wait_for(process, lambda: steps_done(tmp_path / "2-window") >= 12)
    finally:
        process.kill()
        process.communicate()
    first = tmp_path / "1-bigram" / "result.json"
    assert first.is_file() and not (tmp_path / "2-window" / "result.json").exists()
    stamp = first.stat().st_mtime_ns
    assert commands["pretrain"](arguments(corpus, recipe, tmp_path, "--resume")) == 0
    assert first.stat().st_mtime_ns == stamp
    wanted = json.loads((finished / "results.json").read_text())
    assert comparable(json.loads((tmp_path / "results.json").read_text())) == comparable(wanted)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(corpus, recipe, tmp_path):
    process = start(corpus, recipe, tmp_path)
    try:
        wait_for(process, lambda: steps_done(tmp_path / "2-window") >= 3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "--resume" in out and str(tmp_path) in out
    kept = sorted((tmp_path / "2-window" / "checkpoints").iterdir())
    assert kept and not (tmp_path / "3-gpt").exists()


def test_the_bundled_ladder_is_complete_and_minutes_scale_all_of_it():
    raw, path = read("ladder")
    whole, half = parse_ladder(raw, path), parse_ladder(raw, path, minutes=raw["minutes"] / 2)
    assert [rung.kind for rung in whole.rungs] == ["bigram", "feed-forward", "gpt", "llama", "encoder"]
    assert whole.rungs[2].sizes == {"layers": 2, "heads": 2, "width": 64}
    for a, b in zip(whole.rungs, half.rungs, strict=True):
        assert b.train.steps == pytest.approx(a.train.steps / 2, abs=1)
    assert {rung.train.steps for rung in parse_ladder(raw, path, steps=9).rungs} == {9}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = 3", "sead = 3", "unknown key 'sead'"),
        ("subwords = 400", "subword = 400", r"\[text\] has no key 'subword'"),
        ('kind = "gpt"', 'kind = "gqt"', "kind must be one of bigram, feed-forward, gpt, llama, encoder"),
        ("hidden = 32", "", r"rung 2\.model\] of kind feed-forward needs these sizes.* window, width, hidden"),
        ("lr = 0.1", "rate = 0.1", r"rung 1\.train\] has no key 'rate'"),
        ("context = 64", "context = 4", r"rung 1\] context must be at least 24"),
        ('name = "window"', 'name = "bigram"', "two rungs have the same name"),
        ('name = "window"', 'name = "../up"', "letters, digits"),
    ],
)
def test_a_slip_in_the_recipe_is_named(recipe, old, new, said):
    text = recipe.read_text()
    assert old in text
    with pytest.raises(RecipeError, match=said):
        parse_ladder(tomllib.loads(text.replace(old, new, 1)), recipe)


def test_without_a_corpus_one_is_built_from_the_standard_library(recipe, tmp_path, monkeypatch):
    library = sources.Source("library-1", tmp_path / "library", (1,))
    library.root.mkdir()
    for file in sorted(Path(os.__file__).parent.glob("[a-m]*.py")):  # enough for every split
        (library.root / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr("finetune.ladder.text.running_stdlib", lambda: library)
    settings = parse_ladder(tomllib.loads(recipe.read_text()), recipe).text
    seen, said = [], []
    text = load_text(tmp_path / "none", False, tmp_path, settings, lambda *what: seen.append(what), said.append)
    assert len(said) == 1 and "building a small one" in said[0]
    assert seen and "library-1" in text.source and (tmp_path / "text" / "summary.json").is_file()
    assert not set(text.train) & set(text.val)
    again = load_text(tmp_path / "none", False, tmp_path, settings)
    assert again.sha256 == text.sha256
    with pytest.raises(FileNotFoundError, match="hearth corpus build"):
        load_text(tmp_path / "none", True, tmp_path, settings)


def test_byte_counts_are_the_cross_entropy_of_counted_bytes():
    rows = floors(LadderText(["aab\n"], ["ab"], "here"))
    probability = {"a": 3 / 260, "b": 2 / 260}
    wanted = -(np.log2(probability["a"]) + np.log2(probability["b"])) / 2
    assert rows[1]["bits_per_byte"] == pytest.approx(wanted)


def test_the_run_folder_holds_the_run_and_nothing_of_refused_ones(finished):
    assert {p.name for p in Path(finished).iterdir()} == {
        "ladder.json", "results.json", "ladder.png", "characters.json", "subwords.json", *map(folder_of, RUNGS),
    }  # fmt: skip
