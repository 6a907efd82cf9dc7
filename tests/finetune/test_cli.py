"""The commands as a user runs them on a tiny corpus: corpus, pretrain, resume, export, eval; and their errors."""

import json
import os
import shlex
import shutil
import signal

import pytest

from finetune.cli import commands, main
from finetune.data.clusters import choose_split, cluster_id
from finetune.recipe import RecipeError, load_recipe, names

RECIPE = """
name = "tiny"
seed = 3
[model]
vocab_size = 320
d_model = 32
n_layers = 2
n_heads = 2
n_kv_heads = 1
head_dim = 16
d_ff = 64
max_context = 64
[data]
context = 64
batch = 4
[train]
steps = 40
lr = 1e-2
warmup = 4
accumulate = 2
eval_every = 20
eval_rows = 8
checkpoint_every = 10
sample_every = 20
"""


def module(n: int) -> str:
    lines = [f'"""Numbers of kind {n}: how they are counted, added and shown."""', "", "import math", ""]
    for i in range(6):
        lines += [f"def count_{n}_{i}(value, step={i}):", f"    total = value + step * {n}", "    return total", ""]
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with sources, corpus, recipe and a finished run."""
    root = tmp_path_factory.mktemp("cli")
    (root / "src").mkdir()
    stems = [f"part{n}" for n in range(400)]
    held_out = [stem for stem in stems if choose_split(cluster_id(f"src/{stem}.py"), (0.90, 0.05, 0.05)) == "val"][:3]
    for n, name in enumerate(held_out + stems[:30]):
        letter = chr(97 + n % 26)
        different = [f"NAME_{name}_{k} = '{letter * (k % 5 + 1)}'  # {name} {k}" for k in range(40)]
        (root / "src" / f"{name}.py").write_text(module(n) + "\n".join(different) + "\n")
    recipe = root / "tiny.toml"
    recipe.write_text(RECIPE)
    build = ["build", "--from", str(root / "src"), "--out", str(root / "corpus"), "--licence", "MIT"]
    build += ["--vocab-size", "320"]
    assert commands["corpus"](build) == 0
    assert commands["pretrain"](pretrain(root, "run")) == 0
    return root


def pretrain(root, run, *extra):
    return ["--recipe", str(root / "tiny.toml"), "--corpus", str(root / "corpus"), "--out", str(root / run), *extra]


def rows(root, run):
    return [json.loads(line) for line in (root / run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_keeps_its_files(place):
    seen = [row["loss"] for row in rows(place, "run") if "loss" in row]
    assert len(seen) == 40 and sum(seen[-5:]) / 5 < seen[0] - 1.0
    for name in ("run.json", "tokenizer.json", "samples.txt", "metrics.jsonl"):
        assert (place / "run" / name).stat().st_size > 0
    assert [row["step"] for row in rows(place, "run") if "val_loss" in row] == [20, 40]
    assert (place / "run" / "samples.txt").read_text().count("---- step") == 6


def test_a_stopped_run_resumes_to_the_same_numbers(place):
    assert commands["pretrain"](pretrain(place, "half", "--steps", "40")) == 0
    shutil.rmtree(place / "half" / "checkpoints" / "step-00000040")  # as if it had been killed before step 40
    assert commands["pretrain"](pretrain(place, "half", "--resume")) == 0
    pick = lambda run: [(r["step"], r["loss"]) for r in rows(place, run) if "loss" in r]  # noqa: E731
    assert pick("half") == pick("run")


def test_a_wsd_run_with_a_later_phase_is_extended_from_before_its_decay(place, capsys):
    recipe = place / "phases.toml"
    later = "[[data.later]]\nstep = 11\ncontext = 128\nbatch = 2\nfim = {rate = 0.0}\n[train]"
    text = RECIPE.replace("max_context = 64", "max_context = 128").replace("[train]", later)
    recipe.write_text(text.replace("lr = 1e-2", 'lr = 1e-2\nschedule = "wsd"\ndecay = 0.5'))
    argv = ["--recipe", str(recipe), "--corpus", str(place / "corpus"), "--out", str(place / "phases")]
    assert commands["pretrain"]([*argv, "--steps", "12"]) == 0
    assert [r["tokens"] for r in rows(place, "phases") if "loss" in r][-1] <= 12 * 256
    assert "--from stable" in error_of(capsys, "pretrain", [*argv, "--resume", "--steps", "20"])
    assert "--resume" in error_of(capsys, "pretrain", [*argv, "--from", "stable"])
    assert commands["pretrain"]([*argv, "--resume", "--steps", "20", "--from", "stable"]) == 0
    assert json.loads((place / "phases" / "run.json").read_text())["recipe"]["train"]["steps"] == 20
    assert (place / "phases" / "left-12" / "checkpoints" / "step-00000012").is_dir()
    assert [r["step"] for r in rows(place, "phases") if "loss" in r] == list(range(1, 21))


def test_ctrl_c_finishes_the_step_and_prints_the_command_that_goes_on(place, capsys, monkeypatch):
    seen = []

    def stepped(self, step, total, row):
        if step == 7 and not seen:
            seen.append(step)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("finetune.progress.ProgressListener.stepped", stepped)
    assert commands["pretrain"](pretrain(place, "ctrl c")) == 128 + signal.SIGINT
    words = shlex.split(capsys.readouterr().out)
    assert words[:6] == ["stopped", "after", "step", "7", "of", "40,"]
    again = words[words.index("hearth") + 2 :]
    assert commands["pretrain"](again) == 0
    pick = lambda run: [(r["step"], r["loss"]) for r in rows(place, run) if "loss" in r]  # noqa: E731
    assert pick("ctrl c") == pick("run")


def test_export_gives_a_folder_that_loads_and_a_card(place, capsys):
    out = place / "model"
    command = ["--run", str(place / "run"), "--out", str(out), "--corpus", str(place / "corpus"), "--max-bytes", "4000"]
    command += ["--carets", "5", "--unseen", str(place / "src" / "part1.py")]
    assert commands["export"](command) == 0, capsys.readouterr().err
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "llama" and config["vocab_size"] == 320
    card = (out / "README.md").read_text()
    assert "bits per byte" in card and "Known weaknesses" in card and "MIT" in card and "40 steps" in card
    assert card.count("| line exact match, inside a line |") == 2 and "never seen (part1)" in card
    assert card.count("Against n-gram + cache: ") == 2 and card.count("### Probes") == 1
    assert f"model.safetensors {(out / 'model.safetensors').stat().st_size / 1e6:.2f} MB" in card
    assert "### Distinct n-grams" in card and config["hearth"]["corpus"] in json.dumps(
        json.loads((place / "run" / "run.json").read_text())
    )
    import runtime

    model = runtime.load_model(str(out))
    text = "".join(piece.text for piece in model.generate("def count_1_1(value", max_tokens=12))
    assert text
    capsys.readouterr()
    on = ["--on", str(place / "src" / "part1.py"), "--max-bytes", "3000", "--carets", "6"]
    assert commands["eval"]([str(out), *on, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == str(out)
    bits = found["results"]["bits_per_byte"]
    assert 0 < bits["low"] <= bits["value"] <= bits["high"] < 8
    assert set(found["results"]["line_exact_match"]) == {"line_start", "mid_line", "trigger"}
    assert 0 <= found["results"]["top1"]["low"] <= found["results"]["top1"]["value"]
    assert all(r["n"] == 6 and 0 <= r["low"] <= r["high"] <= 1 for r in found["results"]["line_exact_match"].values())
    assert 0 <= found["results"]["edit_similarity"]["value"] <= 1 and "opponents" not in found
    assert found["results"]["pass_at_1"] == {"value": None, "n": 0, "low": None, "high": None}
    against = [str(out), *on, "--opponent", "ngram", "--corpus", str(place / "corpus")]
    assert commands["eval"]([*against, "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["results"] == found["results"]  # the same carets, and nothing left to chance
    (opponent,) = both["opponents"]
    theirs, paired = opponent["results"]["bits_per_byte"], opponent["paired"]["bits_per_byte"]
    assert paired["value"] == pytest.approx(bits["value"] - theirs["value"]) and theirs["n"] == bits["n"]
    mid = opponent["paired"]["line_exact_match"]["mid_line"]
    ours, other = (side["results"]["line_exact_match"]["mid_line"]["value"] for side in (both, opponent))
    assert mid["better"] - mid["worse"] == round(6 * (ours - other))
    assert commands["eval"](against) == 0
    shown = capsys.readouterr().out
    assert "against n-gram + cache" in shown and shown.count("edit similarity") == 2 and "verdict" in shown


@pytest.mark.peer
def test_transformers_loads_the_export_with_the_same_logits(place):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    import numpy as np

    import runtime

    out = place / "peer-model"
    assert commands["export"](["--run", str(place / "run"), "--out", str(out), "--no-eval"]) == 0
    ids = list(range(10, 50))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(runtime.load_model(str(out), weights="f32").logits(ids), expected, atol=2e-3)


def error_of(capsys, command, argv):
    capsys.readouterr()
    code = commands[command](argv)
    text = capsys.readouterr().err.strip()
    assert code != 0 and len(text.splitlines()) == 1 and text.startswith(f"hearth {command}:"), text
    return text


def test_errors_are_one_clear_line(place, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "a.py").write_text(module(1))
    assert "empty" in error_of(capsys, "corpus", ["build", "--from", str(empty), "--out", str(tmp_path / "c")])
    assert "not a folder" in error_of(capsys, "corpus", ["build", "--from", str(tmp_path / "none")])
    assert "no recipe 'fisrt'" in error_of(capsys, "pretrain", ["--recipe", "fisrt"])
    missing = [*pretrain(place, "x"), "--corpus", str(tmp_path / "none")]
    assert "corpus build" in error_of(capsys, "pretrain", missing)
    assert "--resume" in error_of(capsys, "pretrain", pretrain(place, "run"))
    assert "nothing to resume" in error_of(capsys, "pretrain", pretrain(place, "new", "--resume"))
    assert "no checkpoint" in error_of(capsys, "export", ["--run", str(tmp_path), "--out", str(tmp_path / "o")])
    assert "neither train" in error_of(capsys, "eval", ["default", "--on", "nowhere"])
    assert "--seed" in error_of(capsys, "eval", ["default", "--on", "val", "--seed", "-1"])
    assert "'nix'" in error_of(capsys, "eval", ["default", "--on", str(tmp_path / "a.py"), "--opponent", "nix"])
    assert "twice" in error_of(capsys, "eval", ["default", "--on", str(tmp_path / "a.py"), "--opponent", "nix", "nix"])
    assert "--no-eval" in error_of(capsys, "export", ["--out", str(tmp_path / "o"), "--no-eval", "--unseen", "x"])
    shutil.copytree(place / "run", tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["corpus"]["manifest_sha256"] = "0" * 64  # its training files may be this corpus's validation files
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    argv = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "p"), "--corpus", str(place / "corpus")]
    assert "not the corpus of this run" in error_of(capsys, "export", argv)
    missing = ["--run", str(place / "run"), "--out", str(tmp_path / "o"), "--unseen", str(tmp_path / "nix")]
    assert "nix" in error_of(capsys, "export", missing) and not (tmp_path / "o").exists()


def test_another_tokenizer_or_data_is_refused_on_resume(place, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    shutil.copytree(place / "corpus", corpus)
    text = (corpus / "tokenizer.json").read_text()
    (corpus / "tokenizer.json").write_text(text + "\n")
    shutil.copytree(place / "run", tmp_path / "run")
    argv = ["--recipe", str(place / "tiny.toml"), "--corpus", str(corpus), "--out", str(tmp_path / "run"), "--resume"]
    assert "another tokenizer" in error_of(capsys, "pretrain", argv)
    (corpus / "train.txt").write_bytes(b"x" + (corpus / "train.txt").read_bytes()[1:])
    assert "hash" in error_of(capsys, "pretrain", argv)


def test_every_command_has_help_with_an_example(capsys):
    for name, command in commands.items():
        with pytest.raises(SystemExit) as caught:
            command(["--help"])
        assert caught.value.code == 0
        assert "example:" in capsys.readouterr().out, name
    assert main(["--help"]) == 0 and main(["nonsense"]) == 2


def test_the_bundled_recipes_are_valid_and_in_the_promised_size():
    assert "first" in names()
    recipe = load_recipe("first")
    assert 2e6 <= recipe.model.n_params() <= 4e6
    if recipe.train.steps:  # 40 minutes at 10,000 tokens a second
        assert recipe.train.steps * recipe.data.batch * recipe.data.context < 24e6
    else:
        assert recipe.train.minutes <= 40
    assert load_recipe("first", minutes=3).train.minutes == 3
    assert load_recipe("first", steps=7).train.steps == 7 and load_recipe("first", steps=7).train.minutes is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps = 40", "stpes = 40"), "stpes"),
        (("steps = 40", "steps = 40\nminutes = 3.0"), "either"),
        (("steps = 40", 'steps = "40"'), "wrong type"),
        (("d_model = 32", "d_model = 0"), "d_model"),
        (("context = 64\nbatch", "context = 65\nbatch"), "longer than"),
        (("[data]", "[data]\nfim = {rate = 2.0}"), "rate"),
        (("[data]", "[dta]"), "dta"),
        (("[train]", "[[data.later]]\nbatch = 2\n[train]"), "'step'"),
        (("[train]", "[[data.later]]\nstep = 1\n[train]"), "from 2 on"),
        (("[train]", "[[data.later]]\nstep = 5\ncontext = 128\n[train]"), "longer than"),
        (("[train]", "[[data.later]]\nstep = 5\nfim = {rat = 1.0}\n[train]"), "rat"),
        (("steps = 40", 'steps = 40\nschedule = "wds"'), "wsd"),
        (("steps = 40", "steps = 40\nwatch = {spik = 1}"), "spik"),
        (("steps = 40", 'steps = 40\nwatch = {nan = "note"}'), r"\[train.watch\] nan must be"),
        (("steps = 40", 'steps = 40\nprecision = "bf61"'), "bf16"),
        (("seed = 3", "seed = "), "TOML"),
    ],
)
def test_recipes_with_slips_are_refused_by_key(tmp_path, change, message):
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.replace(*change))
    assert path.read_text() != RECIPE
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)
