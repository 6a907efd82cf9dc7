"""The choice of the instruction set: by CPU, by environment, with errors that say what is missing."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import native_kernels as nk


def python(code, **environment):
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)


def test_best_is_chosen_and_explained():
    nk._select()
    assert nk.isa() == nk.available_isas()[-1]
    assert "CPU" in nk.why()


@pytest.mark.parametrize("name", nk.available_isas())
def test_environment_forces_an_instruction_set(name):
    done = python("import native_kernels as nk; print(nk.isa(), '|', nk.why())", HEARTH_ISA=name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(name + " |") and "forced" in done.stdout


def test_unknown_name_is_an_error_that_lists_the_known():
    done = python("import native_kernels", HEARTH_ISA="sse9")
    assert done.returncode != 0
    assert "unknown instruction set" in done.stderr and "sse9" in done.stderr and "generic" in done.stderr


CPU_WITHOUT_VECTORS = """
#include "bench.h"
#include "kernels.h"
#include <stdio.h>
const kernel_table kernels_generic = {.name = "generic"}, kernels_avx2 = {.name = "avx2"};
const kernel_table kernels_avx512 = {.name = "avx512"}, kernels_avx512_vnni = {.name = "avx512_vnni"};
double fma_peak_generic(int64_t n, int what) { return 0; }
uint64_t read_streams_generic(const uint8_t *p, int64_t n) { return 0; }
double fma_peak_avx2(int64_t n, int what) { return 0; }
uint64_t read_streams_avx2(const uint8_t *p, int64_t n) { return 0; }
double fma_peak_avx512(int64_t n, int what) { return 0; }
uint64_t read_streams_avx512(const uint8_t *p, int64_t n) { return 0; }
double fma_peak_avx512_vnni(int64_t n, int what) { return 0; }
uint64_t read_streams_avx512_vnni(const uint8_t *p, int64_t n) { return 0; }
int main(int argc, char **argv) {
    char why[512];
    const kernel_table *table = kernels_select(argc > 1 ? argv[1] : NULL, why, sizeof why);
    printf("%s | %s", table ? table->name : "none", why);
    return 0;
}
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the tables of x86-64")
def test_above_the_cpu_is_an_error_that_says_what_is_missing(tmp_path):
    """dispatch.c, built for a CPU that answers no to every question, with tables that hold nothing but their names."""
    sources = Path(__file__).resolve().parents[2] / "native_kernels" / "src"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not (sources / "dispatch.c").exists():
        pytest.skip("needs a C compiler and the sources")
    (tmp_path / "main.c").write_text(CPU_WITHOUT_VECTORS)
    command = [compiler, "-std=gnu11", "-DNK_CPU_FEATURES=0", f"-I{sources}", str(tmp_path / "main.c")]
    command += [str(sources / f"{name}.c") for name in ("dispatch", "pool", "alloc", "threads")]
    command += ["-lpthread", "-o", str(tmp_path / "choose")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    def choose(*name):
        return subprocess.run([str(tmp_path / "choose"), *name], capture_output=True, text=True, check=True).stdout

    assert choose().startswith("generic | the CPU has")
    assert choose("generic").startswith("generic | forced")
    for name in ("avx2", "avx512", "avx512_vnni"):
        answer = choose(name)
        assert answer.startswith("none |") and name in answer and "needs AVX" in answer and "does not offer" in answer


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux says there what the CPU has")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the tables of x86-64")
def test_the_tables_that_run_here_are_those_whose_flags_linux_names():
    flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n")[0].split())
    needs = {"avx2": {"avx2", "fma", "f16c"}}
    needs["avx512"] = needs["avx2"] | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
    needs["avx512_vnni"] = needs["avx512"] | {"avx512_vnni", "avx512_bf16"}
    assert nk.available_isas() == ["generic", *(name for name, wanted in needs.items() if wanted <= flags)]


def test_select_of_a_foreign_name_leaves_the_table_as_it_was():
    nk._select("generic")
    try:
        with pytest.raises(ValueError):
            nk._select("neon9")
        assert nk.isa() == "generic"
    finally:
        nk._select()


def test_instruction_sets_agree(normal):
    a, b = normal(50, 300), normal(300, 70)
    results = []
    for name in nk.available_isas():
        nk._select(name)
        results.append(nk.gemm(a, b))
    nk._select()
    for other in results[1:]:
        assert np.abs(other - results[0]).max() < 1e-4
