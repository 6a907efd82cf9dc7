# Byte-level BPE: hash tables, the merge loop and the bounded pre-token cache. Included by _text.pyx.

cdef inline uint64_t _mix(uint64_t x) noexcept:
    x ^= x >> 30
    x *= <uint64_t> 0xBF58476D1CE4E5B9
    x ^= x >> 27
    x *= <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef struct Rule:               # one merge: key = left << 32 | right
    uint64_t key
    uint32_t rank
    uint32_t out

cdef struct Slot:               # one cached pre-token
    uint64_t hash
    uint32_t key_at
    uint32_t ids_at
    uint32_t key_len            # 0 = free
    uint32_t n

cdef struct Cand:               # heap entry of the merge loop
    uint32_t rank
    uint32_t pos
    uint32_t left
    uint32_t right

cdef enum:
    NONE32 = 0xFFFFFFFF
    CACHE_SLOTS = 65536
    CACHE_USED = 40000
    CACHE_KEYS = 1048576
    CACHE_IDS = 524288
    CACHE_KEY_MAX = 128
    PROBES = 16
    NAIVE_MAX = 40


cdef inline bint _before(Cand *a, Cand *b) noexcept:
    return a.rank < b.rank or (a.rank == b.rank and a.pos < b.pos)


cdef class Core:
    """Merge rules, byte symbols and scanner stages of one tokenizer; `encode(utf8) -> bytes of int32 ids`.

    rules: iterable of (left, right, rank, out); byte_ids: 256 ids, -1 = no such symbol (the byte is dropped, as the
    Hugging Face library does without an unknown token); stages: scanner names applied one inside the other;
    whole: dict bytes -> id consulted before merging (ignore_merges) or None.
    """
    cdef Rule *rules
    cdef uint64_t rule_mask
    cdef int32_t byte_ids[256]
    cdef int stages[4]
    cdef int n_stages
    cdef dict whole
    cdef Slot *slots
    cdef uint8_t *keys
    cdef int32_t *ids
    cdef uint32_t n_slots, n_keys, n_ids
    cdef int32_t *sym          # scratch of the merge loop
    cdef int32_t *nxt
    cdef int32_t *prv
    cdef Cand *heap
    cdef Py_ssize_t cap, heap_cap, heap_n
    cdef int32_t *out
    cdef Py_ssize_t out_n, out_cap

    def __cinit__(self, rules, byte_ids, stages, whole=None):
        cdef uint64_t size = 16, at
        cdef int k
        self.rules = NULL
        self.slots = NULL
        self.keys = NULL
        self.ids = NULL
        self.sym = self.nxt = self.prv = self.out = NULL
        self.heap = NULL
        rules = list(rules)
        while size < <uint64_t> len(rules) * 2 + 2:
            size *= 2
        self.rules = <Rule *> malloc(size * sizeof(Rule))
        self.slots = <Slot *> calloc(CACHE_SLOTS, sizeof(Slot))
        self.keys = <uint8_t *> malloc(CACHE_KEYS)
        self.ids = <int32_t *> malloc(CACHE_IDS * sizeof(int32_t))
        if not (self.rules and self.slots and self.keys and self.ids):
            raise MemoryError("tokenizer tables")
        memset(self.rules, 255, size * sizeof(Rule))
        self.rule_mask = size - 1
        for left, right, rank, out in rules:
            self._put(left, right, rank, out)
        if len(byte_ids) != 256 or not 1 <= len(stages) <= 4:
            raise ValueError("byte_ids must have 256 entries and stages 1 to 4")
        for k in range(256):
            self.byte_ids[k] = byte_ids[k]
        self.n_stages = len(stages)
        for k in range(self.n_stages):
            self.stages[k] = SCANNERS[stages[k]]
        self.whole = whole
        self.n_slots = self.n_keys = self.n_ids = 0

    def __dealloc__(self):
        free(self.rules)
        free(self.slots)
        free(self.keys)
        free(self.ids)
        free(self.sym)
        free(self.nxt)
        free(self.prv)
        free(self.heap)
        free(self.out)

    cdef int _put(self, uint32_t left, uint32_t right, uint32_t rank, uint32_t out) except -1:
        cdef uint64_t key = (<uint64_t> left << 32) | right, at = _mix(key) & self.rule_mask
        while self.rules[at].rank != <uint32_t> NONE32 and self.rules[at].key != key:
            at = (at + 1) & self.rule_mask
        self.rules[at] = Rule(key, rank, out)               # a repeated pair keeps its later rank
        return 0

    cdef inline Rule *_rule(self, uint32_t left, uint32_t right) noexcept:
        cdef uint64_t key = (<uint64_t> left << 32) | right, at = _mix(key) & self.rule_mask
        while self.rules[at].rank != <uint32_t> NONE32:
            if self.rules[at].key == key:
                return &self.rules[at]
            at = (at + 1) & self.rule_mask
        return NULL

    cdef int _room(self, Py_ssize_t n) except -1:
        """Scratch for a pre-token of n bytes and room for its ids in the output."""
        cdef Py_ssize_t cap
        cdef void *p
        if n > self.cap:
            cap = max(n, 2 * self.cap, 256)
            p = realloc(self.sym, cap * 4)
            if p == NULL: raise MemoryError("pre-token")
            self.sym = <int32_t *> p
            p = realloc(self.nxt, cap * 4)
            if p == NULL: raise MemoryError("pre-token")
            self.nxt = <int32_t *> p
            p = realloc(self.prv, cap * 4)
            if p == NULL: raise MemoryError("pre-token")
            self.prv = <int32_t *> p
            self.cap = cap
        if self.out_n + n > self.out_cap:
            cap = max(self.out_n + n, 2 * self.out_cap, 1024)
            p = realloc(self.out, cap * 4)
            if p == NULL: raise MemoryError("ids")
            self.out = <int32_t *> p
            self.out_cap = cap
        return 0

    cdef int _push(self, Cand c) except -1:
        cdef Py_ssize_t i, up, cap
        cdef void *p
        if self.heap_n == self.heap_cap:
            cap = max(2 * self.heap_cap, 1024)
            p = realloc(self.heap, cap * sizeof(Cand))
            if p == NULL: raise MemoryError("merge heap")
            self.heap = <Cand *> p
            self.heap_cap = cap
        i = self.heap_n
        self.heap_n += 1
        while i > 0:
            up = (i - 1) >> 1
            if not _before(&c, &self.heap[up]):
                break
            self.heap[i] = self.heap[up]
            i = up
        self.heap[i] = c
        return 0

    cdef Cand _pop(self) noexcept:
        cdef Cand top = self.heap[0], c
        cdef Py_ssize_t i = 0, kid
        self.heap_n -= 1
        c = self.heap[self.heap_n]
        while True:
            kid = 2 * i + 1
            if kid >= self.heap_n:
                break
            if kid + 1 < self.heap_n and _before(&self.heap[kid + 1], &self.heap[kid]):
                kid += 1
            if not _before(&self.heap[kid], &c):
                break
            self.heap[i] = self.heap[kid]
            i = kid
        self.heap[i] = c
        return top

    cdef int _merge(self, const uint8_t *s, Py_ssize_t n) except -1:
        """Append the ids of one pre-token of n bytes to the output: lowest rank first, leftmost of equals."""
        cdef Py_ssize_t i, k = 0, best_at, a, b
        cdef uint32_t best
        cdef Rule *r
        cdef Cand c
        cdef uint32_t rank[NAIVE_MAX + 1]
        cdef int32_t made[NAIVE_MAX + 1]
        self._room(n)
        for i in range(n):
            if self.byte_ids[s[i]] >= 0:
                self.sym[k] = self.byte_ids[s[i]]
                k += 1
        n = k
        if n <= NAIVE_MAX:
            for i in range(n - 1):
                r = self._rule(self.sym[i], self.sym[i + 1])
                rank[i] = r.rank if r else <uint32_t> NONE32
                made[i] = r.out if r else 0
            while n > 1:
                best = <uint32_t> NONE32
                best_at = -1
                for i in range(n - 1):
                    if rank[i] < best:
                        best = rank[i]
                        best_at = i
                if best_at < 0:
                    break
                self.sym[best_at] = made[best_at]
                for i in range(best_at + 1, n - 1):
                    self.sym[i] = self.sym[i + 1]
                    rank[i] = rank[i + 1]
                    made[i] = made[i + 1]
                n -= 1
                if best_at < n - 1:
                    r = self._rule(self.sym[best_at], self.sym[best_at + 1])
                    rank[best_at] = r.rank if r else <uint32_t> NONE32
                    made[best_at] = r.out if r else 0
                if best_at > 0:
                    r = self._rule(self.sym[best_at - 1], self.sym[best_at])
                    rank[best_at - 1] = r.rank if r else <uint32_t> NONE32
                    made[best_at - 1] = r.out if r else 0
            memcpy(self.out + self.out_n, self.sym, n * 4)
            self.out_n += n
            return 0
        self.heap_n = 0
        for i in range(n):
            self.nxt[i] = i + 1
            self.prv[i] = i - 1
        for i in range(n - 1):
            r = self._rule(self.sym[i], self.sym[i + 1])
            if r:
                self._push(Cand(r.rank, i, self.sym[i], self.sym[i + 1]))
        while self.heap_n:
            c = self._pop()
            a = c.pos
            b = self.nxt[a]
            # an entry is stale when either side was merged since: a dead left side has nxt = -1
            if b < 0 or b >= n or <uint32_t> self.sym[a] != c.left or <uint32_t> self.sym[b] != c.right:
                continue
            r = self._rule(c.left, c.right)
            self.sym[a] = r.out
            self.nxt[a] = self.nxt[b]
            if self.nxt[b] < n:
                self.prv[self.nxt[b]] = a
            self.nxt[b] = -1
            if self.prv[a] >= 0:
                i = self.prv[a]
                r = self._rule(self.sym[i], self.sym[a])
                if r:
                    self._push(Cand(r.rank, i, self.sym[i], self.sym[a]))
            if self.nxt[a] < n:
                i = self.nxt[a]
                r = self._rule(self.sym[a], self.sym[i])
                if r:
                    self._push(Cand(r.rank, a, self.sym[a], self.sym[i]))
        i = 0
        while i < n:
            self.out[self.out_n] = self.sym[i]
            self.out_n += 1
            i = self.nxt[i]
        return 0

    cdef int _piece(self, const uint8_t *s, Py_ssize_t n) except -1:
        """Ids of one pre-token, from the cache when it is there."""
        cdef uint64_t h = <uint64_t> 0x9E3779B97F4A7C15 ^ <uint64_t> n, word
        cdef Py_ssize_t i = 0, start
        cdef uint32_t at, k
        cdef Slot *slot
        if n <= CACHE_KEY_MAX:
            while i + 8 <= n:
                memcpy(&word, s + i, 8)
                h = (h ^ word) * <uint64_t> 0x9FB21C651E98DF25
                h ^= h >> 32
                i += 8
            word = 0
            memcpy(&word, s + i, n - i)
            h = _mix(h ^ word)
            at = <uint32_t> h & (CACHE_SLOTS - 1)
            for k in range(PROBES):                         # bounded, so that no input can make it slow
                slot = &self.slots[at]
                if slot.key_len == 0:
                    break
                if slot.hash == h and slot.key_len == <uint32_t> n and memcmp(self.keys + slot.key_at, s, n) == 0:
                    self._room(slot.n)
                    memcpy(self.out + self.out_n, self.ids + slot.ids_at, slot.n * 4)
                    self.out_n += slot.n
                    return 0
                at = (at + 1) & (CACHE_SLOTS - 1)
            if self.n_slots >= CACHE_USED or self.n_keys + n > CACHE_KEYS or self.n_ids + n > CACHE_IDS:
                memset(self.slots, 0, CACHE_SLOTS * sizeof(Slot))
                self.n_slots = self.n_keys = self.n_ids = 0
                at = <uint32_t> h & (CACHE_SLOTS - 1)
        start = self.out_n
        found = self.whole.get(PyBytes_FromStringAndSize(<const char *> s, n)) if self.whole is not None else None
        if found is not None:
            self._room(1)
            self.out[self.out_n] = found
            self.out_n += 1
        else:
            self._merge(s, n)
        if n <= CACHE_KEY_MAX and self.slots[at].key_len == 0:
            k = self.out_n - start
            self.slots[at] = Slot(h, self.n_keys, self.n_ids, n, k)
            memcpy(self.keys + self.n_keys, s, n)
            memcpy(self.ids + self.n_ids, self.out + start, k * 4)
            self.n_keys += n
            self.n_ids += k
            self.n_slots += 1
        return 0

    cdef int _split(self, const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int stage, list sink) except -1:
        cdef Py_ssize_t j
        while i < end:
            j = _next_piece(self.stages[stage], s, i, end)
            if stage + 1 < self.n_stages:
                self._split(s, i, j, stage + 1, sink)
            elif sink is not None:
                sink.append((i, j))
            else:
                self._piece(s + i, j - i)
            i = j
        return 0

    def encode(self, bytes utf8):
        """Ids of the text as bytes of native int32."""
        cdef char *s
        cdef Py_ssize_t n
        PyBytes_AsStringAndSize(utf8, &s, &n)
        self.out_n = 0
        self._split(<const uint8_t *> s, 0, n, 0, None)
        result = PyBytes_FromStringAndSize(<const char *> self.out, self.out_n * 4) if self.out_n else b""
        if self.out_cap > (1 << 20):                        # a huge text must not leave its buffers behind
            free(self.out)
            self.out = NULL
            self.out_cap = 0
        if self.cap > (1 << 16):
            free(self.sym)
            free(self.nxt)
            free(self.prv)
            free(self.heap)
            self.sym = self.nxt = self.prv = NULL
            self.heap = NULL
            self.cap = self.heap_cap = 0
        return result

    def split(self, bytes utf8):
        """Pre-tokens of the text as a list of (start, end) byte offsets."""
        cdef char *s
        cdef Py_ssize_t n
        sink = []
        PyBytes_AsStringAndSize(utf8, &s, &n)
        self._split(<const uint8_t *> s, 0, n, 0, sink)
        return sink

    def count(self, bytes utf8, dict counts):
        """Add the pre-tokens of the text to `counts` (bytes -> occurrences)."""
        cdef Py_ssize_t a, b
        for a, b in self.split(utf8):
            piece = utf8[a:b]
            counts[piece] = counts.get(piece, 0) + 1
