# Float weights to blocks of a storage type. Included by _native.pyx.


def quantize(str qtype, w):
    """w float32 (N, K) -> uint8 (N, bytes of a row): blocks of `qtype` in GGUF order, the same bytes on every machine.

    qtype: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K (reference_quantize.py says how values are
    chosen). ValueError for other types, for K that is no multiple of the type's block, and for values that are not
    finite.
    """
    cdef Arr W, O
    cdef int number, failed
    _dense(w, "w", F32, False, &W)
    if W.nd != 2:
        raise ValueError(f"w: shape {_show(&W)}, expected (N, K)")
    if qtype not in _QTYPES:
        raise ValueError(f"unknown storage type {qtype!r}")
    number = _QTYPES[qtype].number
    out = _empty((W.shape[0], _QTYPES[qtype].row_bytes(W.shape[1])), _u8)
    _dense(out, "out", U8, True, &O)
    with nogil:
        failed = nk_quantize(number, <const float *>W.p, <uint8_t *>O.p, W.shape[0], W.shape[1])
    if failed < 0:
        raise ValueError(f"there is no quantiser that writes {qtype}")
    if failed:
        raise ValueError("w holds a value that is not finite")
    return out
