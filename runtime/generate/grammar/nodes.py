"""What a grammar is made of: literals, characters, sequences, alternatives, repetitions, references to rules.

A grammar is a dict of rule name -> node with a rule "root". Characters are Unicode code points without surrogates; what
they are in bytes is the business of `network.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
MAX_REPEAT = 1 << 14
MAX_NESTING = 64


class GrammarError(ValueError):
    """A grammar or schema is wrong, unsupported or too large."""


@dataclass(frozen=True)
class Text:
    """Exactly this text."""

    text: str


@dataclass(frozen=True)
class Chars:
    """One character of sorted, disjoint ranges (first, last) of code points."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Seq:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Alt:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """item, at least `least` and at most `most` times (None: any number)."""

    item: Node
    least: int = 0
    most: int | None = None


@dataclass(frozen=True)
class Ref:
    name: str


Node = Text | Chars | Seq | Alt | Repeat | Ref
EMPTY = Seq(())
NOTHING = Alt(())  # fits no text


def seq(*items: Node | str) -> Node:
    """A sequence; strings are literal text."""
    nodes = tuple(Text(item) if isinstance(item, str) else item for item in items)
    return nodes[0] if len(nodes) == 1 else Seq(nodes)


def alt(*items: Node | str) -> Node:
    """Alternatives; strings are literal text."""
    nodes = tuple(Text(item) if isinstance(item, str) else item for item in items)
    return nodes[0] if len(nodes) == 1 else Alt(nodes)


def optional(*items: Node | str) -> Node:
    return Repeat(seq(*items), 0, 1)


def repeat(item: Node, least: int, most: int | None, where: str) -> Repeat:
    """A checked repetition; `where` begins the message."""
    if max(least, most or 0) > MAX_REPEAT:
        raise GrammarError(f"{where}: more than {MAX_REPEAT} repetitions")
    if most is not None and most < least:
        raise GrammarError(f"{where}: at most {most} is below at least {least}")
    return Repeat(item, least, most)


def chars(ranges: Iterable[tuple[int, int]], negated: bool = False) -> Chars:
    """Ranges in any order, overlapping or not -> Chars, without surrogates; negated: all others."""
    merged: list[list[int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    if negated:
        edges = [-1, *(edge for pair in merged for edge in pair), LAST + 1]
        merged = [[a + 1, b - 1] for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]
    return Chars(tuple(part for low, high in merged for part in _without_surrogates(low, high)))


def _without_surrogates(low: int, high: int) -> Iterator[tuple[int, int]]:
    for a, b in ((low, min(high, SURROGATES[0] - 1)), (max(low, SURROGATES[1] + 1), high)):
        if a <= b:
            yield a, b


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Seq | Alt):
        return node.items
    return (node.item,) if isinstance(node, Repeat) else ()
