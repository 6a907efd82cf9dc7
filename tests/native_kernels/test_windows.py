"""The C sources for 64-bit Windows: compiled and linked by a cross compiler, not run."""

import shutil

import pytest

COMPILER = "x86_64-w64-mingw32-gcc"


@pytest.mark.cross
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"cross: needs {COMPILER}")
def test_everything_in_c_compiles_and_links(build_checks):
    folder = build_checks(
        "CMAKE_SYSTEM_NAME=Windows",
        "CMAKE_SYSTEM_PROCESSOR=AMD64",
        f"CMAKE_C_COMPILER={COMPILER}",
        "NK_OPTIMISE=-O0",
    )
    program = (folder / "kernel_check.exe").read_bytes()
    assert program[:2] == b"MZ"
    for system_call in (b"WaitOnAddress", b"WakeByAddressAll", b"_beginthreadex"):
        assert system_call in program
