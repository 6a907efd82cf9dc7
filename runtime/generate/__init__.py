"""From logits to text: samplers, stop rules, token healing.

Knows logits, ids and pieces of text; knows no models, caches or prompts.
"""

from .healing import Healer, TokenIndex
from .piece import Piece
from .samplers import make_sampler
from .stop import StopRules

__all__ = ["Healer", "Piece", "StopRules", "TokenIndex", "make_sampler"]
