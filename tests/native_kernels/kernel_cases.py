"""Writes the cases that kernel_check.c runs: arguments of every kernel of the table on odd shapes, and what the numpy
twin makes of them. Knows the arguments of kernels.h in C order, and no compiled code."""

import struct

import numpy as np

from native_kernels import reference, reference_cache, reference_products, reference_quant, reference_serve
from native_kernels.qtypes import QTYPES

BYTES, FLOATS, DOUBLES = 0, 1, 2
KINDS = [
    "relu",
    "tanh",
    "sigmoid",
    "silu",
    "gelu_tanh",
    "gelu_erf",
    "relu2",
    "quick_gelu",
]  # in the order of the enum in kernels.h


class Out:
    """An array that the kernel writes: what is in it before, what the twin leaves in it, how near it must be.

    Every element may be wrong by `tolerance` times the magnitude (the largest one expected, unless given); without a
    tolerance the bytes must be equal.
    """

    def __init__(self, before, expected, tolerance=0.0, magnitude=None):
        self.before = np.ascontiguousarray(before)
        self.expected = np.ascontiguousarray(expected, self.before.dtype)
        assert self.before.nbytes == self.expected.nbytes
        self.kind = BYTES
        self.allowed = 0.0
        if tolerance:
            self.kind = DOUBLES if self.before.dtype == np.float64 else FLOATS
            self.allowed = tolerance * float(np.abs(self.expected).max() if magnitude is None else magnitude)


class Cases:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.parts = []
        self.names = []

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def junk(self, *shape):
        """What an output holds before the kernel writes it: not zeros."""
        return np.full(shape, 7.5, np.float32)

    def add(self, name, ints, floats, arrays):
        """arrays: numpy array (input), Out, or None for a null pointer, in the order of the C arguments."""
        self.names.append(name)
        head = [name.encode().ljust(32, b"\0"), struct.pack("<3q", len(ints), len(floats), len(arrays))]
        head += [struct.pack(f"<{len(ints)}q", *(int(i) for i in ints)), struct.pack(f"<{len(floats)}d", *floats)]
        for array in arrays:
            if array is None:
                head.append(struct.pack("<3qd", -1, BYTES, 0, 0.0))
            elif isinstance(array, Out):
                head.append(struct.pack("<3qd", array.before.nbytes, array.kind, 1, array.allowed))
                head += [array.before.tobytes(), array.expected.tobytes()]
            else:
                head += [struct.pack("<3qd", array.nbytes, BYTES, 0, 0.0), array.tobytes()]
        self.parts.append(b"".join(head))

    def write(self, path):
        path.write_bytes(b"NKCASES1" + struct.pack("<q", len(self.parts)) + b"".join(self.parts))


def products(c):
    sizes = [1, 2, 3, 5, 7, 8, 9, 12, 13, 16, 17, 25, 33, 65]
    shapes = [tuple(int(x) for x in c.rng.choice(sizes, 3)) for _ in range(40)]
    for i, (M, N, K) in enumerate([*shapes, (9, 33, 769), (3, 65, 1153), (29, 1100, 40), (70, 31, 385), (17, 4500, 5)]):
        trans_a, trans_b, accumulate, gap = i & 1, i >> 1 & 1, i % 3 == 0, i % 4
        a = c.normal(*((K, M) if trans_a else (M, K)))
        b = c.normal(*((N, K) if trans_b else (K, N)))
        before = c.normal(M, N + gap)
        bias, residual = c.normal(N) if i % 2 else None, c.normal(M, N) if i % 5 < 2 else None
        expected = before.copy()
        rest = (trans_a, trans_b, bias, residual, accumulate)
        expected[:, :N] = reference.gemm(a, b, before[:, :N].copy() if accumulate else None, *rest)
        ints = [trans_a, trans_b, M, N, K, a.shape[1], b.shape[1], N + gap, accumulate, N]
        c.add("gemm_f32", ints, [], [a, b, Out(before, expected, 1e-5), bias, residual])
        a_f32, b_f32 = i % 2, i // 2 % 2
        a, b = (x if f32 else reference.bf16_round(x).view(np.uint32) >> 16 for x, f32 in ((a, a_f32), (b, b_f32)))
        a, b = (x if x.dtype == np.float32 else x.astype(np.uint16) for x in (a, b))
        expected = before.copy()
        expected[:, :N] = reference.gemm_bf16(a, b, before[:, :N].copy() if accumulate else None, *rest)
        c.add("gemm_bf16", [*ints, a_f32, b_f32], [], [a, b, Out(before, expected, 1e-5), bias, residual])


def stored(c):
    for qtype, kind in QTYPES.items():
        number = kind.number
        for n, k in [(1, 256), (17, 256), (40, 512)] + ([(16, 32), (33, 96), (70, 160)] if kind.values <= 32 else []):
            blocks = reference_products.random_blocks(c.rng, qtype, n, k)
            values = reference_quant.dequantize(qtype, blocks, n, k)
            ids = c.rng.integers(0, n, 5).astype(np.int32)
            c.add("dequantize", [number, n, k], [], [blocks, Out(c.junk(n, k), values)])
            c.add("packed_rows", [number, n, k, 5], [], [blocks, ids, Out(c.junk(5, k), values[ids])])
            for m in (1, 2, 5, 9):
                x, bias = c.normal(m, k), c.normal(n) if m != 2 else None
                residual = c.normal(m, n) if m != 5 else None
                out = Out(c.junk(m, n), reference_products.product(qtype, x, blocks, n, bias, residual), 2e-5)
                c.add("gemm_quant", [number, m, n, k, k, n, n], [], [x, blocks, out, bias, residual])
                if kind.values > 1:
                    c.add("gemm_quant_rows", [number, m, n, k, k, n, n], [], [x, blocks, out, bias, residual])


def embeddings(c):
    for V, D, n in [(1, 1, 1), (10, 5, 12), (50, 33, 200), (9, 64, 3)]:
        table, ids = c.normal(V, D), c.rng.integers(0, V, n).astype(np.int32)
        c.add("embedding", [n, D], [], [Out(c.junk(n, D), reference.embedding(table, ids)), table, ids])
        dout, dtable = c.normal(n, D), c.normal(V, D)
        expected = reference.embedding_backward(dout, ids, dtable.astype(np.float64))
        c.add("embedding_backward", [n, D], [], [Out(dtable, expected, 5e-6), dout, ids])


def norms(c):
    for rows, D in [(1, 1), (3, 5), (70, 33), (9, 256), (200, 67)]:
        x, weight, bias, dout = c.normal(rows, D) + 1, c.normal(D), c.normal(D), c.normal(rows, D)
        out, rstd = reference.rmsnorm(x, weight, 1e-5)
        c.add("rmsnorm", [rows, D], [1e-5], [Out(c.junk(rows, D), out, 4e-6), Out(c.junk(rows), rstd, 4e-6), x, weight])
        c.add("rmsnorm", [rows, D], [1e-5], [Out(c.junk(rows, D), out, 4e-6), None, x, weight])
        dweight = c.normal(D)
        expected = dweight.astype(np.float64)
        dx = reference.rmsnorm_backward(dout, x, weight, rstd, expected)
        largest = np.abs(rstd).max() * np.abs(dout).max()  # with one column the gradients are 0 up to rounding
        outs = [Out(c.junk(rows, D), dx, 2e-6, largest), Out(dweight, expected, 2e-5)]
        c.add("rmsnorm_backward", [rows, D], [], [*outs, dout, x, weight, rstd])
        out, mean, rstd = reference.layernorm(x, weight, bias, 1e-3)
        outs = [Out(c.junk(rows, D), out, 1e-5), Out(c.junk(rows), mean, 4e-6), Out(c.junk(rows), rstd, 1e-5)]
        c.add("layernorm", [rows, D], [1e-3], [*outs, x, weight, bias])
        dweight, dbias = c.normal(D), c.normal(D)
        want_w, want_b = dweight.astype(np.float64), dbias.astype(np.float64)
        dx = reference.layernorm_backward(dout, x, weight, mean, rstd, want_w, want_b)
        largest = np.abs(rstd).max() * np.abs(dout).max()
        outs = [Out(c.junk(rows, D), dx, 2e-6, largest), Out(dweight, want_w, 2e-5), Out(dbias, want_b, 2e-5)]
        c.add("layernorm_backward", [rows, D], [], [*outs, dout, x, weight, mean, rstd])


def positions(c):
    for rows, H, D in [(1, 1, 2), (5, 3, 8), (17, 2, 22), (33, 4, 64)]:
        half = D // 2
        angles = np.arange(50)[:, None] * 10000.0 ** (-np.arange(half)[None, :] / half)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        at = c.rng.integers(0, 50, rows).astype(np.int32)
        for inverse in (0, 1):
            x = c.normal(rows, H, D)
            expected = reference.rope(x.copy(), cos, sin, at, bool(inverse))
            c.add("rope", [H * D, rows, H, D, inverse], [], [Out(x, expected, 2e-6), cos, sin, at])


def attentions(c):
    shapes = [
        (1, 1, 1, 1, 1, 8),
        (2, 1, 37, 4, 2, 64),
        (1, 3, 300, 2, 2, 20),
        (1, 7, 7, 2, 1, 13),
        (2, 9, 20, 2, 1, 20),
    ]
    for i, (B, T, S, H, KH, D) in enumerate(
        [*shapes, (1, 17, 33, 2, 2, 8), (1, 33, 70, 3, 1, 33), (1, 20, 66, 1, 1, 256)]
    ):
        causal = i % 3 != 2
        q, k, v, dout = c.normal(B, T, H, D), c.normal(B, S, KH, D), c.normal(B, S, KH, D), c.normal(B, T, H, D)
        scale = D**-0.5
        out, lse = reference.attention(q, k, v, scale, causal)
        ints = [B, T, S, H, KH, D, H * D, T * H * D, KH * D, S * KH * D, H * D, T * H * D, causal]
        want = Out(c.junk(*out.shape), out, 5e-6)
        c.add("attention", ints, [scale], [want, Out(c.junk(*lse.shape), lse, 4e-6), q, k, v])
        c.add("attention", ints, [scale], [want, None, q, k, v])
        gradients = reference.attention_backward(dout, q, k, v, out, lse, scale, causal)
        largest = max(np.abs(g).max() for g in gradients)
        outs = [Out(c.junk(*g.shape), g, 1e-5, largest) for g in gradients]
        c.add("attention_backward", ints, [scale], [*outs, dout, out, lse, q, k, v])


def caches(c):
    types = {"f32": 0, "f16": 1, "q8_0": 8}
    shapes = [(2, 2, 64), (6, 2, 32), (7, 1, 96), (3, 3, 20), (4, 1, 13), (1, 1, 80)]
    options = [{}, {"window": 7}, {"softcap": 2.0}, {"causal": False}, {"causal": False, "window": 9, "softcap": 1.0}]
    for i, (heads, kv_heads, d) in enumerate(shapes):
        for kv_type, number in types.items():
            if kv_type == "q8_0" and d % 32:
                continue
            sequences, arrays, ints, at = [], [], [], 0
            for rows, start in [(1, 300), (40 + i, 3 * i), (2, 0)]:
                capacity = start + rows + i
                both = [np.zeros(reference_cache.kv_bytes(kv_type, kv_heads, capacity, d), np.uint8) for _ in "kv"]
                for which, data in enumerate(both):
                    new, before = c.normal(start + rows, kv_heads, d), data.copy()
                    reference_cache.kv_store(kv_type, new, data, 0)
                    where = [start + rows, 0, capacity, which, kv_heads * d, kv_heads, d, number]
                    c.add("kv_store", where, [], [new, Out(before, data)])
                sequences.append((at, rows, start, *both))
                arrays += both
                ints += [at, rows, start, capacity]
                at += rows
            angles, keys = c.normal(d // 2), sequences[0][3]
            turned, interleaved = keys.copy(), i % 2
            cos, sin = np.cos(angles), np.sin(angles)
            if kv_type == "f32":  # elsewhere a value at a tie may be stored one step away
                reference_cache.kv_rotate(kv_type, turned, kv_heads, d, 5, 200, cos, sin, bool(interleaved))
                want = Out(keys.view(np.float32), turned.view(np.float32), 1e-6)
                c.add(
                    "kv_rotate", [number, kv_heads, ints[3], d, 5, 200, d // 2 * 2, interleaved], [], [want, cos, sin]
                )
            q, chosen = c.normal(at, heads, d), options[(i + number) % len(options)]
            out = reference_cache.attention_cached(q, sequences, kv_heads, kv_type, d**-0.5, **chosen)
            head = [heads, kv_heads, d, number, chosen.get("window", 0), chosen.get("causal", True), 3]
            floats = [d**-0.5, chosen.get("softcap", 0.0)]
            c.add("attention_cached", head + ints, floats, [q, Out(c.junk(at, heads, d), out, 8e-6), *arrays])


def activations(c):
    for rows, F in [(1, 1), (3, 5), (7, 31), (40, 130)]:
        gu, dout = c.normal(rows, 2 * F) * 3, c.normal(rows, F)
        # one value may stand where the function is saturated: then its own size says nothing about rounding
        size, slope = np.abs(gu[:, :F] * gu[:, F:]).max(), np.abs(gu).max() * np.abs(dout).max()
        c.add("swiglu", [rows, F], [], [Out(c.junk(rows, F), reference.swiglu(gu), 2e-6, size), gu])
        want = Out(c.junk(rows, 2 * F), reference.swiglu_backward(dout, gu), 2e-6, slope)
        c.add("swiglu_backward", [rows, F], [], [want, dout, gu])
        for kind in ("gelu_tanh", "gelu_erf"):
            number = KINDS.index(kind)
            want = Out(c.junk(rows, F), reference.geglu(gu, kind=kind), 2e-6, size)
            c.add("geglu", [number, rows, F], [], [want, gu])
            want = Out(c.junk(rows, 2 * F), reference.geglu_backward(dout, gu, kind=kind), 2e-6, slope)
            c.add("geglu_backward", [number, rows, F], [], [want, dout, gu])
        for number, kind in enumerate(KINDS):
            x = gu.reshape(-1)
            g = c.normal(x.size)
            value = reference.activation(kind, x)
            want = Out(c.junk(x.size), value, 2e-6, max(np.abs(x).max(), np.abs(value).max()))
            c.add("activation", [number, x.size], [], [want, x])
            want = Out(c.junk(x.size), reference.activation_backward(kind, g, x), 4e-6, np.abs(g).max())
            c.add("activation_backward", [number, x.size], [], [want, g, x])


def serving(c):
    for rows, heads, n, gap in [(1, 1, 1, 0), (3, 2, 5, 4), (2, 1, 31, 0), (5, 3, 64, 7), (40, 1, 385, 1)]:
        wide = heads * n + gap
        x, out, residual = c.normal(rows, wide) + 1, c.junk(rows, wide), c.normal(rows, wide)
        weight, bias = c.normal(n), c.normal(n)
        for kind in (0, 1):
            for more, rest in ((None, None), (bias, residual)):
                want = out.copy()
                parts = [v if v is None else v[:, : heads * n].reshape(rows, heads, n) for v in (x, rest)]
                normed = reference_serve.serve_norm(("rms", "layer")[kind], parts[0], weight, more, parts[1], 1e-5, 0.5)
                want[:, : heads * n] = normed.reshape(rows, -1)
                ints, size = [kind, rows, heads, n, wide, wide, wide], 4 * np.abs(weight).max() + 4
                c.add("serve_norm", ints, [1e-5, 0.5], [x, weight, more, rest, Out(out, want, 4e-6, size)])
        for gated in (0, 1):
            for kind, name in enumerate(KINDS):
                F = wide // 2 if gated else wide
                if F == 0:
                    continue
                value = reference_serve.serve_gate(name, x[:, : F * (1 + gated)], bool(gated))
                size = max(np.abs(x).max() ** 2, np.abs(value).max())
                c.add("serve_gate", [kind, gated, F, wide, rows, F], [], [Out(c.junk(rows, F), value, 4e-6, size), x])
        for scale, cap, add in ((0.5, 0.0, None), (2.0, 3.0, residual), (1.0, 0.0, residual)):
            value = reference_serve.serve_add(x, add, scale, cap)
            arrays = [Out(c.junk(rows, wide), value, 2e-6, 10), x, add]
            c.add("serve_add", [wide, wide, wide, rows, wide], [scale, cap], arrays)
    for rows, heads, D, dim, interleaved in [(1, 1, 2, 2, 0), (4, 3, 10, 6, 1), (3, 2, 64, 64, 0), (7, 2, 34, 34, 0)]:
        x, angles = c.normal(rows, heads, D), c.normal(9, dim // 2)
        index = c.rng.integers(0, 9, rows).astype(np.int32)
        cos, sin = np.cos(angles), np.sin(angles)
        want = reference_serve.serve_rope(x, cos, sin, index, bool(interleaved))
        c.add("serve_rope", [heads * D, rows, heads, D, dim, interleaved], [], [Out(x, want, 1e-6), cos, sin, index])


def loss(c):
    for rows, V in [(1, 1), (3, 7), (9, 33), (17, 1024), (2, 5003)]:
        logits, targets = c.normal(rows, V) * 5, c.rng.integers(0, V, rows).astype(np.int32)
        if rows > 1:
            targets[rows // 2] = -1
        gradient = np.empty_like(logits)
        losses = reference.softmax_cross_entropy(logits, targets, gradient, 0.125)
        outs = [Out(c.junk(rows), losses, 1e-6, 5), Out(c.junk(rows, V), gradient, 2e-6, 0.125)]
        c.add("softmax_cross_entropy", [rows, V], [0.125], [*outs, logits, targets])
        c.add("softmax_cross_entropy", [rows, V], [0.125], [outs[0], None, logits, targets])


def vectors(c):
    for n in (1, 3, 16, 31, 1000, 70001):
        a, b = c.normal(n), c.normal(n)
        c.add("add", [n], [], [Out(c.junk(n), a + b), a, b])
        c.add("mul", [n], [], [Out(c.junk(n), a * b), a, b])
        c.add("axpy", [n], [0.25], [Out(a, reference.axpy(a.copy(), b, np.float32(0.25)), 1e-6), b])
        c.add("sum_squares", [n], [], [a, Out(np.zeros(1), np.array([reference.sum_squares(a)]), 1e-6)])
        state = [c.normal(n), c.normal(n), np.abs(c.normal(n))]
        after = [x.copy() for x in state]
        g, hyper = c.normal(n), (1e-2, 0.9, 0.95, 1e-8, 0.1)
        reference.adamw(after[0], g, *after[1:], *hyper, 3, 0.5)
        outs = [Out(x, y, 5e-6) for x, y in zip(state, after, strict=True)]
        floats = [*hyper, 1 - 0.9**3, 1 - 0.95**3, 0.5]
        c.add("adamw", [n], floats, [outs[0], g, outs[1], outs[2]])
    for rows, N in [(1, 1), (5, 3), (80, 67), (300, 130)]:
        dout, dbias = c.normal(rows, N), c.normal(N)
        want = reference.bias_backward(dout, dbias.astype(np.float64))
        c.add("bias_backward", [rows, N], [], [Out(dbias, want, 5e-6), dout])


def write(path, seed):
    """Writes all cases to `path`; returns the kernels' names, one for each case."""
    cases = Cases(seed)
    for group in (
        products,
        stored,
        embeddings,
        norms,
        positions,
        attentions,
        caches,
        activations,
        serving,
        loss,
        vectors,
    ):
        group(cases)
    cases.write(path)
    return cases.names
