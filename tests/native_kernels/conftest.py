"""Fixtures of the kernel tests: every instruction set that this machine has, comparison with an oracle, the test
programs in C."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import native_kernels as nk

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def build_checks(tmp_path_factory):
    """build_checks(*definitions) -> folder with kernel_check and pool_check, built by CMake with -D of each of them."""
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    built = {}

    def build(*definitions):
        if cmake is None:
            pytest.skip("needs CMake")
        if definitions not in built:
            folder = tmp_path_factory.mktemp("checks")
            configure = [cmake, "-S", str(HERE.parents[1] / "native_kernels"), "-B", str(folder), "-DNK_CHECKS=ON"]
            steps = [[*configure, *(f"-D{d}" for d in definitions)], [cmake, "--build", str(folder), "-j", "2"]]
            for step in steps:
                done = subprocess.run(step, capture_output=True, text=True, timeout=600)
                if "cannot find -l" in done.stderr + done.stdout and "san" in done.stderr + done.stdout:
                    pytest.skip("no runtime library for this sanitizer")
                assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            built[definitions] = folder
        return built[definitions]

    return build


@pytest.fixture(scope="session")
def kernel_cases(tmp_path_factory):
    """kernel_cases(seed) -> (path, names): a file of cases for kernel_check and the kernel's name of every case."""
    spec = importlib.util.spec_from_file_location("kernel_cases", HERE / "kernel_cases.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder, written = tmp_path_factory.mktemp("cases"), {}

    def write(seed):
        path = folder / f"{seed}.bin"
        if seed not in written:
            written[seed] = module.write(path, seed)
        return path, written[seed]

    return write


@pytest.fixture(params=nk.available_isas())
def isa(request):
    """Runs the test once on each instruction set; afterwards the best one is in use again."""
    nk._select(request.param)
    assert nk.isa() == request.param
    yield request.param
    nk._select()


@pytest.fixture
def rng():
    return np.random.default_rng(1234)


@pytest.fixture
def normal(rng):
    """normal(*shape) -> float32 standard normal values."""
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)


@pytest.fixture
def close():
    """close(actual, expected, tol): the largest difference is at most tol times the largest expected magnitude."""

    def check(actual, expected, tol=2e-6):
        assert actual.shape == expected.shape
        assert np.isfinite(actual).all()
        if expected.size:
            error = np.abs(actual.astype(np.float64) - expected).max()
            assert error <= tol * max(np.abs(expected).max(), 1e-30), f"error {error}"

    return check


@pytest.fixture
def same_bits_for_any_threads():
    """Runs fn with 1, 2 and 5 threads; every array it returns must have identical bits."""

    def check(fn):
        before = nk.threads()
        try:
            results = []
            for n in (1, 2, 5):
                nk.set_threads(n)
                results.append(fn())
        finally:
            nk.set_threads(before)
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                assert np.asarray(a).tobytes() == np.asarray(b).tobytes()

    return check


@pytest.fixture
def numeric_gradient():
    """numeric_gradient(f, x): central differences of the scalar f() by every element of the float64 array x."""

    def gradient(f, x, step=1e-6):
        assert x.dtype == np.float64
        result = np.empty_like(x)
        for index in np.ndindex(x.shape):
            kept = x[index]
            x[index] = kept + step
            above = f()
            x[index] = kept - step
            result[index] = (above - f()) / (2 * step)
            x[index] = kept
        return result

    return gradient
