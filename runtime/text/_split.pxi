# From a text to its pre-tokens: stages of scanners and patterns, each inside the pieces of the one before. Included by _text.pyx.

cdef enum:              # what becomes of the matches of a pattern, as tokenizer.json names it
    REMOVED = 0
    ISOLATED = 1
    MERGED_WITH_PREVIOUS = 2
    MERGED_WITH_NEXT = 3
    CONTIGUOUS = 4
    MAX_STAGES = 16

BEHAVIORS = {"Removed": REMOVED, "Isolated": ISOLATED, "MergedWithPrevious": MERGED_WITH_PREVIOUS,
             "MergedWithNext": MERGED_WITH_NEXT, "Contiguous": CONTIGUOUS}

cdef struct Stage:
    int scanner             # -1: a pattern
    int behavior
    bint invert             # what lies between the matches counts as match


cdef class Pieces:
    """Base of what reads one pre-token after the other: stages, output and encode(utf8).

    stages: names of `SCANNERS`, or (Regex, behavior, invert).
    """
    cdef Stage stages[MAX_STAGES]
    cdef list patterns          # Regex or None of each stage
    cdef int n_stages
    cdef int32_t *out
    cdef Py_ssize_t out_n, out_cap

    def __cinit__(self, *args, **kwargs):
        self.out = NULL
        self.out_n = self.out_cap = 0

    def __dealloc__(self):
        free(self.out)

    def set_stages(self, stages):
        """Makes a splitter that has no vocabulary."""
        self._setup(stages)

    cdef int _setup(self, stages) except -1:
        cdef int k
        if not 1 <= len(stages) <= MAX_STAGES:
            raise ValueError(f"{len(stages)} stages; 1 to {MAX_STAGES} are possible")
        self.n_stages = len(stages)
        self.patterns = []
        for k, stage in enumerate(stages):
            if isinstance(stage, str):
                self.stages[k] = Stage(SCANNERS[stage], 0, False)
                self.patterns.append(None)
            else:
                pattern, behavior, invert = stage
                self.stages[k] = Stage(-1, BEHAVIORS[behavior], invert)
                self.patterns.append(<Regex?> pattern)
        return 0

    cdef int _make_room(self, Py_ssize_t n) except -1:
        """Room for n more ids."""
        cdef void *p
        cdef Py_ssize_t cap
        if self.out_n + n > self.out_cap:
            cap = max(self.out_n + n, 2 * self.out_cap, 1024)
            p = realloc(self.out, cap * 4)
            if p == NULL:
                raise MemoryError("ids")
            self.out = <int32_t *> p
            self.out_cap = cap
        return 0

    cdef int _emit(self, int32_t id) except -1:
        self._make_room(1)
        self.out[self.out_n] = id
        self.out_n += 1
        return 0

    cdef int _piece(self, const uint8_t *s, Py_ssize_t n) except -1:
        """Append the ids of one pre-token."""
        raise NotImplementedError

    cdef int _split(self, const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int stage, list sink) except -1:
        cdef Py_ssize_t j
        cdef int scanner = self.stages[stage].scanner
        if scanner < 0:
            return self._split_by_pattern(s, i, end, stage, sink)
        if stage + 1 == self.n_stages and sink is None:
            while i < end:
                j = _next_piece(scanner, s, i, end)
                self._piece(s + i, j - i)
                i = j
            return 0
        while i < end:
            j = _next_piece(scanner, s, i, end)
            self._pass_on(s, i, j, stage, sink)
            i = j
        return 0

    cdef int _pass_on(self, const uint8_t *s, Py_ssize_t a, Py_ssize_t b, int stage, list sink) except -1:
        """A piece of this stage goes to the next one."""
        if a == b:
            return 0
        if stage + 1 < self.n_stages:
            return self._split(s, a, b, stage + 1, sink)
        if sink is not None:
            sink.append((a, b))
            return 0
        return self._piece(s + a, b - a)

    cdef int _split_by_pattern(self, const uint8_t *s, Py_ssize_t begin, Py_ssize_t end, int stage, list sink) except -1:
        """Matches and what lies between them, put together as the behavior of the stage says."""
        cdef Regex pattern = <Regex> self.patterns[stage]
        cdef int behavior = self.stages[stage].behavior, w
        cdef Py_ssize_t at = begin, from_ = begin, last = -1, a, b, start = 0, stop = 0, held_a = -1, held_b = -1
        cdef bint pending = False, flag, before = False, join, found
        pattern.start(s, begin, end)
        while True:
            if pending:
                a, b, flag, pending, at = start, stop, True, False, stop
            else:
                found = False
                while from_ <= end and pattern.search(from_, &start, &stop):
                    if start == stop and stop == last:      # an empty match right after another does not count
                        if from_ == end:
                            break
                        w = 1
                        if not pattern.mapped:
                            _decode(s, from_, end, &w)
                        from_ += w
                        continue
                    found = True
                    break
                if found:
                    from_ = last = stop
                    if start > at:
                        a, b, flag, pending, at = at, start, False, True, start
                    else:
                        a, b, flag, at = start, stop, True, stop
                elif at < end:
                    a, b, flag, at, from_ = at, end, False, end, end + 1
                else:
                    break
            flag = flag != self.stages[stage].invert
            if behavior == REMOVED:
                if not flag:
                    self._pass_on(s, a, b, stage, sink)
                continue
            if behavior == ISOLATED:
                self._pass_on(s, a, b, stage, sink)
                continue
            if behavior == CONTIGUOUS:
                join = flag == before
            elif behavior == MERGED_WITH_PREVIOUS:
                join = flag and not before
            else:
                join = before and not flag
            before = flag
            if join and held_a >= 0:
                held_b = b
                continue
            if held_a >= 0:
                self._pass_on(s, held_a, held_b, stage, sink)
            held_a, held_b = a, b
        if held_a >= 0:
            self._pass_on(s, held_a, held_b, stage, sink)
        return 0

    cdef int _clean_up(self) except -1:
        """A huge text must not leave its buffers behind."""
        return 0

    def encode(self, bytes utf8):
        """Ids of the text as bytes of native int32."""
        cdef char *s
        cdef Py_ssize_t n
        PyBytes_AsStringAndSize(utf8, &s, &n)
        self.out_n = 0
        self._split(<const uint8_t *> s, 0, n, 0, None)
        result = PyBytes_FromStringAndSize(<const char *> self.out, self.out_n * 4) if self.out_n else b""
        if self.out_cap > (1 << 20):
            free(self.out)
            self.out = NULL
            self.out_cap = 0
        self._clean_up()
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
