"""`hearth models`: a model is checked before it is installed, listed, chosen, inspected, quantised and removed."""

import json
import shutil

import numpy as np
import pytest

import runtime
from lsp_server import cli
from runtime import folders, installed
from runtime.files.errors import FormatError
from runtime.files.gguf_write import GgufTensor, write_gguf


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Folders of its own for models, caches and state."""
    monkeypatch.setattr(folders, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr(installed, "state_folder", lambda: tmp_path / "state")
    return tmp_path


@pytest.fixture
def run(home, capsys):
    """run(words) -> (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main(["models", *map(str, words)])
        return (code, *capsys.readouterr())

    return run


def test_without_a_word_it_lists_the_embedded_model_as_the_default(run):
    code, out, _ = run()
    assert code == 0 and out.startswith("* default ") and "MB" in out
    for words in (["--json"], ["list", "--json"]):
        (model,) = json.loads(run(*words)[1])
        assert model["name"] == "default" and model["default"] and model["error"] is None
        assert model["parameters"] > 1e5 and model["bytes"] > 1e5 and model["storage"] in ("BF16", "F32", "F16")


def test_a_folder_is_imported_used_and_removed(run, home, tiny_model, monkeypatch):
    (tiny_model / "evil.py").write_text("raise SystemExit")
    assert run("import", tiny_model, "--name", "mine")[0] == 0
    folder = home / "data" / "models" / "mine"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    listed = json.loads(run("list", "--json")[1])
    assert [model["name"] for model in listed] == ["default", "mine"] and not listed[1]["error"]
    assert runtime.load_model("mine").name == "mine"
    assert run("default")[1].strip() == "default"
    assert run("default", "mine")[1].strip() == "mine" and installed.default_model() == "mine"
    assert run("list")[1].splitlines()[1].startswith("* mine ")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, _, error = run("remove", "mine")
    assert code == 1 and "--yes" in error and folder.is_dir()
    assert run("remove", "mine", "--yes")[0] == 0
    assert not folder.exists() and installed.default_model() == "default"
    assert list((home / "data" / "models").iterdir()) == []


def test_a_gguf_is_imported_and_a_model_quantised_into_place(run, home, tiny_model):
    code, out, _ = run("quantise", tiny_model, "--type", "Q8_0", "--out", home / "t.gguf")
    assert code == 0 and "MB" in out
    assert run("import", home / "t.gguf")[0] == 0
    assert (home / "data" / "models" / "t" / "t.gguf").is_file()
    assert run("quantise", "t", "--type", "Q4_0", "--name", "small")[0] == 0
    listed = {model["name"]: model for model in json.loads(run("list", "--json")[1])}
    assert set(listed) == {"default", "t", "small"} and all(not model["error"] for model in listed.values())
    assert listed["small"]["bytes"] < listed["t"]["bytes"]
    assert "model" in run("quantise", "t", "--type", "Q4_0", "--name", "small")[2]


def test_inspect_says_what_a_model_is_made_of(run, tiny_model):
    code, out, _ = run("inspect", tiny_model, "--json", "--tensors")
    facts = json.loads(out)
    assert code == 0 and facts["family"] == "llama" and facts["layers"] == 2 and facts["error"] is None
    assert facts["tokenizer"] is True and facts["kv_per_token"] == 4 * 2 * 16
    assert sum(facts["storage"].values()) == facts["bytes"]
    assert {"name": "model.norm.weight", "type": "F32", "shape": [32]} in facts["tensors"]
    code, out, _ = run("inspect", tiny_model)
    assert code == 0 and "family         llama" in out


def test_inspect_also_shows_what_cannot_be_run(run, home):
    path = home / "odd.gguf"
    metadata = {"general.architecture": "rwkv7", "rwkv7.block_count": 1}
    write_gguf(path, metadata, [GgufTensor("w", "F32", (2, 2), lambda: [np.zeros((2, 2), np.float32)])])
    code, out, _ = run("inspect", path, "--json")
    facts = json.loads(out)
    assert code == 1 and facts["family"] == "rwkv7" and "rwkv7" in facts["error"] and facts["storage"] == {"F32": 16}


@pytest.mark.parametrize("name", ["../x", "a/b", "default", "embedded", ".x", "", "x" * 101, "a b"])
def test_a_name_that_is_no_name_is_refused(run, home, tiny_model, name):
    code, _, error = run("import", tiny_model, "--name", name)
    assert code == 1 and "cannot be the name" in error
    assert not (home / "data").exists() and not (home / "x").exists()


@pytest.mark.parametrize("words", [["remove", "../../etc", "--yes"], ["default", "nothere"], ["remove", "nothere"]])
def test_a_model_that_is_not_installed_is_named(run, words):
    code, _, error = run(*words)
    assert code == 1 and words[1] in error and len(error.splitlines()) == 1


def test_a_broken_model_is_not_installed_and_leaves_nothing(run, home, tiny_model):
    broken = home / "broken"
    shutil.copytree(tiny_model, broken)
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[:-10])
    code, _, error = run("import", broken)
    assert code == 1 and "model.safetensors" in error
    shutil.copytree(tiny_model, home / "mute")
    (home / "mute" / "tokenizer.json").unlink()
    code, _, error = run("import", home / "mute")
    assert code == 1 and "no tokenizer" in error
    assert not (home / "data").exists()


def test_an_interrupted_copy_leaves_nothing(home, tiny_model):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        installed.install(tiny_model, "mine", stop)
    assert list((home / "data" / "models").iterdir()) == [] and installed.installed() == []


def test_a_default_that_is_gone_or_a_lie_means_the_embedded_model(home, tiny_model):
    installed.install(tiny_model, "mine")
    installed.set_default("mine")
    shutil.rmtree(home / "data" / "models" / "mine")
    assert installed.default_model() == "default"
    for lie in (b"../../etc", b"\xff\xfe", b"x" * 1000, b""):
        (home / "state" / "default-model").write_bytes(lie)
        assert installed.default_model() == "default"


def test_a_name_is_not_installed_twice(home, tiny_model):
    installed.install(tiny_model, "mine")
    with pytest.raises(ValueError, match="installed already"):
        installed.install(tiny_model, "mine")
    with pytest.raises(FormatError):
        installed.install(tiny_model / "config.json", "other")
