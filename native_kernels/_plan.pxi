# Plan and CancelFlag: run a whole network step in one call (src/plan.h). Included by _native.pyx.

cdef extern from "plan.h":
    int KV_STORE "NK_OP_KV_STORE", ATTENTION "NK_OP_ATTENTION"
    ctypedef struct nk_op:
        int64_t kind
    ctypedef struct nk_buffer:
        void *data
        int64_t nbytes
    int64_t nk_plan_check(const nk_op *ops, int64_t n_ops, const nk_buffer *buffers, int64_t n_buffers,
                          int64_t max_rows, int64_t max_last) nogil
    int nk_plan_run(const kernel_table *table, const nk_op *ops, const float *scalars, int64_t n_ops,
                    const nk_buffer *buffers, int64_t rows, int64_t start, int64_t last) nogil

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


cdef class Plan:
    """A checked list of operations over buffers that it keeps alive.

    ops: int64 (n, 16), one row per operation with the fields of `nk_op`; scalars: float32 (n,).
    buffers: C-contiguous arrays; an integer instead of an array declares an external buffer of that many bytes, whose
    array is given to each `run` under its index.
    max_rows: most rows of one step; max_last: most rows that reach the head; capacity: most rows of the cache.
    Raises ValueError with the number of the first operation that would reach outside a buffer.
    """
    cdef object _ops, _scalars
    cdef list _buffers
    cdef nk_buffer *_table
    cdef int64_t _n_ops, _n_buffers, _max_rows, _max_last, _capacity

    def __cinit__(self, ops, scalars, buffers, max_rows, max_last, capacity):
        cdef int64_t i
        self._ops = _np.ascontiguousarray(ops, dtype=_np.int64)
        self._scalars = _np.ascontiguousarray(scalars, dtype=_np.float32)
        if self._ops.ndim != 2 or self._ops.shape[1] != 16 or self._scalars.shape != (self._ops.shape[0],):
            raise ValueError(f"a plan needs ops (n, 16) and scalars (n,), got {self._ops.shape}, {self._scalars.shape}")
        if not 1 <= max_last <= max_rows <= capacity:
            raise ValueError(f"need 1 <= max_last {max_last} <= max_rows {max_rows} <= capacity {capacity}")
        for i, op in enumerate(self._ops.tolist()):  # a run may fill the whole cache
            if op[0] in (KV_STORE, ATTENTION) and op[15] < capacity:
                raise ValueError(f"plan operation {i} is for {op[15]} positions of the plan's {capacity}: {op}")
        self._buffers = list(buffers)
        self._n_ops, self._n_buffers = len(self._ops), len(self._buffers)
        self._max_rows, self._max_last, self._capacity = max_rows, max_last, capacity
        self._table = <nk_buffer *>nk_alloc(NK_MEMORY_PLAN, max(1, self._n_buffers), sizeof(nk_buffer))
        _finished()
        for i in range(self._n_buffers):
            item = self._buffers[i]
            if isinstance(item, int):
                self._table[i].data = NULL
                self._table[i].nbytes = item
            else:
                self._table[i].data = <void *><size_t>_address(item, i)
                self._table[i].nbytes = item.nbytes
        cdef const int64_t[:, ::1] rows = self._ops
        cdef int64_t bad = 0
        if self._n_ops:
            bad = nk_plan_check(<const nk_op *>&rows[0, 0], self._n_ops, self._table, self._n_buffers, self._max_rows,
                                self._max_last)
        if bad:
            raise ValueError(f"plan operation {bad - 1} does not fit its buffers: {self._ops[bad - 1].tolist()}")

    def __dealloc__(self):
        nk_free(self._table)

    def run(self, int64_t rows, int64_t start, int64_t last, external, CancelFlag cancel=None):
        """Run one step of `rows` rows after `start` cached ones; the head works on the `last` rows.

        external: dict buffer index -> array for the external buffers. Returns False if `cancel` was raised.
        """
        cdef int64_t index
        cdef int stopped
        if not 1 <= rows <= self._max_rows or start < 0 or start + rows > self._capacity or not 0 <= last <= min(rows, self._max_last):
            raise ValueError(f"step of {rows} rows at {start}, last {last}: the plan holds {self._max_rows} rows, "
                             f"{self._max_last} head rows and {self._capacity} positions")
        for index in range(self._n_buffers):  # the arrays of an earlier run may be gone
            if isinstance(self._buffers[index], int):
                self._table[index].data = NULL
        for index, array in external.items():
            if not 0 <= index < self._n_buffers or not isinstance(self._buffers[index], int):
                raise ValueError(f"buffer {index} is not external")
            if array.nbytes != self._table[index].nbytes:
                raise ValueError(f"external buffer {index} has {array.nbytes} bytes, not {self._table[index].nbytes}")
            self._table[index].data = <void *><size_t>_address(array, index)
        for index in range(self._n_buffers):
            if self._table[index].data is NULL:
                raise ValueError(f"external buffer {index} was not given")
        cdef const int64_t[:, ::1] ops = self._ops
        cdef const float[::1] scalars = self._scalars
        cdef const int *flag = NULL
        if cancel is not None:
            flag = &cancel.value
        if not self._n_ops:
            return True
        with nogil:
            nk_set_cancel(flag)
            stopped = nk_plan_run(K, <const nk_op *>&ops[0, 0], &scalars[0], self._n_ops, self._table, rows, start, last)
            nk_set_cancel(NULL)
        _finished()
        return not stopped


cdef _address(array, index):
    if not array.flags.c_contiguous:
        raise ValueError(f"buffer {index} is not contiguous")
    return array.ctypes.data
