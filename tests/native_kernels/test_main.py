"""`python -m native_kernels`: the report runs, checks every public kernel, and its exit code tells of a wrong one."""

import subprocess
import sys

import numpy as np

import native_kernels as nk
from native_kernels import __main__ as report
from native_kernels import reference, reference_products


def test_self_check_covers_every_kernel_that_has_a_twin():
    twins = {
        name
        for name in {*dir(reference), *dir(reference_products)}
        if not name.startswith("_") and callable(getattr(nk, name, None))
    }
    assert twins == set(report.self_check())


def test_self_check_notices_a_wrong_kernel(monkeypatch, capsys):
    monkeypatch.setattr(nk, "add", lambda a, b: np.add(a, b) * np.float32(1.001))
    assert report.main(["--check-only"]) == 1
    assert "add is off by" in capsys.readouterr().out


def test_report_of_a_small_size():
    command = [sys.executable, "-m", "native_kernels", "--size", "64", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for word in ("instruction set: ", "threads: ", "naive C loop", "tiled C loop", "numpy matmul", "measured peak"):
        assert word in done.stdout
