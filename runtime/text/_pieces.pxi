# Tokenizers without merges: look-up with byte fallback; WordPiece; Viterbi and expectations of Unigram. Included by _text.pyx.

cdef class Lookup(Pieces):
    """Whole pre-tokens, else their characters, else the bytes of those: no merges.

    table: dict bytes -> id of words and characters; byte_ids: ids of the 256 bytes; by_word: look pre-tokens up as a
    whole first.
    """
    cdef dict table
    cdef int32_t byte_ids[256]
    cdef int32_t ascii_ids[128]
    cdef bint by_word

    def __init__(self, table, byte_ids, stages, by_word):
        cdef int k
        self._setup(stages)
        for k in range(256):
            self.byte_ids[k] = byte_ids[k]
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


cdef class Words(Pieces):
    """WordPiece and word level: each pre-token is the longest pieces from its left, or one unknown token.

    first: list of (bytes, id) that begin a word; inner: those that continue one, without their mark (None: a word is one
    piece or unknown); longest: words of more characters are unknown; unknown: id.
    """
    cdef PrefixTree first, inner
    cdef Py_ssize_t longest
    cdef int32_t unknown

    def __init__(self, first, inner, Py_ssize_t longest, int unknown, stages):
        self._setup(stages)
        self.first = PrefixTree(first)
        self.inner = None if inner is None else PrefixTree(inner)
        self.longest, self.unknown = longest, unknown

    cdef int _piece(self, const uint8_t *s, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0, mark = self.out_n, k, characters = 0
        cdef int32_t id = -1
        for k in range(n):
            characters += s[k] & 0xC0 != 0x80
        if characters <= self.longest:
            while i < n:
                k = (self.first if i == 0 else self.inner).longest(s, i, n, &id)
                if k < 0 or (self.inner is None and k < n):
                    break
                self._emit(id)
                i = k
        if i < n:
            self.out_n = mark
            self._emit(self.unknown)
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
    cdef PrefixTree trie
    cdef int32_t byte_ids[256]
    cdef double *score
    cdef Py_ssize_t n_ids
    cdef int32_t unknown
    cdef double unknown_score
    cdef bint byte_units, narrow
    cdef double *best               # Viterbi and forward values at each byte
    cdef double *back               # backward values
    cdef int32_t *made              # id of the best piece that ends here, -1 = unknown character
    cdef int32_t *came              # where it starts, -1 = not reached
    cdef Py_ssize_t cap

    def __cinit__(self, *args, **kwargs):
        self.made = self.came = NULL
        self.score = self.best = self.back = NULL

    def __init__(self, pieces, bytes scores, int unknown, double unknown_score, byte_ids, stages, bint byte_units,
                 bint narrow=False):
        cdef Py_ssize_t k, n
        cdef char *raw
        if self.score != NULL:
            raise ValueError("set up once")
        self._setup(stages)
        for k in range(256):
            self.byte_ids[k] = byte_ids[k]
        self.n_ids = len(scores) // 8
        self.score = <double *> malloc(max(8, self.n_ids * 8))
        if self.score == NULL:
            raise MemoryError("scores")
        PyBytes_AsStringAndSize(scores, &raw, &n)
        memcpy(self.score, raw, self.n_ids * 8)
        for _, id in pieces:
            if not 0 <= id < self.n_ids:
                raise ValueError("a piece has an id with a score")
        self.trie = PrefixTree(pieces)
        self.unknown = unknown
        self.unknown_score = unknown_score
        self.byte_units = byte_units
        self.narrow = narrow

    def __dealloc__(self):
        free(self.score)
        free(self.best)
        free(self.back)
        free(self.made)
        free(self.came)

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
                node = self.trie.child(node, s[j])
                if node < 0:
                    break
                j += 1
                id = self.trie.ids[node]
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
                    node = self.trie.child(node, s[j])
                    if node < 0:
                        break
                    j += 1
                    id = self.trie.ids[node]
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
