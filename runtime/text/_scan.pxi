# Pre-token scanners: character classes, and hand-written equals of the split patterns in pretokenize.py. Included by _text.pyx.

# ---------------------------------------------------------------------------------------------- character classes
# Class bits of each code point, in pages of 256 that are filled from characters.py when first met.
cdef enum:
    LETTER = 1      # \p{L}
    NUMBER = 2      # \p{N}
    SPACE = 4       # \s: Unicode White_Space (str.isspace would add U+001C..U+001F)
    NEWLINE = 8     # \r and \n
    WORD = 16       # ASCII letter, underscore, or any non-ASCII: a word character of the "code" split
    BLANK = 32      # space, tab, \v, \f: white space inside a line, "code" split
    DIGIT = 64      # ASCII digit
    UPPER = 128     # [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
    LOWER = 256     # [\p{Ll}\p{Lm}\p{Lo}\p{M}]
    NUMERIC = 512   # what the component Digits of the `tokenizers` library counts as one: of Unicode 17

cdef uint16_t *_pages[4352]
memset(_pages, 0, sizeof(_pages))
cdef uint16_t _ascii[128]

_both = categories("Lm", "Lo", "Mn", "Mc", "Me")
_CLASSES = [(LETTER, named("L")), (NUMBER, named("N")), (SPACE, WHITE), (UPPER, _both | categories("Lu", "Lt")),
            (LOWER, _both | categories("Ll")), (NUMERIC, named("N") | Set.parse(NEW_NUMBERS))]


cdef int _fill_page(uint32_t page) except -1:
    cdef uint16_t *cells = <uint16_t *> malloc(512)
    if cells == NULL:
        raise MemoryError("character table")
    cdef int k
    for k in range(256):
        cp = page * 256 + k
        bits = 0
        for bit, members in _CLASSES:
            if cp in members:
                bits |= bit
        if cp in (10, 13):
            bits |= NEWLINE
        elif cp in (9, 11, 12, 32):
            bits |= BLANK
        if cp >= 128 or cp == 95 or bits & LETTER:
            bits |= WORD
        if 48 <= cp <= 57:
            bits |= DIGIT
        cells[k] = bits
    _pages[page] = cells
    if page == 0:
        memcpy(_ascii, cells, 256)
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
    S_DIGITS = 5        # every number character alone, as Digits has it
    S_DIGIT_RUNS = 6
    S_WORDS = 7         # word, run of white space, or one character of anything else
    S_METASPACE = 8     # up to the next U+2581
    S_GPT4O = 9
    S_TEKKEN = 10
    S_SPACED = 11       # a run of U+2581 and what follows it
    S_NUMBERS = 12      # every character of \p{N} alone

SCANNERS = {"whole": S_WHOLE, "code": S_CODE, "gpt2": S_GPT2, "qwen2": S_QWEN2, "llama3": S_LLAMA3,
            "digits": S_DIGITS, "digit_runs": S_DIGIT_RUNS, "words": S_WORDS, "metaspace": S_METASPACE, "gpt4o": S_GPT4O,
            "tekken": S_TEKKEN, "spaced": S_SPACED, "numbers": S_NUMBERS}


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


cdef Py_ssize_t _next_by_case(const uint8_t *s, Py_ssize_t i, Py_ssize_t end, int digits, bint contractions) except -1:
    """As _next_qwen2, but words end where lower case turns into upper case, and marks belong to words."""
    cdef Py_ssize_t j, start, last, lower
    cdef int w, k, first, attempt
    first = _class_at(s, i, end, &w)
    for attempt in range(2):                                # with the character before a word, then without
        start = i
        if attempt == 0:
            if first & (NEWLINE | NUMBER | LETTER) or i + w >= end:
                continue
            start = i + w
        j = start
        lower = -1                                          # end of the last character of the run that is both
        while j < end:
            k = _class_at(s, j, end, &w)
            if not k & UPPER:
                break
            j += w
            if k & LOWER:
                lower = j
        last = j
        if j < end and _class_at(s, j, end, &w) & LOWER:    # [upper]*[lower]+
            last = _run(s, j, end, LOWER, 1, end)
        elif lower >= 0:
            last = lower
        elif j == start:
            _class_at(s, i, end, &w)
            continue
        elif attempt == 0 and first & LOWER:                # a mark alone is a word in lower case
            return start
        if contractions and last < end:
            last += _contraction(s, last, end, True)
        return last
    if first & NUMBER:
        return _run(s, i, end, NUMBER, 1, digits)
    j = i
    if s[i] == 32 and i + 1 < end:
        j = i + 1
        first = _class_at(s, j, end, &w)
    if not first & (SPACE | LETTER | NUMBER):
        j = _run(s, j, end, LETTER | NUMBER | SPACE, 0, end)
        while j < end and (s[j] == 10 or s[j] == 13 or s[j] == 47):
            j += 1
        return j
    last = -1
    j = i
    while j < end:
        k = _class_at(s, j, end, &w)
        if not k & SPACE:
            break
        j += w
        if k & NEWLINE:
            last = j
    return last if last >= 0 else _blank_run(s, i, end)


cdef Py_ssize_t _next_word(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) except -1:
    """[\p{L}\p{N}_]+|\\s+|[^\p{L}\p{N}_\\s]"""
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


cdef inline bint _is_metaspace(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) noexcept:
    return s[i] == 0xE2 and i + 2 < end and s[i + 1] == 0x96 and s[i + 2] == 0x81


cdef Py_ssize_t _next_metaspace(const uint8_t *s, Py_ssize_t i, Py_ssize_t end) noexcept:
    i += 1
    while i < end and not _is_metaspace(s, i, end):
        i += 1
    return i


cdef Py_ssize_t _next_piece(int kind, const uint8_t *s, Py_ssize_t i, Py_ssize_t end) except -1:
    cdef int w, k, mask
    if kind == S_CODE:
        return _next_code(s, i, end)
    if kind == S_GPT2:
        return _next_gpt2(s, i, end)
    if kind == S_QWEN2:
        return _next_qwen2(s, i, end, 1)
    if kind == S_LLAMA3:
        return _next_qwen2(s, i, end, 3)
    if kind == S_GPT4O:
        return _next_by_case(s, i, end, 3, True)
    if kind == S_TEKKEN:
        return _next_by_case(s, i, end, 1, False)
    if kind == S_WORDS:
        return _next_word(s, i, end)
    if kind == S_METASPACE:
        return _next_metaspace(s, i, end)
    if kind == S_SPACED:
        while i < end and _is_metaspace(s, i, end):
            i += 3
        while i < end and not _is_metaspace(s, i, end):
            i += 1
        return i
    if kind == S_DIGITS or kind == S_DIGIT_RUNS or kind == S_NUMBERS:
        mask = NUMBER if kind == S_NUMBERS else NUMERIC
        k = _class_at(s, i, end, &w)
        if k & mask:
            return _run(s, i, end, mask, 1, end if kind == S_DIGIT_RUNS else 1)
        return _run(s, i, end, mask, 0, end)
    return end
