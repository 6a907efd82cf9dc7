# Matrix products: float32 and bfloat16. Included by _native.pyx.

ctypedef struct Product:
    int64_t M, N, K, ldr
    Arr A, B, C
    const float *bias
    const float *residual


cdef object _product(str what, Product *g, object a, int kind_a, object b, int kind_b, object out, bint trans_a,
                     bint trans_b, object bias, object residual, bint accumulate):
    """Checks the arguments of a product and fills g; returns out, made if it was None."""
    cdef Arr bi, R
    cdef int64_t Kb
    _rows(a, "a", False, &g.A, kind_a)
    _rows(b, "b", False, &g.B, kind_b)
    g.M, g.K = (g.A.shape[1], g.A.shape[0]) if trans_a else (g.A.shape[0], g.A.shape[1])
    g.N, Kb = (g.B.shape[0], g.B.shape[1]) if trans_b else (g.B.shape[1], g.B.shape[0])
    if g.K != Kb:
        raise ValueError(f"{what}: a {_show(&g.A)}{' transposed' if trans_a else ''} and b {_show(&g.B)}"
                         f"{' transposed' if trans_b else ''} do not agree on the inner dimension ({g.K} and {Kb})")
    if out is None:
        if accumulate:
            raise ValueError(f"{what}: accumulate needs out")
        out = _empty((g.M, g.N), _f32)
    _rows(out, "out", True, &g.C)
    _shape2(&g.C, "out", g.M, g.N)
    if kind_a == F32:
        _apart(&g.C, "out", &g.A, "a", g.C.stride[0], g.A.stride[0], g.C.shape[1], g.A.shape[1], False)
    if kind_b == F32:
        _apart(&g.C, "out", &g.B, "b", g.C.stride[0], g.B.stride[0], g.C.shape[1], g.B.shape[1], False)
    g.bias = g.residual = NULL
    g.ldr = 0
    if bias is not None:
        _dense(bias, "bias", F32, False, &bi)
        _shape1(&bi, "bias", g.N)
        _distinct(&g.C, "out", &bi, "bias")
        g.bias = <const float *>bi.p
    if residual is not None:
        _rows(residual, "residual", False, &R)
        _shape2(&R, "residual", g.M, g.N)
        _apart(&g.C, "out", &R, "residual", g.C.stride[0], R.stride[0], g.N, g.N, True)
        g.residual = <const float *>R.p
        g.ldr = R.stride[0]
    return out


def gemm(a, b, out=None, bint trans_a=False, bint trans_b=False, bias=None, residual=None, bint accumulate=False):
    """out(M, N) = op(a) op(b) [+ out if accumulate] [+ bias(N)] [+ residual(M, N)], float32.

    a is (M, K), or (K, M) with trans_a; b is (K, N), or (N, K) with trans_b. Rows of the matrices may be apart
    (column slices of wider buffers). residual may be out itself.
    """
    cdef Product g
    out = _product("gemm", &g, a, F32, b, F32, out, trans_a, trans_b, bias, residual, accumulate)
    if g.C.n:
        with nogil:
            K.gemm_f32(trans_a, trans_b, g.M, g.N, g.K, <const float *>g.A.p, g.A.stride[0], <const float *>g.B.p,
                       g.B.stride[0], <float *>g.C.p, g.C.stride[0], accumulate, g.bias, g.residual, g.ldr)
        _finished()
    return out


def gemm_bf16(a, b, out=None, bint trans_a=False, bint trans_b=False, bias=None, residual=None,
              bint accumulate=False):
    """As gemm, of bfloat16 operands with float32 sums; the result is float32.

    An operand is uint16 (bfloat16 bit patterns) or float32, which is rounded to bfloat16 on the way (nearest, ties
    to even). With AVX-512 BF16 twice as many multiply-adds a cycle as gemm; elsewhere the same result at gemm's speed
    (that instruction flushes subnormals and sums pairs first: a few units in the last place of float32).
    """
    cdef Product g
    cdef bint a_f32 = _is_f32(a), b_f32 = _is_f32(b)
    out = _product("gemm_bf16", &g, a, F32 if a_f32 else U16, b, F32 if b_f32 else U16, out, trans_a, trans_b, bias,
                   residual, accumulate)
    if g.C.n:
        with nogil:
            K.gemm_bf16(trans_a, trans_b, g.M, g.N, g.K, g.A.p, a_f32, g.A.stride[0], g.B.p, b_f32, g.B.stride[0],
                        <float *>g.C.p, g.C.stride[0], accumulate, g.bias, g.residual, g.ldr)
        _finished()
    return out


cdef bint _is_f32(object a):
    return isinstance(a, _ndarray) and a.dtype == _f32
