# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""The loops of the tokenizers: pre-token scanners; merge loop, bounded pre-token cache and training loop of byte-level BPE;
look-up with byte fallback; Viterbi and expectations of Unigram.

Works on UTF-8 bytes (lone surrogates as their three "surrogatepass" bytes) and on integer ids only: knows nothing about files,
special tokens or normalisation (`bpe.py`, `tokenizer_json.py`). Everything runs under the interpreter lock, so one Core may be
shared by threads. Stable ABI: no numpy headers; ids leave as bytes of native int32.

The scanners are hand-written equals of the split patterns in `pretokenize.py`; tests compare both.
"""

from libc.math cimport INFINITY, exp, log1p
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

import unicodedata

cdef extern from "Python.h":
    int PyBytes_AsStringAndSize(object obj, char **buffer, Py_ssize_t *length) except -1
    object PyBytes_FromStringAndSize(const char *v, Py_ssize_t len)


# ---------------------------------------------------------------------------------------------- character classes
# One byte of class bits per code point, in pages of 256 that are filled from unicodedata when first met.
cdef enum:
    LETTER = 1      # \p{L}
    NUMBER = 2      # \p{N}
    SPACE = 4       # \s: Unicode White_Space (str.isspace would add U+001C..U+001F)
    NEWLINE = 8     # \r and \n
    WORD = 16       # ASCII letter, underscore, or any non-ASCII: a word character of the "code" split
    BLANK = 32      # space, tab, \v, \f: white space inside a line, "code" split
    DIGIT = 64      # ASCII digit

cdef uint8_t *_pages[4352]
memset(_pages, 0, sizeof(_pages))
cdef uint8_t _ascii[128]

_WHITE = frozenset([*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000])


cdef int _fill_page(uint32_t page) except -1:
    cdef uint8_t *cells = <uint8_t *> malloc(256)
    if cells == NULL:
        raise MemoryError("character table")
    cdef int k
    for k in range(256):
        cp = page * 256 + k
        kind = unicodedata.category(chr(cp))[0]
        bits = LETTER if kind == "L" else NUMBER if kind == "N" else 0
        if cp in _WHITE:
            bits |= SPACE
        if cp in (10, 13):
            bits |= NEWLINE
        elif cp in (9, 11, 12, 32):
            bits |= BLANK
        if cp >= 128 or cp == 95 or kind == "L":
            bits |= WORD
        if 48 <= cp <= 57:
            bits |= DIGIT
        cells[k] = bits
    _pages[page] = cells
    if page == 0:
        memcpy(_ascii, cells, 128)
    return 0


_fill_page(0)


cdef inline int _class_at(const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int *width) except -1:
    """Class bits of the character at s[i]; its byte width goes to `width`. Input is UTF-8 by construction; a cut one reads as width 1."""
    cdef uint32_t c = s[i], cp
    if c < 128:
        width[0] = 1
        return _ascii[c]
    if c < 0xE0 and i + 1 < end:
        cp = ((c & 31) << 6) | (s[i + 1] & 63)
        width[0] = 2
    elif c < 0xF0 and i + 2 < end:
        cp = ((c & 15) << 12) | ((<uint32_t> s[i + 1] & 63) << 6) | (s[i + 2] & 63)
        width[0] = 3
    elif i + 3 < end:
        cp = ((c & 7) << 18) | ((<uint32_t> s[i + 1] & 63) << 12) | ((<uint32_t> s[i + 2] & 63) << 6) | (s[i + 3] & 63)
        width[0] = 4
    else:
        width[0] = 1
        return WORD
    if cp > 0x10FFFF:
        return WORD
    if _pages[cp >> 8] == NULL:
        _fill_page(cp >> 8)
    return _pages[cp >> 8][cp & 255]


# ---------------------------------------------------------------------------------------------- scanners
cdef enum:
    S_WHOLE = 0
    S_CODE = 1
    S_GPT2 = 2
    S_QWEN2 = 3
    S_LLAMA3 = 4
    S_DIGITS = 5        # every number character alone
    S_DIGIT_RUNS = 6
    S_WORDS = 7         # word, run of white space, or one character of anything else
    S_METASPACE = 8     # up to the next U+2581

SCANNERS = {"whole": S_WHOLE, "code": S_CODE, "gpt2": S_GPT2, "qwen2": S_QWEN2, "llama3": S_LLAMA3,
            "digits": S_DIGITS, "digit_runs": S_DIGIT_RUNS, "words": S_WORDS, "metaspace": S_METASPACE}


cdef Py_ssize_t _next_code(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) noexcept:
    """End of the pre-token that starts at i, "code" split. Bytes >= 128 are word characters, so bytes are enough."""
    cdef Py_ssize_t j = i
    cdef int c = s[i]
    if c == 10 or c == 13:                                  # newline run and the indent after it
        while j < end and (s[j] == 10 or s[j] == 13):
            j += 1
        while j < end and (s[j] == 32 or s[j] == 9):
            j += 1
        return j
    if c == 32 and i + 1 < end:
        j = i + 1                                           # one leading space belongs to what follows it
    c = s[j]
    if c >= 128 or _ascii[c] & WORD:
        while j < end and (s[j] >= 128 or _ascii[s[j]] & WORD):
            j += 1
        return j
    if _ascii[c] & DIGIT:
        return j + 1
    if not (_ascii[c] & (BLANK | NEWLINE)):
        while j < end and s[j] < 128 and not (_ascii[s[j]] & (BLANK | NEWLINE | WORD | DIGIT)):
            j += 1
        return j
    j = i                                                   # a run of blanks: its last one is left to what follows
    while j < end and s[j] < 128 and _ascii[s[j]] & BLANK:
        j += 1
    if j < end and not (s[j] == 10 or s[j] == 13) and j - i > 1:
        j -= 1
    return j


cdef inline int _lower(int c) noexcept:
    return c + 32 if 65 <= c <= 90 else c


cdef Py_ssize_t _contraction(const uint8_t *s, Py_ssize_t i, Py_ssize_t end, bint fold) noexcept:
    """Length of 's 't 're 've 'm 'll 'd at i, else 0. Folding case also makes U+017F (long s) an s."""
    cdef int a, b
    if s[i] != 39 or i + 1 >= end:
        return 0
    a = _lower(s[i + 1]) if fold else s[i + 1]
    if a == 115 or a == 116:                                # s t
        return 2
    if i + 2 < end:
        if fold and s[i + 1] == 0xC5 and s[i + 2] == 0xBF:
            return 3
        b = _lower(s[i + 2]) if fold else s[i + 2]
        if (a == 114 or a == 118) and b == 101:             # re ve
            return 3
        if a == 108 and b == 108:                           # ll
            return 3
    if a == 109 or a == 100:                                # m d
        return 2
    return 0


cdef Py_ssize_t _run(const uint8_t *s, Py_ssize_t j, Py_ssize_t end, int mask, int want, Py_ssize_t limit) except -1:
    """Advance over at most `limit` characters with (class & mask != 0) == want."""
    cdef int w, k
    while j < end and limit > 0:
        k = _class_at(s, j, end, &w)
        if (k & mask != 0) != want:
            break
        j += w
        limit -= 1
    return j


cdef Py_ssize_t _blank_run(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) except -1:
    """\\s+(?!\\S)|\\s+ : the run, less its last character if something that is not white space follows a run of two or more."""
    cdef Py_ssize_t j = i, last = i
    cdef int w, k
    while j < end:
        k = _class_at(s, j, end, &w)
        if not k & SPACE:
            break
        last = j
        j += w
    if j < end and last > i:
        return last
    return j


cdef Py_ssize_t _next_gpt2(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) except -1:
    cdef Py_ssize_t j = _contraction(s, i, end, False)
    cdef int w, k
    if j:
        return i + j
    j = i + 1 if s[i] == 32 and i + 1 < end else i
    k = _class_at(s, j, end, &w)
    if k & LETTER:
        return _run(s, j, end, LETTER, 1, end)
    if k & NUMBER:
        return _run(s, j, end, NUMBER, 1, end)
    if not k & SPACE:
        return _run(s, j, end, LETTER | NUMBER | SPACE, 0, end)
    return _blank_run(s, i, end)


cdef Py_ssize_t _next_qwen2(const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int digits) except -1:
    cdef Py_ssize_t j = _contraction(s, i, end, True), last
    cdef int w, k, w2
    if j:
        return i + j
    k = _class_at(s, i, end, &w)
    if k & LETTER:
        return _run(s, i, end, LETTER, 1, end)
    if not k & (NEWLINE | NUMBER) and i + w < end and _class_at(s, i + w, end, &w2) & LETTER:
        return _run(s, i + w, end, LETTER, 1, end)
    if k & NUMBER:
        return _run(s, i, end, NUMBER, 1, digits)
    j = i
    if s[i] == 32 and i + 1 < end:
        j = i + 1
        k = _class_at(s, j, end, &w)
    if not k & (SPACE | LETTER | NUMBER):
        j = _run(s, j, end, LETTER | NUMBER | SPACE, 0, end)
        return _run(s, j, end, NEWLINE, 1, end)
    last = -1                                               # \s*[\r\n]+ : up to the last newline of the white run
    j = i
    while j < end:
        k = _class_at(s, j, end, &w)
        if not k & SPACE:
            break
        j += w
        if k & NEWLINE:
            last = j
    if last >= 0:
        return last
    return _blank_run(s, i, end)


cdef Py_ssize_t _next_word(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) except -1:
    """[\\p{L}\\p{N}_]+|\\s+|[^\\p{L}\\p{N}_\\s]"""
    cdef Py_ssize_t j = i
    cdef int w, k = _class_at(s, i, end, &w)
    if k & SPACE:
        return _run(s, i, end, SPACE, 1, end)
    if not (k & (LETTER | NUMBER) or s[i] == 95):
        return i + w
    while j < end:
        k = _class_at(s, j, end, &w)
        if not (k & (LETTER | NUMBER) or s[j] == 95):
            break
        j += w
    return j


cdef Py_ssize_t _next_metaspace(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) noexcept:
    i += 1
    while i < end and not (s[i] == 0xE2 and i + 2 < end and s[i + 1] == 0x96 and s[i + 2] == 0x81):
        i += 1
    return i


cdef Py_ssize_t _next_piece(int kind, const uint8_t *s, Py_ssize_t i, Py_ssize_t end) except -1:
    cdef int w, k
    if kind == S_CODE:
        return _next_code(s, i, end)
    if kind == S_GPT2:
        return _next_gpt2(s, i, end)
    if kind == S_QWEN2:
        return _next_qwen2(s, i, end, 1)
    if kind == S_LLAMA3:
        return _next_qwen2(s, i, end, 3)
    if kind == S_WORDS:
        return _next_word(s, i, end)
    if kind == S_METASPACE:
        return _next_metaspace(s, i, end)
    if kind == S_DIGITS or kind == S_DIGIT_RUNS:
        k = _class_at(s, i, end, &w)
        if k & NUMBER:
            return _run(s, i, end, NUMBER, 1, 1 if kind == S_DIGITS else end)
        return _run(s, i, end, NUMBER, 0, end)
    return end


# ---------------------------------------------------------------------------------------------- tables
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
        cdef Py_ssize_t i, up
        cdef void *p
        if self.heap_n == self.heap_cap:
            self.heap_cap = max(2 * self.heap_cap, 1024)
            p = realloc(self.heap, self.heap_cap * sizeof(Cand))
            if p == NULL: raise MemoryError("merge heap")
            self.heap = <Cand *> p
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


# ---------------------------------------------------------------------------------------------- training
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


# ---------------------------------------------------------------------------------------------- look-up and Unigram
cdef inline Py_ssize_t _width(const uint8_t *s, Py_ssize_t left) noexcept:
    """Bytes of the UTF-8 character at s, at most `left`."""
    cdef Py_ssize_t w = 1 if s[0] < 0x80 else 2 if s[0] < 0xE0 else 3 if s[0] < 0xF0 else 4
    return w if w <= left else left


cdef class Pieces:
    """Base of the tokenizers that read one pre-token after the other: stages, output and encode(utf8)."""
    cdef int stages[4]
    cdef int n_stages
    cdef int32_t byte_ids[256]
    cdef int32_t *out
    cdef Py_ssize_t out_n, out_cap

    def __cinit__(self, *args):
        self.out = NULL
        self.out_n = self.out_cap = 0

    def __dealloc__(self):
        free(self.out)

    cdef int _setup(self, stages, byte_ids) except -1:
        cdef int k
        if len(byte_ids) != 256 or not 1 <= len(stages) <= 4:
            raise ValueError("byte_ids must have 256 entries and stages 1 to 4")
        self.n_stages = len(stages)
        for k in range(self.n_stages):
            self.stages[k] = SCANNERS[stages[k]]
        for k in range(256):
            self.byte_ids[k] = byte_ids[k]
        return 0

    cdef int _emit(self, int32_t id) except -1:
        cdef void *p
        if self.out_n == self.out_cap:
            p = realloc(self.out, max(1024, 2 * self.out_cap) * 4)
            if p == NULL: raise MemoryError("ids")
            self.out = <int32_t *> p
            self.out_cap = max(1024, 2 * self.out_cap)
        self.out[self.out_n] = id
        self.out_n += 1
        return 0

    cdef int _piece(self, const uint8_t *s, Py_ssize_t n) except -1:
        raise NotImplementedError

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
        return result

    def split(self, bytes utf8):
        """Pre-tokens of the text as a list of (start, end) byte offsets."""
        cdef char *s
        cdef Py_ssize_t n
        sink = []
        PyBytes_AsStringAndSize(utf8, &s, &n)
        self._split(<const uint8_t *> s, 0, n, 0, sink)
        return sink


cdef class Lookup(Pieces):
    """Whole pre-tokens, else their characters, else the bytes of those: no merges.

    table: dict bytes -> id of words and characters; byte_ids: ids of the 256 bytes; by_word: look pre-tokens up as a
    whole first.
    """
    cdef dict table
    cdef int32_t ascii_ids[128]
    cdef bint by_word

    def __init__(self, table, byte_ids, stages, by_word):
        cdef int k
        self._setup(stages, byte_ids)
        self.table = table
        self.by_word = by_word
        for k in range(128):
            self.ascii_ids[k] = table.get(bytes([k]), self.byte_ids[k])

    cdef int _piece(self, const uint8_t *s, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0, k, w
        if self.by_word:
            found = self.table.get(PyBytes_FromStringAndSize(<const char *> s, n))
            if found is not None:
                return self._emit(found)
        while i < n:
            if s[i] < 128:
                self._emit(self.ascii_ids[s[i]])
                i += 1
                continue
            w = _width(s + i, n - i)
            found = self.table.get(PyBytes_FromStringAndSize(<const char *> s + i, w))
            if found is not None:
                self._emit(found)
            else:
                for k in range(w):
                    self._emit(self.byte_ids[s[i + k]])
            i += w
        return 0


cdef inline double _log_add(double a, double b) noexcept:
    if a < b:
        a, b = b, a
    return a if b == -INFINITY else a + log1p(exp(b - a))


cdef class Unigram(Pieces):
    """Segmentation by independent piece probabilities (Kudo 2018) over a trie of the pieces' bytes.

    pieces: list of (bytes, id); scores: bytes of float64, the log probability of each id; unknown: id or -1; unknown_score: log
    probability of a character that is no piece; byte_ids: ids to spell unknown characters with, all -1 for none;
    byte_units: a character is one byte (byte-level vocabularies), else one UTF-8 character; narrow: sums of segmentations are
    kept in float32, as SentencePiece keeps them.
    Of equal paths the one whose last piece starts earlier wins, as in the Hugging Face library.
    """
    cdef uint64_t *keys             # trie edges: (node << 8 | byte) + 1, open addressing, 0 = free
    cdef int32_t *kids
    cdef uint64_t mask
    cdef int32_t root[256]
    cdef int32_t *ids               # of each node, -1 = no piece ends here
    cdef double *score
    cdef Py_ssize_t n_ids, n_nodes, cap_nodes
    cdef int32_t unknown
    cdef double unknown_score
    cdef bint byte_units, narrow
    cdef double *best               # Viterbi and forward values at each byte
    cdef double *back               # backward values
    cdef int32_t *made              # id of the best piece that ends here, -1 = unknown character
    cdef int32_t *came              # where it starts, -1 = not reached
    cdef Py_ssize_t cap

    def __cinit__(self, *args):
        self.keys = NULL
        self.kids = self.ids = self.made = self.came = NULL
        self.score = self.best = self.back = NULL

    def __init__(self, pieces, bytes scores, int unknown, double unknown_score, byte_ids, stages, bint byte_units,
                 bint narrow=False):
        cdef uint64_t size = 16
        cdef Py_ssize_t total = 1, k, n
        cdef int32_t node, kid
        cdef char *raw
        if self.keys != NULL:
            raise ValueError("set up once")
        self._setup(stages, byte_ids)
        for piece, _ in pieces:
            total += len(piece)
        while size < <uint64_t> total * 2:
            size *= 2
        self.n_ids = len(scores) // 8
        self.mask = size - 1
        self.keys = <uint64_t *> calloc(size, 8)
        self.kids = <int32_t *> malloc(size * 4)
        self.ids = <int32_t *> malloc(total * 4)
        self.score = <double *> malloc(max(8, self.n_ids * 8))
        if not (self.keys and self.kids and self.ids and self.score):
            raise MemoryError("trie")
        memset(self.root, 255, sizeof(self.root))
        PyBytes_AsStringAndSize(scores, &raw, &n)
        memcpy(self.score, raw, self.n_ids * 8)
        self.ids[0] = -1
        self.n_nodes = 1
        for piece, id in pieces:
            if not 0 <= id < self.n_ids or not piece:
                raise ValueError("a piece has an id with a score and at least one byte")
            PyBytes_AsStringAndSize(piece, &raw, &n)
            node = 0
            for k in range(n):
                kid = self._child(node, <uint8_t> raw[k])
                if kid < 0:
                    kid = <int32_t> self.n_nodes
                    self.n_nodes += 1
                    self.ids[kid] = -1
                    self._link(node, <uint8_t> raw[k], kid)
                node = kid
            self.ids[node] = id
        self.unknown = unknown
        self.unknown_score = unknown_score
        self.byte_units = byte_units
        self.narrow = narrow

    def __dealloc__(self):
        free(self.keys)
        free(self.kids)
        free(self.ids)
        free(self.score)
        free(self.best)
        free(self.back)
        free(self.made)
        free(self.came)

    cdef inline int32_t _child(self, int32_t node, uint8_t byte) noexcept:
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

    cdef int _room(self, Py_ssize_t n) except -1:
        cdef void *p
        if n < self.cap:
            return 0
        n = max(n + 1, 2 * self.cap, 256)
        p = realloc(self.best, n * 8)
        if p == NULL: raise MemoryError("lattice")
        self.best = <double *> p
        p = realloc(self.made, n * 4)
        if p == NULL: raise MemoryError("lattice")
        self.made = <int32_t *> p
        p = realloc(self.came, n * 4)
        if p == NULL: raise MemoryError("lattice")
        self.came = <int32_t *> p
        p = realloc(self.back, n * 8)
        if p == NULL: raise MemoryError("lattice")
        self.back = <double *> p
        self.cap = n
        return 0

    cdef int _viterbi(self, const uint8_t *s, Py_ssize_t n, bint not_whole) except -1:
        """Fill best, made and came for one pre-token; not_whole: without the piece that is all of it."""
        cdef Py_ssize_t i = 0, j, w
        cdef int32_t node, id
        cdef double value
        cdef bint single
        self._room(n)
        for j in range(n + 1):
            self.came[j] = -1
        self.best[0] = 0
        while i < n:
            w = 1 if self.byte_units else _width(s + i, n - i)
            single = False
            node = 0
            j = i
            while j < n:
                node = self._child(node, s[j])
                if node < 0:
                    break
                j += 1
                id = self.ids[node]
                if id < 0 or (not_whole and i == 0 and j == n):
                    continue
                value = self.score[id] + self.best[i]
                if self.narrow:
                    value = <float> value
                if self.came[j] < 0 or value > self.best[j]:
                    self.best[j] = value
                    self.made[j] = id
                    self.came[j] = <int32_t> i
                if j - i == w:
                    single = True
            if not single:
                j = i + w
                value = self.unknown_score + self.best[i]
                if self.narrow:
                    value = <float> value
                if self.came[j] < 0 or value > self.best[j]:
                    self.best[j] = value
                    self.made[j] = -1
                    self.came[j] = <int32_t> i
            i += w
        return 0

    cdef int _piece(self, const uint8_t *s, Py_ssize_t n) except -1:
        cdef Py_ssize_t at = n, k, first = self.out_n, last
        cdef int32_t swap
        cdef bint fused = False
        self._viterbi(s, n, False)
        while at > 0:
            if self.made[at] >= 0:
                self._emit(self.made[at])
                fused = False
            elif self.byte_ids[0] >= 0:
                for k in range(at - 1, self.came[at] - 1, -1):
                    self._emit(self.byte_ids[s[k]])
            elif self.unknown < 0:
                raise ValueError("the vocabulary has no piece for a character of the text and no unknown token")
            elif not fused:                                 # neighbours become one unknown token
                self._emit(self.unknown)
                fused = True
            at = self.came[at]
        last = self.out_n - 1
        while first < last:
            swap = self.out[first]
            self.out[first] = self.out[last]
            self.out[last] = swap
            first += 1
            last -= 1
        if self.cap > (1 << 20):                            # a huge line must not leave its lattice behind
            free(self.best)
            free(self.back)
            free(self.made)
            free(self.came)
            self.best = self.back = NULL
            self.made = self.came = NULL
            self.cap = 0
        return 0

    def segment(self, bytes word, bint not_whole=False):
        """(ids, log probability) of the best segmentation of one pre-token; an unknown character is -1.
        not_whole: the best without the piece that is all of it."""
        cdef char *s
        cdef Py_ssize_t n, at
        PyBytes_AsStringAndSize(word, &s, &n)
        self._viterbi(<const uint8_t *> s, n, not_whole)
        found = []
        at = n
        while at > 0:
            found.append(self.made[at])
            at = self.came[at]
        return found[::-1], self.best[n]

    def used(self, words, counts):
        """How often each id stands in the best segmentations of the words: bytes of float64, by id."""
        cdef char *s
        cdef Py_ssize_t n, at
        cdef double weight
        cdef double *sums = <double *> calloc(self.n_ids + 1, 8)
        if sums == NULL:
            raise MemoryError("counts")
        try:
            for word, count in zip(words, counts):
                weight = count
                PyBytes_AsStringAndSize(word, &s, &n)
                self._viterbi(<const uint8_t *> s, n, False)
                at = n
                while at > 0:
                    if self.made[at] >= 0:
                        sums[self.made[at]] += weight
                    at = self.came[at]
            return PyBytes_FromStringAndSize(<const char *> sums, self.n_ids * 8)
        finally:
            free(sums)

    cdef double _expect(self, const uint8_t *s, Py_ssize_t n, double weight, double *sums) except? -1:
        """Forward-backward over one word: adds the expected count of each piece to `sums`; its log likelihood."""
        cdef Py_ssize_t i, j, w, step
        cdef int32_t node, id
        cdef double value
        cdef bint single
        cdef int way
        self._room(n)
        for i in range(n + 1):
            self.best[i] = self.back[i] = -INFINITY
        self.best[0] = self.back[n] = 0
        for way in range(2):                                # 0: forward, 1: backward
            for step in range(n):
                i = step if way == 0 else n - 1 - step
                if not self.byte_units and s[i] & 0xC0 == 0x80:
                    continue
                w = 1 if self.byte_units else _width(s + i, n - i)
                single = False
                node = 0
                j = i
                while j < n:
                    node = self._child(node, s[j])
                    if node < 0:
                        break
                    j += 1
                    id = self.ids[node]
                    if id < 0:
                        continue
                    single = single or j - i == w
                    if way == 0:
                        self.best[j] = _log_add(self.best[j], self.best[i] + self.score[id])
                    else:
                        value = self.score[id] + self.back[j]
                        self.back[i] = _log_add(self.back[i], value)
                        sums[id] += weight * exp(self.best[i] + value - self.best[n])
                if not single:
                    j = i + w
                    if way == 0:
                        self.best[j] = _log_add(self.best[j], self.best[i] + self.unknown_score)
                    else:
                        self.back[i] = _log_add(self.back[i], self.unknown_score + self.back[j])
        return self.best[n]

    def expected(self, words, counts):
        """(expected count of each id over all segmentations as bytes of float64, log likelihood of the words)."""
        cdef char *s
        cdef Py_ssize_t n
        cdef double weight, likelihood = 0
        cdef double *sums = <double *> calloc(self.n_ids + 1, 8)
        if sums == NULL:
            raise MemoryError("counts")
        try:
            for word, count in zip(words, counts):
                weight = count
                PyBytes_AsStringAndSize(word, &s, &n)
                likelihood += weight * self._expect(<const uint8_t *> s, n, weight, sums)
            return PyBytes_FromStringAndSize(<const char *> sums, self.n_ids * 8), likelihood
        finally:
            free(sums)
