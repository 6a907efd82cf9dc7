# Layers and the loss, forward and backward. Included by _native.pyx.

# ---- embedding --------------------------------------------------------------------------------------------------

def embedding(table, ids, out=None):
    """table (V, D), ids int32 of any shape, 0 <= id < V -> ids.shape + (D,)."""
    cdef Arr W, I, O
    _dense(table, "table", F32, False, &W)
    if W.nd != 2:
        raise ValueError(f"table: shape {_show(&W)}, expected (V, D)")
    _dense(ids, "ids", I32, False, &I)
    _in_range(&I, "ids", 0, W.shape[0])
    shape = ids.shape + (W.shape[1],)
    if out is None:
        out = _empty(shape, _f32)
    _dense(out, "out", F32, True, &O)
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, expected {shape}")
    _distinct(&O, "out", &W, "table")
    if O.n:
        with nogil:
            K.embedding(<float *>O.p, <const float *>W.p, <const int32_t *>I.p, I.n, W.shape[1])
    return out


def embedding_backward(dout, ids, dtable):
    """dtable(V, D)[ids] += dout(ids.shape + (D,)); rows named more than once are summed in the order of ids."""
    cdef Arr W, I, G
    _dense(dtable, "dtable", F32, True, &W)
    if W.nd != 2:
        raise ValueError(f"dtable: shape {_show(&W)}, expected (V, D)")
    _dense(ids, "ids", I32, False, &I)
    _in_range(&I, "ids", 0, W.shape[0])
    _dense(dout, "dout", F32, False, &G)
    if dout.shape != ids.shape + (W.shape[1],):
        raise ValueError(f"dout: shape {dout.shape}, expected {ids.shape + (W.shape[1],)}")
    _distinct(&W, "dtable", &G, "dout")
    if G.n:
        with nogil:
            K.embedding_backward(<float *>W.p, <const float *>G.p, <const int32_t *>I.p, I.n, W.shape[1])
    return dtable


# ---- RMSNorm ----------------------------------------------------------------------------------------------------

cdef int64_t _split(Arr *x, str name) except -1:
    """Number of rows of (..., D), D >= 1."""
    if x.nd < 1 or x.shape[x.nd - 1] < 1:
        raise ValueError(f"{name}: shape {_show(x)}, expected (..., D)")
    return x.n // x.shape[x.nd - 1]


def rmsnorm(x, weight, float eps, out=None):
    """x (..., D), weight (D,) -> (out like x, rstd (rows,)): out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).

    out may be x. Zhang & Sennrich 2019.
    """
    cdef Arr X, W, O, S
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    _distinct(&O, "out", &W, "weight")
    rstd = _empty((rows,), _f32)
    _dense(rstd, "rstd", F32, True, &S)
    if rows:
        with nogil:
            K.rmsnorm(<float *>O.p, <float *>S.p, <const float *>X.p, <const float *>W.p, rows, D, eps)
    return out, rstd


def rmsnorm_backward(dout, x, weight, rstd, dweight, out=None):
    """Gradient of rmsnorm: returns dx (written to out if given; may be dout), adds to dweight (D,)."""
    cdef Arr G, X, W, S, DW, O
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(dout, "dout", F32, False, &G)
    _like(&G, "dout", &X)
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    _dense(rstd, "rstd", F32, False, &S)
    if S.n != rows:
        raise ValueError(f"rstd: shape {_show(&S)}, expected ({rows},)")
    _dense(dweight, "dweight", F32, True, &DW)
    _shape1(&DW, "dweight", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x")
    _distinct(&O, "out", &G, "dout", True)
    _distinct(&O, "out", &W, "weight")
    _distinct(&DW, "dweight", &G, "dout")
    _distinct(&DW, "dweight", &X, "x")
    _distinct(&DW, "dweight", &O, "out")
    _distinct(&DW, "dweight", &W, "weight")
    if rows:
        with nogil:
            K.rmsnorm_backward(<float *>O.p, <float *>DW.p, <const float *>G.p, <const float *>X.p,
                               <const float *>W.p, <const float *>S.p, rows, D)
        _finished()
    return out


# ---- LayerNorm --------------------------------------------------------------------------------------------------

def layernorm(x, weight, bias, float eps, out=None):
    """x (..., D), weight and bias (D,) -> (out like x, mean (rows,), rstd (rows,)), rstd = 1 / sqrt(variance + eps).

    out = (x - mean) * rstd * weight + bias over each row; out may be x. Ba et al. 2016.
    """
    cdef Arr X, W, B, O, M, S
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    _dense(bias, "bias", F32, False, &B)
    _shape1(&B, "bias", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    _distinct(&O, "out", &W, "weight")
    _distinct(&O, "out", &B, "bias")
    mean = _empty((rows,), _f32)
    rstd = _empty((rows,), _f32)
    _dense(mean, "mean", F32, True, &M)
    _dense(rstd, "rstd", F32, True, &S)
    if rows:
        with nogil:
            K.layernorm(<float *>O.p, <float *>M.p, <float *>S.p, <const float *>X.p, <const float *>W.p,
                        <const float *>B.p, rows, D, eps)
    return out, mean, rstd


def layernorm_backward(dout, x, weight, mean, rstd, dweight, dbias, out=None):
    """Gradient of layernorm: returns dx (written to out if given; may be dout), adds to dweight and dbias (D,)."""
    cdef Arr G, X, W, M, S, DW, DB, O
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(dout, "dout", F32, False, &G)
    _like(&G, "dout", &X)
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    _dense(mean, "mean", F32, False, &M)
    _shape1(&M, "mean", rows)
    _dense(rstd, "rstd", F32, False, &S)
    _shape1(&S, "rstd", rows)
    _dense(dweight, "dweight", F32, True, &DW)
    _shape1(&DW, "dweight", D)
    _dense(dbias, "dbias", F32, True, &DB)
    _shape1(&DB, "dbias", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x")
    _distinct(&O, "out", &G, "dout", True)
    _distinct(&O, "out", &W, "weight")
    _distinct(&O, "out", &M, "mean")
    _distinct(&O, "out", &S, "rstd")
    for name, sums in (("dweight", dweight), ("dbias", dbias)):
        _dense(sums, name, F32, True, &DW)
        _distinct(&DW, name, &G, "dout")
        _distinct(&DW, name, &X, "x")
        _distinct(&DW, name, &O, "out")
        _distinct(&DW, name, &W, "weight")
        _distinct(&DW, name, &M, "mean")
        _distinct(&DW, name, &S, "rstd")
    _dense(dweight, "dweight", F32, True, &DW)
    _distinct(&DW, "dweight", &DB, "dbias")
    if rows:
        with nogil:
            K.layernorm_backward(<float *>O.p, <float *>DW.p, <float *>DB.p, <const float *>G.p, <const float *>X.p,
                                 <const float *>W.p, <const float *>M.p, <const float *>S.p, rows, D)
        _finished()
    return out


# ---- rotary positions -------------------------------------------------------------------------------------------

def rope(x, cos, sin, positions, bint inverse=False):
    """Rotate pairs (i, i + D/2) of x (..., H, D) in place by the angle of each row's position; inverse rotates back.

    cos, sin (max_pos, D/2); positions int32, one per row, 0 <= position < max_pos. The rows of x, flattened, must lie
    at one constant distance, which may exceed H * D (a slice of a fused buffer). Su et al. 2021, half-split order.
    """
    cdef Arr X, C, S, P
    cdef int64_t H, D, rows, row
    cdef int i
    _get(x, "x", F32, True, &X)
    if X.nd < 2 or X.shape[X.nd - 1] % 2 or X.shape[X.nd - 1] < 2:
        raise ValueError(f"x: shape {_show(&X)}, expected (..., H, D) with D even")
    H, D = X.shape[X.nd - 2], X.shape[X.nd - 1]
    if X.n == 0:
        return x
    rows = X.n // (H * D)
    if not _is_contiguous(&X, X.nd - 2):
        raise ValueError(f"x: shape {x.shape} with strides {x.strides}: a row of heads must be contiguous")
    row = 0
    cdef int64_t below = 1
    for i in range(X.nd - 3, -1, -1):
        if X.shape[i] != 1:
            if row == 0:
                row = X.stride[i]
            elif X.stride[i] != row * below:
                raise ValueError(f"x: shape {x.shape} with strides {x.strides}: rows are not at a constant distance")
            below *= X.shape[i]
    if row == 0:
        row = H * D
    if row < H * D:
        raise ValueError(f"x: shape {x.shape} with strides {x.strides}: rows must not overlap")
    _dense(cos, "cos", F32, False, &C)
    _dense(sin, "sin", F32, False, &S)
    if C.nd != 2 or C.shape[1] != D // 2:
        raise ValueError(f"cos: shape {_show(&C)}, expected (max_pos, {D // 2})")
    _like(&S, "sin", &C)
    _dense(positions, "positions", I32, False, &P)
    if P.n != rows:
        raise ValueError(f"positions: shape {_show(&P)}, expected one for each of the {rows} rows of x {_show(&X)}")
    _in_range(&P, "positions", 0, C.shape[0])
    with nogil:
        K.rope(<float *>X.p, row, <const float *>C.p, <const float *>S.p, <const int32_t *>P.p, rows, H, D, inverse)
    return x


# ---- attention --------------------------------------------------------------------------------------------------

cdef int _check_qkv(Arr *Q, Arr *Kk, Arr *V, bint causal) except -1:
    cdef int64_t B = Q.shape[0], T = Q.shape[1], H = Q.shape[2], D = Q.shape[3], S = Kk.shape[1], KH = Kk.shape[2]
    if Kk.shape[0] != B or Kk.shape[3] != D or KH < 1 or H % KH:
        raise ValueError(f"attention: q {_show(Q)} and k {_show(Kk)} do not agree (batch, head dimension, heads "
                         f"a multiple of key heads)")
    _like(V, "v", Kk)
    if D < 1 or D > 256:
        raise ValueError(f"attention: head dimension {D} is outside 1 .. 256")
    if S < 1 or (causal and S < T):
        raise ValueError(f"attention: q {_show(Q)} needs at least {T if causal else 1} keys, k is {_show(Kk)}")
    return 0


def attention(q, k, v, float scale, bint causal=True, out=None, bint need_lse=True):
    """Scaled dot product attention, softmax(q k^T * scale) v, with grouped heads; the scores are never stored.

    q (B, T, H, D); k, v (B, S, KH, D), H % KH == 0, D <= 256. causal: query t sees keys 0 .. t + (S - T), so S >= T.
    q, k, v may be views with wider rows; k and v must have equal strides. Returns (out (B, T, H, D), lse (B, H, T) or
    None), lse = log sum exp of the scaled scores, which the backward pass needs. Dao 2022 (FlashAttention).
    """
    cdef Arr Q, Kk, V, O, L
    cdef float *pl = NULL
    _heads(q, "q", False, &Q)
    _heads(k, "k", False, &Kk)
    _heads(v, "v", False, &V)
    _check_qkv(&Q, &Kk, &V, causal)
    if Kk.stride[0] != V.stride[0] or Kk.stride[1] != V.stride[1]:
        raise ValueError(f"attention: k and v have different strides, {k.strides} and {v.strides}")
    if out is None:
        out = _empty(q.shape, _f32)
    _heads(out, "out", True, &O)
    _like(&O, "out", &Q)
    cdef int64_t w = Q.shape[2] * Q.shape[3], wk = Kk.shape[2] * Kk.shape[3]
    _apart(&O, "out", &Q, "q", O.stride[1], Q.stride[1], w, w, False)
    _apart(&O, "out", &Kk, "k", O.stride[1], Kk.stride[1], w, wk, False)
    _apart(&O, "out", &V, "v", O.stride[1], V.stride[1], w, wk, False)
    lse = None
    if need_lse:
        lse = _empty((Q.shape[0], Q.shape[2], Q.shape[1]), _f32)
        _dense(lse, "lse", F32, True, &L)
        pl = <float *>L.p
    if Q.n:
        with nogil:
            K.attention(<float *>O.p, pl, <const float *>Q.p, <const float *>Kk.p, <const float *>V.p, Q.shape[0],
                        Q.shape[1], Kk.shape[1], Q.shape[2], Kk.shape[2], Q.shape[3], Q.stride[1], Q.stride[0],
                        Kk.stride[1], Kk.stride[0], O.stride[1], O.stride[0], scale, causal)
        _finished()
    return out, lse


cdef bint _same_rows(Arr *x, Arr *y) noexcept:
    return x.stride[0] == y.stride[0] and x.stride[1] == y.stride[1]


def attention_backward(dout, q, k, v, out, lse, float scale, bint causal=True, dq=None, dk=None, dv=None):
    """Gradients (dq, dk, dv) of attention; written, not accumulated. out and lse come from the forward pass.

    dq, dk, dv may be given as views with wider rows. It is fastest when dq has the strides of q, dk and dv those of k
    and v, and dout those of out; otherwise contiguous copies are made. Dao 2023 (FlashAttention-2), algorithm 2.
    """
    cdef Arr Q, Kk, V, G, O, L, DQ, DK, DV
    _heads(q, "q", False, &Q)
    _heads(k, "k", False, &Kk)
    _heads(v, "v", False, &V)
    _check_qkv(&Q, &Kk, &V, causal)
    _heads(dout, "dout", False, &G)
    _like(&G, "dout", &Q)
    _heads(out, "out", False, &O)
    _like(&O, "out", &Q)
    _dense(lse, "lse", F32, False, &L)
    if L.nd != 3 or L.shape[0] != Q.shape[0] or L.shape[1] != Q.shape[2] or L.shape[2] != Q.shape[1]:
        raise ValueError(f"lse: shape {_show(&L)}, expected ({Q.shape[0]}, {Q.shape[2]}, {Q.shape[1]})")
    # The kernel takes one pair of strides per operand group. Bring the inputs to that, allocate what is missing.
    if not _same_rows(&G, &O):
        dout, out = _np.ascontiguousarray(dout), _np.ascontiguousarray(out)
        _heads(dout, "dout", False, &G)
        _heads(out, "out", False, &O)
    given_q, given_k, given_v = dq, dk, dv
    if dq is not None:
        _heads(dq, "dq", True, &DQ)
        _like(&DQ, "dq", &Q)
    if dq is None or not _same_rows(&DQ, &Q):
        q = _np.ascontiguousarray(q)
        dq = _empty(q.shape, _f32)
        _heads(q, "q", False, &Q)
        _heads(dq, "dq", True, &DQ)
    if dk is not None:
        _heads(dk, "dk", True, &DK)
        _like(&DK, "dk", &Kk)
    if dv is not None:
        _heads(dv, "dv", True, &DV)
        _like(&DV, "dv", &V)
    if (dk is None or dv is None or not _same_rows(&DK, &Kk) or not _same_rows(&DV, &V) or not _same_rows(&Kk, &V)):
        k, v = _np.ascontiguousarray(k), _np.ascontiguousarray(v)
        dk, dv = _empty(k.shape, _f32), _empty(v.shape, _f32)
        _heads(k, "k", False, &Kk)
        _heads(v, "v", False, &V)
        _heads(dk, "dk", True, &DK)
        _heads(dv, "dv", True, &DV)
    cdef int64_t w = Q.shape[2] * Q.shape[3], wk = Kk.shape[2] * Kk.shape[3]
    _apart(&DQ, "dq", &DK, "dk", DQ.stride[1], DK.stride[1], w, wk, False)
    _apart(&DQ, "dq", &DV, "dv", DQ.stride[1], DV.stride[1], w, wk, False)
    _apart(&DK, "dk", &DV, "dv", DK.stride[1], DV.stride[1], wk, wk, False)
    for name, given in (("dq", dq), ("dk", dk), ("dv", dv)):
        _overlaps(name, given, (("dout", dout), ("out", out), ("q", q), ("k", k), ("v", v)))
    if Q.n:
        with nogil:
            K.attention_backward(<float *>DQ.p, <float *>DK.p, <float *>DV.p, <const float *>G.p, <const float *>O.p,
                                 <const float *>L.p, <const float *>Q.p, <const float *>Kk.p, <const float *>V.p,
                                 Q.shape[0], Q.shape[1], Kk.shape[1], Q.shape[2], Kk.shape[2], Q.shape[3], Q.stride[1],
                                 Q.stride[0], Kk.stride[1], Kk.stride[0], O.stride[1], O.stride[0], scale, causal)
        _finished()
    else:
        dk[...] = 0
        dv[...] = 0
    if given_q is not None and given_q is not dq:
        given_q[...] = dq
        dq = given_q
    if given_k is not None and given_k is not dk:
        given_k[...] = dk
        dk = given_k
    if given_v is not None and given_v is not dv:
        given_v[...] = dv
        dv = given_v
    return dq, dk, dv


cdef int _overlaps(str name, object written, tuple read) except -1:
    cdef Arr x, y
    _heads(written, name, True, &x)
    for other, a in read:
        _heads(a, other, False, &y)
        _apart(&x, name, &y, other, x.stride[1], y.stride[1], x.shape[2] * x.shape[3], y.shape[2] * y.shape[3], False)
    return 0


# ---- SwiGLU -----------------------------------------------------------------------------------------------------

def swiglu(gu, out=None):
    """gu (..., 2F) = [gate | up] -> silu(gate) * up, (..., F). Shazeer 2020."""
    cdef Arr X, O
    cdef int64_t rows, F
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    shape = gu.shape[:-1] + (F,)
    if out is None:
        out = _empty(shape, _f32)
    _dense(out, "out", F32, True, &O)
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, expected {shape}")
    _distinct(&O, "out", &X, "gu")
    if rows:
        with nogil:
            K.swiglu(<float *>O.p, <const float *>X.p, rows, F)
    return out


def swiglu_backward(dout, gu, out=None):
    """Gradient of swiglu: dout (..., F), gu (..., 2F) -> dgu (..., 2F), written to out if given (may be gu itself)."""
    cdef Arr G, X, O
    cdef int64_t rows, F
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    _dense(dout, "dout", F32, False, &G)
    if dout.shape != gu.shape[:-1] + (F,):
        raise ValueError(f"dout: shape {dout.shape}, expected {gu.shape[:-1] + (F,)}")
    if out is None:
        out = _empty(gu.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "gu", True)
    _distinct(&O, "out", &G, "dout")
    if rows:
        with nogil:
            K.swiglu_backward(<float *>O.p, <const float *>G.p, <const float *>X.p, rows, F)
    return out


# ---- activations ------------------------------------------------------------------------------------------------

_KINDS = {"relu": NK_RELU, "tanh": NK_TANH, "sigmoid": NK_SIGMOID, "silu": NK_SILU, "gelu_tanh": NK_GELU_TANH,
          "gelu_erf": NK_GELU_ERF, "relu2": NK_RELU2, "quick_gelu": NK_QUICK_GELU}


cdef int _kind(object kind, bint gelu_only) except -1:
    if not isinstance(kind, str) or kind not in _KINDS or (gelu_only and not kind.startswith("gelu")):
        names = [name for name in _KINDS if not gelu_only or name.startswith("gelu")]
        raise ValueError(f"kind: {kind!r}, expected one of {', '.join(names)}")
    return _KINDS[kind]


def activation(kind, x, out=None):
    """relu, tanh, sigmoid, silu, gelu_tanh, gelu_erf, relu2 or quick_gelu of each value of x; out may be x.

    silu(x) = x sigmoid(x); gelu_erf(x) = x Phi(x) and gelu_tanh its approximation (Hendrycks & Gimpel 2016);
    relu2(x) = relu(x)^2; quick_gelu(x) = x sigmoid(1.702 x).
    """
    cdef Arr X, O
    cdef int code = _kind(kind, False)
    _dense(x, "x", F32, False, &X)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    with nogil:
        K.activation(code, <float *>O.p, <const float *>X.p, X.n)
    return out


def activation_backward(kind, dout, x, out=None):
    """Gradient of activation: dout times the slope at x, of x's shape; out may be dout or x. relu's slope at 0 is 0."""
    cdef Arr G, X, O
    cdef int code = _kind(kind, False)
    _dense(x, "x", F32, False, &X)
    _dense(dout, "dout", F32, False, &G)
    _like(&G, "dout", &X)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    _distinct(&O, "out", &G, "dout", True)
    with nogil:
        K.activation_backward(code, <float *>O.p, <const float *>G.p, <const float *>X.p, X.n)
    return out


def geglu(gu, out=None, kind="gelu_tanh"):
    """gu (..., 2F) = [gate | up] -> gelu(gate) * up, (..., F); kind is gelu_tanh or gelu_erf. Shazeer 2020."""
    cdef Arr X, O
    cdef int64_t rows, F
    cdef int code = _kind(kind, True)
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    shape = gu.shape[:-1] + (F,)
    if out is None:
        out = _empty(shape, _f32)
    _dense(out, "out", F32, True, &O)
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, expected {shape}")
    _distinct(&O, "out", &X, "gu")
    if rows:
        with nogil:
            K.geglu(code, <float *>O.p, <const float *>X.p, rows, F)
    return out


def geglu_backward(dout, gu, out=None, kind="gelu_tanh"):
    """Gradient of geglu: dout (..., F), gu (..., 2F) -> dgu (..., 2F), written to out if given (may be gu itself)."""
    cdef Arr G, X, O
    cdef int64_t rows, F
    cdef int code = _kind(kind, True)
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    _dense(dout, "dout", F32, False, &G)
    if dout.shape != gu.shape[:-1] + (F,):
        raise ValueError(f"dout: shape {dout.shape}, expected {gu.shape[:-1] + (F,)}")
    if out is None:
        out = _empty(gu.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "gu", True)
    _distinct(&O, "out", &G, "dout")
    if rows:
        with nogil:
            K.geglu_backward(code, <float *>O.p, <const float *>G.p, <const float *>X.p, rows, F)
    return out


# ---- loss -------------------------------------------------------------------------------------------------------

def softmax_cross_entropy(logits, targets, dlogits=None, float scale=1.0):
    """logits (rows, V), targets int32 (rows,), negative = ignored -> losses (rows,) in nats, 0 where ignored.

    dlogits, if given, receives (softmax - onehot) * scale, zero in ignored rows; it may be logits itself.
    """
    cdef Arr X, Y, G, L
    cdef float *pg = NULL
    _dense(logits, "logits", F32, False, &X)
    if X.nd != 2 or X.shape[1] < 1:
        raise ValueError(f"logits: shape {_show(&X)}, expected (rows, V)")
    _dense(targets, "targets", I32, False, &Y)
    _shape1(&Y, "targets", X.shape[0])
    _in_range(&Y, "targets", -2147483648, X.shape[1])
    if dlogits is not None:
        _dense(dlogits, "dlogits", F32, True, &G)
        _like(&G, "dlogits", &X)
        _distinct(&G, "dlogits", &X, "logits", True)
        pg = <float *>G.p
    losses = _empty((X.shape[0],), _f32)
    _dense(losses, "losses", F32, True, &L)
    if X.n:
        with nogil:
            K.softmax_cross_entropy(<float *>L.p, pg, <const float *>X.p, <const int32_t *>Y.p, X.shape[0], X.shape[1],
                                    scale)
    return losses
