# What followed the last time the latest ids stood there: chains of equal runs, newest first. Included by _text.pyx.

cdef enum:
    PLACES = 32         # earlier places that are compared
    LONGEST = 64        # ids; a longer common past says nothing more
    SEPARATOR = -1      # between texts: no match runs across it, and it is never predicted


cdef class SuffixIndex:
    """Ids in order, indexed by their runs of `least` ids. most: ids kept; when there are more, the older half is forgotten.

    Rates of success are counted by the length of the match, each older try for `memory` of a newer one.
    """
    cdef int32_t *ids
    cdef int32_t *before                                    # of a place (index of what followed a run): the next older one
    cdef int32_t *heads
    cdef uint64_t mask
    cdef Py_ssize_t n, cap, most
    cdef int least
    cdef double memory
    cdef double right[LONGEST + 1]
    cdef double tried[LONGEST + 1]

    def __cinit__(self, *args):
        self.ids = self.before = self.heads = NULL

    def __init__(self, int least, Py_ssize_t most, double memory):
        cdef int k
        if self.ids != NULL or not 1 <= least <= LONGEST or not 16 <= most < (1 << 30):
            raise ValueError("least must be from 1 to 64, most at least 16")
        self.least, self.most, self.memory = least, most, memory
        for k in range(LONGEST + 1):
            self.right[k] = self.tried[k] = 0
        self._resize(256)

    def __dealloc__(self):
        free(self.ids)
        free(self.before)
        free(self.heads)

    def __len__(self):
        return self.n

    cdef int _resize(self, Py_ssize_t cap) except -1:
        """Room for `cap` ids; all chains anew."""
        cdef uint64_t slots = 256
        cdef void *p
        cdef Py_ssize_t k
        while slots < <uint64_t> cap:
            slots *= 2
        p = realloc(self.ids, cap * 4)
        if p == NULL: raise MemoryError("suffixes")
        self.ids = <int32_t *> p
        p = realloc(self.before, (cap + 1) * 4)
        if p == NULL: raise MemoryError("suffixes")
        self.before = <int32_t *> p
        p = realloc(self.heads, slots * 4)
        if p == NULL: raise MemoryError("suffixes")
        self.heads = <int32_t *> p
        memset(self.heads, 255, slots * 4)
        self.mask = slots - 1
        self.cap = cap
        for k in range(1, self.n + 1):
            self._link(k)
        return 0

    cdef inline uint64_t _hash(self, Py_ssize_t end) noexcept:
        """Of the run before `end`; 2^64 - 1 if a separator is in it, or it is too short."""
        cdef uint64_t h = 0
        cdef Py_ssize_t k
        if end < self.least:
            return ~<uint64_t> 0
        for k in range(end - self.least, end):
            if self.ids[k] == SEPARATOR:
                return ~<uint64_t> 0
            h = _mix(h ^ <uint32_t> self.ids[k])
        return h & self.mask

    cdef void _link(self, Py_ssize_t place) noexcept:
        cdef uint64_t h = self._hash(place)
        self.before[place] = -1
        if h != ~<uint64_t> 0:
            self.before[place] = self.heads[h]
            self.heads[h] = <int32_t> place

    cdef int _append(self, int32_t id) except -1:
        if self.n == self.most:
            memmove(self.ids, self.ids + self.n // 2, (self.n - self.n // 2) * 4)
            self.n -= self.n // 2
            self._resize(self.cap)
        elif self.n == self.cap:
            self._resize(min(2 * self.cap, self.most))
        self.ids[self.n] = id
        self.n += 1
        self._link(self.n)
        return 0

    cdef Py_ssize_t _find(self, int *length) noexcept:
        cdef Py_ssize_t end = self.n, place, best = 0
        cdef int n, k, compared = 0
        cdef uint64_t h = self._hash(end)
        length[0] = 0
        if h == ~<uint64_t> 0:
            return 0
        place = self.heads[h]
        while place >= 0 and compared < PLACES:
            if place < end and self.ids[place] != SEPARATOR:  # neither the present itself nor the end of a text
                n = 0
                while (n < LONGEST and n < place and self.ids[place - n - 1] == self.ids[end - n - 1] and
                       self.ids[end - n - 1] != SEPARATOR):
                    n += 1
                if n >= self.least:
                    compared += 1
                    if n > length[0]:
                        best, length[0] = place, n
                        if n == LONGEST:
                            break
            place = self.before[place]
        return best

    def learn(self, bytes ids):
        """A text that comes before the document: native int32. No match runs across its end."""
        cdef char *raw
        cdef Py_ssize_t n, k
        PyBytes_AsStringAndSize(ids, &raw, &n)
        for k in range(n // 4):
            self._append((<int32_t *> raw)[k])
        self._append(SEPARATOR)

    def feed(self, bytes ids):
        """The document goes on so: each id is first compared with what was expected."""
        cdef char *raw
        cdef Py_ssize_t n, k, place
        cdef int length
        PyBytes_AsStringAndSize(ids, &raw, &n)
        for k in range(n // 4):
            place = self._find(&length)
            if length:
                self.right[length] = self.right[length] * self.memory + (self.ids[place] == (<int32_t *> raw)[k])
                self.tried[length] = self.tried[length] * self.memory + 1
            self._append((<int32_t *> raw)[k])

    def find(self):
        """(place, length of the common past); length 0: none."""
        cdef int length
        cdef Py_ssize_t place = self._find(&length)
        return place, length

    def rate(self, int low, int high):
        """(right, tried) of the matches from low to high ids long."""
        cdef double right = 0, tried = 0
        cdef int k
        for k in range(max(low, 0), min(high, LONGEST) + 1):
            right += self.right[k]
            tried += self.tried[k]
        return right, tried

    def follow(self, Py_ssize_t place, Py_ssize_t most):
        """Up to `most` ids from a place on. They may run into the present and then repeat from there."""
        cdef list out = []
        cdef Py_ssize_t k
        for k in range(place, place + most):
            id = self.ids[k] if k < self.n else out[k - self.n]
            if id == SEPARATOR:
                break
            out.append(id)
        return out
