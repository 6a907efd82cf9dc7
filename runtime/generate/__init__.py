"""From logits to text: samplers, penalties, grammars, stop rules, token healing.

Knows logits, ids and pieces of text; knows no models, caches or prompts.
"""

from .chooser import Choice, Chooser
from .constraint import Constraint
from .grammar import GrammarError, Matcher, compile_grammar
from .healing import Healer, TokenIndex
from .piece import Piece
from .samplers import make_sampler
from .sampling import Sampling
from .stop import StopRules

__all__ = [
    "Choice",
    "Chooser",
    "Constraint",
    "GrammarError",
    "Healer",
    "Matcher",
    "Piece",
    "Sampling",
    "StopRules",
    "TokenIndex",
    "compile_grammar",
    "make_sampler",
]
