# Matcher of the programs that regex.py compiles: backtracking while that is cheap, remembered states when it is not. Included by _text.pyx.
#
# A text of n bytes gets some steps for each byte. Beyond them the attempt runs again on a program without runs, which
# remembers the states (place in the program, position) that failed: (size of the program) x n of them. Captures and back
# references do not exist, so that a state has just one outcome. Lookarounds and atomic groups that succeed far away again
# and again could still take long: that has its own bound, and beyond it nothing matches any more.

cdef enum:
    OP_MATCH = 0
    OP_CHAR = 1         # code point
    OP_SET = 2          # number of the set
    OP_SPLIT = 3        # where to try first, where else
    OP_JUMP = 4
    OP_RUN = 5          # set, least, most (-1: no bound): as many as there are, given back one by one
    OP_POSSESSIVE = 6   # the same, nothing is given back
    OP_LOOK = 7         # 1 = negative + 2 = behind, characters to step back, where to go on; the sub-program follows
    OP_ATOMIC = 8       # 0, 0, where to go on; the sub-program follows
    OP_ASSERT = 9       # kind
    STEPS_FIRST = 4096
    STEPS_PER_BYTE = 256
    SLOW_PER_BYTE = 128
    MEMO_MAX = 4194304  # remembered states of one text; beyond them a place does not match

cdef struct CharSet:
    uint8_t bytes[256]  # membership of ASCII, or of every byte of the byte alphabet
    int32_t *low
    int32_t *high
    int32_t n
    uint8_t **pages     # 4352 pages of 256 bits, made when first met

cdef struct Frame:      # somewhere to go on after a failure
    Py_ssize_t pos
    Py_ssize_t low      # a run: may be given back down to here; -1: none
    int32_t pc

cdef struct Memo:
    uint64_t key
    Py_ssize_t value    # 0: fails; else end of the match + 1 of a lookaround or atomic group
    uint32_t age        # of another text where it differs


cdef bint _in_ranges(CharSet *c, int32_t cp) noexcept:
    cdef int32_t a = 0, b = c.n, m
    while a < b:
        m = (a + b) >> 1
        if c.high[m] < cp:
            a = m + 1
        else:
            b = m
    return a < c.n and c.low[a] <= cp


cdef bint _in_set(CharSet *c, uint32_t cp) noexcept:
    cdef uint32_t page = cp >> 8, k
    cdef uint8_t *bits
    if cp > 0x10FFFF:
        return False
    if c.pages == NULL:
        c.pages = <uint8_t **> calloc(4352, sizeof(uint8_t *))
        if c.pages == NULL:
            return _in_ranges(c, cp)
    bits = c.pages[page]
    if bits == NULL:
        bits = <uint8_t *> calloc(32, 1)
        if bits == NULL:
            return _in_ranges(c, cp)
        for k in range(256):
            if _in_ranges(c, (page << 8) + k):
                bits[k >> 3] |= 1 << (k & 7)
        c.pages[page] = bits
    return bits[(cp & 255) >> 3] >> (cp & 7) & 1


cdef inline uint32_t _decode(const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int *width) noexcept:
    """Code point of the UTF-8 character at s[i] and its bytes; a cut one is a character of one byte beyond Unicode."""
    cdef uint32_t c = s[i]
    if c < 128:
        width[0] = 1
        return c
    if c < 0xE0 and i + 1 < end:
        width[0] = 2
        return ((c & 31) << 6) | (s[i + 1] & 63)
    if 0xE0 <= c < 0xF0 and i + 2 < end:
        width[0] = 3
        return ((c & 15) << 12) | ((<uint32_t> s[i + 1] & 63) << 6) | (s[i + 2] & 63)
    if c >= 0xF0 and i + 3 < end:
        width[0] = 4
        return ((c & 7) << 18) | ((<uint32_t> s[i + 1] & 63) << 12) | ((<uint32_t> s[i + 2] & 63) << 6) | (s[i + 3] & 63)
    width[0] = 1
    return 0xFFFFFFFF


cdef class Regex:
    """One compiled pattern over UTF-8.

    fast: program of all choices at the top; starts: where each begins; firsts: for each choice 256 flags of the bytes it
    may begin with (all set: it may be empty); slow: the same as one program without runs; sets: objects with `.ranges`;
    word: number of the set of word characters; looping: something that may be empty is repeated, only `slow` ends;
    alphabet: None, or the code points that the 256 bytes of a byte-level text stand for.
    """
    cdef int32_t *fast
    cdef int32_t *slow
    cdef int32_t *starts
    cdef uint64_t first[256]        # bit k: choice k may begin with the byte; bit 63: one beyond the first 63
    cdef uint64_t empty             # choices that may be empty
    cdef int n_choices
    cdef CharSet *sets
    cdef int n_sets, word
    cdef bint looping, mapped
    cdef uint32_t alphabet[256]
    cdef Frame *stack
    cdef Py_ssize_t n_stack, cap_stack
    cdef Py_ssize_t steps, slow_steps
    cdef Memo *memo
    cdef uint64_t memo_mask
    cdef Py_ssize_t n_memo
    cdef uint32_t age
    cdef uint64_t *log              # keys of states remembered in this attempt
    cdef Py_ssize_t n_log, cap_log
    cdef const uint8_t *text
    cdef Py_ssize_t begin, end
    cdef public object source       # what it was compiled from, for comparison

    def __cinit__(self, *args, **kwargs):
        self.fast = self.slow = self.starts = NULL
        self.sets = NULL
        self.stack = NULL
        self.memo = NULL
        self.log = NULL
        self.n_sets = 0
        self.text = NULL

    def __init__(self, fast, starts, firsts, slow, sets, int word, bint looping, alphabet=None):
        cdef Py_ssize_t k, b, n
        if self.fast != NULL or not 1 <= len(starts) == len(firsts):
            raise ValueError("set up once, with as many flags as choices")
        self.fast, self.slow, self.starts = _numbers(fast), _numbers(slow), _numbers(starts)
        self.n_choices = len(starts)
        self.sets = <CharSet *> calloc(max(1, len(sets)), sizeof(CharSet))
        if self.sets == NULL:
            raise MemoryError("character sets")
        self.n_sets = len(sets)
        self.word, self.looping, self.mapped = word, looping, alphabet is not None
        for b in range(256):
            self.alphabet[b] = alphabet[b] if alphabet is not None else b
        for k in range(self.n_sets):
            n = len(sets[k].ranges)
            self.sets[k].n = n
            self.sets[k].low = _numbers([low for low, _ in sets[k].ranges])
            self.sets[k].high = _numbers([high for _, high in sets[k].ranges])
            for b in range(256 if self.mapped else 128):
                self.sets[k].bytes[b] = _in_ranges(&self.sets[k], self.alphabet[b])
        memset(self.first, 0, sizeof(self.first))
        self.empty = 0
        for k in range(self.n_choices):
            flags = firsts[k]
            n = min(k, 63)
            if all(flags):
                self.empty |= <uint64_t> 1 << n
            for b in range(256):
                if flags[b]:
                    self.first[b] |= <uint64_t> 1 << n

    def __dealloc__(self):
        cdef int k, p
        for k in range(self.n_sets):
            free(self.sets[k].low)
            free(self.sets[k].high)
            if self.sets[k].pages != NULL:
                for p in range(4352):
                    free(self.sets[k].pages[p])
                free(self.sets[k].pages)
        free(self.sets)
        free(self.fast)
        free(self.slow)
        free(self.starts)
        free(self.stack)
        free(self.memo)
        free(self.log)

    # ---- characters
    cdef inline bint _has(self, int k, Py_ssize_t i, int *width) noexcept:
        """Whether the character at i < end is in set k; its bytes go to `width`."""
        cdef uint8_t c = self.text[i]
        if c < 128 or self.mapped:
            width[0] = 1
            return self.sets[k].bytes[c]
        return _in_set(&self.sets[k], _decode(self.text, i, self.end, width))

    cdef inline Py_ssize_t _back(self, Py_ssize_t i) noexcept:
        """Start of the character before i > begin."""
        i -= 1
        if not self.mapped:
            while i > self.begin and self.text[i] & 0xC0 == 0x80:
                i -= 1
        return i

    cdef bint _asserted(self, int kind, Py_ssize_t i) noexcept:
        cdef bint before, after
        cdef int w
        if kind == 0:                                       # ^ : also after every newline
            return i == self.begin or (self.text[i - 1] == 10 and i < self.end)
        if kind == 1:                                       # $ : also before every newline
            return i == self.end or self.text[i] == 10
        if kind == 2 or kind == 7:
            return i == self.begin
        if kind == 3:
            return i == self.end
        if kind == 4:
            return i == self.end or (i == self.end - 1 and self.text[i] == 10)
        before = i > self.begin and self._has(self.word, self._back(i), &w)
        after = i < self.end and self._has(self.word, i, &w)
        return (before != after) == (kind == 5)

    # ---- remembered states
    cdef Memo *_remembered(self, uint64_t key) except NULL:
        """The place of a state in the table, made if it is not there (then its age is another)."""
        cdef uint64_t at, size, k
        cdef Memo *old = self.memo
        cdef Memo *fresh
        if self.memo == NULL or 2 * self.n_memo > <Py_ssize_t> self.memo_mask:
            size = 4096 if old == NULL else 2 * (self.memo_mask + 1)
            fresh = <Memo *> calloc(size, sizeof(Memo))
            if fresh == NULL:
                raise MemoryError("states of a pattern")
            self.memo = fresh
            if old != NULL:
                for k in range(self.memo_mask + 1):
                    if old[k].age == self.age:
                        at = _mix(old[k].key) & (size - 1)
                        while fresh[at].age == self.age:
                            at = (at + 1) & (size - 1)
                        fresh[at] = old[k]
                free(old)
            self.memo_mask = size - 1
        at = _mix(key) & self.memo_mask
        while self.memo[at].age == self.age and self.memo[at].key != key:
            at = (at + 1) & self.memo_mask
        return &self.memo[at]

    cdef bint _seen(self, int pc, Py_ssize_t i) except -1:
        """Whether the state failed before; it is remembered as one that fails unless the attempt succeeds."""
        cdef uint64_t key = (<uint64_t> (i - self.begin) << 16) | <uint64_t> pc
        cdef Memo *found = self._remembered(key)
        cdef void *p
        if found.age == self.age:
            if found.value == 0:
                return True
            found.value = 0                                 # it was on the way of an attempt that succeeded
        else:
            if self.n_memo >= MEMO_MAX:
                return True
            found.key, found.value, found.age = key, 0, self.age
            self.n_memo += 1
        if self.n_log == self.cap_log:
            self.cap_log = max(1024, 2 * self.cap_log)
            p = realloc(self.log, self.cap_log * 8)
            if p == NULL:
                raise MemoryError("states of a pattern")
            self.log = <uint64_t *> p
        self.log[self.n_log] = key
        self.n_log += 1
        return False

    cdef int _forget(self, Py_ssize_t log_from, Py_ssize_t up_to) except -1:
        """The states remembered since log_from, at positions up to up_to, may be on the way of a success."""
        cdef Py_ssize_t k
        for k in range(log_from, self.n_log):
            if <Py_ssize_t> (self.log[k] >> 16) + self.begin <= up_to:
                self._remembered(self.log[k]).value = -1
        self.n_log = log_from
        return 0

    # ---- matching
    cdef int _push(self, int32_t pc, Py_ssize_t pos, Py_ssize_t low) except -1:
        cdef void *p
        if self.n_stack == self.cap_stack:
            self.cap_stack = max(256, 2 * self.cap_stack)
            p = realloc(self.stack, self.cap_stack * sizeof(Frame))
            if p == NULL:
                raise MemoryError("stack of a pattern")
            self.stack = <Frame *> p
        self.stack[self.n_stack].pos = pos
        self.stack[self.n_stack].low = low
        self.stack[self.n_stack].pc = pc
        self.n_stack += 1
        return 0

    cdef Py_ssize_t _inner(self, const int32_t *code, int pc, Py_ssize_t i, bint slow) except -4:
        """End of a match of the sub-program of a lookaround or atomic group, -1 for none, -3 where steps ran out."""
        cdef Py_ssize_t r, mark = self.n_log
        cdef uint64_t key = (<uint64_t> (i - self.begin) << 16) | <uint64_t> pc
        cdef Memo *found
        if slow:
            found = self._remembered(key)
            if found.age == self.age:
                return found.value - 1
        r = self._match(code, pc + 4, i, slow)
        if slow:
            if r >= 0:
                self._forget(mark, self.end)
            found = self._remembered(key)
            if found.age != self.age:
                if self.n_memo >= MEMO_MAX:
                    return r
                self.n_memo += 1
            found.key, found.value, found.age = key, r + 1, self.age
        return r

    cdef Py_ssize_t _match(self, const int32_t *code, int pc, Py_ssize_t i, bint slow) except -4:
        """End of the match that begins at i with the instruction pc; -1 for none, -3 where the steps ran out."""
        cdef Py_ssize_t base = self.n_stack, j, low, count, r
        cdef int w, op, k
        cdef Frame *frame
        cdef bint ok
        while True:
            op = code[pc]
            ok = False
            if op == OP_RUN or op == OP_POSSESSIVE:
                j = i
                low = i if code[pc + 2] == 0 else -1
                count = 0
                k = code[pc + 1]
                r = code[pc + 3]
                while j < self.end and count != r and self._has(k, j, &w):
                    j += w
                    count += 1
                    if count == code[pc + 2]:
                        low = j
                self.steps -= count >> 2
                self.slow_steps -= count >> 2 if slow else 0
                if count >= code[pc + 2]:
                    if op == OP_RUN and j > low:
                        self._push(pc + 4, j, low)
                    i = j
                    pc += 4
                    ok = True
            elif op == OP_MATCH:
                self.n_stack = base
                return i
            elif op == OP_CHAR:
                if i < self.end:
                    if self.mapped:
                        w = 1
                        ok = self.alphabet[self.text[i]] == <uint32_t> code[pc + 1]
                    else:
                        ok = _decode(self.text, i, self.end, &w) == <uint32_t> code[pc + 1]
                    i += w
                    pc += 2
            elif op == OP_SET:
                if i < self.end and self._has(code[pc + 1], i, &w):
                    i += w
                    pc += 2
                    ok = True
            elif op == OP_SPLIT:
                self.slow_steps -= slow
                if not slow or not self._seen(pc, i):
                    self._push(code[pc + 2], i, -1)
                    pc = code[pc + 1]
                    ok = True
            elif op == OP_JUMP:
                pc = code[pc + 1]
                ok = True
            elif op == OP_ASSERT:
                ok = self._asserted(code[pc + 1], i)
                pc += 2
            elif op == OP_LOOK:
                j = i
                count = code[pc + 2]
                while count > 0 and j > self.begin:
                    j = self._back(j)
                    count -= 1
                r = -1 if count else self._inner(code, pc, j, slow)
                if r == -3:
                    self.n_stack = base
                    return -3
                ok = (r >= 0) != (code[pc + 1] & 1)
                pc = code[pc + 3]
            else:
                r = self._inner(code, pc, i, slow)
                if r == -3:
                    self.n_stack = base
                    return -3
                if r >= 0:
                    i = r
                    pc = code[pc + 3]
                    ok = True
            if ok:
                continue
            self.steps -= 1
            self.slow_steps -= slow
            if (self.slow_steps if slow else self.steps) < 0:
                self.n_stack = base
                return -1 if slow else -3
            if self.n_stack == base:
                return -1
            frame = &self.stack[self.n_stack - 1]
            pc = frame.pc
            if frame.low >= 0:
                frame.pos = self._back(frame.pos)
                i = frame.pos
                if i <= frame.low:
                    self.n_stack -= 1
            else:
                i = frame.pos
                self.n_stack -= 1

    cdef Py_ssize_t _at(self, Py_ssize_t i, uint64_t choices) except -4:
        """End of the match that begins at i, -1 for none. choices: bits of those whose first byte fits."""
        cdef int k = 0
        cdef Py_ssize_t r
        if not self.looping and self.steps >= 0:
            while k < self.n_choices:
                if choices >> min(k, 63) & 1:
                    self.steps -= 1
                    r = self._match(self.fast, self.starts[k], i, False)
                    if r >= 0:
                        return r
                    if r == -3:
                        break
                k += 1
            else:
                return -1
        self.n_log = 0
        if self.slow_steps < 0:
            return -1
        r = self._match(self.slow, 0, i, True)
        if r >= 0:
            self._forget(0, r)
        self.n_log = 0
        return r

    cdef int start(self, const uint8_t *s, Py_ssize_t begin, Py_ssize_t end) noexcept:
        """A new text: nothing is remembered of another."""
        self.text, self.begin, self.end = s, begin, end
        self.steps = STEPS_FIRST + STEPS_PER_BYTE * (end - begin)
        self.slow_steps = MEMO_MAX + SLOW_PER_BYTE * (end - begin)
        self.n_stack = self.n_log = self.n_memo = 0
        self.age += 1
        if self.age == 0 or self.memo_mask > (1 << 16):     # a huge text must not leave its states behind
            free(self.memo)
            free(self.log)
            self.memo = NULL
            self.log = NULL
            self.memo_mask = 0
            self.cap_log = 0
            self.age = 1
        return 0

    cdef bint search(self, Py_ssize_t i, Py_ssize_t *match_start, Py_ssize_t *match_end) except -1:
        """The first match at or after i of the text given to start()."""
        cdef uint64_t choices
        cdef Py_ssize_t r
        cdef int w
        while i <= self.end:
            choices = self.first[self.text[i]] if i < self.end else self.empty
            if choices:
                r = self._at(i, choices)
                if r >= 0:
                    match_start[0], match_end[0] = i, r
                    return True
            if i == self.end:
                break
            if self.mapped or self.text[i] < 128:
                i += 1
            else:
                _decode(self.text, i, self.end, &w)
                i += w
        return False

    def find_all(self, bytes text):
        """[(start, end)] of the matches in UTF-8 bytes, none over another; an empty one never right after another."""
        cdef char *s
        cdef Py_ssize_t n, at = 0, last = -1, a = 0, b = 0
        cdef int w
        PyBytes_AsStringAndSize(text, &s, &n)
        self.start(<const uint8_t *> s, 0, n)
        found = []
        while at <= n and self.search(at, &a, &b):
            if a == b and b == last:
                if at >= n:
                    break
                w = 1
                if not self.mapped:
                    _decode(self.text, at, n, &w)
                at += w
                continue
            found.append((a, b))
            at = last = b
        self.text = NULL
        return found


cdef int32_t *_numbers(values) except NULL:
    """A C array of a sequence; an empty one has room for one number."""
    cdef Py_ssize_t k, n = len(values)
    cdef int32_t *out = <int32_t *> malloc(max(1, n) * 4)
    if out == NULL:
        raise MemoryError("numbers")
    for k in range(n):
        out[k] = values[k]
    return out
