"""`hearth explain` as a process: its forms, its JSON, what it refuses to read, and its one line on wrong input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from connection import PACKAGES

PROGRAM = "def total(items):\n    count = 0\n    return cuont\n\nprint(total([]))\n"
RUN = "import sys; from lsp_server.cli import main; sys.exit(main())"


def hearth(folder: Path, *arguments: str, typed: str | bytes = "") -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "PYTHONUTF8": "1"}
    typed = typed.encode() if isinstance(typed, str) else typed
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, "explain", *arguments],
        cwd=folder,
        env=environment,
        input=typed,
        capture_output=True,
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True)
    (tmp_path / "error.txt").write_text(done.stderr, encoding="utf-8")
    return tmp_path


def explained(folder: Path, *arguments: str, typed: str | bytes = "") -> dict:
    done = hearth(folder, *arguments, "--json", "--no-model", typed=typed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_traceback_from_a_file_and_from_standard_input(shop):
    found = explained(shop, "--traceback", "error.txt")
    assert set(found) == {"where", "facts", "cause", "fix", "check", "model"}
    assert found["where"] == {"file": "shop.py", "line": 3} and found["model"] is None
    assert {"name": "nearest name", "value": "`count` (variable, line 2)", "checked": True} in found["facts"]
    assert "+    return count\n" in found["fix"] and "compiles" in found["check"]
    text = (shop / "error.txt").read_text()
    assert explained(shop, "--traceback", "-", typed=text) == found
    assert explained(shop, typed=text) == found
    assert explained(shop, typed=text.encode("utf-16")) == found  # as PowerShell redirects


def test_a_file_that_does_not_compile(tmp_path):
    (tmp_path / "bad.py").write_text("def f(x)\n    return x\n")
    found = explained(tmp_path, "bad.py")
    assert found["where"] == {"file": "bad.py", "line": 1} and "+def f(x):\n" in found["fix"]


def test_the_named_file_is_the_source_of_a_traceback_from_elsewhere(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    text = (shop / "error.txt").read_text().replace(str(shop), "/srv/app").replace('"shop.py"', '"/srv/app/shop.py"')
    (folder / "error.txt").write_text(text)
    assert explained(folder, "--traceback", "error.txt")["fix"] is None  # there is no source
    found = explained(folder, str(shop / "shop.py"), "--traceback", "error.txt")
    assert found["where"]["line"] == 3 and "+    return count\n" in found["fix"]


def test_nothing_outside_the_project_is_read(shop, tmp_path_factory):
    secret = tmp_path_factory.mktemp("private") / "keys.py"
    secret.write_text("password = 'tops' + 'ecret'\n")
    inside = shop / "link.py"
    inside.symlink_to(secret)
    (shop / "notes.txt").write_text("password: topsecret\n")
    around = shop / ".." / secret.parent.name / "keys.py"
    for path in (secret, inside, around, shop / "notes.txt", "/etc/passwd", "/dev/zero"):
        text = f'Traceback (most recent call last):\n  File "{path}", line 1, in f\n'
        text += "NameError: name 'passwort' is not defined\n"
        done = hearth(shop, "--traceback", "-", "--no-model", typed=text)
        assert done.returncode == 0 and "tops" not in done.stdout and "root:" not in done.stdout, done.stdout
        assert "may be read here" in done.stdout


def test_the_text_for_people_has_all_parts_in_order(shop):
    done = hearth(shop, "--traceback", "error.txt")
    parts = ["shop.py, line 3", "NameError: name 'cuont'", "return cuont", "^^^^^", "Cause", "Facts", "✓ nearest name"]
    parts += ["Fix", "+    return count", "Check", "The model's own words"]
    places = [done.stdout.index(part) for part in parts]
    assert places == sorted(places) and "not checked" in done.stdout[places[-1] :]


def test_a_model_that_cannot_be_loaded_takes_nothing_away(shop):
    done = hearth(shop, "--traceback", "error.txt", "--model", "not-there")
    assert done.returncode == 0 and "+    return count" in done.stdout
    assert done.stderr.startswith("hearth explain: the model was not asked") and done.stderr.count("\n") == 1
    found = json.loads(hearth(shop, "--traceback", "error.txt", "--model", "not-there", "--json").stdout)
    assert found["fix"] and found["model"]["text"] == "" and found["model"]["error"]


def test_the_models_words_are_apart_in_the_json(shop, tiny_model):
    found = json.loads(hearth(shop, "--traceback", "error.txt", "--model", str(tiny_model), "--json").stdout)
    assert found["model"]["name"] and isinstance(found["model"]["text"], str)
    assert {key: found[key] for key in ("where", "facts", "cause", "fix", "check")} == {
        key: value for key, value in explained(shop, "--traceback", "error.txt").items() if key != "model"
    }


@pytest.mark.parametrize(
    "arguments, typed, says",
    [
        (("shop.py",), "", "shop.py compiles"),
        (("--traceback", "-"), "all is well\n", "no traceback was found"),
        (("--traceback", "-"), "", "the traceback is empty"),
        (("gone.py",), "", "no such file: gone.py"),
        (("--traceback", "gone.txt"), "", "no such file: gone.txt"),
        (("--traceback", "."), "", "is a folder"),
        ((".",), "", "is a folder"),
        (("binary.py",), "", "not a text file"),
    ],
)
def test_wrong_input_is_one_line(shop, arguments, typed, says):
    (shop / "binary.py").write_bytes(b"\0\1\2")
    done = hearth(shop, *arguments, typed=typed)
    assert done.returncode == 1 and done.stdout == ""
    assert says in done.stderr and done.stderr.count("\n") == 1 and "Error" not in done.stderr
