"""Grammars that bind what a model may write: GBNF text or a JSON schema -> one automaton over bytes.

`compile_grammar` is all that callers need. Grammar and schema are hostile input: nesting, sizes and repetitions are
bounded, left recursion and rules that fit no text are refused, with one line that names the rule. Knows no tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from runtime.text._text import Automaton, Matcher

from .gbnf import parse_gbnf
from .json_schema import schema_rules
from .network import compile_rules
from .nodes import GrammarError

__all__ = ["Automaton", "GrammarError", "Matcher", "compile_grammar"]

_MAX_TEXT = 1 << 20


def compile_grammar(source: str | Mapping | bool) -> Automaton:
    """The automaton of GBNF text (str) or of a JSON schema (dict or bool). GrammarError (a ValueError) if wrong."""
    if isinstance(source, str):
        if len(source) > _MAX_TEXT:
            raise GrammarError(f"a grammar of {len(source)} characters exceeds {_MAX_TEXT}")
        return _from_gbnf(source)
    if not isinstance(source, Mapping | bool):
        raise GrammarError(f"a grammar is GBNF text or a JSON schema as a dict, not {type(source).__name__}")
    try:
        text = json.dumps(source, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError(f"the schema is not JSON: {error}") from None
    if len(text) > _MAX_TEXT:
        raise GrammarError(f"a schema of {len(text)} characters exceeds {_MAX_TEXT}")
    return _from_schema(text)


@lru_cache(maxsize=32)
def _from_gbnf(text: str) -> Automaton:
    return compile_rules(parse_gbnf(text))


@lru_cache(maxsize=32)
def _from_schema(text: str) -> Automaton:
    return compile_rules(schema_rules(json.loads(text)))
