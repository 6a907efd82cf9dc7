# Arrays of strings as GGUF stores them, each a u64 length (little endian) and its bytes: stepped over, and cut apart.
# Every length is checked against what is there; knows no metadata. Included by _text.pyx.

cdef extern from *:
    """
    static unsigned long long length_at(const unsigned char *p) {
        unsigned long long value = 0;
        for (int i = 7; i >= 0; i--) value = value << 8 | p[i];
        return value;
    }
    """
    unsigned long long length_at(const unsigned char *p) noexcept

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *s, Py_ssize_t size, const char *errors)


def walk_strings(data, Py_ssize_t at, Py_ssize_t count, Py_ssize_t bound):
    """Step over up to `count` strings from byte `at` of a contiguous buffer.

    Returns (strings left, position, length of the string there): stops before a string that the buffer does not hold
    whole (length -1 if not even its length is there) or that is longer than `bound`.
    """
    cdef Py_buffer view
    cdef const unsigned char *p
    cdef Py_ssize_t size
    cdef unsigned long long length
    cdef object stopped = -1
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    p, size = <const unsigned char *>view.buf, view.len
    try:
        while count > 0 and 0 <= at <= size - 8:
            length = length_at(p + at)
            if length > <unsigned long long>bound or length > <unsigned long long>(size - 8 - at):
                stopped = length
                break
            at += 8 + <Py_ssize_t>length
            count -= 1
    finally:
        PyBuffer_Release(&view)
    return count, at, stopped


def cut_strings(data, Py_ssize_t count, bint text=False):
    """The `count` strings of a contiguous buffer as bytes, or with `text` as str.

    ValueError if the buffer does not hold them, or holds one that is not UTF-8 (UnicodeDecodeError).
    """
    cdef Py_buffer view
    cdef const unsigned char *p
    cdef Py_ssize_t size, at = 0
    cdef unsigned long long length
    cdef list found = []
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    p, size = <const unsigned char *>view.buf, view.len
    try:
        while count > 0:
            if at > size - 8:
                raise ValueError("the buffer ends in a string's length")
            length = length_at(p + at)
            if length > <unsigned long long>(size - 8 - at):
                raise ValueError("the buffer ends in a string")
            if text:
                found.append(PyUnicode_DecodeUTF8(<const char *>(p + at + 8), <Py_ssize_t>length, NULL))
            else:
                found.append(PyBytes_FromStringAndSize(<const char *>(p + at + 8), <Py_ssize_t>length))
            at += 8 + <Py_ssize_t>length
            count -= 1
    finally:
        PyBuffer_Release(&view)
    return found
