"""Regular expressions of JSON schemas (the part of ECMA-262 without look-around and back references) -> nodes.

Characters come out through a function `write` (ranges of code points -> Node), because in a JSON text a quote is two
characters. Classes \\w \\d \\s are ASCII, and what is not in them is ASCII, too: every reading of Unicode agrees there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .nodes import LAST, MAX_NESTING, SURROGATES, Alt, Chars, GrammarError, Node, Repeat, Seq, Text, chars, repeat

Ranges = tuple[tuple[int, int], ...]
_DIGIT = ((48, 57),)
_WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
_BLANK = ((9, 13), (32, 32))
_SETS = {"d": _DIGIT, "w": _WORD, "s": _BLANK}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_ASCII = 0x7F
_LINE_ENDS = ((10, 10), (13, 13), (0x2028, 0x2029))
_BOUNDS = re.compile(r"\{(\d{1,9})(,)?(\d{1,9})?\}")
_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_][A-Za-z0-9_]*>)")


def parse_regex(pattern: str, write: Callable[[Ranges], Node], where: str) -> Node:
    """Texts in which the pattern is found; without ^ (or $) anything may stand before (after) it.

    GrammarError, beginning with `where`, for what is wrong or not supported.
    """
    return _Parser(pattern, write, where).whole()


def _complement(ranges: Ranges, last: int = LAST) -> Ranges:
    return tuple((low, min(high, last)) for low, high in chars(ranges, negated=True).ranges if low <= last)


class _Parser:
    def __init__(self, pattern: str, write: Callable[[Ranges], Node], where: str) -> None:
        self._text, self._at, self._write, self._where = pattern, 0, write, where
        self._nested = 0

    def _error(self, message: str) -> GrammarError:
        return GrammarError(f"{self._where}: pattern, at {self._at}: {message}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _eat(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        if found:
            self._at += len(text)
        return found

    def whole(self) -> Node:
        anything = Repeat(self._write(((0, LAST),)))
        ways = []
        while True:
            items = [] if self._eat("^") else [anything]
            items += self._sequence()
            if not self._eat("$"):
                items.append(anything)
            ways.append(items[0] if len(items) == 1 else Seq(tuple(items)))
            if not self._eat("|"):
                break
        if self._peek():
            raise self._error(f"{self._peek()!r} does not belong here")
        return ways[0] if len(ways) == 1 else Alt(tuple(ways))

    def _sequence(self) -> list[Node]:
        items = []
        while (c := self._peek()) and c not in "|)$":
            if c == "^":
                raise self._error("^ is supported at the start of an alternative only")
            if c in "*+?{":
                raise self._error(f"nothing stands before {c}")
            items.append(self._quantified(self._atom()))
        return items

    def _quantified(self, node: Node) -> Node:
        c = self._peek()
        if c in ("*", "+", "?"):
            self._at += 1
            node = Repeat(node, int(c == "+"), 1 if c == "?" else None)
        elif c == "{":
            match = _BOUNDS.match(self._text, self._at)
            if not match or (match[3] and not match[2]):
                raise self._error("{m}, {m,} or {m,n} expected")
            least = int(match[1])
            most = int(match[3]) if match[3] else None if match[2] else least
            node = repeat(node, least, most, f"{self._where}: pattern, at {self._at}")
            self._at = match.end()
        else:
            return node
        self._eat("?")  # lazy or not: the same texts
        if self._peek() in ("*", "+", "?", "{"):
            raise self._error("a repetition of a repetition")
        return node

    def _atom(self) -> Node:
        c = self._peek()
        self._at += 1
        if c == "(":
            return self._group()
        if c == "[":
            return self._write(self._class())
        if c == ".":
            return self._write(_complement(_LINE_ENDS))
        if c == "\\":
            return self._write(self._escape(in_class=False)[0])
        if c in "]}":
            raise self._error(f"a {c} needs a backslash")
        return self._write(self._single(ord(c)))

    def _group(self) -> Node:
        if self._peek() == "?":
            match = _GROUP.match(self._text, self._at)
            if not match:
                raise self._error("look-around and flags are not supported")
            self._at = match.end()
        if self._nested >= MAX_NESTING:
            raise self._error(f"groups nest deeper than {MAX_NESTING}")
        self._nested += 1
        ways = [Seq(tuple(self._sequence()))]
        while self._eat("|"):
            ways.append(Seq(tuple(self._sequence())))
        self._nested -= 1
        if self._peek() == "$":
            raise self._error("$ is supported at the end of an alternative only")
        if not self._eat(")"):
            raise self._error("a group is never closed")
        return Alt(tuple(ways)) if len(ways) > 1 else ways[0]

    def _single(self, point: int) -> Ranges:
        if SURROGATES[0] <= point <= SURROGATES[1]:
            raise self._error("a surrogate is not a character")
        return ((point, point),)

    def _escape(self, in_class: bool) -> tuple[Ranges, bool]:
        """(ranges, is it a set like \\w) of the escape after a backslash."""
        c = self._peek()
        self._at += 1
        if c.lower() in _SETS and c:
            found = _SETS[c.lower()]
            return (found if c.islower() else _complement(found, _ASCII)), True
        if c in _CONTROLS and c and not (c == "0" and self._peek().isdigit()):
            return self._single(_CONTROLS[c]), False
        if c == "b" and in_class:
            return self._single(8), False
        if c in ("x", "u"):
            digits = self._text[self._at : self._at + (2 if c == "x" else 4)]
            if not re.fullmatch(r"[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}", digits) or len(digits) != (2 if c == "x" else 4):
                raise self._error(f"\\{c} needs hexadecimal digits")
            self._at += len(digits)
            return self._single(int(digits, 16)), False
        if not c or c.isalnum():
            raise self._error(f"\\{c} is not supported")
        return self._single(ord(c)), False

    def _class(self) -> Ranges:
        negated = self._eat("^")
        found: list[tuple[int, int]] = []
        has_set = False
        while not self._eat("]"):
            low, is_set = self._member()
            has_set |= is_set
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                high, other_set = self._member()
                if is_set or other_set or high[0][0] < low[0][0]:
                    raise self._error("a range of the class ends before it begins")
                low = ((low[0][0], high[0][0]),)
            found += low
        if negated:
            return _complement(tuple(found), _ASCII if has_set else LAST)
        return chars(found).ranges

    def _member(self) -> tuple[Ranges, bool]:
        c = self._peek()
        if not c:
            raise self._error("a class is never closed")
        self._at += 1
        return self._escape(in_class=True) if c == "\\" else (self._single(ord(c)), False)


def _one_character(node: Node) -> bool:
    """True for what `write` gives: a character, or one and escapes of others. Literals of patterns are never Text."""
    if isinstance(node, Alt):
        return isinstance(node.items[0], Chars) and all(isinstance(item, Text) for item in node.items[1:])
    return isinstance(node, Chars)


def bounded(node: Node, least: int, most: int | None) -> Node | None:
    """The texts of a repetition of one character that have least to most characters; None for any other node."""
    while isinstance(node, Seq) and len(node.items) == 1:
        node = node.items[0]
    if not isinstance(node, Repeat) or not _one_character(node.item):
        return None
    most = node.most if most is None else most if node.most is None else min(most, node.most)
    least = max(least, node.least)
    return Repeat(node.item, least, most) if most is None or least <= most else Alt(())
