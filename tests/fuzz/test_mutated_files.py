"""Mutated tokenizer, safetensors and GGUF files load, or are refused by a FormatError that names them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("mutate_files.py")
FORMATS = ["bpe", "unigram", "characters", "components", "sentencepiece", "vocabulary", "safetensors", "gguf"]

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory bound is set as on Linux")


def fuzz(name, folder, *options, timeout=600):
    """The summary, which has no findings; a mutant that killed the process is kept beside it."""
    command = [sys.executable, str(PROGRAM), name, str(folder), *map(str, options)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**os.environ, "HEARTH_THREADS": "1"}
    )
    if done.returncode < 0:
        pytest.fail(f"killed by signal {-done.returncode}; the file is {folder}/mutant.*\n{done.stderr[-2000:]}")
    assert done.stdout, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert not summary["findings"], json.dumps(summary["findings"][:3], indent=1)
    return summary


@pytest.mark.parametrize("name", FORMATS)
def test_two_thousand_mutants_load_or_are_refused(tmp_path, name):
    summary = fuzz(name, tmp_path, "--seed", 1, "--cases", 2000)
    assert summary["cases"] == 2000
    refused = sum(summary["refused"].values())
    assert summary["loaded"] + refused == 2000
    assert summary["loaded"] >= 100 and refused >= 500  # both sides of the loader were seen
    assert summary["peak_bytes"] < 1 << 30


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_mutants_for_minutes(tmp_path, name, request, capsys):
    seconds = 60 * request.config.getoption("--minutes")
    seed = int.from_bytes(os.urandom(4), "little")  # other mutants every time; a failure names its file
    try:
        summary = fuzz(name, tmp_path, "--seed", seed, "--seconds", seconds, timeout=seconds + 300)
    except BaseException:
        kept = Path(os.environ.get("TMPDIR", "/tmp")) / f"codehearth-{name}-{seed}"
        shutil.copytree(tmp_path, kept, dirs_exist_ok=True)
        print(f"kept: {kept}")
        raise
    with capsys.disabled():
        print(f"\n{name}: {summary['cases']} mutants, {summary['loaded']} loaded, seed {seed}")


BROKEN = """
import sys, pathlib, json
sys.path.insert(0, sys.argv[1])
import mutate_files
from runtime.files.errors import FormatError
honest = mutate_files.read_safetensors
def careless(path):
    try:
        return honest(path)
    except FormatError as error:
        raise {error}
mutate_files.read_safetensors = careless
print(json.dumps(mutate_files.run("safetensors", pathlib.Path(sys.argv[2]), 0, 200, 0, None)))
"""


@pytest.mark.parametrize(
    "error, words",
    [
        ("KeyError(error.kind)", "KeyError"),
        ("FormatError(error.kind, 'elsewhere', None, error.message)", "does not name the file"),
        ("FormatError(error.kind, error.path, None, error.message * 500)", "no short line"),
    ],
)
def test_the_fuzzer_finds_a_loader_that_is_careless(tmp_path, error, words):
    code = BROKEN.replace("{error}", error)
    command = [sys.executable, "-c", code, str(PROGRAM.parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    findings = json.loads(done.stdout)["findings"]
    assert findings and all(words in finding["problem"] for finding in findings), done.stderr[-2000:]
    assert sorted(tmp_path.glob("finding-*.safetensors"))  # the files are kept
