"""Every kernel of every table that this CPU runs, under the address, undefined behaviour and thread sanitizers.

A C program without Python (kernel_check.c), so that nothing but our own code is watched: every array is a heap block of
exact size, and a read or write one byte outside is an error.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "native_kernels" / "src"
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1", "TSAN_OPTIONS": "die_after_fork=0"}


def test_the_cases_name_every_kernel_of_the_table(kernel_cases):
    table = (SOURCES / "kernels.h").read_text().split("typedef struct {", 1)[1].split("} kernel_table;")[0]
    inside = {
        "quant_pack",
        "quant_unpack",
        "quant_rows_bytes",
        "quantize_rows",
    }  # steps of the quantised products' cases
    assert set(re.findall(r"\(\*(\w+)\)\(", table)) - inside == set(kernel_cases(7)[1])


@pytest.mark.long
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_every_kernel_is_clean_and_agrees_with_the_twin(build_checks, kernel_cases, sanitizer):
    program = build_checks(f"NK_SANITIZE={sanitizer}") / "kernel_check"
    for seed in range(5):
        path, names = kernel_cases(seed)
        done = subprocess.run(
            [str(program), str(path)], capture_output=True, text=True, timeout=900, env={**os.environ, **OPTIONS}
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        lines = done.stdout.splitlines()
        assert lines and all(line.endswith(f": {len(names)} cases, 0 failures") for line in lines), done.stdout


@pytest.mark.long
def test_hostile_blocks_harm_no_kernel(build_checks, request):
    """Random bytes as weights of every type, under the sanitizers, for a part of --minutes; another seed every time."""
    program = build_checks("NK_SANITIZE=address,undefined") / "block_fuzz"
    seed = int.from_bytes(os.urandom(4), "little")
    seconds = max(5, int(60 * request.config.getoption("--minutes")))
    done = subprocess.run(
        [str(program), str(seed), str(seconds)],
        capture_output=True,
        text=True,
        timeout=seconds + 300,
        env={**os.environ, **OPTIONS},
    )
    assert done.returncode == 0, f"seed {seed}\n" + done.stdout[-2000:] + done.stderr[-4000:]
    assert int(done.stdout.split()[0]) > 0
