# The bytes of a vocabulary as a trie in depth-first order: what masks walk over. Included by _text.pyx.

cdef enum:
    WIDE = 6            # class of every character beyond ASCII, and of a beginning of one
    BROKEN = 7          # class of bytes that are no UTF-8
    WITHIN = 62         # mark of nodes inside a character

cdef int8_t BYTE_CLASS[128]     # ASCII characters that grammars seldom tell apart share one of at most 46 classes

cdef void _byte_classes() noexcept:
    cdef int b, n = 8
    for b in range(128):
        if b in (9, 10, 13) or (32 <= b < 127 and not (48 <= b < 58 or 65 <= b < 91 or 97 <= b < 123)):
            BYTE_CLASS[b] = <int8_t> n                      # white space and each ASCII sign alone: 3 + 1 + 32
            n += 1
        else:
            BYTE_CLASS[b] = (0 if b < 32 or b == 127 else 1 if b < 58 else 2 if b < 71 else 3 if b < 91 else
                             4 if b < 103 else 5)           # control, digits, A-F, G-Z, a-f, g-z

_byte_classes()

cdef inline int _utf8_state(int state, uint8_t b) noexcept:
    """After one more byte: 0 between characters; 1 to 3: so many continuation bytes are missing; 4 to 7: after E0, ED, F0, F4,
    whose next byte is bound; -1: no UTF-8."""
    if state == 0:
        if b < 0x80: return 0
        if 0xC2 <= b < 0xE0: return 1
        if b == 0xE0: return 4
        if b == 0xED: return 5
        if 0xE0 < b < 0xF0: return 2
        if b == 0xF0: return 6
        if 0xF0 < b < 0xF4: return 3
        return 7 if b == 0xF4 else -1
    if state < 0 or not 0x80 <= b < 0xC0:
        return -1
    if state <= 3:
        return state - 1
    if state == 4: return 1 if b >= 0xA0 else -1
    if state == 5: return 1 if b < 0xA0 else -1
    if state == 6: return 2 if b >= 0x90 else -1
    return 2 if b < 0x90 else -1


cdef class ByteTrie:
    """Tokens by their bytes. tokens: sorted list of non-empty bytes; ids: the id of each, as bytes of native int32.

    Node i follows its parent; `skip[i]` is the first node after its subtree; `rank[i]` counts the tokens before it, so
    that those of a subtree are ids[rank[i]:rank[skip[i]]]; `kinds[i]` has a bit for each class of characters
    from node i, where one begins, to the ends of its tokens; `chars[i]` is the largest number of them (at most 255).
    """
    cdef uint8_t *byte
    cdef int32_t *depth
    cdef int32_t *skip
    cdef int32_t *rank
    cdef uint64_t *kinds
    cdef uint8_t *chars
    cdef int32_t *ids
    cdef readonly Py_ssize_t n_nodes, n_tokens, max_depth

    def __cinit__(self, *args):
        self.byte = NULL
        self.depth = self.skip = self.rank = self.ids = NULL
        self.kinds = NULL
        self.chars = NULL

    def __init__(self, list tokens, bytes ids):
        cdef Py_ssize_t total = 1, n = 0, k, low, i, d, parent
        cdef char *raw
        cdef char *last = NULL
        cdef Py_ssize_t length, last_length = 0
        cdef int32_t *path
        if self.byte != NULL or len(ids) != 4 * len(tokens):
            raise ValueError("one id for each token, set up once")
        self.n_tokens = len(tokens)
        for token in tokens:
            length = len(token)
            total += length                                 # an upper bound: shared beginnings are counted again
            self.max_depth = max(self.max_depth, length)
        if total >= (1 << 31):
            raise ValueError("the vocabulary's bytes exceed 2 GiB")
        self.byte = <uint8_t *> malloc(total)
        self.depth = <int32_t *> malloc(total * 4)
        self.skip = <int32_t *> malloc(total * 4)
        self.rank = <int32_t *> malloc((total + 1) * 4)
        self.kinds = <uint64_t *> calloc(total, 8)
        self.chars = <uint8_t *> calloc(total, 1)
        self.ids = <int32_t *> malloc(max(4, len(ids)))
        path = <int32_t *> malloc((self.max_depth + 1) * 4)
        if not (self.byte and self.depth and self.skip and self.rank and self.kinds and self.chars and self.ids and path):
            free(path)
            raise MemoryError("trie")
        PyBytes_AsStringAndSize(ids, &raw, &length)
        memcpy(self.ids, raw, length)
        self.byte[0] = 0
        self.depth[0] = self.rank[0] = path[0] = 0
        n = 1
        for k in range(self.n_tokens):
            PyBytes_AsStringAndSize(tokens[k], &raw, &length)
            low = 0
            while low < length and low < last_length and raw[low] == last[low]:
                low += 1
            if length == 0 or (last != NULL and (low == length < last_length or
                                                (low < length and low < last_length and
                                                 <uint8_t> raw[low] < <uint8_t> last[low]))):
                free(path)
                raise ValueError("tokens must be sorted and not empty")
            for d in range(low + 1, last_length + 1):       # what does not go on ends here
                self.skip[path[d]] = <int32_t> n
            for d in range(low, length):
                self.byte[n] = <uint8_t> raw[d]
                self.depth[n] = <int32_t> d + 1
                self.rank[n] = <int32_t> k
                path[d + 1] = <int32_t> n
                n += 1
            last, last_length = raw, length                 # the list keeps it alive
        self.n_nodes = n
        self.rank[n] = <int32_t> self.n_tokens
        for d in range(last_length + 1):
            self.skip[path[d]] = <int32_t> n
        free(path)
        self._classify()

    def __dealloc__(self):
        free(self.byte)
        free(self.depth)
        free(self.skip)
        free(self.rank)
        free(self.kinds)
        free(self.chars)
        free(self.ids)

    cdef int _classify(self) except -1:
        cdef int8_t *state = <int8_t *> malloc(self.n_nodes)
        cdef int8_t *path = <int8_t *> malloc(self.max_depth + 1)
        cdef Py_ssize_t i, k
        cdef int before, most
        cdef uint64_t below
        if not (state and path):
            free(state)
            free(path)
            raise MemoryError("trie")
        path[0] = 0
        for i in range(1, self.n_nodes):
            before = path[self.depth[i] - 1]
            path[self.depth[i]] = <int8_t> _utf8_state(before, self.byte[i])
            state[i] = <int8_t> before
            self.kinds[i] = (<uint64_t> 1 << BROKEN if path[self.depth[i]] < 0 else
                             <uint64_t> 1 << WITHIN if before else
                             <uint64_t> 1 << (WIDE if self.byte[i] >= 0x80 else BYTE_CLASS[self.byte[i]]))
        for i in range(self.n_nodes - 1, 0, -1):            # children come after their parent: they are complete by then
            below, most = 0, 0
            k = i + 1
            while k < self.skip[i]:
                below |= self.kinds[k]
                most = max(most, <int> self.chars[k])
                k = self.skip[k]
            self.chars[i] = <uint8_t> min(255, most + (state[i] == 0))
            if state[i] == 0:                               # what its continuation bytes are inside of begins here
                below &= ~(<uint64_t> 1 << WITHIN)
            self.kinds[i] |= below
        free(state)
        free(path)
        return 0

    cdef inline int32_t child(self, int32_t node, uint8_t byte) noexcept:
        """The child of a node, or -1."""
        cdef int32_t k = node + 1
        while k < self.skip[node]:
            if self.byte[k] == byte:
                return k
            k = self.skip[k]
        return -1
