"""What every binding checks before a kernel runs, the choice of the instruction set, and the twin's completeness."""

import inspect
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import _native, reference, reference_cache, reference_products


def start_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def test_sources_that_were_not_compiled_are_said_to_be_so(tmp_path):
    folder = tmp_path / "native_kernels"
    folder.mkdir()
    (folder / "__init__.py").write_text(Path(nk.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    done = start_python("import native_kernels", PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    assert done.returncode == 1 and "were not compiled; `pip install .` compiles them" in done.stderr, done.stderr


def test_the_best_instruction_set_is_chosen_and_explained():
    assert nk.isa() in nk.available_isas()
    assert nk.available_isas()[0] == "generic"
    assert nk.isa() == nk.available_isas()[-1] or "HEARTH_ISA" in os.environ
    assert len(nk.why()) > 10


def test_the_environment_chooses_the_instruction_set_and_the_threads():
    done = start_python(
        "import native_kernels as nk; print(nk.isa(), nk.threads())", HEARTH_ISA="generic", HEARTH_THREADS="3"
    )
    assert done.stdout.split() == ["generic", "3"], done.stderr


@pytest.mark.parametrize("name, value", [("HEARTH_ISA", "sse9"), ("HEARTH_THREADS", "many"), ("HEARTH_THREADS", "0")])
def test_an_impossible_environment_is_a_clear_import_error(name, value):
    done = start_python("import native_kernels", **{name: value})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and name in last and value in last


def test_an_unknown_instruction_set_leaves_the_current_one(isa):
    with pytest.raises(ValueError, match="generic"):
        nk._select("sse9")
    assert nk.isa() == isa


def test_thread_counts_are_bounded():
    before = nk.threads()
    for n in (0, -1, 257):
        with pytest.raises(ValueError, match=str(n)):
            nk.set_threads(n)
    assert nk.threads() == before


def test_wrong_types_are_type_errors(normal):
    a = normal(3, 3)
    for bad in ([[1.0]], None, "x", 3.0):
        with pytest.raises(TypeError, match="a: expected a numpy array"):
            nk.gemm(bad, a)
    for dtype in (np.float64, np.float16, np.int32, ">f4"):
        with pytest.raises(TypeError, match="expected native float32"):
            nk.gemm(a.astype(dtype), a)
    with pytest.raises(TypeError, match="expected native int32"):
        nk.embedding(a, np.zeros(2, np.int64))
    with pytest.raises(TypeError, match="unaligned"):
        nk.sum_squares(np.frombuffer(b"x" * 17, np.uint8)[1:].view(np.float32))


def test_read_only_arrays_are_inputs_and_never_outputs(normal):
    a = normal(4, 4)
    a.flags.writeable = False
    nk.gemm(a, a)
    with pytest.raises(ValueError, match="out: array is read-only"):
        nk.add(a, a, out=a)


def test_gemm_refuses_what_does_not_fit(normal):
    a, b = normal(3, 4), normal(5, 6)
    with pytest.raises(ValueError, match=r"a \(3, 4\) and b \(5, 6\) do not agree on the inner dimension \(4 and 5\)"):
        nk.gemm(a, b)
    with pytest.raises(ValueError, match="two dimensions"):
        nk.gemm(normal(2, 3, 4), b)
    with pytest.raises(ValueError, match=r"out: shape \(3, 4\), expected \(3, 6\)"):
        nk.gemm(a, normal(4, 6), out=normal(3, 4))
    with pytest.raises(ValueError, match="accumulate needs out"):
        nk.gemm(a, normal(4, 6), accumulate=True)
    with pytest.raises(ValueError, match="bias"):
        nk.gemm(a, normal(4, 6), bias=normal(5))
    with pytest.raises(ValueError, match="residual"):
        nk.gemm(a, normal(4, 6), residual=normal(3, 5))
    with pytest.raises(ValueError, match="rows must be contiguous"):
        nk.gemm(normal(4, 3).T, normal(4, 6))
    with pytest.raises(ValueError, match="rows must be contiguous"):
        nk.gemm(np.broadcast_to(normal(1, 4), (3, 4)), normal(4, 6))
    with pytest.raises(ValueError, match="rows must be contiguous"):
        nk.gemm(normal(3, 4)[::-1], normal(4, 6))


def test_overlap_is_refused_and_interleaved_columns_are_not(normal, close):
    wide = normal(5, 12)
    square = normal(4, 4)
    expected = reference.gemm(wide[:, :4], square)
    nk.gemm(wide[:, :4], square, out=wide[:, 8:])  # columns of one buffer, no element shared
    close(wide[:, 8:], expected)
    with pytest.raises(ValueError, match="out and a overlap"):
        nk.gemm(wide[:, :4], square, out=wide[:, 3:7])
    with pytest.raises(ValueError, match="overlap"):
        nk.swiglu(wide.reshape(-1)[:20].reshape(1, 20), out=wide.reshape(-1)[10:20].reshape(1, 10))


def test_stored_weights_are_checked(normal):
    blocks = nk.quantize("Q8_0", normal(2, 64))
    packed = nk.quant_pack("Q8_0", blocks, 2, 64)
    for call in (nk.quant_pack, nk.quant_unpack, nk.dequantize):
        with pytest.raises(ValueError, match="known are F32"):
            call("Q9_9", blocks, 2, 64)
        for n, k in ((2, 63), (2, -64), (-1, 64), (2, 0)):
            with pytest.raises(ValueError, match="whole blocks of 32"):
                call("Q8_0", blocks, n, k)
        with pytest.raises(ValueError, match="136 bytes; 3 rows of 64 values as Q8_0 take 204"):
            call("Q8_0", blocks, 3, 64)
        with pytest.raises(TypeError, match="expected native uint8"):
            call("Q8_0", normal(2, 64), 2, 64)
    with pytest.raises(ValueError, match="packed: 136 bytes"):
        nk.gemm_quant("Q8_0", normal(1, 64), packed, 3)
    with pytest.raises(ValueError, match="packed"):
        nk.gemm_quant("Q8_0", normal(1, 32), packed, 2)
    with pytest.raises(ValueError, match="bias"):
        nk.gemm_quant("Q8_0", normal(1, 64), packed, 2, bias=normal(3))
    for bad in (-1, 2):
        with pytest.raises(ValueError, match="ids: values"):
            nk.packed_rows("Q8_0", packed, 2, 64, np.array([bad], np.int32))


def test_empty_arrays_do_nothing():
    assert nk.gemm(np.zeros((0, 3), np.float32), np.zeros((3, 2), np.float32)).shape == (0, 2)
    assert nk.add(np.zeros(0, np.float32), np.zeros(0, np.float32)).shape == (0,)
    assert nk.sum_squares(np.zeros((0, 5), np.float32)) == 0.0
    out, rstd = nk.rmsnorm(np.zeros((0, 5), np.float32), np.ones(5, np.float32), 1e-5)
    assert out.shape == (0, 5) and rstd.shape == (0,)


def test_an_empty_inner_dimension_sums_nothing(isa, normal):
    bias = normal(4)
    out = nk.gemm(np.zeros((3, 0), np.float32), np.zeros((0, 4), np.float32), bias=bias)
    np.testing.assert_array_equal(out, np.tile(bias, (3, 1)))


def test_kernels_run_from_many_python_threads_at_once(normal):
    a, b, gu = normal(70, 70), normal(70, 70), normal(60, 100)
    q = normal(1, 80, 2, 16)
    expected = nk.gemm(a, b), nk.swiglu(gu), nk.attention(q, q, q, 0.25)[0]

    def work(_):
        got = nk.gemm(a, b), nk.swiglu(gu), nk.attention(q, q, q, 0.25)[0]
        return all((g == e).all() for g, e in zip(got, expected, strict=True))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(120)))


def test_every_kernel_has_a_twin_with_the_same_arguments_and_a_docstring():
    kernels = [
        name
        for name, f in vars(_native).items()
        if inspect.isbuiltin(f) or type(f).__name__ == "cython_function_or_method"
        if not name.startswith("_") and name not in ("isa", "why", "threads", "set_threads", "available_isas", "memory")
    ]
    assert len(kernels) >= 21
    for name in kernels:
        assert getattr(_native, name).__doc__, name
        twins = [getattr(where, name, None) for where in (reference, reference_cache, reference_products)]
        twin = next(filter(None, twins), None)
        assert twin is not None and twin.__doc__, name
        assert list(inspect.signature(getattr(_native, name)).parameters) == list(inspect.signature(twin).parameters)
