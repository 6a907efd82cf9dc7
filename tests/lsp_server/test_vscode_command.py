"""`hearth vscode` as a user runs it: a process of its own, with stand-ins for the editor and npm on the PATH."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from connection import PACKAGES

from lsp_server.commands import vscode

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")

# What the editors' command lines do: note the arguments, say a line, succeed or fail.
EDITOR = (
    '#!/bin/sh\nprintf "%s\\n" "$@" > "$CALLS"\necho "some progress"\n[ -z "$FAIL" ] || { echo "$FAIL" >&2; exit 1; }\n'
)


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def extension(path: Path, publisher: str = "codehearth") -> Path:
    manifest = {"publisher": publisher, "name": "codehearth", "version": "1.2.3"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("extension/package.json", json.dumps(manifest))
    return path


@pytest.fixture
def hearth(tmp_path):
    """Runs `hearth vscode ...` with nothing but `tmp_path/bin` on the PATH."""
    (tmp_path / "bin").mkdir()

    def call(*arguments, cwd=tmp_path, **environment):
        keep = {key: value for key, value in os.environ.items() if key == "LD_LIBRARY_PATH"}
        code = "import sys; from lsp_server.cli import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-P", "-c", code, "vscode", *map(str, arguments)],
            cwd=cwd,
            env={
                **keep,
                "PYTHONPATH": str(PACKAGES),
                "PATH": str(tmp_path / "bin"),
                "HOME": str(tmp_path / "home"),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "CALLS": str(tmp_path / "calls"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


def test_installs_into_the_editor_found_and_notes_the_interpreter(hearth, tmp_path):
    program(tmp_path / "bin", "codium", EDITOR)
    vsix = extension(tmp_path / "a.vsix")
    done = hearth("--vsix", vsix)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().split() == ["--install-extension", str(vsix), "--force"]
    assert "1.2.3" in done.stdout and "codium" in done.stdout
    record = json.loads((tmp_path / "state" / "codehearth" / "vscode.json").read_text())
    assert record["interpreter"] == sys.executable
    assert record["source"] is None or Path(record["source"]).exists()


def test_named_editor_wins_over_the_first_one(hearth, tmp_path):
    program(tmp_path / "bin", "code", "#!/bin/sh\nexit 3\n")
    other = program(tmp_path / "elsewhere", "my-editor", EDITOR)
    done = hearth("--vsix", extension(tmp_path / "a.vsix"), "--editor", other)
    assert done.returncode == 0, done.stderr
    assert str(other) in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no editor on the PATH"),
        (("--editor", "nonesuch"), "nonesuch"),
    ],
)
def test_without_an_editor_the_message_says_what_to_do(hearth, arguments, words):
    done = hearth(*arguments)
    assert done.returncode == 1
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_refuses_what_is_not_the_extension(hearth, tmp_path):
    program(tmp_path / "bin", "code", EDITOR)
    noise = tmp_path / "noise.vsix"
    noise.write_bytes(b"\x00\x01 not a zip")
    cases = {
        noise: "is not a VS Code extension",
        tmp_path / "missing.vsix": "no such file",
        extension(tmp_path / "other.vsix", publisher="somebody"): "somebody.codehearth",
    }
    for path, words in cases.items():
        done = hearth("--vsix", path)
        assert done.returncode == 1
        assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "calls").exists(), "the editor was called all the same"
    assert not (tmp_path / "state").exists(), "an interpreter was noted all the same"


def test_the_editors_own_complaint_is_passed_on(hearth, tmp_path):
    program(tmp_path / "bin", "code", EDITOR)
    done = hearth("--vsix", extension(tmp_path / "a.vsix"), FAIL="signature mismatch")
    assert done.returncode == 1
    assert "signature mismatch" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "state").exists()


def test_build_runs_npm_in_the_checkout(tmp_path, monkeypatch):
    folder = tmp_path / "vscode-extension"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    program(tmp_path / "bin", "npm", f'#!/bin/sh\necho "$PWD: $*" >> {tmp_path}/calls\n')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    vscode.build(vscode.find_extension(tmp_path, None))
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith(f"{folder}: ci --ignore-scripts")
    assert calls[1:] == [f"{folder}: run --silent bundle", f"{folder}: run --silent package"]


def test_a_failing_build_and_a_missing_npm_are_named(tmp_path, monkeypatch):
    folder = tmp_path / "vscode-extension"
    (folder / "node_modules" / ".bin").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(vscode.InstallError, match="needs npm"):
        vscode.build(folder)
    program(tmp_path / "bin", "npm", "#!/bin/sh\necho 'error TS1005' >&2\nexit 2\n")
    with pytest.raises(vscode.InstallError, match="bundle.*TS1005"):
        vscode.build(folder)


@pytest.mark.parametrize(("version", "refused"), [("v18.19.0", True), ("v20.0.0", False), ("odd", False)])
def test_a_node_that_is_too_old_is_named_before_anything_is_built(tmp_path, monkeypatch, version, refused):
    folder = tmp_path / "vscode-extension"
    folder.mkdir()
    program(tmp_path / "bin", "npm", f"#!/bin/sh\necho called >> {tmp_path}/calls\n")
    program(tmp_path / "bin", "node", f"#!/bin/sh\necho {version}\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if refused:
        with pytest.raises(vscode.InstallError, match="Node.js 20 or newer.*v18.19.0"):
            vscode.build(folder)
    else:
        vscode.build(folder)
    assert (tmp_path / "calls").exists() != refused


def test_the_manifest_promises_no_setting_that_the_server_cannot_keep():
    """One server with one set of settings serves a window; programs, model files and caches belong to the machine."""
    manifest = ROOT / "vscode-extension" / "package.json"
    settings = json.loads(manifest.read_text(encoding="utf-8"))["contributes"]["configuration"]["properties"]
    scopes = {name.removeprefix("codehearth."): setting["scope"] for name, setting in settings.items()}
    machine = {"interpreter", "model", "threads", "keepCaches"}
    assert {name for name, scope in scopes.items() if scope == "machine"} == machine
    assert {scope for name, scope in scopes.items() if name not in machine} == {"window"}


def test_the_current_folder_counts_only_when_asked(tmp_path):
    folder = tmp_path / "vscode-extension"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    with pytest.raises(vscode.InstallError, match="--build"):
        vscode.find_extension(None, None)
    assert vscode.find_extension(None, tmp_path / "deep" / "below") == folder


def test_a_built_extension_older_than_a_source_is_stale(tmp_path):
    (tmp_path / "src").mkdir()
    source, vsix = tmp_path / "src" / "a.ts", tmp_path / "codehearth.vsix"
    source.write_text("")
    assert vscode.is_stale(vsix, tmp_path)
    vsix.write_text("")
    os.utime(source, (1000, 1000))
    assert not vscode.is_stale(vsix, tmp_path)
    os.utime(vsix, (500, 500))
    assert vscode.is_stale(vsix, tmp_path)


def test_the_extension_looks_where_the_record_is_written(tmp_path, monkeypatch):
    """Both sides name the same file; the extension's side is read from its source."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = vscode.write_record(None)
    source = (ROOT / "vscode-extension" / "src" / "interpreter.ts").read_text(encoding="utf-8")
    assert f"'{path.name}'" in source and f"'{path.parent.name}'" in source and "XDG_STATE_HOME" in source
    assert json.loads(path.read_text())["source"] is None
