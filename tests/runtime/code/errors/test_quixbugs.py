"""The 40 programs of QuixBugs: those that raise are explained at a line of theirs, and what is proposed compiles."""

import json
import subprocess
import sys

import pytest

from lsp_server.debugging.project import Project
from runtime.code.errors.edits import apply
from runtime.code.errors.explain import explain_traceback
from runtime.code.errors.view import compile_error

# Runs the cases until one raises; a case that runs for more than a second is given up. Memory is limited.
RUNNER = """\
import json, resource, signal, sys
sys.path.insert(0, "")
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
class Slow(BaseException): pass
def stop(*_): raise Slow
signal.signal(signal.SIGALRM, stop)
name, cases = json.loads(sys.argv[1])
function = getattr(__import__(name), name)
for arguments, _ in cases:
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        result = function(*arguments)
        if hasattr(result, "__next__"):
            for _, _ in zip(range(1000), result): pass
    except Slow:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.mark.shared
@pytest.mark.skipif(sys.platform == "win32", reason="limits by resource and signals")
def test_programs_that_raise_are_explained(shared_data, tmp_path):
    rows = (shared_data / "quixbugs" / "quixbugs.jsonl").read_text(encoding="utf-8").splitlines()
    raised = []
    for program in map(json.loads, rows):
        if not program["cases"]:
            continue
        (tmp_path / f"{program['name']}.py").write_text(program["buggy"], encoding="utf-8")
        argument = json.dumps([program["name"], program["cases"][:4]])
        try:
            done = subprocess.run(
                [sys.executable, "-c", RUNNER, argument], cwd=tmp_path, capture_output=True, text=True, timeout=20
            )
        except subprocess.TimeoutExpired:
            continue
        found = explain_traceback(done.stderr, Project([tmp_path], tmp_path))
        if found is None or done.returncode == 0:
            continue
        raised.append(program["name"])
        assert found.file == f"{program['name']}.py", (program["name"], done.stderr)
        assert 1 <= found.line <= program["buggy"].count("\n") and found.cause and found.check
        assert found.type in done.stderr
        if found.diff:
            assert compile_error(apply(program["buggy"], found.edits)) is None
    assert len(raised) >= 5, raised
