"""Source: where a canonical weight lies in a file and how it is cut out, exactly, without leaving its storage type.

Rows are split and permuted as bytes, so that quantised weights stay quantised; a plain split copies nothing. Matrices
that are stored the other way round are turned, which needs a type without blocks. `CanonicalWeights` shows a whole file
under canonical names. Knows no family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from native_kernels.qtypes import QTYPES
from runtime.files.errors import FormatError
from runtime.files.tensors import StoredTensor, WeightFile
from runtime.models.spec import DecoderSpec


@dataclass(frozen=True)
class Source:
    """name: as stored, with or without a prefix of the library (see `bare`). shape: of the stored tensor.

    item: of a stack of matrices. transposed: (in, out) becomes (out, in). rows: which of them, after turning; one that
    is 1-D is cut by elements. times, plus: w becomes w * times + plus, as float32.
    """

    name: str
    shape: tuple[int, ...]
    item: int | None = None
    transposed: bool = False
    rows: slice | np.ndarray | None = None
    times: float = 1.0
    plus: float = 0.0

    def apply(self, tensor: StoredTensor, name: str) -> StoredTensor:
        """The weight `name` cut out of its stored tensor. ValueError where the storage type does not allow it."""
        shape, data = tensor.shape, tensor.data
        if self.item is not None:
            data, shape = data.reshape(shape[0], -1)[self.item], shape[1:]
        if self.transposed:
            if QTYPES[tensor.type].values > 1:
                raise ValueError(
                    f"{tensor.name} is stored the wrong way round as {tensor.type}, which cannot be turned"
                )
            values = data.view(f"u{QTYPES[tensor.type].size}").reshape(shape)
            data, shape = np.ascontiguousarray(values.T).reshape(-1).view(np.uint8), shape[::-1]
        if self.rows is not None:
            by_row = data.reshape(shape[0], -1)[self.rows]
            data, shape = by_row.reshape(-1), (len(by_row), *shape[1:])
        found = StoredTensor(name, tensor.type, shape, data)
        if self.times != 1 or self.plus:
            values = found.float32() * np.float32(self.times) + np.float32(self.plus)
            found = StoredTensor(name, "F32", shape, values.reshape(-1).view(np.uint8))
        return found


def whole(spec: DecoderSpec) -> dict[str, Source]:
    """Every weight stored under its canonical name, as it is."""
    return {name: Source(name, shape) for name, shape in spec.weight_shapes().items()}


def renamed(spec: DecoderSpec, names: Mapping[str, str]) -> dict[str, Source]:
    """As `whole`, with parts of names replaced: canonical part -> stored part, the first that fits, at word borders."""
    found = {}
    for name, source in whole(spec).items():
        stored = f".{name}."
        for ours, theirs in names.items():
            stored = stored.replace(f".{ours}.", f".{theirs}.")
        found[name] = Source(stored[1:-1], source.shape)
    return found


def fused(sources: dict[str, Source], stored: str, parts: list[str], transposed: bool = False) -> None:
    """Let the canonical `parts` be the rows of one stored tensor, in this order (both with .weight or both .bias)."""
    sizes = [sources[part].shape[0] for part in parts]
    shape = (sum(sizes), *sources[parts[0]].shape[1:])
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        rows = slice(start, start + size)
        sources[part] = Source(stored, shape[::-1] if transposed else shape, transposed=transposed, rows=rows)
        start += size


def fused_by_head(sources: dict[str, Source], stored: str, parts: list[str], heads: int) -> None:
    """As `fused`, for a tensor whose rows are: of the first head each part in turn, then of the second head, ..."""
    size = sources[parts[0]].shape[0]
    rows = np.arange(len(parts) * size).reshape(heads, len(parts), size // heads)
    shape = (len(parts) * size, *sources[parts[0]].shape[1:])
    for n, part in enumerate(parts):
        sources[part] = Source(stored, shape, rows=rows[:, n].reshape(-1))


_PREFIXES = (
    *("model.language_model.", "language_model.model.", "language_model.", "model.", "transformer.", "gpt_neox."),
    *("bert.", "roberta."),
)


def bare(name: str) -> str:
    """A stored name without the prefix that the library it comes from puts before all names of a network's body."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


class CanonicalWeights(Mapping):
    """Weights of a file by canonical name: StoredTensor, made when it is asked for."""

    def __init__(self, file: WeightFile, sources: Mapping[str, Source]) -> None:
        self.file = file
        self._stored = by_bare_name(file)
        self._sources = dict(sources)
        self._check()

    def _check(self) -> None:
        """FormatError that names every stored tensor that is missing, or the first with a wrong shape."""
        missing: list[str] = []
        for name, source in self._sources.items():
            if bare(source.name) not in self._stored and source.name not in missing:
                missing.append(source.name if bare(source.name) == bare(name) else f"{source.name} (for {name})")
        if missing:
            shown = list(dict.fromkeys(missing))
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            raise FormatError("missing_tensor", self.file.path, None, f"the file lacks {', '.join(shown[:3])}{more}")
        for source in self._sources.values():
            stored = self._stored[bare(source.name)]
            shape = tuple(self.file.shape(stored))
            if shape != source.shape:
                message = f"{stored} has shape {shape}, the config says {source.shape}"
                raise FormatError("shape", self.file.path, None, message)

    def stored_name(self, name: str) -> str:
        """The name in the file of the tensor that holds a canonical weight."""
        return self._stored[bare(self._sources[name].name)]

    def __getitem__(self, name: str) -> StoredTensor:
        source, stored = self._sources[name], self.stored_name(name)
        try:
            return source.apply(self.file.tensor(stored), name)
        except ValueError as error:
            raise FormatError("unsupported_type", self.file.path, None, str(error)) from None

    def type(self, name: str) -> str:
        """Storage type of a weight, without reading it; FormatError for one that this engine cannot multiply with."""
        source, kind = self._sources[name], self.file.type(self.stored_name(name))
        if kind not in QTYPES or source.times != 1 or source.plus:
            return self[name].type
        return kind

    def float32(self, name: str) -> np.ndarray:
        """Exactly, as C-contiguous float32."""
        return self[name].float32()

    def release(self, name: str) -> None:
        """Let go of the memory that reading this weight has taken (see WeightFile.release)."""
        self.file.release(self.stored_name(name))

    def to_stored(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """float32 weights by canonical name, put back under the names and in the layout of the file they came from."""
        found: dict[str, np.ndarray] = {}
        for name, source in self._sources.items():
            stored = self.stored_name(name)
            place = found.setdefault(stored, np.zeros(source.shape, np.float32))
            place = place if source.item is None else place[source.item]
            place = place.T if source.transposed else place
            values = (np.asarray(weights[name], np.float32) - np.float32(source.plus)) / np.float32(source.times)
            place[slice(None) if source.rows is None else source.rows] = values
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def by_bare_name(file: WeightFile) -> dict[str, str]:
    """Bare name -> stored name; FormatError if two stored names mean the same."""
    found: dict[str, str] = {}
    for name in file.names():
        if bare(name) in found:
            message = f"{found[bare(name)]} and {name} are the same weight"
            raise FormatError("duplicate_tensor", file.path, None, message)
        found[bare(name)] = name
    return found
