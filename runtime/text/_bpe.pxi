# Byte-level BPE: hash tables, the merge loop and the bounded pre-token cache. Included by _text.pyx.

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


cdef struct Symbol:             # what a character begins as: key = code point | form << 24
    uint32_t key                # NONE32 = free
    int32_t id

cdef enum:
    FORM_INNER = 1              # not the first character of its pre-token
    FORM_LAST = 2


cdef class Core(Pieces):
    """Merge rules, first symbols and stages of one BPE vocabulary; `encode(utf8) -> bytes of int32 ids`.

    rules: bytes of int32 (left, right, rank, out) for each merge; byte_ids: 256 ids, -1 = no such symbol; whole: a
    ByteMap consulted before merging (ignore_merges) or None; characters: None where every byte is a symbol (byte-level),
    else bytes of int32 (code point, form, id), where byte_ids spell what is not among them; unknown: id of a symbol
    that is not there and has no bytes, -1 = it is dropped, as the Hugging Face library does; fuse: neighbouring unknown
    symbols are one.
    """
    cdef Rule *rules
    cdef uint64_t rule_mask
    cdef int32_t byte_ids[256]
    cdef ByteMap whole
    cdef bint by_character, forms, fuse
    cdef int32_t unknown
    cdef Symbol *symbols
    cdef uint32_t symbol_mask
    cdef Slot *slots
    cdef uint8_t *keys
    cdef int32_t *ids
    cdef uint32_t n_slots, n_keys, n_ids
    cdef int32_t *sym          # scratch of the merge loop
    cdef int32_t *nxt
    cdef int32_t *prv
    cdef Cand *heap
    cdef Py_ssize_t cap, heap_cap, heap_n

    def __cinit__(self, *args, **kwargs):
        self.rules = NULL
        self.symbols = NULL
        self.slots = NULL
        self.keys = NULL
        self.ids = NULL
        self.sym = self.nxt = self.prv = NULL
        self.heap = NULL

    def __init__(self, bytes rules, byte_ids, stages, ByteMap whole=None, characters=None, int unknown=-1, bint fuse=False):
        cdef uint64_t size = 16
        cdef Py_ssize_t k, n
        cdef int32_t *rule
        cdef char *raw
        if self.rules != NULL:
            raise ValueError("set up once")
        PyBytes_AsStringAndSize(rules, &raw, &n)
        n //= 16
        while size < <uint64_t> n * 2 + 2:
            size *= 2
        self.rules = <Rule *> malloc(size * sizeof(Rule))
        self.slots = <Slot *> calloc(CACHE_SLOTS, sizeof(Slot))
        self.keys = <uint8_t *> malloc(CACHE_KEYS)
        self.ids = <int32_t *> malloc(CACHE_IDS * sizeof(int32_t))
        if not (self.rules and self.slots and self.keys and self.ids):
            raise MemoryError("tokenizer tables")
        memset(self.rules, 255, size * sizeof(Rule))
        self.rule_mask = size - 1
        for k in range(n):
            rule = <int32_t *> (raw + 16 * k)
            self._put(rule[0], rule[1], rule[2], rule[3])
        if len(byte_ids) != 256:
            raise ValueError("byte_ids must have 256 entries")
        for k in range(256):
            self.byte_ids[k] = byte_ids[k]
        self._setup(stages)
        self.whole = whole
        self.unknown, self.fuse = unknown, fuse
        self.by_character, self.forms = characters is not None, False
        self.n_slots = self.n_keys = self.n_ids = 0
        if self.by_character:
            self._set_characters(characters)

    cdef int _set_characters(self, bytes characters) except -1:
        cdef uint32_t size = 16, at, key
        cdef Py_ssize_t n, k
        cdef char *raw
        cdef int32_t *one
        PyBytes_AsStringAndSize(characters, &raw, &n)
        n //= 12
        while size < <uint32_t> n * 2 + 2:
            size *= 2
        self.symbols = <Symbol *> malloc(size * sizeof(Symbol))
        if self.symbols == NULL:
            raise MemoryError("tokenizer tables")
        memset(self.symbols, 255, size * sizeof(Symbol))
        self.symbol_mask = size - 1
        for k in range(n):
            one = <int32_t *> (raw + 12 * k)
            self.forms = self.forms or one[1] != 0
            key = <uint32_t> one[0] | <uint32_t> one[1] << 24
            at = <uint32_t> _mix(key) & self.symbol_mask
            while self.symbols[at].key != <uint32_t> NONE32:
                at = (at + 1) & self.symbol_mask
            self.symbols[at] = Symbol(key, one[2])
        return 0

    def __dealloc__(self):
        free(self.rules)
        free(self.symbols)
        free(self.slots)
        free(self.keys)
        free(self.ids)
        free(self.sym)
        free(self.nxt)
        free(self.prv)
        free(self.heap)

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
        return self._make_room(n)

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

    cdef inline int32_t _symbol(self, uint32_t key) noexcept:
        cdef uint32_t at = <uint32_t> _mix(key) & self.symbol_mask
        while self.symbols[at].key != <uint32_t> NONE32:
            if self.symbols[at].key == key:
                return self.symbols[at].id
            at = (at + 1) & self.symbol_mask
        return -1

    cdef Py_ssize_t _first_symbols(self, const uint8_t *s, Py_ssize_t n) noexcept:
        """Fill sym with what n bytes begin as; how many symbols that are, at most n."""
        cdef Py_ssize_t i = 0, k = 0, b
        cdef int w = 1
        cdef int32_t id
        cdef uint32_t key
        cdef bint pending = False, spelt
        while i < n:
            if self.by_character:
                key = _decode(s, i, n, &w)
                if self.forms:
                    key |= ((FORM_INNER if i else 0) | (FORM_LAST if i + w == n else 0)) << 24
                id = self._symbol(key)
            else:
                id = self.byte_ids[s[i]]
            if id >= 0:
                if pending:
                    self.sym[k] = self.unknown
                    k += 1
                    pending = False
                self.sym[k] = id
                k += 1
            else:
                spelt = self.by_character
                for b in range(i, i + w):
                    spelt = spelt and self.byte_ids[s[b]] >= 0
                if spelt:
                    for b in range(i, i + w):
                        self.sym[k] = self.byte_ids[s[b]]
                        k += 1
                elif self.unknown >= 0:
                    if pending and not self.fuse:
                        self.sym[k] = self.unknown
                        k += 1
                    pending = True
            i += w
        if pending:
            self.sym[k] = self.unknown
            k += 1
        return k

    cdef int _merge(self, const uint8_t *s, Py_ssize_t n) except -1:
        """Append the ids of one pre-token of n bytes to the output: lowest rank first, leftmost of equals."""
        cdef Py_ssize_t i, best_at, a, b
        cdef uint32_t best
        cdef Rule *r
        cdef Cand c
        cdef uint32_t rank[NAIVE_MAX + 1]
        cdef int32_t made[NAIVE_MAX + 1]
        self._room(n)
        n = self._first_symbols(s, n)
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
        cdef uint64_t h = 0
        cdef Py_ssize_t start
        cdef uint32_t at, k
        cdef int32_t found
        cdef Slot *slot
        if n <= CACHE_KEY_MAX:
            h = _hash_bytes(s, n)
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
        found = self.whole.find(s, n) if self.whole is not None else -1
        if found >= 0:
            self._emit(found)
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

    cdef int _clean_up(self) except -1:
        if self.cap > (1 << 16):
            free(self.sym)
            free(self.nxt)
            free(self.prv)
            free(self.heap)
            self.sym = self.nxt = self.prv = NULL
            self.heap = NULL
            self.cap = self.heap_cap = 0
        return 0
