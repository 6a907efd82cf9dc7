"""The server and the commands with the real engine: a tiny model with random weights, and the one that ships."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from connection import INVOKED, PACKAGES, connect
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from runtime.terminal import printable

EMBEDDED = PACKAGES / "runtime" / "embedded"
embedded = pytest.mark.skipif(not (EMBEDDED / "model.safetensors").exists(), reason="the model is not trained yet")
SERVER = [sys.executable, "-P", "-m", "lsp_server"]
LONG = "def f():\n" + "".join(f"    value_{i} = compute({i})\n" for i in range(200)) + "    return "


def hearth(*arguments: str, cwd=None, stdin: str = "", **env) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "COLUMNS": "120", **env}
    code = "import sys; from lsp_server.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=cwd,
        timeout=120,
    )


def completed(*arguments: str, **options) -> dict:
    done = hearth("try", "--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.asyncio
async def test_typing_reuses_the_cache_and_cancel_stops_the_engine(tmp_path, tiny_model):
    async with connect(tmp_path, [*SERVER, "--model", str(tiny_model)]) as c:
        await c.state("ready", 60)
        c.open(LONG)
        line = LONG.count("\n")
        await c.offer(line, 11, INVOKED)
        first = await c.command("codehearth.lastTiming")
        c.edit((line, 11), (line, 11), "v")
        await c.offer(line, 12, INVOKED)
        second = await c.command("codehearth.lastTiming")
        assert first["new_tokens"] > 50
        assert second["reused_tokens"] > first["new_tokens"] - 40, "the prefix is kept between keystrokes"
        assert second["new_tokens"] < 40

        answer = c.request(
            "codehearth/chat", {"messages": [{"role": "user", "content": "hi"}], "maxTokens": 100, "id": 1}, "chat"
        )
        task = asyncio.ensure_future(answer)
        await asyncio.sleep(0.02)
        c.client.cancel_request(t.CancelParams(id="chat"))
        try:
            assert (await task).text is not None  # it was faster than the cancel
        except JsonRpcException as error:
            assert error.code == -32800
        c.edit((line, 12), (line, 12), "a")
        await c.offer(line, 13, INVOKED)


@pytest.mark.asyncio
@pytest.mark.skipif(sys.platform != "linux", reason="the folders are set the way of Linux")
@pytest.mark.parametrize("keep", [True, False])
async def test_what_was_read_outlives_the_server_only_where_the_setting_says_so(tmp_path, tiny_model, keep):
    folders = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "STATE")}
    reused = []
    for _ in range(2):
        async with connect(
            tmp_path, [*SERVER, "--model", str(tiny_model)], configuration={"keepCaches": keep}, **folders
        ) as c:
            await c.state("ready", 60)
            c.open(LONG)
            await c.offer(LONG.count("\n"), 11, INVOKED)
            reused.append((await c.command("codehearth.lastTiming"))["reused_tokens"])
    assert reused[0] == 0 and (reused[1] > 50) == keep
    assert bool(list((tmp_path / "CACHE").rglob("*.kv"))) == keep


@pytest.mark.asyncio
async def test_a_folder_that_holds_no_model_is_a_clear_status(tmp_path):
    async with connect(tmp_path, [*SERVER, "--model", str(tmp_path)]) as c:
        assert "config.json" in (await c.state("error", 60)).message


@pytest.mark.asyncio
async def test_server_and_terminal_show_the_same(tmp_path, tiny_model):
    file = tmp_path / "a.py"
    texts = ["import os\n\n\ndef add(a, b):\n    return ", "class Point:\n    def __init__(self, x):\n        self"]
    async with connect(tmp_path, [*SERVER, "--model", str(tiny_model)]) as c:
        await c.state("ready", 60)
        for i, text in enumerate(texts):
            file.write_text(text, encoding="utf-8")
            shown = completed(str(file), "--model", str(tiny_model))
            uri = c.open(text, f"file:///{i}.py")
            lines = text.split("\n")
            offer = await c.offer(len(lines) - 1, len(lines[-1]), INVOKED, uri)
            assert (offer[0] if offer else "") == shown["text"]


def test_try_as_json(tmp_path, tiny_model):
    file = tmp_path / "a.py"
    file.write_text("def add(a, b):\n    return a\n", encoding="utf-8")
    shown = completed(str(file), "--line", "2", "--column", "12", "--model", str(tiny_model), "--max-tokens", "5")
    assert shown["model"] == "tiny" and (shown["line"], shown["column"]) == (2, 12)
    assert 1 <= shown["tokens"] <= 8 and isinstance(shown["text"], str)
    assert set(shown["timing"]) == {"load_ms", "prefill_ms", "decode_ms", "total_ms"}
    assert all(value > 0 for value in shown["timing"].values())


def test_try_shows_what_happened_inside(tmp_path, tiny_model):
    file = tmp_path / "a.py"
    text = "def add(a, b):\n    return a\n\n\ndef sub(a, b):\n    return a - b\n"
    file.write_text(text, encoding="utf-8")
    arguments = [str(file), "--line", "2", "--column", "13", "--model", str(tiny_model), "--inside"]
    shown = completed(*arguments)
    inside = shown["inside"]
    before, after = text[: text.index("\n\n\n")], text[text.index("\n\n\n") :]
    assert inside["prompt"] + inside["healed"] == f"<|fim_prefix|><|fim_suffix|>{after}<|fim_middle|>{before}"
    last = inside["rules"][-1][1] if inside["rules"] else inside["raw"]
    assert last == shown["text"] or shown["reason"]
    done = hearth("try", *arguments)
    assert done.returncode == 0 and "the model read" in done.stdout and "it wrote" in done.stdout, done.stderr
    assert "inside" not in completed(*arguments[:-1])


def test_try_on_a_terminal_shows_the_file_and_the_figures(tmp_path, tiny_model):
    file = tmp_path / "a.py"
    file.write_text("def add(a, b):\n    return \n\nprint(1)\n", encoding="utf-8")
    done = hearth("try", str(file), "--line", "2", "--model", str(tiny_model))
    assert done.returncode == 0, done.stderr
    assert "1 │ def add(a, b):" in done.stdout and "4 │ print(1)" in done.stdout
    assert "tokens" in done.stdout and "prefill" in done.stdout and "model tiny" in done.stdout
    assert "\x1b" not in done.stdout, "no colours where no terminal is"


def test_try_shows_no_command_to_the_terminal_and_prints_whatever_its_encoding_is(tmp_path, tiny_model):
    file = tmp_path / "a.py"
    file.write_text("# \x1b]0;title\x07 \x9b2J é\nx = \x1b[31m", encoding="utf-8")
    done = hearth("try", str(file), "--model", str(tiny_model))
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout) & set("\x1b\x07\x9b") and "]0;title" in done.stdout
    done = hearth("try", str(file), "--model", str(tiny_model), PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "1 ? # " in done.stdout, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted there")
def test_a_command_in_a_deleted_folder_works(tmp_path):
    code = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
        "from lsp_server.cli import main; sys.exit(main(['models']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.py"], "no such file: none.py"),
        (["a.py", "--line", "9"], "line 9 is outside a.py, which has 2 lines"),
        (["a.py", "--line", "1", "--column", "7"], "columns go from 1 to 6"),
        (["a.py", "--column", "2"], "--column needs --line"),
        (["."], "is a folder"),
        (["a.bin"], "not a text file"),
        (["a.py", "--model", "no-such-model"], "no-such-model"),
        (["a.py", "--model", "."], "config.json"),
    ],
)
def test_each_mistake_is_one_clear_line(tmp_path, arguments, message):
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "a.bin").write_bytes(b"\0\1\2")
    done = hearth("try", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--line", "0"], ["--line", "x"], ["--max-tokens", "-1"], ["--bogus"]])
def test_wrong_usage_is_said_by_the_parser(arguments):
    done = hearth("try", *arguments)
    assert done.returncode == 2 and "hearth try" in done.stderr and "Traceback" not in done.stderr


def test_try_on_odd_files(tmp_path, tiny_model):
    model = ["--model", str(tiny_model)]
    file = tmp_path / "a.py"
    file.write_bytes(b"")
    assert completed(str(file), *model)["reason"] == "there is no text to go by"
    file.write_bytes(b"x = '\xe9'\ny = ")
    assert "Latin-1" in completed(str(file), *model)["note"]
    file.write_bytes("x = 1\r\ny = '😀'; z = ".encode())
    shown = completed(str(file), *model)
    assert (shown["line"], shown["column"]) == (2, 14)
    file.write_text("x = 1; " * 700_000, encoding="utf-8")
    shown = completed(str(file), "--line", "1", "--column", "2500000", *model)
    assert shown["timing"]["total_ms"] < 10_000
    done = hearth("try", str(file), "--line", "1", "--column", "2500000", *model)
    assert len(done.stdout) < 2000


def test_a_broken_model_is_one_clear_line(tmp_path, tiny_model):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        for source in tiny_model.iterdir():
            data = source.read_bytes()
            (folder / source.name).write_bytes(data[: len(data) // 2] if source.name == name else data)
        done = hearth("try", "--model", str(folder))
        assert done.returncode == 1 and name in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_chat_in_the_terminal(tiny_model):
    done = hearth("chat", "-m", "hello", "--max-tokens", "8", "--model", str(tiny_model))
    assert done.returncode == 0, done.stderr
    talk = hearth("chat", "--max-tokens", "8", "--model", str(tiny_model), stdin="hello\n\n/new\nhello\n")
    assert talk.returncode == 0, talk.stderr
    assert talk.stdout == done.stdout * 2, "after /new the same question has the same answer"
    assert hearth("chat", "-m", " ", "--model", str(tiny_model)).returncode == 1


def test_models_and_doctor(tmp_path, tiny_model):
    import shutil

    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    shutil.copytree(tiny_model, tmp_path / "data" / "codehearth" / "models" / "mine")
    models = tmp_path / "data" / "codehearth" / "models"
    (models / "empty").mkdir()
    for name, file in (("short", "model.safetensors"), ("mute", "tokenizer.json")):
        shutil.copytree(tiny_model, models / name)
        data = (models / name / file).read_bytes()
        (models / name / file).unlink()
        if name == "short":
            (models / name / file).write_bytes(data[: len(data) // 2])
    found = {model["name"]: model for model in json.loads(hearth("models", "list", "--json", **home).stdout)}
    assert found["mine"]["parameters"] > 10_000 and found["mine"]["error"] is None
    assert "config.json" in found["empty"]["error"]
    assert "model.safetensors" in found["short"]["error"] and "tokenizer.json" in found["mute"]["error"]
    file = tmp_path / "a.py"
    file.write_text("x = ", encoding="utf-8")
    assert completed(str(file), "--model", "mine", **home)["model"] == "mine"
    doctor = json.loads(hearth("doctor", "--json", **home).stdout)
    assert doctor["instructions"] in doctor["available"]


@pytest.mark.parametrize("command", [[], ["try"], ["lsp"], ["chat"], ["models"], ["doctor"]])
def test_help_comes_with_an_example(command):
    done = hearth(*command, "--help")
    assert done.returncode == 0 and "example:" in done.stdout and done.stderr == ""


def test_an_unknown_command_is_said():
    done = hearth("dance")
    assert done.returncode == 2 and "no command “dance”" in done.stderr


@embedded
def test_the_sample_is_completed_and_the_context_matters(tmp_path):
    shown = completed()
    assert shown["text"].strip() and shown["model"] == "embedded"
    text = (EMBEDDED / "sample.py").read_text(encoding="utf-8")
    for name in ("amount", "price", "name"):
        text = text.replace(name, f"other_{name}")
    file = tmp_path / "changed.py"
    lines = text.split("\n")
    lines[shown["line"] - 1] = lines[shown["line"] - 1].split(" = ")[0] + " = "
    file.write_text("\n".join(lines), encoding="utf-8")
    changed = completed(str(file), "--line", str(shown["line"]))
    assert changed["text"] != shown["text"]


@embedded
@pytest.mark.asyncio
async def test_the_model_that_ships_offers_and_answers(tmp_path):
    async with connect(tmp_path, SERVER) as c:
        await c.state("ready", 60)
        text = (EMBEDDED / "sample.py").read_text(encoding="utf-8")
        c.open(text)
        offers = 0
        for i, line in enumerate(text.split("\n")):
            if line.strip() and i % 4 == 0:
                offers += await c.offer(i, len(line) // 2) is not None
        assert offers > 0
        answer = await c.request(
            "codehearth/chat", {"messages": [{"role": "user", "content": "How do I open a file?"}], "maxTokens": 32}
        )
        assert answer.finishReason in ("stop", "length")


def test_what_could_command_the_terminal_is_made_visible():
    assert printable("\x1b[2J a\tb\n\r\x9b") == "\ufffd[2J a\tb\n\ufffd\ufffd"
