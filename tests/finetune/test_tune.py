"""`hearth tune` as a user runs it, on a small repository and a tiny model: learns, proves, refuses, survives a kill."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

import runtime
from finetune.cli import commands
from finetune.commands.tune import NOT_BETTER, run_folder
from finetune.tuning import base as tune_base
from finetune.tuning.base import Base, install, load_base, target_of, write_model
from finetune.tuning.blend import SHARES, blend
from finetune.tuning.report import verdict
from finetune.tuning.repository import read_repository
from finetune.tuning.run import prepare
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.text import train_bpe

LIBRARY = Path(sysconfig.get_path("stdlib"))
PACKAGES = ("json", "wsgiref", "concurrent")
SPEC = DecoderSpec(
    vocab_size=600, d_model=32, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=16, d_ff=64, max_context=96
)


@pytest.fixture(scope="module")
def repo(tmp_path_factory) -> Path:
    """A repository of library files, with a secret, a copy, an ignored file and other people's code."""
    root = tmp_path_factory.mktemp("repo") / "small"
    for package in PACKAGES:
        for file in sorted((LIBRARY / package).rglob("*.py")):
            if "__pycache__" not in file.parts:
                to = root / file.relative_to(LIBRARY)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to)
    shutil.copyfile(root / "json" / "decoder.py", root / "json" / "zz_copy.py")
    text = (root / "json" / "scanner.py").read_text()
    (root / "json" / "scanner.py").write_text(text + 'API_KEY = "k3y-9f8e7d6c5b4a"\n')
    (root / "notes.md").write_text("# notes\n")
    (root / "out").mkdir()
    (root / "out" / "made.py").write_text("x = 1\n" * 50)
    (root / ".gitignore").write_text("out/\n")
    (root / ".env").write_text("TOKEN=1\n")
    return root


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, repo) -> Path:
    """An untrained model with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    folder.mkdir()
    texts = [file.read_text() for file in sorted((LIBRARY / "email").glob("*.py"))[:8]]
    tokenizer = train_bpe(texts, SPEC.vocab_size)
    tokenizer.save(folder / "tokenizer.json")
    config = SPEC.to_hf_config() | {"eos_token_id": tokenizer.special["<|endoftext|>"]}
    config["hearth"] = {"fim_order": "spm", "precision": "f32"}
    weights = {name: p.data for name, p in Decoder(SPEC, seed=5).parameters().items()}
    source = Base("seed", folder, config, SPEC, tokenizer, weights)
    out = folder.with_name("made")
    write_model(out, source, weights, {})
    return out


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("finetune.trainer.write_curve", lambda *path: None)  # ten drawings a run would take longest


def hashes(*folders: Path) -> dict[str, str]:
    files = [file for folder in folders if folder.exists() for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def options(repo, tiny, *extra):
    return [str(repo), "--model", str(tiny), "--carets", "12", "--epochs", "1", "--lr", "1e-2", *extra]


def error_of(capsys, argv) -> str:
    capsys.readouterr()
    code = commands["tune"](argv)
    text = capsys.readouterr().err.strip()
    assert code == 1 and len(text.splitlines()) == 1 and text.startswith("hearth tune: "), text
    return text


def test_a_dry_run_tells_what_it_would_do_and_changes_nothing(repo, tiny, tmp_path, capsys):
    before = hashes(repo, tiny)
    assert commands["tune"](options(repo, tiny, "--dry-run", "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert hashes(repo, tiny) == before and not any(tmp_path.iterdir())
    sides = report["sides"]
    assert sides["train"]["files"] > sides["judge"]["files"] >= 1 and sides["choose"]["files"] >= 1
    share = sides["train"]["bytes"] / sum(side["bytes"] for side in sides.values())
    assert 0.6 < share < 0.95
    assert report["left_out"]["a copy"] == 1 and report["left_out"]["ignored by git"] == 1
    assert report["secrets"] == {"files": [".env"], "lines": {"json/scanner.py": 1}}
    assert report["carets"] == {"line_start": 12, "mid_line": 12, "trigger": 12}
    assert report["other_files"] == {".md": 1, "(no suffix)": 1} and report["plan"]["steps"] > 10
    assert 0.1 < report["replay"]["tokens"] / (report["replay"]["tokens"] + sides["train"]["tokens"]) < 0.25
    assert commands["tune"](options(repo, tiny, "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "held out to judge" in shown and "1 a copy" in shown and "json/scanner.py" in shown and "min at" in shown
    assert "k3y-9f8e7d6c5b4a" not in shown + json.dumps(report)


def test_it_learns_proves_it_on_files_it_never_saw_and_can_be_used(repo, tiny, tmp_path, capsys):
    assert commands["tune"](options(repo, tiny, "--json")) == 0, capsys.readouterr().err
    report = json.loads(capsys.readouterr().out)
    results = report["proof"]["results"]
    before, after = (results[side]["bits_per_byte"]["value"] for side in ("before", "after"))
    assert after < 0.85 * before and results["paired"]["bits_per_byte"]["high"] < 0
    assert results["paired"]["bits_per_byte"]["value"] == pytest.approx(after - before)
    assert report["better"] and report["installed"] and report["model"] == "small-tuned"
    kinds = results["after"]["line_exact_match"]
    assert [kinds[kind]["n"] for kind in kinds] == [12, 12, 12] and report["proof"]["lines"]["before"]["n"] == 36
    assert report["proof"]["general"]["worse_by"] < 0
    folder = tmp_path / "data" / "codehearth" / "models" / "small-tuned"
    assert not [p for p in folder.parent.parent.iterdir() if p != folder.parent]  # nothing half made is left beside it
    model = runtime.load_model("small-tuned")
    assert model.tokenizer.sha256 == load_base(str(tiny)).tokenizer.sha256
    assert (folder / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert isinstance(str(model.infill("def loads(s", "\n    return s\n", max_tokens=8)), str)
    config = json.loads((folder / "config.json").read_text())
    assert config["hearth"]["tuned"]["base"] == "made" and config["hearth"]["fim_order"] == "spm"
    card = (folder / "README.md").read_text()
    assert "Better on this repository" in card and "held out to judge" in card and "line exact match" in card
    assert json.loads((folder / "tune.json").read_text())["installed"]
    place = run_folder(folder)
    assert sorted(p.name for p in place.iterdir() if p.is_dir()) == [] and (place / "report.json").is_file()
    rows = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    chosen = [row["val_loss"] for row in rows if "val_loss" in row]
    assert min(chosen) < chosen[0] and report["training"]["best_loss"] == pytest.approx(min(chosen))
    kept, *tried = report["training"]["blends"]
    assert kept in tried and kept["share"] == 1.0  # the untrained one has nothing to forget
    assert "--replace" in error_of(capsys, options(repo, tiny))


def test_what_does_not_help_is_not_installed_unless_asked(repo, tiny, tmp_path, capsys):
    useless = options(repo, tiny, "--minutes", "0.02", "--out", str(tmp_path / "result"))
    useless[useless.index("--lr") + 1] = "1e-12"
    assert commands["tune"](useless) == NOT_BETTER
    said = capsys.readouterr().out
    assert "Nothing was installed" in said and not (tmp_path / "result").exists()
    assert not (tmp_path / "data").exists()


def start(repo, tiny, out, *extra):
    command = [sys.executable, "-P", "-m", "finetune.cli", "tune", *options(repo, tiny, "--out", str(out), *extra)]
    root = Path(runtime.__file__).parents[1]
    env = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(place: Path, process) -> None:
    """Until there is one that was not there before."""
    limit, old = time.monotonic() + 60, {path.name for path in place.glob("checkpoints/step-*")}
    while not {path.name for path in place.glob("checkpoints/step-*")} - old:
        assert process.poll() is None and time.monotonic() < limit, process.communicate()
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_stopped_run_goes_on_and_leaves_no_half_model(repo, tiny, tmp_path, capsys):
    mine, out = tmp_path / "small", tmp_path / "result" / "model"
    shutil.copytree(repo, mine)
    stopped = start(mine, tiny, out)
    wait_for_checkpoint(run_folder(out), stopped)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=120)
    assert stopped.returncode == 128 + signal.SIGINT and "--resume goes on from there" in err, err
    assert not out.exists()
    assert "--resume" in error_of(capsys, options(mine, tiny, "--out", str(out)))
    text = (mine / "json" / "decoder.py").read_text()
    (mine / "json" / "decoder.py").write_text(text + "\n\ndef more():\n    return 1\n")
    assert "another repository" in error_of(capsys, options(mine, tiny, "--out", str(out), "--resume"))
    (mine / "json" / "decoder.py").write_text(text)
    assert commands["tune"](options(mine, tiny, "--out", str(out), "--resume")) == 0, capsys.readouterr().err
    assert runtime.load_model(out).spec == SPEC
    assert [p.name for p in out.parent.iterdir()] == ["model"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_kill_leaves_no_half_model(repo, tiny, tmp_path, capsys):
    out = tmp_path / "result" / "model"
    killed = start(repo, tiny, out)
    wait_for_checkpoint(run_folder(out), killed)
    killed.kill()
    killed.communicate()
    assert not out.exists() and "--restart" in error_of(capsys, options(repo, tiny, "--out", str(out)))


def test_errors_are_one_clear_line(repo, tiny, tmp_path, capsys):
    assert "no such folder" in error_of(capsys, options(tmp_path / "none", tiny))
    assert "not a folder" in error_of(capsys, options(repo / "notes.md", tiny))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text("text\n")
    assert "no Python file" in error_of(capsys, options(tmp_path / "texts", tiny))
    few = tmp_path / "few"
    shutil.copytree(repo / "json", few)
    said = error_of(capsys, options(few, tiny, "--dry-run"))
    assert "too small" in said and "6 files" in said and "20 kB" in said
    assert "no model 'nix'" in error_of(capsys, [str(repo), "--model", "nix"])
    assert "--out" in error_of(capsys, options(repo, tiny, "--out", "a b"))
    assert "--seed" in error_of(capsys, options(repo, tiny, "--seed", "-1"))
    assert "give one" in error_of(capsys, options(repo, tiny, "--resume", "--restart"))
    assert "nothing to resume" in error_of(capsys, options(repo, tiny, "--resume"))
    (tmp_path / "taken").mkdir()
    taken = options(repo, tiny, "--out", str(tmp_path / "taken"), "--replace")
    assert "no model folder" in error_of(capsys, taken)
    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare)
    (bare / "tokenizer.json").unlink()
    assert "no tokenizer.json" in error_of(capsys, [str(repo), "--model", str(bare)])
    plain = tmp_path / "plain"
    shutil.copytree(tiny, plain)
    text = (plain / "tokenizer.json").read_text()
    (plain / "tokenizer.json").write_text(text.replace("<|fim_middle|>", "<|some_thing|>"))
    assert "fill in the middle" in error_of(capsys, [str(repo), "--model", str(plain)])


def test_a_model_that_does_not_fit_into_memory_is_refused_before_the_work(repo, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("finetune.tuning.plan.available_memory", lambda: 1000)
    assert "GiB" in error_of(capsys, options(repo, tiny))


def test_a_failed_install_leaves_the_older_model(tmp_path, monkeypatch):
    new, target = tmp_path / "new", tmp_path / "models" / "name"
    for folder, text in ((new, "new"), (target, "old")):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(text)
    real, calls = os.rename, []

    def rename(a, b):
        calls.append((a, b))
        if len(calls) == 2:
            raise OSError("disk full")
        real(a, b)

    monkeypatch.setattr(tune_base.os, "rename", rename)
    with pytest.raises(OSError, match="disk full"):
        install(new, target)
    assert (target / "config.json").read_text() == "old" and os.listdir(target.parent) == ["name"]
    monkeypatch.undo()
    real(target, target.with_name(".name.old"))  # as a kill between the two renames leaves it
    install(new, target)
    assert (target / "config.json").read_text() == "new" and os.listdir(target.parent) == ["name"]


def test_names_and_folders_of_a_result(tmp_path):
    models = tmp_path / "data" / "codehearth" / "models"
    assert target_of(None, "my repo!") == ("my-repo-tuned", models / "my-repo-tuned")
    assert target_of("mine", "x") == ("mine", models / "mine")
    assert target_of("./mine", "x") == ("./mine", Path.cwd() / "mine")
    for bad in ("..\\x y", "default", ".hidden", ""):
        with pytest.raises(ValueError, match="--out"):
            target_of(bad, "x")


def test_general_code_comes_from_the_library_and_no_file_is_on_two_sides(repo, tiny, tmp_path):
    tuning = prepare(repo, load_base(str(tiny)), tmp_path / "none", minutes=1, carets=5)
    assert "standard library" in tuning.general.name and tuning.general.held_out and tuning.talks
    assert tuning.general.choose and not set(tuning.general.held_out) & set(tuning.general.choose)
    assert not set(tuning.general.held_out + tuning.general.choose) & set(tuning.general.replay)
    sides = tuning.repository.sides
    paths = [file.path for side in sides.values() for file in side]
    assert len(set(paths)) == len(paths)
    assert not {f.cluster for f in sides["train"]} & {f.cluster for f in sides["judge"] + sides["choose"]}
    judged = {line for text in tuning.judged for line in text.split("\n") if len(line.strip()) > 60}
    trained = "\n".join(tuning.documents)
    assert judged and sum(line in trained for line in judged) < 0.2 * len(judged)
    again = prepare(repo, load_base(str(tiny)), tmp_path / "none", minutes=1, carets=5)
    assert again.repository.sha256 == tuning.repository.sha256 and again.documents == tuning.documents


def test_of_a_huge_repository_a_part_is_read(repo, monkeypatch):
    whole = {file.path for side in read_repository(repo).sides.values() for file in side}
    monkeypatch.setattr("finetune.tuning.repository.MAX_TEXT", 110_000)
    part = read_repository(repo)
    found = [file for side in part.sides.values() for file in side]
    assert {file.path for file in found} < whole and sum(file.bytes for file in found) <= 110_000
    assert any("beyond" in reason for _, reason in part.left_out)


def proof(bits=(-0.1, -0.05), lines=(5, 1, 0.2), worse_by=0.0):
    value = lambda x: {"value": x, "n": 100, "low": x, "high": x}  # noqa: E731
    side = {"bits_per_byte": value(1.0)}
    paired = {"bits_per_byte": {"value": float(np.mean(bits)), "low": bits[0], "high": bits[1]}}
    better, worse, p = lines
    return {
        "results": {"before": side, "after": {"bits_per_byte": value(1.0 + np.mean(bits))}, "paired": paired},
        "lines": {
            "before": value(0.2),
            "after": value(0.2),
            "paired": {"value": (better - worse) / 100, "better": better, "worse": worse, "p": p},
        },
        "general": {"before": side, "after": {"bits_per_byte": value(1 + worse_by)}, "worse_by": worse_by},
    }


def test_the_verdict_needs_a_sure_gain_no_sure_loss_and_no_forgetting():
    assert verdict(proof())["better"]
    unsure = verdict(proof(bits=(-0.1, 0.01)))
    assert not unsure["better"] and "does not exclude" in unsure["words"][0]
    assert verdict(proof(lines=(1, 3, 0.6)))["better"]
    assert not verdict(proof(lines=(1, 15, 0.001)))["better"]
    forgot = verdict(proof(worse_by=0.04))
    assert not forgot["better"] and "3 % allowed" in forgot["words"][-1] and "forgotten" in forgot["head"]
    assert verdict(proof(worse_by=0.02))["better"]


def test_a_blend_takes_what_helps_and_forgets_little():
    model = Decoder(SPEC, seed=1)
    base = {name: p.data.copy() for name, p in model.parameters().items()}
    tuned = {name: w + 1 for name, w in base.items()}
    name = "model.norm.weight"
    share = lambda: float(np.mean(model.parameters()[name].data - base[name]))  # noqa: E731
    # the repository's best at 0.7 of the way; general code worsens by the square of the share, 2 % at 0.5
    kept, tried = blend(model, base, tuned, lambda: 1 + abs(share() - 0.7), lambda: 2 * (1 + 0.08 * share() ** 2))
    assert kept.share == 0.4 and share() == pytest.approx(0.4, abs=1e-5)
    assert kept.general == pytest.approx(0.0128, abs=1e-4)
    assert [found.share for found in tried] == list(SHARES)
    assert blend(model, base, tuned, lambda: 1 + abs(share() - 0.7), None)[0].share == 0.7
    nothing, _ = blend(model, base, tuned, lambda: 1 + share(), None)
    assert nothing.share == 0 and all(np.array_equal(p.data, base[n]) for n, p in model.parameters().items())
