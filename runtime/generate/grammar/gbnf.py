"""GBNF text, llama.cpp's dialect (its grammars/README.md), -> rules.

    root ::= item ("," item)*      # a rule ends with its line, unless a parenthesis is open or `|` or `::=` came last
    item ::= [^,\\n]{1,20} | "\\u00e4" | .

Escapes in literals and classes: \\xHH \\uHHHH \\UHHHHHHHH (code points) \\t \\r \\n \\\\ \\" \\[ \\]. Names: letters,
digits, `-` and `_`. Repetitions: * + ? {m} {m,} {m,n}. Grammars of tokens (`<...>`) are not supported.
"""

from __future__ import annotations

import re

from .nodes import LAST, MAX_NESTING, SURROGATES, Alt, Chars, GrammarError, Node, Ref, Seq, Text, chars, repeat

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BOUNDS = re.compile(r"\{[ \t]*(\d{1,9})[ \t]*(,)?[ \t]*(\d{1,9})?[ \t]*\}")
_HEX = {"x": 2, "u": 4, "U": 8}
_SIMPLE = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]"}
_POSTFIX = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_ANY = chars([(0, LAST)])


def parse_gbnf(text: str) -> dict[str, Node]:
    """name -> node of every rule. GrammarError with line and column where the text is wrong."""
    return _Parser(text).rules()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._nested = 0

    def _error(self, message: str) -> GrammarError:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        return GrammarError(f"grammar, line {line}, column {column}: {message}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _space(self, lines: bool) -> None:
        """Skip white space and comments; over the ends of lines only where `lines`."""
        while (c := self._peek()) and (c in " \t#" or (lines and c in "\r\n")):
            if c == "#":
                while self._peek() not in ("", "\r", "\n"):
                    self._at += 1
            else:
                self._at += 1

    def rules(self) -> dict[str, Node]:
        found: dict[str, Node] = {}
        self._space(True)
        while self._peek():
            began, name = self._at, self._name()
            self._space(False)
            if not self._text.startswith("::=", self._at):
                raise self._error(f"`::=` expected after the name `{name}`")
            self._at += 3
            self._space(True)
            node = self._alternatives()
            if name in found:
                self._at = began
                raise self._error(f"rule `{name}` is defined twice")
            found[name] = node
            if self._peek() not in ("", "\r", "\n"):
                raise self._error(f"{self._peek()!r} does not belong here")
            self._space(True)
        return found

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if not match:
            raise self._error("a name expected")
        self._at = match.end()
        return match[0]

    def _alternatives(self) -> Node:
        items = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            self._space(True)
            items.append(self._sequence())
        return items[0] if len(items) == 1 else Alt(tuple(items))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while (node := self._item()) is not None:
            self._space(self._nested > 0)
            while (c := self._peek()) and c in "*+?{":
                node = self._repeated(node, c)
                self._space(self._nested > 0)
            items.append(node)
        return items[0] if len(items) == 1 else Seq(tuple(items))

    def _repeated(self, node: Node, sign: str) -> Node:
        if sign in _POSTFIX:
            self._at += 1
            return repeat(node, *_POSTFIX[sign], "grammar")
        match = _BOUNDS.match(self._text, self._at)
        if not match:
            raise self._error("{m}, {m,} or {m,n} expected")
        least = int(match[1])
        most = int(match[3]) if match[3] else None if match[2] else least
        if match[3] and not match[2]:
            raise self._error("{m}, {m,} or {m,n} expected")
        try:
            node = repeat(node, least, most, match[0])
        except GrammarError as error:
            raise self._error(str(error)) from None
        self._at = match.end()
        return node

    def _item(self) -> Node | None:
        c = self._peek()
        if c == '"':
            return self._literal()
        if c == "[":
            return self._class()
        if c == ".":
            self._at += 1
            return _ANY
        if c == "(":
            if self._nested >= MAX_NESTING:
                raise self._error(f"parentheses nest deeper than {MAX_NESTING}")
            opened = self._at
            self._at += 1
            self._nested += 1
            self._space(True)
            node = self._alternatives()
            self._nested -= 1
            if self._peek() != ")":
                self._at = opened
                raise self._error("this parenthesis is never closed")
            self._at += 1
            return node
        if c in ("<", "!"):
            raise self._error("grammars of tokens (<...>) are not supported")
        match = _NAME.match(self._text, self._at)
        if not match:
            return None
        self._at = match.end()
        return Ref(match[0])

    def _literal(self) -> Node:
        opened = self._at
        self._at += 1
        out = []
        while self._peek() != '"':
            if not self._peek():
                self._at = opened
                raise self._error("this literal is never closed")
            out.append(chr(self._character()))
        self._at += 1
        return Text("".join(out))

    def _class(self) -> Chars:
        opened = self._at
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            if not self._peek():
                self._at = opened
                raise self._error("this class is never closed")
            low = high = self._character()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                high = self._character()
                if high < low:
                    raise self._error("the range ends before it begins")
            ranges.append((low, high))
        self._at += 1
        return chars(ranges, negated)

    def _character(self) -> int:
        """The code point written here, escaped or not."""
        c = self._peek()
        if c != "\\":
            point, length = ord(c), 1
        else:
            sign = self._text[self._at + 1 : self._at + 2]
            digits = _HEX.get(sign, 0)
            if digits:
                length = 2 + digits
                part = self._text[self._at + 2 : self._at + length]
                if not re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", part):
                    raise self._error(f"\\{sign} needs {digits} hexadecimal digits")
                point = int(part, 16)
            elif sign in _SIMPLE:
                point, length = ord(_SIMPLE[sign]), 2
            else:
                raise self._error(f"unknown escape \\{sign}")
        if point > LAST or SURROGATES[0] <= point <= SURROGATES[1]:
            raise self._error(f"U+{point:04X} is not a character")
        self._at += length
        return point
