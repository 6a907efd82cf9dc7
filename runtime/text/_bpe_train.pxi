# Training of byte-level BPE: incremental pair counts over unique words and a lazy heap. Included by _text.pyx.

cdef struct Pair:               # statistics of one pair of neighbours
    uint64_t key
    int64_t count
    int32_t fresh               # index into the step's list of new pairs, -1 = not in it
    int32_t used

cdef struct Where:              # words in which a new pair arose
    uint64_t key
    int64_t count
    int32_t *words
    int32_t n
    int32_t cap


cdef inline bint _wins(Where *a, Where *b) noexcept:
    """More frequent first; of equals the pair with the smaller ids."""
    return a.count > b.count or (a.count == b.count and a.key < b.key)


cdef class Trainer:
    """Byte-pair merges over unique words (Sennrich et al. 2016) with incremental counts and a lazy heap.

    words: list of lists of symbol ids (as bytes of int32 would be: any sequence of int); counts: occurrences of each.
    `best()` gives the next pair or None; `merge(left, right, new)` must follow it. Order and ties are those of the
    Hugging Face BpeTrainer, including how it treats a token text that two different pairs produce.
    """
    cdef int32_t *sym
    cdef int64_t *start
    cdef int32_t *length
    cdef int64_t *weight
    cdef Py_ssize_t n_words
    cdef Pair *pairs
    cdef uint64_t mask, n_pairs
    cdef Where *fresh
    cdef Py_ssize_t n_fresh, cap_fresh
    cdef Where *heap
    cdef Py_ssize_t n_heap, cap_heap
    cdef Where top
    cdef bint held

    def __cinit__(self, words, counts):
        cdef Py_ssize_t total = 0, at = 0, i, k
        cdef int32_t a
        self.sym = NULL
        self.start = self.weight = NULL
        self.length = NULL
        self.pairs = NULL
        self.fresh = self.heap = NULL
        self.held = False
        self.n_words = len(words)
        if len(counts) != self.n_words:
            raise ValueError("as many counts as words")
        for w in words:
            total += len(w)
        self.sym = <int32_t *> malloc((total + 1) * 4)
        self.start = <int64_t *> malloc((self.n_words + 1) * 8)
        self.weight = <int64_t *> malloc((self.n_words + 1) * 8)
        self.length = <int32_t *> malloc((self.n_words + 1) * 4)
        self.mask = (1 << 16) - 1
        self.pairs = <Pair *> calloc(self.mask + 1, sizeof(Pair))
        if not (self.sym and self.start and self.weight and self.length and self.pairs):
            raise MemoryError("training words")
        for i in range(self.n_words):
            w = words[i]
            self.start[i] = at
            self.length[i] = len(w)
            self.weight[i] = counts[i]
            for a in w:
                self.sym[at] = a
                at += 1
        for i in range(self.n_words):
            at = self.start[i]
            for k in range(self.length[i] - 1):
                self._change(self.sym[at + k], self.sym[at + k + 1], self.weight[i], i)
        self._drain()

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.fresh:
            for i in range(self.n_fresh):
                free(self.fresh[i].words)
        if self.heap:
            for i in range(self.n_heap):
                free(self.heap[i].words)
        if self.held:
            free(self.top.words)
        free(self.sym)
        free(self.start)
        free(self.weight)
        free(self.length)
        free(self.pairs)
        free(self.fresh)
        free(self.heap)

    cdef Pair *_pair(self, uint64_t key) except NULL:
        cdef uint64_t at, k, old
        cdef Pair *bigger
        if self.n_pairs * 2 > self.mask:
            old = self.mask
            self.mask = self.mask * 2 + 1
            bigger = <Pair *> calloc(self.mask + 1, sizeof(Pair))
            if bigger == NULL:
                self.mask = old
                raise MemoryError("pair counts")
            for k in range(old + 1):
                if self.pairs[k].used:
                    at = _mix(self.pairs[k].key) & self.mask
                    while bigger[at].used:
                        at = (at + 1) & self.mask
                    bigger[at] = self.pairs[k]
            free(self.pairs)
            self.pairs = bigger
        at = _mix(key) & self.mask
        while self.pairs[at].used and self.pairs[at].key != key:
            at = (at + 1) & self.mask
        if not self.pairs[at].used:
            self.pairs[at] = Pair(key, 0, -1, 1)
            self.n_pairs += 1
        return &self.pairs[at]

    cdef int _change(self, uint32_t a, uint32_t b, int64_t delta, Py_ssize_t word) except -1:
        cdef Pair *p = self._pair((<uint64_t> a << 32) | b)
        cdef Where *w
        cdef void *mem
        p.count += delta
        if delta <= 0:
            return 0
        if p.fresh < 0:
            if self.n_fresh == self.cap_fresh:
                self.cap_fresh = max(1024, 2 * self.cap_fresh)
                mem = realloc(self.fresh, self.cap_fresh * sizeof(Where))
                if mem == NULL: raise MemoryError("new pairs")
                self.fresh = <Where *> mem
            p.fresh = self.n_fresh
            self.fresh[self.n_fresh] = Where(p.key, 0, NULL, 0, 0)
            self.n_fresh += 1
        w = &self.fresh[p.fresh]
        if w.n and w.words[w.n - 1] == word:                # words come one after the other
            return 0
        if w.n == w.cap:
            w.cap = max(2, 2 * w.cap)
            mem = realloc(w.words, w.cap * 4)
            if mem == NULL: raise MemoryError("words of a pair")
            w.words = <int32_t *> mem
        w.words[w.n] = word
        w.n += 1
        return 0

    cdef int _push(self, Where c) except -1:
        cdef Py_ssize_t i, up
        cdef void *mem
        if self.n_heap == self.cap_heap:
            self.cap_heap = max(1024, 2 * self.cap_heap)
            mem = realloc(self.heap, self.cap_heap * sizeof(Where))
            if mem == NULL: raise MemoryError("pair heap")
            self.heap = <Where *> mem
        i = self.n_heap
        self.n_heap += 1
        while i > 0:
            up = (i - 1) >> 1
            if not _wins(&c, &self.heap[up]):
                break
            self.heap[i] = self.heap[up]
            i = up
        self.heap[i] = c
        return 0

    cdef Where _pop(self) noexcept:
        cdef Where top = self.heap[0], c
        cdef Py_ssize_t i = 0, kid
        self.n_heap -= 1
        c = self.heap[self.n_heap]
        while True:
            kid = 2 * i + 1
            if kid >= self.n_heap:
                break
            if kid + 1 < self.n_heap and _wins(&self.heap[kid + 1], &self.heap[kid]):
                kid += 1
            if not _wins(&self.heap[kid], &c):
                break
            self.heap[i] = self.heap[kid]
            i = kid
        self.heap[i] = c
        return top

    cdef int _drain(self) except -1:
        cdef Py_ssize_t i
        cdef Pair *p
        for i in range(self.n_fresh):
            p = self._pair(self.fresh[i].key)
            p.fresh = -1
            if p.count > 0:
                self.fresh[i].count = p.count
                self._push(self.fresh[i])
            else:
                free(self.fresh[i].words)
            self.fresh[i].words = NULL
        self.n_fresh = 0
        return 0

    def best(self):
        """(left, right, count) of the most frequent pair, or None when no pair is left."""
        cdef Where w
        cdef int64_t now
        while self.n_heap:
            w = self._pop()
            now = self._pair(w.key).count
            if now != w.count:                              # the count changed since it was pushed: try again
                w.count = now
                self._push(w)
                continue
            if self.held:
                free(self.top.words)
            self.top = w
            self.held = True
            if now < 1:
                return None
            return w.key >> 32, w.key & 0xFFFFFFFF, now
        return None

    def merge(self, int new):
        """Replace the pair that best() gave by the symbol `new` in every word of its list."""
        if not self.held:
            raise ValueError("merge() follows best()")
        cdef int32_t a = <int32_t> (self.top.key >> 32), b = <int32_t> (self.top.key & 0xFFFFFFFF)
        cdef Py_ssize_t i, w, r, n, out
        cdef int64_t weight
        cdef int32_t *s
        for i in range(self.top.n):
            w = self.top.words[i]
            s = self.sym + self.start[w]
            n = self.length[w]
            weight = self.weight[w]
            r = 0
            out = 0
            while r < n:
                if s[r] == a and r + 1 < n and s[r + 1] == b:
                    if out > 0:
                        self._change(s[out - 1], a, -weight, w)
                        self._change(s[out - 1], new, weight, w)
                    if r + 2 < n:
                        self._change(b, s[r + 2], -weight, w)
                        self._change(new, s[r + 2], weight, w)
                    s[out] = new
                    r += 2
                else:
                    s[out] = s[r]
                    r += 1
                out += 1
            self.length[w] = out
        free(self.top.words)
        self.held = False
        self._drain()
