# Plan and CancelFlag: run a whole network step in one call (src/plan.h). Included by _native.pyx.

cdef extern from "plan.h" nogil:
    int NK_OP_FIELDS, NK_PLAN_DONE, NK_PLAN_STOPPED
    ctypedef struct nk_op:
        int64_t kind
    ctypedef struct nk_buffer:
        void *data
        int64_t nbytes, row_bytes, writable
    ctypedef struct nk_plan_cache:
        int64_t layers, kv_heads, head_dim
    ctypedef struct nk_plan_sequence:
        int64_t rows, start, last, capacity, kv_type
        uint8_t *keys
        uint8_t *values
    ctypedef struct nk_plan:
        const nk_op *ops
        const float *scalars
        int64_t n_ops
        nk_buffer *buffers
        int64_t n_buffers
        nk_plan_cache cache
        int64_t max_rows, max_head, capacity
        nk_sequence *work
        uint8_t *shared
        int64_t shared_bytes
        int64_t *times
    int64_t nk_plan_cache_bytes(const nk_plan_cache *cache, int64_t kv_type, int64_t capacity)
    int64_t nk_plan_check(const nk_plan *plan)
    int64_t nk_plan_shared_bytes(const kernel_table *table, const nk_plan *plan)
    int nk_plan_run(const kernel_table *table, const nk_plan *plan, const nk_plan_sequence *sequences, int64_t n)

cdef extern from "pool.h":
    void nk_set_cancel(const int *flag) nogil


cdef class CancelFlag:
    """A flag that a running Plan polls inside a step; any thread may raise it."""
    cdef int value

    def set(self):
        self.value = 1

    @property
    def is_set(self):
        return self.value != 0


cdef enum:
    MOST_POSITIONS = 1 << 30
    MOST_HEAD = 512  # values of a head: what attention_cached takes


cdef class Plan:
    """A checked list of operations over buffers that it keeps alive.

    ops: int64 (n, fields), one row per operation with the fields of `nk_op`; scalars: float32 (n, 2).
    buffers: C-contiguous arrays; an integer instead of an array declares a buffer with rows of that many bytes, whose
    array, with a row for each head row, is given to each `run` under its index.
    max_rows: most rows of one step; max_head: most head rows; capacity: most positions of a sequence.
    cache: (layers, key/value heads, values of a head). Caches are keys and values of (layers, heads, positions, values).
    Raises ValueError with the number of the first operation that would reach outside a buffer.
    """
    cdef object _ops, _scalars, _times
    cdef list _buffers, _external
    cdef nk_plan _plan
    cdef nk_plan_sequence *_sequences
    cdef int64_t _most_sequences

    def __cinit__(self, ops, scalars, buffers, max_rows, max_head, capacity, cache):
        cdef int64_t i
        self._ops = _np.ascontiguousarray(ops, dtype=_np.int64)
        self._scalars = _np.ascontiguousarray(scalars, dtype=_np.float32)
        count = len(self._ops)
        if self._ops.shape != (count, NK_OP_FIELDS) or self._scalars.shape != (count, 2):
            raise ValueError(f"a plan needs ops (n, {NK_OP_FIELDS}) and scalars (n, 2), got {self._ops.shape}, "
                             f"{self._scalars.shape}")
        if not 1 <= max_head <= max_rows <= capacity <= MOST_POSITIONS:
            raise ValueError(f"need 1 <= max_head {max_head} <= max_rows {max_rows} <= capacity {capacity}")
        layers, kv_heads, head_dim = cache
        if not (1 <= layers <= 1 << 16 and 1 <= kv_heads <= 1 << 16 and 1 <= head_dim <= MOST_HEAD):
            raise ValueError(f"a cache of {layers} layers, {kv_heads} heads of {head_dim} values")
        self._buffers = list(buffers)
        self._external = [i for i, item in enumerate(self._buffers) if isinstance(item, int)]
        self._plan.n_ops, self._plan.n_buffers = count, len(self._buffers)
        self._plan.max_rows, self._plan.max_head, self._plan.capacity = max_rows, max_head, capacity
        self._plan.cache.layers, self._plan.cache.kv_heads, self._plan.cache.head_dim = layers, kv_heads, head_dim
        self._plan.buffers = <nk_buffer *>nk_alloc(NK_MEMORY_PLAN, max(1, self._plan.n_buffers), sizeof(nk_buffer))
        self._most_sequences = max_rows
        self._sequences = <nk_plan_sequence *>nk_alloc(NK_MEMORY_PLAN, max_rows, sizeof(nk_plan_sequence))
        self._plan.work = <nk_sequence *>nk_alloc(NK_MEMORY_PLAN, max_rows, sizeof(nk_sequence))
        _finished()
        for i in range(self._plan.n_buffers):
            item = self._buffers[i]
            if isinstance(item, int):
                if not 0 < item <= 1 << 40:
                    raise ValueError(f"buffer {i} has rows of {item} bytes")
                self._plan.buffers[i] = nk_buffer(NULL, 0, item, 1)
            else:
                self._plan.buffers[i] = nk_buffer(_address(item, i), item.nbytes, 0, item.flags.writeable)
        cdef const int64_t[:, ::1] rows = self._ops
        cdef const float[:, ::1] pairs = self._scalars
        cdef int64_t bad = 0
        if count:
            self._plan.ops, self._plan.scalars = <const nk_op *>&rows[0, 0], &pairs[0, 0]
            bad = nk_plan_check(&self._plan)
        if bad:
            raise ValueError(f"plan operation {bad - 1} does not fit its buffers: {self._ops[bad - 1].tolist()}")
        self._plan.shared_bytes = nk_plan_shared_bytes(K, &self._plan)
        self._plan.shared = <uint8_t *>nk_alloc(NK_MEMORY_PLAN, self._plan.shared_bytes, 1)
        _finished()

    def __dealloc__(self):
        nk_free(self._plan.buffers)
        nk_free(self._sequences)
        nk_free(self._plan.work)
        nk_free(self._plan.shared)

    def cache_bytes(self, int64_t kv_type, int64_t capacity):
        """Bytes of the keys (as many are the values) of a sequence of `capacity` positions; ValueError if unknown."""
        cdef int64_t size = nk_plan_cache_bytes(&self._plan.cache, kv_type, capacity)
        if not 1 <= capacity <= MOST_POSITIONS or size <= 0:
            raise ValueError(f"no cache of storage type {kv_type} for {capacity} positions of heads of "
                             f"{self._plan.cache.head_dim}")
        return size

    def measure(self, times):
        """From now on add the nanoseconds of each operation to the int64 array `times` (operations,); None: stop."""
        cdef int64_t[::1] view
        self._plan.times = NULL
        self._times = times
        if times is not None:
            view = times
            if view.shape[0] != self._plan.n_ops:
                raise ValueError(f"times has {view.shape[0]} entries, the plan {self._plan.n_ops} operations")
            if view.shape[0]:
                self._plan.times = &view[0]

    def run(self, list sequences, dict external, CancelFlag cancel=None):
        """Run one step. sequences: a tuple (keys, values, kv_type, capacity, rows, start, last) for each sequence whose
        `rows` new rows follow `start` cached ones; its `last` rows are head rows. external: buffer index -> array.

        Returns False if `cancel` was raised. ValueError for what the plan cannot hold, or an id outside its table.
        """
        cdef int64_t index, i = 0, rows = 0, head = 0
        cdef nk_plan_sequence *s
        cdef int result
        cdef const int *flag = NULL
        if not 1 <= len(sequences) <= self._most_sequences:
            raise ValueError(f"{len(sequences)} sequences in a step of at most {self._most_sequences} rows")
        for keys, values, kv_type, capacity, new, start, last in sequences:
            s = &self._sequences[i]
            s.kv_type, s.capacity, s.rows, s.start, s.last = kv_type, capacity, new, start, last
            if (s.rows < 1 or s.last < 0 or s.last > s.rows or s.start < 0 or s.capacity > self._plan.capacity
                    or s.rows > self._plan.max_rows or s.start > s.capacity - s.rows):
                raise ValueError(f"step of {new} rows at {start}, last {last}, in a cache of {capacity} positions: the plan "
                                 f"holds {self._plan.max_rows} rows and {self._plan.capacity} positions")
            rows += s.rows
            head += s.last
            size = self.cache_bytes(kv_type, capacity)
            if keys.nbytes != size or values.nbytes != size:
                raise ValueError(f"the cache of sequence {i} has {keys.nbytes} and {values.nbytes} bytes, not {size}")
            s.keys, s.values = <uint8_t *>_writable(keys, i), <uint8_t *>_writable(values, i)
            i += 1
        if rows > self._plan.max_rows or head > self._plan.max_head:
            raise ValueError(f"step of {rows} rows and {head} head rows: the plan holds {self._plan.max_rows} rows and "
                             f"{self._plan.max_head} head rows")
        for index in self._external:  # the arrays of an earlier run may be gone
            self._plan.buffers[index].data = NULL
        for index, array in external.items():
            if not 0 <= index < self._plan.n_buffers or not self._plan.buffers[index].row_bytes:
                raise ValueError(f"buffer {index} is not external")
            if array.nbytes < head * self._plan.buffers[index].row_bytes:
                raise ValueError(f"external buffer {index} has {array.nbytes} bytes, too few for {head} rows of "
                                 f"{self._plan.buffers[index].row_bytes}")
            self._plan.buffers[index].data = _writable(array, index)
        for index in self._external:
            if self._plan.buffers[index].data is NULL and head:
                raise ValueError(f"external buffer {index} was not given")
        if cancel is not None:
            flag = &cancel.value
        with nogil:
            nk_set_cancel(flag)
            result = nk_plan_run(K, &self._plan, self._sequences, i)
            nk_set_cancel(NULL)
        _finished()
        if result not in (NK_PLAN_DONE, NK_PLAN_STOPPED):
            raise ValueError("an id or a position lies outside its table")
        return result == NK_PLAN_DONE


cdef void *_address(array, index) except NULL:
    if not array.flags.c_contiguous:
        raise ValueError(f"buffer {index} is not contiguous")
    return <void *><size_t>array.ctypes.data


cdef void *_writable(array, index) except NULL:
    if not array.flags.writeable:
        raise ValueError(f"buffer {index} is read-only")
    return _address(array, index)
