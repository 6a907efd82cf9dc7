# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""The loops of the tokenizers: pre-token scanners; matcher of split patterns; merge loop, bounded pre-token cache and training
loop of BPE; look-up with byte fallback; WordPiece; Viterbi and expectations of Unigram; masks of a vocabulary under a grammar;
look-up of the longest suffix.

Works on UTF-8 bytes (lone surrogates as their three "surrogatepass" bytes) and on integer ids only: knows nothing about files,
special tokens or normalisation (`bpe.py`, `tokenizer_json.py`). Everything runs under the interpreter lock, so one Core may be
shared by threads. Stable ABI: no numpy headers; ids leave as bytes of native int32.

The scanners are hand-written equals of the split patterns in `pretokenize.py`; tests compare both.
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY, exp, log1p
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from runtime.text.characters import WHITE, Set, categories, named
from runtime.text.unicode_data import NEW_NUMBERS

cdef extern from "Python.h":
    int PyBytes_AsStringAndSize(object obj, char **buffer, Py_ssize_t *length) except -1
    object PyBytes_FromStringAndSize(const char *v, Py_ssize_t len)

cdef inline uint64_t _mix(uint64_t x) noexcept:
    x ^= x >> 30
    x *= <uint64_t> 0xBF58476D1CE4E5B9
    x ^= x >> 27
    x *= <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


include "_scan.pxi"
include "_regex.pxi"
include "_split.pxi"
include "_prefix_tree.pxi"
include "_byte_map.pxi"
include "_bpe.pxi"
include "_bpe_train.pxi"
include "_pieces.pxi"
include "_trie.pxi"
include "_matcher.pxi"
include "_suffix.pxi"
include "_strings.pxi"
