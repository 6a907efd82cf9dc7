"""Compares two implementations of one network part by part, and names the first part where they differ.

A trace maps names of parts to their outputs, in the order of computation; any two implementations that can fill one can
be compared (`Decoder.hidden` and `twin.logits` through `seen`, a torch model through its hooks). When logits differ,
this says where to look. Knows no implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


class Trace(dict):
    """Name of a part -> copy of its output, float32. Calling it records one: `decoder.hidden(ids, seen=trace)`."""

    def __call__(self, name: str, values) -> None:
        if name in self:
            raise ValueError(f"trace: {name} was recorded twice")
        self[name] = np.array(values, dtype=np.float32)


@dataclass(frozen=True)
class Difference:
    """Where two traces part: the name, the largest difference relative to the largest value, where it is."""

    name: str
    error: float
    where: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} differs first, by {self.error:.1e} of its largest value at {self.where}"


def first_difference(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], tolerance: float = 1e-4
) -> Difference | None:
    """The first part of `ours`, in its order, that differs by more than `tolerance` of its largest value; else None.

    Outputs are compared value by value, whatever leading axes they have. NaN in one of them is a difference.
    ValueError if a part is missing on one side or has another number of values.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"traces do not have the same parts: {sorted(ours.keys() ^ theirs.keys())} stand on one side")
    for name, values in ours.items():
        mine = np.asarray(values, dtype=np.float64)
        if mine.size != np.size(theirs[name]):
            raise ValueError(f"{name}: shapes {mine.shape} and {np.shape(theirs[name])} do not hold the same values")
        if not mine.size:
            continue
        wanted = np.asarray(theirs[name], dtype=np.float64).reshape(mine.shape)
        error = np.abs(mine - wanted) / max(float(np.nanmax(np.abs(wanted), initial=0.0)), 1e-30)
        error[np.isnan(mine) & np.isnan(wanted)] = 0.0
        error[np.isnan(error)] = np.inf
        if error.max() > tolerance:
            where = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
            return Difference(name, float(error.max()), where)
    return None
