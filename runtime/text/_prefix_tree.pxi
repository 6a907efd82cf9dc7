# A prefix tree over bytes, in one hash table of edges, and the search for literals with it. Included by _text.pyx.

cdef inline Py_ssize_t _width(const uint8_t *s, Py_ssize_t left) noexcept:
    """Bytes of the UTF-8 character at s, at most `left`."""
    cdef Py_ssize_t w = 1 if s[0] < 0x80 else 2 if s[0] < 0xE0 else 3 if s[0] < 0xF0 else 4
    return w if w <= left else left


cdef class PrefixTree:
    """Byte strings with ids. pieces: list of (bytes, id); of equal strings the last one counts."""
    cdef uint64_t *keys             # edges: (node << 8 | byte) + 1, open addressing, 0 = free
    cdef int32_t *kids
    cdef uint64_t mask
    cdef int32_t root[256]
    cdef int32_t *ids               # of each node, -1 = no piece ends here
    cdef Py_ssize_t n_nodes

    def __cinit__(self, *args, **kwargs):
        self.keys = NULL
        self.kids = self.ids = NULL

    def __init__(self, pieces):
        cdef uint64_t size = 16
        cdef Py_ssize_t total = 1, k, n
        cdef int32_t node, kid
        cdef char *raw
        if self.keys != NULL:
            raise ValueError("set up once")
        for piece, _ in pieces:
            total += len(piece)
        while size < <uint64_t> total * 2:
            size *= 2
        self.mask = size - 1
        self.keys = <uint64_t *> calloc(size, 8)
        self.kids = <int32_t *> malloc(size * 4)
        self.ids = <int32_t *> malloc(total * 4)
        if not (self.keys and self.kids and self.ids):
            raise MemoryError("prefix tree")
        memset(self.root, 255, sizeof(self.root))
        self.ids[0] = -1
        self.n_nodes = 1
        for piece, id in pieces:
            if not piece:
                raise ValueError("a piece has at least one byte")
            PyBytes_AsStringAndSize(piece, &raw, &n)
            node = 0
            for k in range(n):
                kid = self.child(node, <uint8_t> raw[k])
                if kid < 0:
                    kid = <int32_t> self.n_nodes
                    self.n_nodes += 1
                    self.ids[kid] = -1
                    self._link(node, <uint8_t> raw[k], kid)
                node = kid
            self.ids[node] = id

    def __dealloc__(self):
        free(self.keys)
        free(self.kids)
        free(self.ids)

    cdef inline int32_t child(self, int32_t node, uint8_t byte) noexcept:
        cdef uint64_t key, at
        if node == 0:
            return self.root[byte]
        key = ((<uint64_t> node << 8) | byte) + 1
        at = _mix(key) & self.mask
        while self.keys[at]:
            if self.keys[at] == key:
                return self.kids[at]
            at = (at + 1) & self.mask
        return -1

    cdef void _link(self, int32_t node, uint8_t byte, int32_t kid) noexcept:
        cdef uint64_t key = ((<uint64_t> node << 8) | byte) + 1, at = _mix(key) & self.mask
        if node == 0:
            self.root[byte] = kid
            return
        while self.keys[at]:
            at = (at + 1) & self.mask
        self.keys[at] = key
        self.kids[at] = kid

    cdef Py_ssize_t longest(self, const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int32_t *id) noexcept:
        """End of the longest string at i and its id; -1 where none is."""
        cdef int32_t node = 0
        cdef Py_ssize_t found = -1
        while i < end:
            node = self.child(node, s[i])
            if node < 0:
                break
            i += 1
            if self.ids[node] >= 0:
                found = i
                id[0] = self.ids[node]
        return found

    def find_all(self, bytes text):
        """[(start, end, id)] of the strings in a text, the leftmost first and of those the longest, none over another."""
        cdef char *raw
        cdef const uint8_t *s
        cdef Py_ssize_t i = 0, n, end
        cdef int32_t id = -1
        PyBytes_AsStringAndSize(text, &raw, &n)
        s = <const uint8_t *> raw
        found = []
        while i < n:
            if self.root[s[i]] < 0:
                i += 1
                continue
            end = self.longest(s, i, n, &id)
            if end < 0:
                i += 1
                continue
            found.append((i, end, id))
            i = end
        return found
