"""Times the matrix products at the shapes of training and serving beside numpy's BLAS, in turns, in one process.

    PYTHONPATH=. OPENBLAS_THREAD_TIMEOUT=4 python tests/bench/bench_gemm.py [--repeats 9] [--threads N]

Prints GFLOP/s (medians), the share of the measured peak, and the median ratio to numpy in the same round; for bfloat16
the same beside torch's matmul, if torch is installed; for Q8_0 the time and the bytes of weights read per second.
Asserts nothing: numbers go into LOG.md by hand.
"""

import argparse
import os
import sys
import time
from functools import partial

import numpy as np

import native_kernels as nk
from native_kernels import _native, reference

# (trans_a, trans_b, M, N, K, what)
SHAPES = [
    (0, 0, 1024, 1024, 1024, "square"),
    (0, 1, 1024, 1024, 1024, "square"),
    (0, 1, 4096, 576, 192, "qkv forward"),
    (0, 1, 4096, 192, 512, "down forward"),
    (0, 1, 4096, 4096, 192, "logits forward"),
    (0, 0, 4096, 192, 576, "qkv backward, input"),
    (1, 0, 576, 192, 4096, "qkv backward, weight"),
    (1, 0, 4096, 192, 4096, "logits backward, weight"),
    (0, 1, 8192, 1024, 256, "d 256 forward"),
    (1, 0, 1024, 256, 8192, "d 256 backward, weight"),
    (0, 1, 512, 4864, 896, "prefill"),
    (0, 1, 32, 1024, 256, "32 rows"),
    (0, 1, 8, 1024, 256, "8 rows"),
    (0, 1, 1, 4096, 192, "decode"),
    (0, 1, 1, 4864, 896, "decode"),
]
Q8_SHAPES = [(1, 576, 192), (1, 4096, 192), (1, 4096, 1024), (1, 4864, 896), (4, 1024, 256), (512, 1024, 256),
             (512, 4864, 896)]  # fmt: skip


def seconds(fn):
    """Seconds of one call, over as many calls as make about 5 ms."""
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            fn()
        spent = time.perf_counter() - start
        if spent > 0.005:
            return spent / count
        count *= 2


def bf16_rows(repeats, rng):
    """Operands as bit patterns, and as float32 that is rounded while packing (as training does)."""
    try:
        import torch

        torch.set_num_threads(nk.threads())
    except ImportError:
        torch = None
    peak = max(_native._bench_fma_peak(500_000, True) for _ in range(9))
    print(f"bfloat16 peak {peak:.0f} GFLOP/s")
    for trans_a, trans_b, M, N, K, what in SHAPES[:-3]:
        a = rng.standard_normal((K, M) if trans_a else (M, K)).astype(np.float32)
        b = rng.standard_normal((N, K) if trans_b else (K, N)).astype(np.float32)
        bits = [(reference.bf16_round(x).view(np.uint32) >> 16).astype(np.uint16) for x in (a, b)]
        out = np.empty((M, N), np.float32)
        runs = {
            "bits": lambda: nk.gemm_bf16(*bits, out, trans_a, trans_b),  # noqa: B023
            "float32": lambda: nk.gemm_bf16(a, b, out, trans_a, trans_b),  # noqa: B023
        }
        if torch:
            left, right = (torch.from_numpy(x).bfloat16() for x in (a, b))
            left, right = left.T if trans_a else left, right.T if trans_b else right
            runs["torch"] = lambda: torch.matmul(left, right)  # noqa: B023
        spent = {name: [] for name in runs}
        for _ in range(repeats):
            for name, fn in runs.items():
                spent[name].append(seconds(fn))
        shown = "   ".join(
            f"{name} {2e-9 * M * N * K / np.median(t):6.1f} ({2e-9 * M * N * K / np.median(t) / peak:4.0%})"
            for name, t in spent.items()
        )
        ratio = np.median(np.array(spent["torch"]) / np.array(spent["bits"])) if torch else float("nan")
        print(
            f"bf16 {'NT'[trans_a]}{'NT'[trans_b]} {M:5}x{N:5}x{K:5} {what:24} {shown}   ratio {ratio:5.2f}", flush=True
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=nk.threads())
    options = parser.parse_args()
    if "OPENBLAS_THREAD_TIMEOUT" not in os.environ:
        sys.exit("set OPENBLAS_THREAD_TIMEOUT=4: otherwise numpy's threads spin into the other rows")
    nk.set_threads(options.threads)
    rng = np.random.default_rng(1)
    peak = max(_native._bench_fma_peak(500_000) for _ in range(9))
    print(f"{nk.isa()}, {options.threads} threads, peak {peak:.0f} GFLOP/s, load {os.getloadavg()[0]:.2f}")
    for trans_a, trans_b, M, N, K, what in SHAPES:
        a = rng.standard_normal((K, M) if trans_a else (M, K)).astype(np.float32)
        b = rng.standard_normal((N, K) if trans_b else (K, N)).astype(np.float32)
        out = np.empty((M, N), np.float32)
        left, right = a.T if trans_a else a, b.T if trans_b else b
        ours, theirs = [], []
        for _ in range(options.repeats):
            ours.append(seconds(lambda: nk.gemm(a, b, out, trans_a, trans_b)))  # noqa: B023
            theirs.append(seconds(lambda: np.matmul(left, right, out)))  # noqa: B023
        speed = 2e-9 * M * N * K / np.median(ours)
        ratio = np.median(np.array(theirs) / np.array(ours))
        print(
            f"{'NT'[trans_a]}{'NT'[trans_b]} {M:5}x{N:5}x{K:5} {what:24} {speed:7.1f} GFLOP/s {speed / peak:5.0%}"
            f"   numpy {2e-9 * M * N * K / np.median(theirs):7.1f}   ratio {ratio:5.2f}"
            f"   {1e6 * np.median(ours):9.1f} us",
            flush=True,
        )
    bf16_rows(options.repeats, rng)
    for M, N, K in Q8_SHAPES:
        packed = nk.quant_pack("Q8_0", nk.quantize("Q8_0", rng.standard_normal((N, K)).astype(np.float32)), N, K)
        x, out = rng.standard_normal((M, K)).astype(np.float32), np.empty((M, N), np.float32)
        product = partial(nk.gemm_quant, "Q8_0", x, packed, N, out=out)
        spent = np.median([seconds(product) for _ in range(options.repeats)])
        print(
            f"q8_0 {M:4}x{N:5}x{K:5} {2e-9 * M * N * K / spent:7.1f} GOP/s {1e6 * spent:9.1f} us"
            f" {packed.size / spent / 1e9:6.1f} GB/s",
            flush=True,
        )
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
