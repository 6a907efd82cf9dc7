"""A JSON schema -> rules of a grammar whose texts are JSON that fits the schema."""

from __future__ import annotations

from .nodes import GrammarError, Node


def schema_rules(schema: object) -> dict[str, Node]:
    """GrammarError: not yet."""
    raise GrammarError("JSON schemas are not supported by this version: give GBNF text")
