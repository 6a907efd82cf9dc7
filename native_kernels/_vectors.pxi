# The optimiser and element-wise helpers. Included by _native.pyx.

def adamw(p, g, m, v, double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step,
          double grad_scale=1.0):
    """One AdamW step in place on p, m, v of equal shape; step counts from 1; g is multiplied by grad_scale first.

    Loshchilov & Hutter 2019, decay decoupled: p -= lr * (mhat / (sqrt(vhat) + eps) + weight_decay * p).
    """
    cdef Arr P, G, M, V
    cdef float c1, c2
    if step < 1:
        raise ValueError(f"step: {step}, counts from 1")
    _dense(p, "p", F32, True, &P)
    _dense(g, "g", F32, False, &G)
    _dense(m, "m", F32, True, &M)
    _dense(v, "v", F32, True, &V)
    _like(&G, "g", &P)
    _like(&M, "m", &P)
    _like(&V, "v", &P)
    _distinct(&P, "p", &G, "g")
    _distinct(&P, "p", &M, "m")
    _distinct(&P, "p", &V, "v")
    _distinct(&M, "m", &G, "g")
    _distinct(&M, "m", &V, "v")
    _distinct(&V, "v", &G, "g")
    c1 = 1.0 - beta1 ** <double>step
    c2 = 1.0 - beta2 ** <double>step
    if P.n:
        with nogil:
            K.adamw(<float *>P.p, <const float *>G.p, <float *>M.p, <float *>V.p, P.n, <float>lr, <float>beta1,
                    <float>beta2, <float>eps, <float>weight_decay, c1, c2, <float>grad_scale)


def sum_squares(x):
    """Sum of squares of all elements, in double; the same bits for any number of threads."""
    cdef Arr X
    cdef double s
    _dense(x, "x", F32, False, &X)
    with nogil:
        s = K.sum_squares(<const float *>X.p, X.n)
    return s


cdef object _binary(object a, object b, object out, Arr *A, Arr *B, Arr *O):
    _dense(a, "a", F32, False, A)
    _dense(b, "b", F32, False, B)
    _like(B, "b", A)
    if out is None:
        out = _empty(a.shape, _f32)
    _dense(out, "out", F32, True, O)
    _like(O, "out", A)
    _distinct(O, "out", A, "a", True)
    _distinct(O, "out", B, "b", True)
    return out


def add(a, b, out=None):
    """a + b of equal shapes; out may be a or b."""
    cdef Arr A, B, O
    out = _binary(a, b, out, &A, &B, &O)
    with nogil:
        K.add(<float *>O.p, <const float *>A.p, <const float *>B.p, A.n)
    return out


def mul(a, b, out=None):
    """a * b of equal shapes, element by element; out may be a or b."""
    cdef Arr A, B, O
    out = _binary(a, b, out, &A, &B, &O)
    with nogil:
        K.mul(<float *>O.p, <const float *>A.p, <const float *>B.p, A.n)
    return out


def axpy(y, x, float alpha):
    """y += alpha * x in place, equal shapes; returns y."""
    cdef Arr Y, X
    _dense(y, "y", F32, True, &Y)
    _dense(x, "x", F32, False, &X)
    _like(&X, "x", &Y)
    _distinct(&Y, "y", &X, "x", True)
    with nogil:
        K.axpy(<float *>Y.p, <const float *>X.p, alpha, Y.n)
    return y


def bias_backward(dout, dbias):
    """dbias (N,) += column sums of dout (..., N); returns dbias."""
    cdef Arr G, O
    _dense(dout, "dout", F32, False, &G)
    cdef int64_t rows = _split(&G, "dout"), N = G.shape[G.nd - 1]
    _dense(dbias, "dbias", F32, True, &O)
    _shape1(&O, "dbias", N)
    _distinct(&O, "dbias", &G, "dout")
    if rows:
        with nogil:
            K.bias_backward(<float *>O.p, <const float *>G.p, rows, N)
    return dbias
