"""Real tracebacks of small programs: place and cause are named, and every diff that is offered repairs the program."""

import shutil
import subprocess

import pytest
from programs import FAILING, NOT_COMPILING

from lsp_server.debugging.project import Project
from runtime.code.errors.explain import explain_source, explain_traceback
from runtime.code.errors.traceback_text import parse_traceback

PATCH = shutil.which("patch")


def everything(found) -> str:
    return "\n".join(
        [found.cause, found.title, found.diff or "", *(f"{fact.name}: {fact.value}" for fact in found.facts)]
    )


def apply_diff(folder, found) -> None:
    """With `patch`, as a user would; by the edits where that program is missing."""
    if PATCH is None:
        from runtime.code.errors.edits import apply

        (folder / "main.py").write_text(apply(found.view.text, found.edits), encoding="utf-8", newline="")
        return
    done = subprocess.run([PATCH, "-p1", "--binary", "-s"], input=found.diff.encode(), cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FAILING)
def test_a_failing_program_is_explained_and_its_repair_runs(name, workplace):
    program = FAILING[name]
    workplace.write(program)
    ran = workplace.run(program.typed)
    assert ran.returncode != 0 and "Traceback" in ran.stderr
    found = explain_traceback(ran.stderr, Project([workplace.folder], workplace.folder))
    wanted = next(n for n, line in enumerate(program.text.split("\n"), 1) if "#!" in line)
    if not program.beside.get("alpha.py"):  # there the innermost line is in another file
        assert (found.file, found.line) == ("main.py", wanted)
    text = everything(found)
    assert all(fragment in text for fragment in program.says), text
    assert found.type in ran.stderr and all(isinstance(fact.checked, bool) for fact in found.facts)
    if not program.fixed:
        assert found.diff is None, "a change was offered where none can be derived"
        return
    assert found.diff is not None and found.title, found.check
    before = parse_traceback(ran.stderr)[-1]
    apply_diff(workplace.folder, found)
    again = workplace.run(program.typed)
    after = parse_traceback(again.stderr)
    assert not after or after[-1].line != before.line, again.stderr
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("name", NOT_COMPILING)
def test_a_source_that_does_not_compile_is_explained_and_its_repair_compiles(name, workplace):
    program = NOT_COMPILING[name]
    workplace.write(program)
    ran = workplace.run()
    assert ran.returncode != 0 and "Error" in ran.stderr
    found = explain_source(program.text, "main.py")
    same = explain_traceback(ran.stderr, Project([workplace.folder], workplace.folder))
    assert same.cause == found.cause and same.diff == found.diff
    text = everything(found)
    assert all(fragment in text for fragment in program.says), text
    assert bool(found.diff) == program.fixed, found.check
    if program.fixed:
        apply_diff(workplace.folder, found)
        again = workplace.run()
        assert "SyntaxError" not in again.stderr and "IndentationError" not in again.stderr, again.stderr
        assert again.returncode == 0, again.stderr
