"""Piece: what generation yields, one per token."""

from __future__ import annotations

from typing import NamedTuple


class _Fields(NamedTuple):
    id: int
    text: str
    logprob: float


class Piece(_Fields):
    """id: the token. text: what it adds to the visible text ("" while characters or stop strings are held back).
    logprob: natural log of its probability under the model's own distribution, before temperature and filters.
    top: the most probable (id, logprob) pairs where they were asked for; not a part of the tuple (id, text, logprob).
    """

    top: tuple[tuple[int, float], ...] = ()

    def __new__(cls, id: int, text: str, logprob: float, top: tuple[tuple[int, float], ...] = ()) -> Piece:
        piece = super().__new__(cls, id, text, logprob)
        piece.top = top
        return piece
