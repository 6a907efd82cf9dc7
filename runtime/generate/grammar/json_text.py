"""The pieces of JSON (RFC 8259) as nodes: white space, strings, numbers with bounds, any value.

Narrower than the standard where models lose themselves: at most one line break and 20 blanks between tokens, numbers of
at most 16 digits and exponents of two. Escapes of surrogates are left out, so that one escape is one character.
"""

from __future__ import annotations

import json

from .nodes import (
    EMPTY,
    LAST,
    NOTHING,
    Alt,
    Chars,
    GrammarError,
    Node,
    Ref,
    Repeat,
    Text,
    alt,
    chars,
    optional,
    seq,
)

BLANK = Ref("json blank")
CHARACTER = Ref("json character")
VALUE = Ref("json value")
STRING = Ref("json string")
INTEGER = Ref("json integer")
NUMBER = Ref("json number")
OBJECT = Ref("json object")
ARRAY = Ref("json array")
PLAIN = chars([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)], negated=True)  # characters that need no escape
DIGIT = chars([(48, 57)])
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HEX = chars([(48, 57), (65, 70), (97, 102)])
_HEX_NOT_D = chars([(48, 57), (65, 67), (69, 70), (97, 99), (101, 102)])
_LONGEST_BOUND = 10**18
_FRACTION = 6  # digits after the point of a bounded number, and none beyond 10^9: so rounding never crosses a bound
_EXACT = 10**9
_WHOLE = alt("0", seq(chars([(49, 57)]), Repeat(DIGIT, 0, 15)))


def common_rules() -> dict[str, Node]:
    """The rules that the nodes above refer to."""
    member = seq(STRING, ":", BLANK, VALUE)
    comma = seq(",", BLANK)
    return {
        BLANK.name: alt("", " ", seq("\n", Repeat(chars([(9, 9), (32, 32)]), 0, 20))),
        CHARACTER.name: alt(
            PLAIN,
            seq("\\", chars([(ord(c), ord(c)) for c in '"\\/bfnrt'])),
            seq("\\u", alt(seq(_HEX_NOT_D, Repeat(_HEX, 3, 3)), seq(_d(), chars([(48, 55)]), Repeat(_HEX, 2, 2)))),
        ),
        STRING.name: seq('"', Repeat(CHARACTER), '"'),
        INTEGER.name: seq(optional("-"), _WHOLE),
        NUMBER.name: seq(
            INTEGER,
            optional(".", Repeat(DIGIT, 1, 16)),
            optional(chars([(69, 69), (101, 101)]), optional(chars([(43, 43), (45, 45)])), Repeat(DIGIT, 1, 2)),
        ),
        VALUE.name: alt(OBJECT, ARRAY, STRING, NUMBER, "true", "false", "null"),
        OBJECT.name: seq("{", BLANK, optional(member, Repeat(seq(comma, member)), BLANK), "}"),
        ARRAY.name: seq("[", BLANK, optional(VALUE, Repeat(seq(comma, VALUE)), BLANK), "]"),
    }


def _d() -> Chars:
    return chars([(68, 68), (100, 100)])


def written(value) -> Text:
    """A JSON value as this grammar writes it."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        text = json.dumps(value)
    return Text(text)


def one_character(ranges: tuple[tuple[int, int], ...]) -> Node:
    """One character of a string out of these code points, with an escape where it needs one."""
    plain, escaped = [], []
    for low, high in ranges:
        for a, b in PLAIN.ranges:
            if max(a, low) <= min(b, high):
                plain.append((max(a, low), min(b, high)))
        for point in [*range(low, min(high, 0x1F) + 1), *(p for p in (0x22, 0x5C) if low <= p <= high)]:
            escaped.append(Text(_ESCAPES.get(chr(point), f"\\u{point:04x}")))
    node = Chars(tuple(plain))
    return Alt((node, *escaped)) if escaped else node


def any_character() -> Node:
    return one_character(((0, LAST),))


def integers(low: int | None, high: int | None, where: str) -> Node:
    """Integers from low to high (None: no bound), without leading zeros."""
    _check_bounds(low, high, where)
    ways: list[Node] = []
    if low is None or low < 0:
        least = 1 if high is None or high >= -1 else -high
        ways.append(seq("-", _natural(least, None if low is None else -low)))
    if high is None or high >= 0:
        ways.append(_natural(max(low or 0, 0), high))
    return alt(*ways)


def numbers(low: int | None, high: int | None, open_low: bool, open_high: bool, where: str) -> Node:
    """Decimal numbers between whole bounds; open: the bound itself is left out."""
    _check_bounds(low, high, where)
    ways: list[Node] = []
    if low is None or low < 0:
        bound = 0 if high is None or high > 0 else -high
        ways.append(seq("-", _magnitudes(bound, None if low is None else -low, open_high and high == -bound, open_low)))
    if high is None or high >= 0:
        ways.append(_magnitudes(max(low or 0, 0), high, open_low and (low or 0) >= 0 and low is not None, open_high))
    return alt(*ways)


def _check_bounds(low: int | None, high: int | None, where: str) -> None:
    if any(bound is not None and abs(bound) > _LONGEST_BOUND for bound in (low, high)):
        raise GrammarError(f"{where}: bounds of numbers must lie within 10^18")
    if low is not None and high is not None and low > high:
        raise GrammarError(f"{where}: no number lies between {low} and {high}")


def _magnitudes(low: int, high: int | None, open_low: bool, open_high: bool) -> Node:
    """Numbers >= 0 from low to high."""
    ways: list[Node] = []
    zeros, digits = optional(".", Repeat(Text("0"), 1, _FRACTION)), Repeat(DIGIT, 0, _FRACTION - 1)
    positive = seq(".", Repeat(Text("0"), 0, _FRACTION - 1), chars([(49, 57)]), digits)
    if low == high:
        return NOTHING if open_low or open_high else seq(str(low), zeros)
    exact = max(low, high or 0) <= _EXACT
    if open_low and exact:
        ways.append(seq(str(low), positive))
    first = low + 1 if open_low else low
    if high is None or first < high:
        fraction = optional(".", Repeat(DIGIT, 1, _FRACTION)) if exact else EMPTY
        ways.append(seq(_natural(first, None if high is None else high - 1), fraction))
    if high is not None and not open_high:
        ways.append(seq(str(high), zeros))
    return alt(*ways)


def _natural(low: int, high: int | None) -> Node:
    """Integers from low >= 0 to high (None: some digits more than low has)."""
    ways: list[Node] = []
    if high is None:
        size = len(str(low))
        ways.append(seq(chars([(49, 57)]), Repeat(DIGIT, size, max(15, size + 2))))
        high = 10**size - 1
    while low <= high:
        end = min(high, 10 ** len(str(low)) - 1)
        ways.append(_same_length(str(low), str(end)))
        low = end + 1
    return alt(*ways)


def _digits(low: int, high: int) -> Chars:
    return chars([(48 + low, 48 + high)])


def _free(n: int) -> Node:
    return Repeat(DIGIT, n, n)


def _same_length(low: str, high: str) -> Node:
    """Strings of digits between two of the same length."""
    if not low:
        return EMPTY
    first, last, rest = int(low[0]), int(high[0]), len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return seq(_digits(first, last), _free(rest))
    if first == last:
        return seq(low[0], _same_length(low[1:], high[1:]))
    ways = [seq(low[0], _same_length(low[1:], "9" * rest)), seq(high[0], _same_length("0" * rest, high[1:]))]
    if last - first > 1:
        ways.append(seq(_digits(first + 1, last - 1), _free(rest)))
    return alt(*ways)
