"""A real VS Code with the built extension and the real server: ghost text, chat, errors, a server that cannot start.

Each test runs one node script of this folder, which starts code-server and a headless Chromium with an empty profile
and reports named checks. Where the kernel allows it, all of it runs in a network that has nothing but loopback.
Needs the rig (`tests/e2e/install_rig.sh`) and npm; skipped by name without them. Screenshots: `tests/artifacts/`.

From the environment: CODEHEARTH_VSIX (a built extension to test), CODEHEARTH_E2E_MODEL (folder of a model; default: the
embedded one).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXTENSION = ROOT / "vscode-extension"
ARTIFACTS = ROOT / "tests" / "artifacts"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 240

pytestmark = pytest.mark.editor


@pytest.fixture(scope="module")
def rig() -> Path:
    script = HERE / "install_rig.sh"
    if subprocess.run(["bash", script, "--check"], capture_output=True).returncode != 0:
        pytest.skip("the editor rig is not installed: tests/e2e/install_rig.sh")
    return Path(subprocess.run(["bash", script, "--where"], capture_output=True, text=True, check=True).stdout.strip())


@pytest.fixture(scope="module")
def vsix() -> Path:
    """The extension: the one named by CODEHEARTH_VSIX, else built anew from the sources."""
    if given := os.environ.get("CODEHEARTH_VSIX"):
        return Path(given).resolve()
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the extension cannot be built")
    steps = [["run", "-s", "bundle"], ["run", "-s", "package"]]
    if not (EXTENSION / "node_modules" / ".bin" / "vsce").exists():
        steps.insert(0, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    for step in steps:
        done = subprocess.run([npm, *step], cwd=EXTENSION, capture_output=True, text=True)
        assert done.returncode == 0, f"npm {' '.join(step)}:\n{done.stdout}{done.stderr}"
    return EXTENSION / "codehearth.vsix"


@pytest.fixture(scope="module")
def isolation() -> list[str]:
    """The command that takes the network away, or nothing where the kernel does not allow it."""
    prefix = [sys.executable, "-P", str(HERE / "offline.py")]
    allowed = subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if allowed else []


def play(script: str, rig: Path, vsix: Path, isolation: list[str], work: Path) -> None:
    """Runs a scenario and asserts each of its checks."""
    architecture = "x64" if os.uname().machine == "x86_64" else "arm64"
    node = rig / "node" / "node_modules" / f"node-linux-{architecture}" / "bin" / "node"
    result = work / "result.json"
    environment = os.environ | {
        "RIG": str(rig),
        "VSIX": str(vsix),
        "INTERPRETER": sys.executable,
        "MODEL": os.environ.get("CODEHEARTH_E2E_MODEL", ""),
        "BROWSER": next(filter(None, map(shutil.which, BROWSERS))),
        "WORK": str(work),
        "RESULT": str(result),
        "ARTIFACTS": str(ARTIFACTS),
    }
    command = [*isolation, str(node), str(HERE / script)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as expired:
        pytest.fail(f"{script} did not end within {SECONDS} s:\n{(expired.stdout or b'').decode()}")
    assert result.exists(), f"{script} broke off:\n{done.stdout}{done.stderr}\n{log_tail(work)}"
    report = json.loads(result.read_text(encoding="utf-8"))
    ARTIFACTS.mkdir(exist_ok=True)
    shutil.copy(result, ARTIFACTS / script.replace(".mjs", ".json"))
    failed = [f"{check['name']}: {check['detail']}" for check in report["checks"] if not check["ok"]]
    assert not failed, "\n".join([*failed, log_tail(work)])
    assert len(report["checks"]) >= 4 and done.returncode == 0


def log_tail(work: Path) -> str:
    """The ends of the logs that matter when a scenario failed: the server's, as the extension wrote it."""
    logs = sorted(work.rglob("*Codehearth*.log")) + sorted(work.glob("code-server.log"))
    return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)


def test_ghost_text_is_accepted_with_tab_and_saved(rig, vsix, isolation, tmp_path):
    play("inline.mjs", rig, vsix, isolation, tmp_path)


def test_chat_streams_stops_and_inserts_code(rig, vsix, isolation, tmp_path):
    play("chat.mjs", rig, vsix, isolation, tmp_path)


def test_errors_are_explained_and_quick_fixes_repair_them(rig, vsix, isolation, tmp_path):
    play("explain.mjs", rig, vsix, isolation, tmp_path)


def test_a_server_that_cannot_start_is_explained(rig, vsix, isolation, tmp_path):
    play("trouble.mjs", rig, vsix, isolation, tmp_path)
