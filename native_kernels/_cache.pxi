# Keys and values of sequences, and attention over them. Included by _native.pyx.

_KV_TYPES = {"f32": NK_KV_F32, "f16": NK_KV_F16, "q8_0": NK_KV_Q8_0}


cdef int _kv_type(object name, int64_t D) except -1:
    number = _KV_TYPES.get(name)
    if number is None:
        raise ValueError(f"kv_type must be one of {', '.join(_KV_TYPES)}, got {name!r}")
    if D < 1 or D > 512:
        raise ValueError(f"head dimension {D} is outside 1 .. 512")
    if number == NK_KV_Q8_0 and D % 32:
        raise ValueError(f"kv_type q8_0 needs a head dimension that is a multiple of 32, not {D}: use f16")
    return number


def kv_bytes(kv_type, int64_t kv_heads, int64_t capacity, int64_t D):
    """Bytes of the keys (or of the values) of one layer: rows of D values, head-major (kv_heads, capacity, D).

    kv_type: "f32", "f16", or "q8_0" (D % 32 == 0, 34 bytes for 32 values).
    """
    cdef int kind = _kv_type(kv_type, D)
    if kv_heads < 1 or capacity < 1 or kv_heads > (1 << 20) or capacity > (1 << 40) // kv_heads:
        raise ValueError(f"a cache of {kv_heads} heads and {capacity} positions has no sensible size")
    return kv_heads * capacity * (4 * D if kind == NK_KV_F32 else 2 * D if kind == NK_KV_F16 else D // 32 * 34)


cdef int64_t _cache_of(object data, str name, object kv_type, int64_t kv_heads, int64_t D, bint write,
                       Arr *r) except -1:
    """Fill r from a contiguous array of any type that holds one layer's keys or values; returns its capacity."""
    cdef int64_t row = kv_bytes(kv_type, kv_heads, 1, D)
    if not isinstance(data, _ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(data).__name__}")
    if not data.flags.c_contiguous:
        raise ValueError(f"{name}: shape {data.shape} with strides {data.strides} is not C-contiguous")
    _dense(data.reshape(-1).view(_u8), name, U8, write, r)
    if r.n == 0 or r.n % row:
        raise ValueError(f"{name}: {r.n} bytes are no whole number of positions of {row} bytes "
                         f"({kv_heads} heads of {D} as {kv_type})")
    return r.n // row


def kv_store(kv_type, rows, data, int64_t start):
    """rows (R, KH, D) float32 become the keys or values of positions start .. start + R - 1 in `data`, in place.

    data: one layer's keys or values, a contiguous array of kv_bytes(kv_type, KH, capacity, D) bytes. rows may be a
    slice of wider rows.
    """
    cdef Arr X, C
    cdef nk_sequence s
    _get(rows, "rows", F32, False, &X)
    if X.nd != 3 or not _is_contiguous(&X, 1):
        raise ValueError(f"rows: shape {rows.shape} with strides {rows.strides}: expected (R, kv_heads, D) with "
                         "contiguous heads")
    cdef int kind = _kv_type(kv_type, X.shape[2])
    s.capacity = _cache_of(data, "data", kv_type, X.shape[1], X.shape[2], True, &C)
    s.row, s.rows, s.start = 0, X.shape[0], start
    s.keys = s.values = <void *>C.p
    if start < 0 or start + s.rows > s.capacity:
        raise ValueError(f"positions {start} .. {start + s.rows - 1} do not fit a cache of {s.capacity}")
    C.shape[0] = (C.n + 3) // 4  # _distinct counts in floats
    _distinct(&C, "data", &X, "rows")
    cdef int64_t stride = X.stride[0] if X.shape[0] > 1 else X.shape[1] * X.shape[2]
    if stride < X.shape[1] * X.shape[2]:
        raise ValueError(f"rows: strides {rows.strides}: rows must not overlap")
    if X.n:
        with nogil:
            K.kv_store(kind, <const float *>X.p, stride, X.shape[1], X.shape[2], &s, NK_KV_KEYS)


def kv_rotate(kv_type, keys, int64_t kv_heads, int64_t D, int64_t begin, int64_t end, cos, sin,
              bint interleaved=False):
    """Turn the stored keys of positions [begin, end) by one angle for each pair, in place: keys move to other positions.

    cos, sin (n,) float32 with 2n <= D: pair p is (p, p + n), or (2p, 2p + 1) if interleaved. Stored halves and int8 are
    read, turned and stored again, which rounds them once more.
    """
    cdef Arr C, A, B
    cdef int kind = _kv_type(kv_type, D)
    cdef int64_t capacity = _cache_of(keys, "keys", kv_type, kv_heads, D, True, &C)
    _dense(cos, "cos", F32, False, &A)
    _dense(sin, "sin", F32, False, &B)
    if A.nd != 1 or 2 * A.n > D:
        raise ValueError(f"cos: shape {_show(&A)}, expected (n,) with 2 n <= {D}")
    _like(&B, "sin", &A)
    if begin < 0 or end > capacity or end < begin:
        raise ValueError(f"positions {begin} .. {end - 1} do not lie in a cache of {capacity}")
    with nogil:
        K.kv_rotate(kind, <void *>C.p, kv_heads, capacity, D, begin, end, <const float *>A.p, <const float *>B.p,
                    2 * A.n, interleaved)
    _finished()


def attention_cached(q, sequences, int64_t kv_heads, kv_type, float scale, float softcap=0.0, int64_t window=0,
                     bint causal=True, out=None):
    """Attention of new rows over the caches of their sequences: softmax(q k^T * scale) v with grouped heads.

    q (R, H, D), rows may be a slice of wider ones; out the same, not q. sequences: list of (row, rows, start, keys,
    values): rows row .. row + rows - 1 of q stand at positions start, start + 1, ... and their own keys and values are
    stored already. keys, values: as kv_store's data. softcap: scores become softcap * tanh(score / softcap), 0: not.
    window: a row sees keys less than `window` positions away, 0: all. causal: none that come later.
    """
    cdef Arr Q, O, Kk, V
    cdef nk_cached_attention a
    cdef int64_t i, n = len(sequences)
    _get(q, "q", F32, False, &Q)
    if Q.nd != 3 or not _is_contiguous(&Q, 1):
        raise ValueError(f"q: shape {q.shape} with strides {q.strides}: expected (R, H, D) with contiguous heads")
    cdef int64_t R = Q.shape[0], H = Q.shape[1], D = Q.shape[2]
    a.kv_type = _kv_type(kv_type, D)
    if kv_heads < 1 or H < 1 or H % kv_heads:
        raise ValueError(f"{H} heads are no multiple of {kv_heads} key heads")
    if softcap < 0 or window < 0:
        raise ValueError(f"softcap {softcap} and window {window} must not be negative")
    if out is None:
        out = _np.zeros(q.shape, dtype=_f32)
    _get(out, "out", F32, True, &O)
    _like(&O, "out", &Q)
    if not _is_contiguous(&O, 1):
        raise ValueError(f"out: shape {out.shape} with strides {out.strides}: a row of heads must be contiguous")
    a.q, a.out, a.heads, a.kv_heads, a.D = <const float *>Q.p, <float *>O.p, H, kv_heads, D
    a.q_row = Q.stride[0] if R > 1 else H * D
    a.o_row = O.stride[0] if R > 1 else H * D
    if a.q_row < H * D or a.o_row < H * D:
        raise ValueError("rows of q and out must not overlap")
    _apart(&O, "out", &Q, "q", a.o_row, a.q_row, H * D, H * D, False)
    a.scale, a.softcap, a.window, a.causal = scale, softcap, window, causal
    cdef nk_sequence *table = <nk_sequence *>nk_alloc(NK_MEMORY_PLAN, max(1, n), sizeof(nk_sequence))
    _finished()
    try:
        for i in range(n):
            row, rows, start, keys, values = sequences[i]
            table[i].row, table[i].rows, table[i].start = row, rows, start
            table[i].capacity = _cache_of(keys, "keys", kv_type, kv_heads, D, False, &Kk)
            if _cache_of(values, "values", kv_type, kv_heads, D, False, &V) != table[i].capacity:
                raise ValueError(f"sequence {i}: keys of {keys.nbytes} bytes, values of {values.nbytes}")
            table[i].keys, table[i].values = <void *>Kk.p, <void *>V.p
            if row < 0 or rows < 0 or row + rows > R or start < 0 or start + rows > table[i].capacity:
                raise ValueError(f"sequence {i}: rows {row} .. {row + rows - 1} at positions from {start} do not fit "
                                 f"{R} rows and a cache of {table[i].capacity}")
        with nogil:
            K.attention_cached(&a, table, n)
        _finished()
    finally:
        nk_free(table)
    return out
