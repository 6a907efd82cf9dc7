"""`python -m native_kernels`: which kernels run here and why, whether they are right, and how fast the product is.

Prints the instruction set, a self-check of every kernel against reference.py, and a table naive / tiled / SIMD /
threaded in GFLOP/s beside numpy's matmul and the measured peak of the CPU. All rows of the table are timed in turns, so
that they share whatever else the machine does; medians. Knows no models.

    python -m native_kernels [--size 1024] [--repeats 7] [--check-only] [--stored all]

With --stored the table is of products with stored weights of each type, as shares of what the CPU can multiply and the
memory can deliver.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

import native_kernels as nk
from native_kernels import _native, reference, reference_products
from native_kernels.qtypes import QTYPES

# Types that there is a quantiser for.
WRITTEN = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q4_K",
    "Q5_K",
    "Q6_K",
)  # types with a quantiser


def cases(rng):
    """Yields (kernel, arguments): odd sizes, so that no kernel gets by without its tails. Arguments are made twice from
    the same values, because some kernels write into them."""

    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    yield "gemm", (f(37, 65), f(65, 51))
    yield "gemm", (f(3, 129), f(50, 129), None, False, True)
    yield "gemm", (f(70, 33), f(70, 40), None, True, False)
    yield "gemm_bf16", (f(37, 65), f(65, 51))
    bits = rng.integers(0x3E00, 0x4000, (50, 129)).astype(np.uint16)
    yield "gemm_bf16", (f(3, 129), bits, None, False, True)
    for qtype in QTYPES:
        blocks = reference_products.random_blocks(rng, qtype, 37, 512)
        packed = reference_products.quant_pack(qtype, blocks, 37, 512)
        yield "dequantize", (qtype, blocks, 37, 512)
        yield "quant_pack", (qtype, blocks, 37, 512)
        yield "quant_unpack", (qtype, packed, 37, 512)
        yield "packed_rows", (qtype, packed, 37, 512, np.array([36, 0], np.int32))
        if qtype in WRITTEN:
            yield "quantize", (qtype, f(5, 512))
        yield "gemm_quant", (qtype, f(5, 512), packed, 37)
    ids = rng.integers(0, 11, (3, 7)).astype(np.int32)
    yield "embedding", (f(11, 19), ids)
    yield "embedding_backward", (f(3, 7, 19), ids, f(11, 19))
    x, weight = f(9, 45), f(45)
    rstd = reference.rmsnorm(x, weight, 1e-5)[1]
    yield "rmsnorm", (x, weight, 1e-5)
    yield "rmsnorm_backward", (f(9, 45), x, weight, rstd, f(45))
    mean, rstd = reference.layernorm(x, weight, weight, 1e-5)[1:]
    yield "layernorm", (x, weight, f(45), 1e-5)
    yield "layernorm_backward", (f(9, 45), x, weight, mean, rstd, f(45), f(45))
    angle = rng.uniform(0, 6, (20, 5))
    positions = rng.integers(0, 20, 7).astype(np.int32)
    yield "rope", (f(7, 3, 10), np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32), positions)
    q, k, v = f(2, 13, 4, 24), f(2, 17, 2, 24), f(2, 17, 2, 24)
    yield "attention", (q, k, v, 0.2)
    out, lse = reference.attention(q, k, v, 0.2)
    yield "attention_backward", (f(2, 13, 4, 24), q, k, v, out, lse, 0.2)
    yield "swiglu", (f(5, 54),)
    yield "swiglu_backward", (f(5, 27), f(5, 54))
    for kind in ("relu", "tanh", "sigmoid", "silu", "gelu_tanh", "gelu_erf"):
        yield "activation", (kind, f(5, 27))
        yield "activation_backward", (kind, f(5, 27), f(5, 27))
    for kind in ("gelu_tanh", "gelu_erf"):
        yield "geglu", (f(5, 54), None, kind)
        yield "geglu_backward", (f(5, 27), f(5, 54), None, kind)
    yield "softmax_cross_entropy", (f(6, 77), np.array([0, 5, -1, 76, 3, 9], np.int32), f(6, 77), 0.5)
    p, g, m, v2 = f(101), f(101), f(101), np.abs(f(101))
    yield "adamw", (p, g, m, v2, 1e-3, 0.9, 0.95, 1e-8, 0.1, 3, 0.7)
    yield "sum_squares", (f(1001),)
    yield "add", (f(77), f(77))
    yield "mul", (f(77), f(77))
    yield "axpy", (f(77), f(77), 0.3)
    yield "bias_backward", (f(13, 29), f(29))


def fresh(arguments):
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)


def arrays(result, arguments):
    """Everything that a kernel may have written: what it returned and what it was given."""
    results = result if isinstance(result, tuple) else (result,)
    return [
        np.asarray(a, np.float64) for a in (*results, *arguments) if isinstance(a, np.ndarray | float | np.floating)
    ]


def self_check():
    """Compares every kernel with its numpy twin. Returns {kernel: largest error relative to the largest value}."""
    errors = {}
    for name, arguments in cases(np.random.default_rng(7)):
        ours, theirs = fresh(arguments), fresh(arguments)
        actual = arrays(getattr(nk, name)(*ours), ours)
        twin = getattr(reference, name, None) or getattr(reference_products, name)
        expected = arrays(twin(*theirs), theirs)
        assert len(actual) == len(expected), name
        for a, e in zip(actual, expected, strict=True):
            error = np.abs(a - e).max() / max(np.abs(e).max(), 1e-30)
            errors[name] = max(errors.get(name, 0.0), float(error if np.isfinite(error) else np.inf))
    return errors


TOLERANCE = 2e-5


BF16_ROW = "bfloat16 kernel, all threads"


def _bf16(x):
    """Bit patterns of float32 values rounded to bfloat16."""
    return (reference.bf16_round(x).view(np.uint32) >> 16).astype(np.uint16)


def timed(fn, arguments, operations):
    start = time.perf_counter()
    fn(*arguments)
    return operations / (time.perf_counter() - start) / 1e9


def measure(size, repeats):
    """GFLOP/s of every method, `repeats` rounds in turns: {method: (size, [values])}, and {threads: peak}.

    The naive loop runs at a quarter of the size (it would take seconds); its row says so.
    """
    rng = np.random.default_rng(1)

    def operands(n):
        return rng.standard_normal((n, n)).astype(np.float32), rng.standard_normal((n, n)).astype(np.float32)

    def on(threads, fn):
        def run(*arguments):
            nk.set_threads(threads)
            return fn(*arguments)

        return run

    every, small = nk.threads(), max(size // 4, 1)
    large_operands, small_operands = operands(size), operands(small)
    out = np.empty((size, size), np.float32)
    methods = {
        "naive C loop, 1 thread": (small, lambda a, b: _native._bench_gemm(a, b, "naive"), small_operands),
        "tiled C loop, 1 thread": (size, lambda a, b: _native._bench_gemm(a, b, "tiled"), large_operands),
        f"{nk.isa()} kernel, 1 thread": (size, on(1, lambda a, b: nk.gemm(a, b, out)), large_operands),
        f"{nk.isa()} kernel, {every} threads": (size, on(every, lambda a, b: nk.gemm(a, b, out)), large_operands),
        BF16_ROW: (size, on(every, lambda a, b: nk.gemm_bf16(a, b, out)), tuple(map(_bf16, large_operands))),
        "numpy matmul (its own BLAS)": (size, lambda a, b: np.matmul(a, b, out), large_operands),
    }
    results = {name: (n, []) for name, (n, _, _) in methods.items()}
    peaks = {1: [], every: [], BF16_ROW: []}
    try:
        for _, fn, arguments in methods.values():
            fn(*arguments)  # first use: threads start, buffers grow
        for _ in range(repeats):
            for which, values in peaks.items():
                nk.set_threads(every if which == BF16_ROW else which)
                values.append(_native._bench_fma_peak(200_000, which == BF16_ROW))
            for name, (n, fn, arguments) in methods.items():
                results[name][1].append(timed(fn, arguments, 2.0 * n**3))
                time.sleep(0.01)  # lets spinning threads of the row before go to sleep
    finally:
        nk.set_threads(every)
    return results, every, {which: max(values) for which, values in peaks.items()}


def print_table(results, every, peaks):
    last = list(results)[-1]
    numpy_values = results[last][1]
    print(f"{'C = A B':34} {'size':>6} {'GFLOP/s':>9} {'of peak':>8} {'to numpy':>9}")
    for name, (size, values) in results.items():
        peak = peaks.get(name) or (peaks[1] if "1 thread" in name and every > 1 else peaks[every])
        ratio = float(np.median([ours / theirs for ours, theirs in zip(values, numpy_values, strict=True)]))
        middle = float(np.median(values))
        print(f"{name:34} {size:>6} {middle:>9.1f} {middle / peak:>8.0%} {ratio:>8.2f}x")
    shown = ", ".join(f"{peaks[n]:.0f} GFLOP/s on {n} thread{'s' if n > 1 else ''}" for n in sorted({1, every}))
    print(f"measured peak of multiply-adds in registers: {shown}; of bfloat16 pairs {peaks[BF16_ROW]:.0f}")
    print("(shares are of the peak on as many threads; numpy is taken to use all; ratios are medians of paired rounds)")


def product(qtype, x, packed, out):
    nk.gemm_quant(qtype, x, packed, out.shape[1], out=out)


def measure_stored(types, repeats):
    """Products with stored weights on all threads: [(type, GOP/s of many rows, of the peak, GB/s of one row, of
    reading)].
    Every product is timed beside the yardstick that bounds it, and the best of each counts.

    Many rows: 512 x 1024 x 1024, int8 multiply-adds (float32 or bfloat16 for float types). One row: as many weights as
    make 96 MiB, which no cache holds, against reading a buffer of that size.
    """
    rng, k = np.random.default_rng(5), 1024
    x, buffer = rng.standard_normal((512, k)).astype(np.float32), np.ones(96 << 20, np.uint8)
    rows = []
    for qtype in types:
        kind = QTYPES[qtype]
        block = reference_products.random_blocks(rng, qtype, 1024, k)
        many = nk.quant_pack(qtype, block, 1024, k)
        n = (96 << 20) // kind.row_bytes(k) // 1024 * 1024
        one, out, small = np.tile(many, n // 1024), np.empty((512, 1024), np.float32), np.empty((1, n), np.float32)
        best = np.zeros(4)
        for _ in range(repeats):
            if kind.values > 1:
                peak = _native._bench_int8_peak(50_000)
            else:
                peak = _native._bench_fma_peak(100_000, qtype == "BF16")
            products = timed(product, (qtype, x, many, out), 2.0 * 512 * k * 1024)
            reading = _native._bench_read(buffer)
            decode = timed(product, (qtype, x[:1], one, small), one.size)
            best = np.maximum(best, (products, peak, decode, reading))
        rows.append((qtype, *best))
    return rows


def print_stored(rows):
    print(f"{'stored weights':16} {'512 rows: GOP/s':>16} {'of peak':>8} {'1 row: GB/s':>14} {'of reading':>11}")
    for qtype, products, peak, decode, reading in rows:
        print(f"{qtype:16} {products:>16.1f} {products / peak:>8.0%} {decode:>14.1f} {decode / reading:>11.0%}")
    peak, reading = max(row[2] for row in rows), max(row[4] for row in rows)
    print(f"measured peaks: {peak:.0f} GOP/s of multiply-adds in registers, {reading:.1f} GB/s of reading 96 MiB")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m native_kernels", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="rows and columns of the matrices (default 1024)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of the table (default 7)")
    parser.add_argument("--stored", metavar="TYPES", help="products with stored weights instead: Q8_0,Q4_K or all")
    parser.add_argument("--check-only", action="store_true", help="no timing")
    options = parser.parse_args(arguments)
    if not 8 <= options.size <= 16384 or not 1 <= options.repeats <= 1000:
        parser.error("--size must be 8 .. 16384 and --repeats 1 .. 1000")
    types = list(QTYPES) if options.stored == "all" else (options.stored or "").split(",")
    if options.stored and not set(types) <= set(QTYPES):
        parser.error(f"--stored knows {', '.join(QTYPES)}, or all")

    print(f"instruction set: {nk.isa()} ({nk.why()}); available: {', '.join(nk.available_isas())}")
    print(f"threads: {nk.threads()}")
    wrong = []
    chosen = nk.isa()
    try:
        for isa in nk.available_isas():
            nk._select(isa)
            errors = self_check()
            bad = {name: error for name, error in errors.items() if not error <= TOLERANCE}
            wrong += [f"{isa}: {name} is off by {error:.1e}" for name, error in bad.items()]
            print(
                f"self-check {isa:12} {len(errors) - len(bad)} of {len(errors)} kernels agree with the numpy reference"
            )
    finally:
        nk._select(chosen)
    for line in wrong:
        print("  " + line)
    if options.stored and not options.check_only:
        print()
        print_stored(measure_stored(types, options.repeats))
    elif not options.check_only:
        print()
        print_table(*measure(options.size, options.repeats))
    return 1 if wrong else 0


if __name__ == "__main__":
    # numpy's OpenBLAS lets its threads spin for about 100 ms after a product, which would be taken from the other rows.
    # It reads this when numpy is loaded, which has already happened here: hence a child.
    if "OPENBLAS_THREAD_TIMEOUT" not in os.environ:
        safe = ["-P"] if sys.flags.safe_path else []
        command = [sys.executable, *safe, "-m", "native_kernels", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, "OPENBLAS_THREAD_TIMEOUT": "4"}).returncode)
    sys.exit(main())
