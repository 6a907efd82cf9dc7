"""WeightStore: turns named weights into the matrices that a plan reads, stored as the asked precision says.

Each tensor is read once, re-ordered in parallel (native_kernels/src/quant_layout.h) into one block of memory of the
same size, and its source is released before the next one, so that never more than one tensor is held twice. Float types
need no order: a matrix that is mapped from its file is used where it lies. Knows names, shapes and storage types; no
layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

import native_kernels as nk
from native_kernels.plan import Matrix, PlanBuilder
from native_kernels.qtypes import QTYPES

PRECISIONS = ("auto", "f32", "bf16", "q8_0", "q4_0")
LAYOUT = 1  # version of the packed order: a packed file on disk belongs to one
KEPT_FROM = 64 << 20  # bytes of matrices from which a file on disk is worth having: less is packed in a moment
_GROUP = 16  # rows of a group in packed order: matrices of whole groups can be packed one below the other
_ALIGNMENT = 64


class PackedFile(Protocol):
    """Where packed matrices may come from and are kept: runtime.files.packed.PackedWeights."""

    def matrix(self, name: str, nbytes: int, fill: Callable[[np.ndarray], None]) -> np.ndarray: ...
    def finish(self) -> None: ...


def stored_type(weight: object) -> str:
    """Storage type of a StoredTensor, or "F32" of an array."""
    return getattr(weight, "type", "F32")


def type_for(precision: str, stored: str, columns: int) -> str:
    """What a matrix with rows of `columns` values is stored as in memory.

    "auto": as in the file. "f32": types whose products are exact in float32. The others: that type, or where its blocks
    do not divide a row, what is in the file.
    """
    if precision == "f32":
        return "F16" if stored == "F16" else "F32"
    wanted = stored if precision == "auto" else precision.upper()
    return stored if columns % QTYPES[wanted].values else wanted


class WeightStore:
    """shapes: of every weight by canonical name. weights: name -> float32 array or StoredTensor; what holds mapped ones
    has `release(name)`, and `type(name)` where asking for a tensor costs something.

    packed: opens the file of packed matrices for a layout and the bytes they take at most; None: nothing is kept.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        weights: Mapping[str, object],
        precision: str,
        packed: Callable[[str, int], PackedFile] | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self._shapes, self._weights, self._precision = shapes, weights, precision
        self._stored_type = getattr(weights, "type", lambda name: stored_type(weights[name]))
        self._release = getattr(weights, "release", lambda name: None)
        self._made: dict[tuple[str, ...], list[Matrix]] = {}
        self._room = self._most_bytes()
        worth = packed is not None and self._room >= KEPT_FROM
        self._file = packed(f"{precision}-{LAYOUT}", self._room) if worth else None
        self._block: np.ndarray | None = None
        self._used = 0
        self._builder: PlanBuilder | None = None

    def _most_bytes(self) -> int:
        matrices = [name for name, shape in self._shapes.items() if len(shape) == 2]
        return sum(self._nbytes(name, self._type(name)) + _ALIGNMENT for name in matrices)

    def attach(self, builder: PlanBuilder) -> None:
        """The plan whose buffers the matrices become."""
        self._builder = builder

    def finish(self) -> None:
        """Every matrix was made."""
        if self._file is not None:
            self._file.finish()

    # ---- what plans ask for ----------------------------------------------------------------------------------------

    def vector(self, name: str) -> np.ndarray:
        """A norm's weight, a bias or a table of positions, float32 and flat."""
        return np.ascontiguousarray(self._float32(name)).reshape(-1)

    def rows(self, name: str) -> int:
        """Rows of a matrix."""
        return self._shapes[name][0]

    def table(self, name: str, tied: bool) -> Matrix:
        """Rows to look up. tied: of the matrix that is multiplied with, too; otherwise where they lie, as they are."""
        if tied:
            return self.matrices(name)[0]
        weight = self._weights[name]
        return Matrix(self._builder.constant(_bytes(weight)), *self._shapes[name], QTYPES[stored_type(weight)].number)

    def matrices(self, *names: str) -> list[Matrix]:
        """The matrices `names`, all of the same columns, one below the other: one, or several where types differ."""
        if names not in self._made:
            self._made[names] = [self._matrix(*run) for run in self._runs(names)]
        return self._made[names]

    def stack(self, parts: list[list[str]]) -> Matrix:
        """A matrix for each list of names, all of the same shape, one behind the other in one buffer of one type."""
        kinds = {self._type(name) for names in parts for name in names}
        rows = [self._shapes[name][0] for name in parts[0]]
        kind = kinds.pop() if len(kinds) == 1 and all(n % _GROUP == 0 for n in rows[:-1]) else "F32"
        return self._matrix(kind, [name for names in parts for name in names], rows_each=sum(rows))

    # ---- making them -----------------------------------------------------------------------------------------------

    def _float32(self, name: str) -> np.ndarray:
        weight = self._weights[name]
        return np.asarray(weight.float32() if hasattr(weight, "float32") else weight, dtype=np.float32)

    def _type(self, name: str) -> str:
        return type_for(self._precision, self._stored_type(name), self._shapes[name][1])

    def _nbytes(self, name: str, kind: str) -> int:
        rows, columns = self._shapes[name]
        return rows * QTYPES[kind].row_bytes(columns)

    def _runs(self, names: tuple[str, ...]) -> list[tuple[str, list[str]]]:
        """Neighbours that can be one matrix: of one type, and all but the last of whole groups if that type has any."""
        runs: list[tuple[str, list[str]]] = []
        whole = False
        for name in names:
            kind = self._type(name)
            if runs and runs[-1][0] == kind and whole:
                runs[-1][1].append(name)
            else:
                runs.append((kind, [name]))
            whole = QTYPES[kind].values == 1 or self._shapes[name][0] % _GROUP == 0
        return runs

    def _matrix(self, kind: str, names: list[str], rows_each: int | None = None) -> Matrix:
        """One buffer of the matrices `names`; rows_each: rows of each matrix of a stack."""
        rows, columns = sum(self._shapes[name][0] for name in names), self._shapes[names[0]][1]
        plain = QTYPES[kind].values == 1
        sizes = [self._nbytes(name, kind) for name in names]

        def fill(out: np.ndarray) -> None:
            at = 0
            for name, size in zip(names, sizes, strict=True):
                blocks, part = self._blocks(name, kind), out[at : at + size]
                if plain:
                    part[...] = blocks
                else:
                    nk.quant_pack(kind, blocks, *self._shapes[name], out=part)
                at += size
            for name in names:
                self._release(name)

        if plain and len(names) == 1:
            buffer = self._blocks(names[0], kind)
        elif self._file is not None and not plain:
            buffer = self._file.matrix(f"{kind} {' '.join(names)}", sum(sizes), fill)
        else:
            buffer = self._room_for(sum(sizes))
            fill(buffer)
        return Matrix(self._builder.constant(buffer), rows_each or rows, columns, QTYPES[kind].number, True)

    def _blocks(self, name: str, kind: str) -> np.ndarray:
        """Flat bytes of a matrix in the order of its file, as `kind`; where they lie, if they are that already."""
        weight = self._weights[name]
        if stored_type(weight) == kind:
            return _bytes(weight)
        values = np.ascontiguousarray(self._float32(name))
        if kind == "F32":
            return values.reshape(-1).view(np.uint8)
        try:
            return nk.quantize(kind, values).reshape(-1)
        except ValueError as error:
            raise ValueError(f"{name} as {kind}: {error}") from None

    def _room_for(self, nbytes: int) -> np.ndarray:
        """Aligned bytes out of one large block, whose pages may be huge and are touched only as they are used."""
        if self._block is None:
            whole = np.empty(self._room + _ALIGNMENT, np.uint8)
            self._block = whole[-whole.ctypes.data % _ALIGNMENT :]
        begin = -(-self._used // _ALIGNMENT) * _ALIGNMENT
        if begin + nbytes > len(self._block):  # a stack whose types differed has grown
            return np.empty(nbytes, np.uint8)
        self._used = begin + nbytes
        return self._block[begin : begin + nbytes]


def _bytes(weight) -> np.ndarray:
    """Flat bytes of a StoredTensor or of an array, on a boundary of their elements."""
    if isinstance(weight, np.ndarray):
        return np.require(weight, np.float32, ["C", "A"]).reshape(-1).view(np.uint8)
    size = QTYPES[weight.type].size if QTYPES[weight.type].values == 1 else 1
    return weight.data if weight.data.ctypes.data % size == 0 else weight.data.copy()
