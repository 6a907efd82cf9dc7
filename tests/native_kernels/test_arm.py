"""The kernels for 64-bit ARM, cross-compiled and run in an emulator on what the numpy twin computed."""

import shutil
import subprocess

import pytest

COMPILER, EMULATOR, ROOT = "aarch64-linux-gnu-gcc", "qemu-aarch64", "/usr/aarch64-linux-gnu"

pytestmark = [
    pytest.mark.cross,
    pytest.mark.skipif(
        shutil.which(COMPILER) is None or shutil.which(EMULATOR) is None,
        reason="cross: needs aarch64-linux-gnu-gcc with its C library, and qemu-aarch64",
    ),
]


@pytest.fixture
def checks(build_checks):
    return build_checks("CMAKE_SYSTEM_NAME=Linux", "CMAKE_SYSTEM_PROCESSOR=aarch64", f"CMAKE_C_COMPILER={COMPILER}")


def run(program, *arguments, cpu="max"):
    command = [EMULATOR, "-cpu", cpu, "-L", ROOT, str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "cpu, tables",
    [("cortex-a53", ["generic", "neon"]), ("max", ["generic", "neon", "neon_dotprod"])],  # without, with sdot
)
def test_every_kernel_agrees_with_the_twin_on_one_and_two_threads(checks, kernel_cases, cpu, tables):
    path, names = kernel_cases(7)
    done = run(checks / "kernel_check", str(path), cpu=cpu)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"{table}: {len(names)} cases, 0 failures" for table in tables]


def test_a_table_above_the_cpu_is_refused(checks, kernel_cases):
    done = run(checks / "kernel_check", str(kernel_cases(7)[0]), "neon_dotprod", cpu="cortex-a53")
    assert done.returncode == 2 and "needs NEON and its dot products" in done.stderr, done.stdout + done.stderr


def test_the_thread_pool_under_stress(checks):
    done = run(checks / "pool_check", "no-fork")
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stdout + done.stderr
