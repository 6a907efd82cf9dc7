# Argument checks: dtype, shape, strides, overlap; a C view of an array. Included by _native.pyx.

cdef enum:
    MAXDIM = 8
    F32 = 0
    I32 = 1
    U8 = 2
    U16 = 3

ctypedef struct Arr:
    char *p
    int nd
    int64_t n               # elements
    int64_t shape[MAXDIM]
    int64_t stride[MAXDIM]  # in elements


cdef int _get(object a, str name, int kind, bint write, Arr *r) except -1:
    """Fill r from array a. The pointer stays valid as long as the caller holds a."""
    cdef Py_buffer view
    cdef int i, bad
    cdef char c
    if not isinstance(a, _ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(a).__name__}")
    PyObject_GetBuffer(a, &view, PyBUF_STRIDES | PyBUF_FORMAT)
    bad = 0
    c = view.format[0] if view.format != NULL else b'B'
    if view.format != NULL and view.format[0] != 0 and view.format[1] != 0:
        bad = 1
    elif kind == F32:
        bad = c != b'f'
    elif kind == I32:
        bad = (c != b'i' and c != b'l') or view.itemsize != 4
    elif kind == U16:
        bad = c != b'H'
    else:
        bad = c != b'B'
    if not bad and view.ndim > MAXDIM:
        bad = 2
    if not bad and write and view.readonly:
        bad = 3
    if not bad:
        r.p = <char *>view.buf
        r.nd = view.ndim
        r.n = 1
        for i in range(view.ndim):
            r.shape[i] = view.shape[i]
            r.n *= view.shape[i]
            if view.strides[i] % view.itemsize:
                bad = 4
            r.stride[i] = view.strides[i] // view.itemsize
    PyBuffer_Release(&view)
    if bad == 1:
        want = ("float32", "int32", "uint8", "uint16")[kind]
        raise TypeError(f"{name}: dtype {a.dtype}{'' if a.flags.aligned else ' (unaligned)'}, expected native {want}")
    if bad == 2:
        raise ValueError(f"{name}: shape {a.shape} has too many dimensions")
    if bad == 3:
        raise ValueError(f"{name}: array is read-only")
    if bad == 4:
        raise ValueError(f"{name}: strides {a.strides} are not whole elements")
    return 0


cdef int _finished() except -1:
    """To be called after every kernel that needs work buffers: MemoryError if there was no memory for them."""
    if nk_take_failure():
        raise MemoryError("no memory for the work buffers of a kernel")
    return 0


cdef bint _is_contiguous(Arr *r, int first) noexcept:
    """Whether dimensions first.. are laid out without gaps (size-1 dimensions may have any stride)."""
    cdef int64_t want = 1
    cdef int i
    if r.n == 0:
        return True
    for i in range(r.nd - 1, first - 1, -1):
        if r.shape[i] != 1 and r.stride[i] != want:
            return False
        want *= r.shape[i]
    return True


cdef int _dense(object a, str name, int kind, bint write, Arr *r) except -1:
    _get(a, name, kind, write, r)
    if not _is_contiguous(r, 0):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides} is not C-contiguous")
    return 0


cdef int _rows(object a, str name, bint write, Arr *r, int kind=F32) except -1:
    """A matrix whose rows may be apart; r.stride[0] becomes the distance of two rows."""
    _get(a, name, kind, write, r)
    if r.nd != 2:
        raise ValueError(f"{name}: shape {a.shape}, expected two dimensions")
    if r.n and ((r.shape[1] != 1 and r.stride[1] != 1) or (r.shape[0] > 1 and r.stride[0] < r.shape[1])):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides}: rows must be contiguous and "
                         f"must not overlap")
    if r.shape[0] <= 1 or r.n == 0:
        r.stride[0] = r.shape[1]
    return 0


cdef int _heads(object a, str name, bint write, Arr *r) except -1:
    """(B, T, H, D) float32, heads contiguous; stride[1] = row stride, stride[0] = batch stride, made definite."""
    _get(a, name, F32, write, r)
    if r.nd != 4:
        raise ValueError(f"{name}: shape {a.shape}, expected (batch, rows, heads, head dimension)")
    cdef int64_t width = r.shape[2] * r.shape[3]
    if not _is_contiguous(r, 2):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides}: a row of heads must be contiguous")
    if r.shape[1] <= 1 or r.n == 0:  # one row per batch: the batches are the rows
        r.stride[1] = r.stride[0] if r.shape[0] > 1 and r.n else width
    if r.shape[0] <= 1 or r.n == 0:
        r.stride[0] = r.shape[1] * r.stride[1]
    if r.n and (r.stride[1] < width or r.stride[0] < (r.shape[1] - 1) * r.stride[1] + width):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides}: rows must not overlap")
    return 0


cdef int64_t _extent(Arr *r) noexcept:
    """Elements from the first to one past the last."""
    cdef int64_t e = 1
    cdef int i
    if r.n == 0:
        return 0
    for i in range(r.nd):
        e += (r.shape[i] - 1) * r.stride[i]
    return e


cdef int _apart(Arr *x, str xname, Arr *y, str yname, int64_t xrow, int64_t yrow, int64_t xwidth, int64_t ywidth,
                bint same_allowed) except -1:
    """ValueError if x and y share memory. Rows of equal stride may interleave (slices of one fused buffer)."""
    cdef int64_t ex, ey, d
    if x.p == NULL or y.p == NULL or (same_allowed and x.p == y.p and xrow == yrow and xwidth == ywidth):
        return 0
    ex = _extent(x) * 4
    ey = _extent(y) * 4
    if x.p + ex <= y.p or y.p + ey <= x.p:
        return 0
    if xrow > 0 and xrow == yrow and (x.nd < 4 or (x.stride[0] % xrow == 0 and y.stride[0] % xrow == 0)):
        d = (y.p - x.p) % (xrow * 4)
        if d < 0:
            d += xrow * 4
        if d >= xwidth * 4 and xrow * 4 - d >= ywidth * 4:
            return 0
    raise ValueError(f"{xname} and {yname} overlap in memory")


cdef int _distinct(Arr *x, str xname, Arr *y, str yname, bint same_allowed=False) except -1:
    return _apart(x, xname, y, yname, 0, 0, 0, 0, same_allowed)


cdef str _show(Arr *r):
    return "(" + ", ".join([str(r.shape[i]) for i in range(r.nd)]) + ")"


cdef int _shape1(Arr *r, str name, int64_t a) except -1:
    if r.nd != 1 or r.shape[0] != a:
        raise ValueError(f"{name}: shape {_show(r)}, expected ({a},)")
    return 0


cdef int _shape2(Arr *r, str name, int64_t a, int64_t b) except -1:
    if r.nd != 2 or r.shape[0] != a or r.shape[1] != b:
        raise ValueError(f"{name}: shape {_show(r)}, expected ({a}, {b})")
    return 0


cdef int _like(Arr *r, str name, Arr *want) except -1:
    cdef int i
    cdef bint ok = r.nd == want.nd
    if ok:
        for i in range(r.nd):
            ok = ok and r.shape[i] == want.shape[i]
    if not ok:
        raise ValueError(f"{name}: shape {_show(r)}, expected {_show(want)}")
    return 0


cdef int _in_range(Arr *ids, str name, int64_t low, int64_t high) except -1:
    """ValueError unless low <= id < high for all: an index outside would read or write foreign memory."""
    cdef const int32_t *p = <const int32_t *>ids.p
    cdef int64_t i
    cdef int64_t lo = high - 1 if high > low else low
    cdef int64_t hi = low
    for i in range(ids.n):
        if p[i] < lo:
            lo = p[i]
        if p[i] > hi:
            hi = p[i]
    if ids.n and (lo < low or hi >= high):
        raise ValueError(f"{name}: values {lo} .. {hi} are outside {low} .. {high - 1}")
    return 0
