# Byte strings to ids, without a Python object for each. Included by _text.pyx.

cdef class ByteMap:
    """blob: the strings one after the other; offsets: bytes of int64, where each begins and the end of the last; the id of
    a string is its place. Empty ones are not found; of equal ones the first is."""
    cdef bytes blob, offsets
    cdef const uint8_t *data
    cdef const int64_t *at
    cdef int32_t *slots             # place + 1, 0 = free
    cdef uint64_t mask

    def __cinit__(self, *args):
        self.slots = NULL

    def __init__(self, bytes blob, bytes offsets):
        cdef char *raw
        cdef Py_ssize_t n, k, size
        cdef uint64_t slots = 16, slot
        if self.slots != NULL:
            raise ValueError("set up once")
        self.blob, self.offsets = blob, offsets             # keep the memory alive
        PyBytes_AsStringAndSize(offsets, &raw, &n)
        self.at = <const int64_t *> raw
        n = n // 8 - 1
        PyBytes_AsStringAndSize(blob, &raw, &size)
        self.data = <const uint8_t *> raw
        if n < 0 or self.at[0] != 0 or self.at[n] != size:
            raise ValueError("offsets are not those of the strings")
        for k in range(n):
            if self.at[k + 1] < self.at[k]:
                raise ValueError("offsets are not in order")
        while slots < <uint64_t> n * 2 + 2:
            slots *= 2
        self.slots = <int32_t *> calloc(slots, 4)
        if self.slots == NULL:
            raise MemoryError("tokenizer tables")
        self.mask = slots - 1
        for k in range(n):
            size = self.at[k + 1] - self.at[k]
            if size == 0 or self.find(self.data + self.at[k], size) >= 0:
                continue
            slot = _hash_bytes(self.data + self.at[k], size) & self.mask
            while self.slots[slot]:
                slot = (slot + 1) & self.mask
            self.slots[slot] = <int32_t> k + 1

    def __dealloc__(self):
        free(self.slots)

    cdef int32_t find(self, const uint8_t *s, Py_ssize_t n) noexcept:
        """Id of the n bytes at s, -1 where they are none of the strings."""
        cdef uint64_t slot = _hash_bytes(s, n) & self.mask
        cdef int32_t k
        while self.slots[slot]:
            k = self.slots[slot] - 1
            if self.at[k + 1] - self.at[k] == n and memcmp(self.data + self.at[k], s, n) == 0:
                return k
            slot = (slot + 1) & self.mask
        return -1


cdef inline uint64_t _hash_bytes(const uint8_t *s, Py_ssize_t n) noexcept:
    cdef uint64_t h = <uint64_t> 0x9E3779B97F4A7C15 ^ <uint64_t> n, word
    cdef Py_ssize_t i = 0
    while i + 8 <= n:
        memcpy(&word, s + i, 8)
        h = (h ^ word) * <uint64_t> 0x9FB21C651E98DF25
        h ^= h >> 32
        i += 8
    word = 0
    memcpy(&word, s + i, n - i)
    return _mix(h ^ word)
