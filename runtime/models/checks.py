"""Checks of the ids and targets that every language model takes, with the errors that name what is wrong."""

from __future__ import annotations

import numpy as np


def check_ids(ids: np.ndarray, vocab_size: int, longest: int | None = None) -> tuple[int, int]:
    """(B, T) of int32 ids (B, T); ValueError if they are empty, outside the vocabulary or more than `longest` in T."""
    if ids.ndim != 2 or ids.size == 0 or ids.dtype != np.int32:
        raise ValueError(f"ids must be a non-empty int32 array (B, T), got {ids.dtype} {ids.shape}")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocab_size:
        raise ValueError(f"ids reach from {low} to {high}, outside the vocabulary of {vocab_size}")
    if longest is not None and ids.shape[1] > longest:
        raise ValueError(f"{ids.shape[1]} positions exceed the context of {longest}")
    return ids.shape[0], ids.shape[1]


def flat_targets(ids: np.ndarray, targets: np.ndarray, vocab_size: int) -> np.ndarray:
    """Targets (B, T) as int32 (B*T,), negative ones mean "no loss"; ValueError if they do not fit ids (B, T)."""
    if np.shape(ids) != np.shape(targets):
        raise ValueError(f"ids {np.shape(ids)} and targets {np.shape(targets)} differ in shape")
    flat = np.ascontiguousarray(targets, dtype=np.int32).reshape(-1)
    if flat.size and int(flat.max()) >= vocab_size:
        raise ValueError(f"target {int(flat.max())} is outside the vocabulary of {vocab_size}")
    return flat
