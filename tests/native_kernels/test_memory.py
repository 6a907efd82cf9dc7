"""The kernels' own memory: accounted, given back when a thread ends, and a shortage is a MemoryError, not the end."""

import threading

import numpy as np
import pytest

import native_kernels as nk
from native_kernels import _native
from native_kernels.plan import PLAN_FIELDS

KINDS = {"gemm", "q8_0", "attention", "partial_sums", "plan", "all"}


def calls(normal):
    """Every kernel that needs work buffers, as a function without arguments that returns arrays."""
    a, b, x, weight, bias = normal(70, 90), normal(90, 40), normal(60, 90), normal(90), normal(90)
    packed = nk.quant_pack("Q8_0", nk.quantize("Q8_0", normal(40, 96)), 40, 96)
    half = nk.quantize("F16", normal(40, 96)).reshape(-1)
    wide = normal(12, 96)
    q, k, v = normal(1, 40, 2, 16), normal(1, 90, 2, 16), normal(1, 90, 2, 16)
    out, lse = nk.attention(q, k, v, 0.25)
    _, rstd = nk.rmsnorm(x, weight, 1e-5)
    _, mean, std = nk.layernorm(x, weight, bias, 1e-5)
    few = normal(90, 3)
    return {
        "gemm": lambda: [nk.gemm(a, b)],
        "gemm of few rows": lambda: [nk.gemm(few, b, trans_a=True)],
        "gemm_bf16": lambda: [nk.gemm_bf16(a, b)],
        "gemm_quant": lambda: [nk.gemm_quant("Q8_0", wide, packed, 40)],
        "gemm_quant of one row": lambda: [nk.gemm_quant("Q8_0", wide[:1], packed, 40)],
        "gemm_quant of F16": lambda: [nk.gemm_quant("F16", wide, half, 40)],
        "packed_rows": lambda: [nk.packed_rows("Q8_0", packed, 40, 96, np.arange(40, dtype=np.int32))],
        "rmsnorm_backward": lambda: [nk.rmsnorm_backward(x, x, weight, rstd, np.zeros(90, np.float32))],
        "layernorm_backward": lambda: [
            nk.layernorm_backward(x, x, weight, mean, std, np.zeros(90, np.float32), np.zeros(90, np.float32))
        ],
        "attention": lambda: list(nk.attention(q, k, v, 0.25)),
        "attention of few rows": lambda: list(nk.attention(q[:, :1], k, v, 0.25)),
        "attention_backward": lambda: list(nk.attention_backward(q, q, k, v, out, lse, 0.25)),
    }


def on_a_new_thread(work):
    """work() on a thread that has no work buffers yet; its result or its exception."""
    answer = []

    def run():
        try:
            answer.append(work())
        except BaseException as error:  # handed on
            answer.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answer[0]


@pytest.mark.parametrize("threads", [1, 3])
def test_every_allocation_that_fails_is_a_memory_error_and_the_next_call_works(isa, normal, threads):
    before = nk.threads()
    try:
        nk.set_threads(threads)
        for name, work in calls(normal).items():
            expected = work()
            seen = 0
            for n in range(1, 20):
                failures = nk.memory()["all"]["failures"]
                _native._fail_allocation(n)
                result = on_a_new_thread(work)
                fired = nk.memory()["all"]["failures"] - failures
                _native._fail_allocation(0)
                if not fired:
                    break
                assert isinstance(result, MemoryError) and "work buffers" in str(result), (name, result)
                seen += 1
                for got, want in zip(work(), expected, strict=True):  # the shortage is over: nothing is left of it
                    assert np.array_equal(got, want), name
            assert seen >= 2 or threads > 1, name  # the thread's set of buffers, one buffer; workers may have theirs
            assert all(np.array_equal(g, w) for g, w in zip(result, expected, strict=True)), name
    finally:
        _native._fail_allocation(0)
        nk.set_threads(before)


def test_a_plan_without_memory_is_a_memory_error():
    ops, scalars = np.zeros((0, len(PLAN_FIELDS)), np.int64), np.zeros((0, 2), np.float32)
    live = nk.memory()["plan"]["live"]
    _native._fail_allocation(1)
    with pytest.raises(MemoryError):
        _native.Plan(ops, scalars, [], 1, 1, 1, (1, 1, 1))
    plan = _native.Plan(ops, scalars, [], 1, 1, 1, (1, 1, 1))
    assert nk.memory()["plan"]["live"] > live
    del plan
    assert nk.memory()["plan"]["live"] == live


def test_memory_is_counted_by_kind_and_given_back_when_a_thread_ends(normal):
    def work():
        for call in calls(normal).values():
            call()
        during.append(nk.memory())

    threads = nk.threads()
    nk.set_threads(1)
    try:
        for _ in range(5):  # a thread of an earlier test may end meanwhile and give back its own
            before, during = nk.memory(), []
            on_a_new_thread(work)
            after = nk.memory()
            if all(before[kind]["live"] == after[kind]["live"] for kind in KINDS):
                break
    finally:
        nk.set_threads(threads)
    assert set(before) == KINDS
    for kind in KINDS - {"plan"}:
        assert during[0][kind]["live"] > before[kind]["live"] == after[kind]["live"], kind
        assert after[kind]["peak"] >= during[0][kind]["live"]
        assert after[kind]["allocations"] > before[kind]["allocations"]
    assert after["all"]["live"] == sum(after[kind]["live"] for kind in KINDS - {"all"})
