"""The thread pool: a C program that stresses it, plain and under the thread sanitizer, and use from Python threads."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import native_kernels as nk

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "native_kernels" / "src"


# How a thread sleeps: what this system has (futex on Linux), and the condition variable of systems without it.
@pytest.mark.parametrize("bell", ["", "-DNK_CONDVAR"])
@pytest.mark.parametrize("sanitizer", ["", "thread", "address,undefined"])
def test_pool_under_stress(tmp_path, sanitizer, bell):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not (SOURCES / "pool.c").exists():
        pytest.skip("needs a C compiler and the sources")
    program = tmp_path / "pool_check"
    command = [compiler, "-O1", "-g", "-std=gnu11", f"-I{SOURCES}", str(HERE / "pool_check.c")]
    command += [str(SOURCES / f"{name}.c") for name in ("pool", "scratch", "alloc", "threads")]
    command += ["-lpthread", "-o", str(program), *([bell] if bell else [])]
    command += [f"-fsanitize={sanitizer}"] if sanitizer else []
    built = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if sanitizer and "cannot find" in built.stderr:
        pytest.skip(f"no runtime library for -fsanitize={sanitizer}")
    assert built.returncode == 0, built.stderr
    # A forked child of a multi-threaded program may not start threads under TSan unless told so.
    env = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0"}
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stdout + done.stderr[-3000:]


def test_kernels_from_several_python_threads(normal):
    a, b = normal(120, 200), normal(200, 90)
    expected = nk.gemm(a, b).tobytes()
    wrong = []

    def work():
        for _ in range(50):
            if nk.gemm(a, b).tobytes() != expected:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not wrong


def test_more_threads_than_cores(normal):
    a, b = normal(300, 100), normal(100, 200)
    expected, before = nk.gemm(a, b), nk.threads()
    try:
        nk.set_threads(16)
        assert nk.threads() == 16
        assert np.array_equal(nk.gemm(a, b), expected)
    finally:
        nk.set_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_compute(normal):
    a, b = normal(200, 200), normal(200, 200)
    expected = nk.gemm(a, b)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(nk.gemm(a, b), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("n", [0, -1, 257])
def test_a_number_of_threads_out_of_range_is_an_error(n):
    with pytest.raises(ValueError):
        nk.set_threads(n)
