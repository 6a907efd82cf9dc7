# A grammar run over bytes: sets of (state, stack), interned and with remembered transitions. Included by _text.pyx.

cdef enum:
    UNKNOWN = -2        # a transition not computed yet
    DEAD = -1           # no way to go on
    MAX_SEEN = 1 << 14  # configurations visited in one step
    MAX_DEPTH = 1024    # nested rules; what would nest deeper is not allowed
    MAX_SETS = 1 << 15  # kept at most; a clean-up between tokens begins at an eighth of it
    MAX_STACKS = 1 << 19
    MAX_WORK = 1 << 23  # configurations visited for one token
    FEW_NODES = 64      # of a subtree: from so many on it pays to ask whether everything in it may come

cdef extern from "stdlib.h":
    void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *) noexcept)

cdef int _compare_u64(const void *a, const void *b) noexcept:
    cdef uint64_t x = (<const uint64_t *> a)[0], y = (<const uint64_t *> b)[0]
    return (x > y) - (x < y)


class MatcherLimit(ValueError):
    """A grammar needs more states or steps than its bounds allow: it is too ambiguous."""


cdef class Automaton:
    """Recursive transition network over bytes. All arrays are bytes of native int32.

    edges of state s: rows edge_start[s] to edge_start[s+1] of (low, high, target); epsilons likewise; call[s]: state in
    which a called rule begins or -1, after[s]: where it returns to; ends[s]: 1 if a rule ends in s. Nothing may call itself
    before a byte is read (`runtime.generate.grammar` sees to that).
    """
    cdef readonly int32_t n_states, entry
    cdef int32_t *edge_start
    cdef int32_t *edges
    cdef int32_t *eps_start
    cdef int32_t *eps
    cdef int32_t *call
    cdef int32_t *after
    cdef int32_t *ends
    cdef object owner                                       # the bytes that the pointers look into

    def __init__(self, int32_t entry, bytes edge_start, bytes edges, bytes eps_start, bytes eps, bytes call, bytes after,
                 bytes ends):
        cdef int32_t n = <int32_t> (len(call) // 4), k
        self.owner = (edge_start, edges, eps_start, eps, call, after, ends)
        self.edge_start = <int32_t *> <char *> edge_start
        self.edges = <int32_t *> <char *> edges
        self.eps_start = <int32_t *> <char *> eps_start
        self.eps = <int32_t *> <char *> eps
        self.call = <int32_t *> <char *> call
        self.after = <int32_t *> <char *> after
        self.ends = <int32_t *> <char *> ends
        self.n_states, self.entry = n, entry
        if not (0 <= entry < n and len(after) == len(ends) == 4 * n and len(edge_start) == len(eps_start) == 4 * (n + 1)):
            raise ValueError("the arrays of an automaton do not fit together")
        if self.edge_start[0] or self.eps_start[0]:
            raise ValueError("the arrays of an automaton must begin at 0")
        for k in range(n):
            if (self.edge_start[k + 1] < self.edge_start[k] or self.eps_start[k + 1] < self.eps_start[k] or
                    not -1 <= self.call[k] < n or not (-1 if self.call[k] < 0 else 0) <= self.after[k] < n):
                raise ValueError(f"state {k} of an automaton is broken")
        if self.edge_start[n] * 12 != len(edges) or self.eps_start[n] * 4 != len(eps):
            raise ValueError("the edges of an automaton do not fit its states")
        for k in range(self.edge_start[n]):
            if not 0 <= self.edges[3 * k + 2] < n:
                raise ValueError(f"edge {k} of an automaton leads nowhere")
        for k in range(self.eps_start[n]):
            if not 0 <= self.eps[k] < n:
                raise ValueError(f"epsilon {k} of an automaton leads nowhere")


cdef class Matcher:
    """One text on its way through an automaton, byte by byte.

    A configuration is state << 32 | stack; stacks are interned (return state, rest) pairs, so equal sets of
    configurations are one set with one table of transitions. feed, allows and mask raise MatcherLimit.
    """
    cdef Automaton net
    cdef int32_t now
    cdef Py_ssize_t work
    cdef int trouble
    # stacks; 0 is the empty one
    cdef int32_t *returns
    cdef int32_t *rest
    cdef int32_t *height
    cdef int32_t *stack_hash
    cdef Py_ssize_t n_stacks, cap_stacks, stack_slots
    # sets
    cdef uint64_t *pool
    cdef Py_ssize_t pool_n, pool_cap
    cdef Py_ssize_t *first
    cdef int32_t *count
    cdef int32_t **table
    cdef uint64_t *quiet                                    # classes of characters that all lead to `onward`; bit 63: known
    cdef int32_t *onward
    cdef int32_t *set_hash
    cdef Py_ssize_t n_sets, cap_sets, set_slots
    # of one step
    cdef uint64_t *todo
    cdef uint64_t *seen
    cdef uint64_t *kept
    cdef int32_t *slots                                     # places in `seen` that are taken
    cdef Py_ssize_t n_todo, n_seen, n_kept

    def __cinit__(self, *args):
        self.returns = self.rest = self.height = self.stack_hash = self.count = self.onward = self.set_hash = NULL
        self.pool = self.todo = self.seen = self.kept = self.quiet = NULL
        self.slots = NULL
        self.first = NULL
        self.table = NULL

    def __init__(self, Automaton net):
        if self.pool != NULL:
            raise ValueError("set up once")
        self.net = net
        self.todo = <uint64_t *> malloc(2 * MAX_SEEN * 8)
        self.seen = <uint64_t *> malloc(2 * MAX_SEEN * 8)
        self.kept = <uint64_t *> malloc(2 * MAX_SEEN * 8)
        self.slots = <int32_t *> malloc(MAX_SEEN * 4)
        if not (self.todo and self.seen and self.kept and self.slots):
            raise MemoryError("matcher")
        memset(self.seen, 255, 2 * MAX_SEEN * 8)
        self._clear()
        self._begin()
        self._visit(net.entry, 0)
        self.now = self._finish()
        self._raise()
        if self.now == DEAD:
            raise ValueError("the grammar accepts no text")

    def __dealloc__(self):
        self._drop()
        free(self.todo)
        free(self.seen)
        free(self.kept)
        free(self.slots)

    cdef void _drop(self) noexcept:
        cdef Py_ssize_t k
        for k in range(self.n_sets):
            free(self.table[k])
        free(self.returns); free(self.rest); free(self.height); free(self.stack_hash)
        free(self.pool); free(self.first); free(self.count); free(self.table); free(self.quiet)
        free(self.onward); free(self.set_hash)
        self.returns = self.rest = self.height = self.stack_hash = self.count = self.onward = self.set_hash = NULL
        self.pool = self.quiet = NULL
        self.first = NULL
        self.table = NULL
        self.n_sets = self.n_stacks = 0

    cdef int _clear(self) except -1:
        self._drop()
        self.cap_stacks, self.stack_slots, self.cap_sets, self.set_slots = 256, 1024, 64, 256
        self.pool_cap, self.pool_n = 1024, 0
        self.returns = <int32_t *> malloc(self.cap_stacks * 4)
        self.rest = <int32_t *> malloc(self.cap_stacks * 4)
        self.height = <int32_t *> malloc(self.cap_stacks * 4)
        self.stack_hash = <int32_t *> calloc(self.stack_slots, 4)
        self.pool = <uint64_t *> malloc(self.pool_cap * 8)
        self.first = <Py_ssize_t *> malloc(self.cap_sets * sizeof(Py_ssize_t))
        self.count = <int32_t *> malloc(self.cap_sets * 4)
        self.table = <int32_t **> malloc(self.cap_sets * sizeof(int32_t *))
        self.quiet = <uint64_t *> malloc(self.cap_sets * 8)
        self.onward = <int32_t *> malloc(self.cap_sets * 4)
        self.set_hash = <int32_t *> calloc(self.set_slots, 4)
        if not (self.returns and self.rest and self.height and self.stack_hash and self.pool and self.first and self.count
                and self.table and self.quiet and self.onward and self.set_hash):
            raise MemoryError("matcher")
        self.returns[0] = self.rest[0] = -1
        self.height[0] = 0
        self.n_stacks = 1
        return 0

    cdef int _raise(self) except -1:
        cdef int trouble = self.trouble
        self.trouble = 0
        if trouble == 1:
            raise MemoryError("matcher")
        if trouble:
            raise MatcherLimit("the grammar is too ambiguous: one token needs more states or steps than its bounds allow")
        return 0

    # ---- stacks ----------------------------------------------------------------------------------------------------

    cdef int32_t _push(self, int32_t state, int32_t rest) noexcept:
        """The stack with `state` on top of `rest`; -1 where it would be too high (trouble 0) or there is no room."""
        cdef uint64_t at
        cdef int32_t k
        if self.height[rest] >= MAX_DEPTH:
            return -1
        at = _mix(<uint64_t> state << 32 | <uint32_t> rest) & (self.stack_slots - 1)
        while True:
            k = self.stack_hash[at]
            if k == 0:
                break
            if self.returns[k] == state and self.rest[k] == rest:
                return k
            at = (at + 1) & (self.stack_slots - 1)
        if self.n_stacks == self.cap_stacks:
            if self._grow_stacks() < 0:
                return -1
            return self._push(state, rest)
        k = <int32_t> self.n_stacks
        self.n_stacks += 1
        self.returns[k], self.rest[k], self.height[k] = state, rest, self.height[rest] + 1
        self.stack_hash[at] = k
        return k

    cdef int _grow_stacks(self) noexcept:
        cdef Py_ssize_t cap = 2 * self.cap_stacks, slots = 2 * self.stack_slots, k
        cdef uint64_t at
        cdef void *p
        if cap > MAX_STACKS:
            self.trouble = 2
            return -1
        p = realloc(self.returns, cap * 4)
        if p == NULL: self.trouble = 1; return -1
        self.returns = <int32_t *> p
        p = realloc(self.rest, cap * 4)
        if p == NULL: self.trouble = 1; return -1
        self.rest = <int32_t *> p
        p = realloc(self.height, cap * 4)
        if p == NULL: self.trouble = 1; return -1
        self.height = <int32_t *> p
        p = calloc(slots, 4)
        if p == NULL: self.trouble = 1; return -1
        free(self.stack_hash)
        self.stack_hash = <int32_t *> p
        self.cap_stacks, self.stack_slots = cap, slots
        for k in range(1, self.n_stacks):
            at = _mix(<uint64_t> self.returns[k] << 32 | <uint32_t> self.rest[k]) & (slots - 1)
            while self.stack_hash[at]:
                at = (at + 1) & (slots - 1)
            self.stack_hash[at] = <int32_t> k
        return 0

    # ---- one step --------------------------------------------------------------------------------------------------

    cdef void _begin(self) noexcept:
        cdef Py_ssize_t k
        for k in range(self.n_seen):
            self.seen[self.slots[k]] = ~<uint64_t> 0
        self.n_todo = self.n_seen = self.n_kept = 0

    cdef inline void _add(self, int32_t state, int32_t stack) noexcept:
        if self.n_todo == 2 * MAX_SEEN:
            self.trouble = 2
            return
        self.todo[self.n_todo] = <uint64_t> state << 32 | <uint32_t> stack
        self.n_todo += 1

    cdef void _visit(self, int32_t state, int32_t stack) noexcept:
        """Keep what can be reached from a configuration without reading."""
        cdef Automaton net = self.net
        cdef uint64_t c, at
        cdef int32_t k, higher
        self._add(state, stack)
        while self.n_todo and not self.trouble:
            self.n_todo -= 1
            c = self.todo[self.n_todo]
            at = _mix(c) & (2 * MAX_SEEN - 1)
            while self.seen[at] != ~<uint64_t> 0 and self.seen[at] != c:
                at = (at + 1) & (2 * MAX_SEEN - 1)
            if self.seen[at] == c:
                continue
            self.seen[at] = c
            self.slots[self.n_seen] = <int32_t> at
            self.n_seen += 1
            self.work += 1
            if self.n_seen == MAX_SEEN or self.work > MAX_WORK:
                self.trouble = 2
                return
            state, stack = <int32_t> (c >> 32), <int32_t> (c & 0xFFFFFFFF)
            if net.edge_start[state + 1] > net.edge_start[state]:
                self.kept[self.n_kept] = c
                self.n_kept += 1
            if net.ends[state]:
                if stack == 0:                              # the whole text may end here
                    self.kept[self.n_kept] = <uint64_t> net.n_states << 32
                    self.n_kept += 1
                else:
                    self._add(self.returns[stack], self.rest[stack])
            for k in range(net.eps_start[state], net.eps_start[state + 1]):
                self._add(net.eps[k], stack)
            if net.call[state] >= 0:
                k = net.after[state]
                if (net.ends[k] and net.call[k] < 0 and net.edge_start[k + 1] == net.edge_start[k] and
                        net.eps_start[k + 1] == net.eps_start[k]):
                    higher = stack                          # nothing follows the call: it returns to our caller
                else:
                    higher = self._push(k, stack)
                if higher >= 0:
                    self._add(net.call[state], higher)

    cdef int32_t _finish(self) noexcept:
        """The interned set of what was kept, or DEAD."""
        cdef Py_ssize_t n = 0, k
        cdef uint64_t hash = 0x9E3779B97F4A7C15, at
        cdef int32_t s
        if self.trouble or self.n_kept == 0:
            return DEAD
        qsort(self.kept, self.n_kept, 8, _compare_u64)
        for k in range(self.n_kept):                        # the end may have been reached in several ways
            if n == 0 or self.kept[n - 1] != self.kept[k]:
                self.kept[n] = self.kept[k]
                n += 1
                hash = _mix(hash ^ self.kept[k])
        at = hash & (self.set_slots - 1)
        while self.set_hash[at]:
            s = self.set_hash[at] - 1
            if self.count[s] == n and memcmp(self.pool + self.first[s], self.kept, n * 8) == 0:
                return s
            at = (at + 1) & (self.set_slots - 1)
        if self._room(n) < 0:
            return DEAD
        s = <int32_t> self.n_sets
        self.table[s] = <int32_t *> malloc(256 * 4)
        if self.table[s] == NULL:
            self.trouble = 1
            return DEAD
        for k in range(256):
            self.table[s][k] = UNKNOWN
        self.first[s], self.count[s], self.quiet[s] = self.pool_n, <int32_t> n, 0
        memcpy(self.pool + self.pool_n, self.kept, n * 8)
        self.pool_n += n
        self.n_sets += 1
        at = hash & (self.set_slots - 1)                    # _room may have moved everything
        while self.set_hash[at]:
            at = (at + 1) & (self.set_slots - 1)
        self.set_hash[at] = s + 1
        return s

    cdef int _room(self, Py_ssize_t n) noexcept:
        """Make room for one more set of n configurations."""
        cdef Py_ssize_t cap, slots, k, s
        cdef uint64_t hash, at
        cdef void *p
        if self.pool_n + n > self.pool_cap:
            cap = 2 * self.pool_cap + n
            if cap > (1 << 24):
                self.trouble = 2
                return -1
            p = realloc(self.pool, cap * 8)
            if p == NULL: self.trouble = 1; return -1
            self.pool = <uint64_t *> p
            self.pool_cap = cap
        if self.n_sets < self.cap_sets:
            return 0
        cap, slots = 2 * self.cap_sets, 2 * self.set_slots
        if cap > MAX_SETS:
            self.trouble = 2
            return -1
        p = realloc(self.first, cap * sizeof(Py_ssize_t))
        if p == NULL: self.trouble = 1; return -1
        self.first = <Py_ssize_t *> p
        p = realloc(self.count, cap * 4)
        if p == NULL: self.trouble = 1; return -1
        self.count = <int32_t *> p
        p = realloc(self.table, cap * sizeof(int32_t *))
        if p == NULL: self.trouble = 1; return -1
        self.table = <int32_t **> p
        p = realloc(self.quiet, cap * 8)
        if p == NULL: self.trouble = 1; return -1
        self.quiet = <uint64_t *> p
        p = realloc(self.onward, cap * 4)
        if p == NULL: self.trouble = 1; return -1
        self.onward = <int32_t *> p
        p = calloc(slots, 4)
        if p == NULL: self.trouble = 1; return -1
        free(self.set_hash)
        self.set_hash = <int32_t *> p
        self.cap_sets, self.set_slots = cap, slots
        for s in range(self.n_sets):
            hash = 0x9E3779B97F4A7C15
            for k in range(self.first[s], self.first[s] + self.count[s]):
                hash = _mix(hash ^ self.pool[k])
            at = hash & (slots - 1)
            while self.set_hash[at]:
                at = (at + 1) & (slots - 1)
            self.set_hash[at] = <int32_t> s + 1
        return 0

    cdef int32_t _step(self, int32_t s, uint8_t byte) noexcept:
        """The set after one more byte, or DEAD (also in trouble)."""
        cdef Automaton net = self.net
        cdef Py_ssize_t k
        cdef int32_t state, e, to, low = 0, high = 255      # bytes that all edges treat like this one
        cdef uint64_t c
        to = self.table[s][byte]
        if to != UNKNOWN:
            return to
        self._begin()
        for k in range(self.count[s]):
            c = self.pool[self.first[s] + k]
            state = <int32_t> (c >> 32)
            if state == net.n_states:                       # the end of the text reads nothing
                continue
            for e in range(net.edge_start[state], net.edge_start[state + 1]):
                if net.edges[3 * e] > byte:
                    high = min(high, net.edges[3 * e] - 1)
                elif net.edges[3 * e + 1] < byte:
                    low = max(low, net.edges[3 * e + 1] + 1)
                else:
                    low, high = max(low, net.edges[3 * e]), min(high, net.edges[3 * e + 1])
                    self._visit(net.edges[3 * e + 2], <int32_t> (c & 0xFFFFFFFF))
                    if self.trouble:
                        return DEAD
        to = self._finish()
        if not self.trouble:
            for k in range(low, high + 1):
                self.table[s][k] = to
        return to

    cdef uint64_t _quiet(self, int32_t s) noexcept:
        """Classes all of whose characters lead from a set to one and the same set, `onward`; bit 63 is set."""
        cdef uint64_t loud = <uint64_t> 1 << BROKEN | <uint64_t> 1 << WITHIN
        cdef int b
        cdef int32_t to
        if not self.quiet[s] >> 63:
            to = self._step(s, 97)                          # where texts are free, an "a" may come
            if to == DEAD:
                loud = ~<uint64_t> 0
            else:
                for b in range(128):
                    if self._step(s, <uint8_t> b) != to:
                        loud |= <uint64_t> 1 << BYTE_CLASS[b]
                for b in range(0xC2, 0xF5):
                    if not self._comes_to(to, _utf8_state(0, <uint8_t> b), self._step(s, <uint8_t> b)):
                        loud |= <uint64_t> 1 << WIDE
                        break
            if self.trouble:
                return 0
            self.onward[s] = to
            self.quiet[s] = ~loud | <uint64_t> 1 << 63
        return self.quiet[s]

    cdef bint _free(self, int32_t s, uint64_t kinds, int chars) noexcept:
        """True if `chars` characters of these classes may follow a set, whatever they are."""
        while kinds & ~self._quiet(s) == 0:
            chars -= 1
            if chars == 0 or self.onward[s] == s:
                return True
            s = self.onward[s]
        return False

    cdef bint _comes_to(self, int32_t s, int state, int32_t now) noexcept:
        """True if every way to complete a character leads from `now` to s. state: what is missing (_utf8_state)."""
        cdef int b, after
        cdef int32_t to, last = DEAD
        if now == DEAD:
            return False
        for b in range(0x80, 0xC0):
            after = _utf8_state(state, <uint8_t> b)
            if after < 0:
                continue
            to = self._step(now, <uint8_t> b)
            if after == 0:
                if to != s:
                    return False
            elif to != last:                                # neighbours nearly always share it
                if not self._comes_to(s, after, to):
                    return False
                last = to
        return True

    cdef int _tidy(self) except -1:
        """Between tokens: forget everything but the present set once there is much."""
        cdef Py_ssize_t k, n
        cdef int32_t at, stack
        cdef int32_t *path
        if self.n_sets < MAX_SETS // 8 and self.n_stacks < MAX_STACKS // 8:
            return 0
        chains = []
        for k in range(self.count[self.now]):
            at = <int32_t> (self.pool[self.first[self.now] + k] & 0xFFFFFFFF)
            chain = []
            while at:
                chain.append(self.returns[at])
                at = self.rest[at]
            chains.append((<int32_t> (self.pool[self.first[self.now] + k] >> 32), chain))
        self._clear()
        self._begin()
        for state, chain in chains:
            stack = 0
            for at in reversed(chain):
                stack = self._push(at, stack)
            self.kept[self.n_kept] = <uint64_t> (<int32_t> state) << 32 | <uint32_t> stack
            self.n_kept += 1
        self.now = self._finish()
        self._raise()
        return 0

    # ---- for Python ------------------------------------------------------------------------------------------------

    @property
    def accepting(self):
        """True if the text may end here."""
        return self.pool[self.first[self.now] + self.count[self.now] - 1] >> 32 == <uint64_t> self.net.n_states

    @property
    def finished(self):
        """True if the text may end here and nothing can follow."""
        return self.count[self.now] == 1 and self.accepting

    @property
    def sets(self):
        """Number of sets of configurations known now, for tests of the bounds."""
        return self.n_sets

    cdef Py_ssize_t _read(self, bytes text, int32_t *to) except -1:
        """Number of leading bytes that fit; *to: the set after them."""
        cdef char *raw
        cdef Py_ssize_t n, k
        cdef int32_t s = self.now, after
        PyBytes_AsStringAndSize(text, &raw, &n)
        self.work = 0
        for k in range(n):
            after = self._step(s, <uint8_t> raw[k])
            if after == DEAD:
                self._raise()
                to[0] = s
                return k
            s = after
        to[0] = s
        return n

    def fits(self, bytes text):
        """How many of the next bytes could follow; nothing is changed."""
        cdef int32_t to
        return self._read(text, &to)

    def allows(self, bytes text):
        """True if all of these bytes could follow; nothing is changed."""
        cdef int32_t to
        return self._read(text, &to) == len(text)

    def feed(self, bytes text):
        """The text goes on so. ValueError, and nothing is changed, if it cannot."""
        cdef int32_t to
        if self._read(text, &to) != len(text):
            raise ValueError(f"the grammar does not allow {text!r} here")
        self.now = to
        self._tidy()

    def mask(self, ByteTrie trie, Py_ssize_t size, bytes rest=b""):
        """Which of `size` ids may come next, as bytes of 0 and 1.

        rest: bytes that come before the grammar's turn: allowed are then the tokens that are a proper beginning of them,
        and those that begin with them and go on as the grammar wants.
        """
        cdef int32_t i, end, s, to, node = 0
        cdef Py_ssize_t k, n
        cdef char *raw
        cdef uint8_t *out
        cdef int32_t *states
        result = PyBytes_FromStringAndSize(NULL, size)
        PyBytes_AsStringAndSize(result, <char **> &out, &n)
        memset(out, 0, size)
        PyBytes_AsStringAndSize(rest, &raw, &n)
        for k in range(n):
            if node:
                self._emit(trie, trie.rank[node], trie.rank[node + 1], out, size)
            node = trie.child(node, <uint8_t> raw[k])
            if node < 0:
                return result
        if node:
            self._emit(trie, trie.rank[node], trie.rank[node + 1], out, size)
        states = <int32_t *> malloc((trie.max_depth + 1) * 4)
        if states == NULL:
            raise MemoryError("mask")
        self.work = 0
        states[trie.depth[node]] = self.now
        i, end = node + 1, trie.skip[node]
        while i < end:
            s = states[trie.depth[i] - 1]
            if (trie.skip[i] - i >= FEW_NODES or self.quiet[s]) and self._free(s, trie.kinds[i], trie.chars[i]):
                self._emit(trie, trie.rank[i], trie.rank[trie.skip[i]], out, size)
                i = trie.skip[i]
                continue
            to = self.table[s][trie.byte[i]]
            if to == UNKNOWN:
                to = self._step(s, trie.byte[i])
            if self.trouble:
                break
            if to == DEAD:
                i = trie.skip[i]
                continue
            states[trie.depth[i]] = to
            self._emit(trie, trie.rank[i], trie.rank[i + 1], out, size)
            i += 1
        free(states)
        self._raise()
        return result

    cdef inline void _emit(self, ByteTrie trie, int32_t low, int32_t high, uint8_t *out, Py_ssize_t size) noexcept:
        cdef int32_t r
        for r in range(low, high):
            if <uint32_t> trie.ids[r] < <size_t> size:
                out[trie.ids[r]] = 1
