"""Piece: what generation yields, one per token."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """id: the token. text: what it adds to the visible text ("" while characters or stop strings are held back).
    logprob: natural log of its probability under the model's own distribution, before temperature and filters.
    """

    id: int
    text: str
    logprob: float
