"""The wheel workflow and its settings name what exists: every platform, files, commands, the wheel's smoke test."""

import re
import subprocess
import sys
import tomllib

import pytest

yaml = pytest.importorskip("yaml")


@pytest.fixture
def workflow(repository):
    return yaml.safe_load((repository / ".github" / "workflows" / "wheels.yml").read_text())


@pytest.fixture
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


def test_a_wheel_for_every_platform(workflow):
    rows = workflow["jobs"]["wheel"]["strategy"]["matrix"]["include"]
    assert {row["platform"]: row["archs"] for row in rows} == {
        "linux-x86_64": "x86_64",
        "linux-aarch64": "aarch64",
        "macos-arm64": "arm64",
        "macos-x86_64": "x86_64",
        "windows-amd64": "AMD64",
    }
    for row in rows:
        system = row["platform"].split("-")[0]
        assert row["runner"].startswith({"linux": "ubuntu-", "macos": "macos-", "windows": "windows-"}[system])
        assert not row["runner"].endswith("latest")  # what a wheel is built on is written down
    assert workflow[True].keys() == {"workflow_dispatch", "push"}  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}


def test_every_step_is_a_pinned_action_or_a_known_command(workflow):
    for job in workflow["jobs"].values():
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"actions/(checkout|setup-python|upload-artifact)@v\d+", name) for name in used)
        assert used[0].startswith("actions/checkout@") and used[-1].startswith("actions/upload-artifact@")
        assert job["steps"][-1]["with"]["if-no-files-found"] == "error"
        folder = job["steps"][-1]["with"]["path"].split("/")[0]
        for step in job["steps"]:
            if "run" in step:
                assert re.match(r"python -m (pip install|cibuildwheel|build) ", step["run"]), step["run"]
                assert "dir" not in step["run"] or step["run"].endswith(f"dir {folder}")
            for name in re.findall(r"matrix\.(\w+)", str(step)):
                assert all(name in row for row in job["strategy"]["matrix"]["include"])


def test_the_settings_fit_the_build(project, repository):
    settings = project["tool"]["cibuildwheel"]
    version = project["tool"]["scikit-build"]["wheel"]["py-api"]
    assert settings["build"] == f"{version}-*" and version == "cp311"
    assert project["project"]["requires-python"] == ">=3.11"
    assert settings["windows"]["environment"] == {"CC": "clang", "CMAKE_GENERATOR": "Ninja"}
    build = (repository / "native_kernels" / "CMakeLists.txt").read_text()
    assert "CC=clang CMAKE_GENERATOR=Ninja" in build  # where it says why
    for source in re.findall(r"src/\w+\.c\b", build):
        assert (repository / "native_kernels" / source).is_file(), source
    assert set(re.findall(r"src/(\w+\.c)\b", build)) == {
        p.name for p in (repository / "native_kernels/src").glob("*.c")
    }


def test_the_smoke_test_of_a_wheel_passes_here(project, repository):
    command = project["tool"]["cibuildwheel"]["test-command"].split()
    assert command[:2] == ["python", "-P"] and len(command) == 3
    script = command[2].replace("{project}", str(repository))
    done = subprocess.run([sys.executable, "-P", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "agree with numpy" in done.stdout and "completion: " in done.stdout
