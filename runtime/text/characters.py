"""Sets of code points: general categories, scripts and named classes, with union, intersection, difference and case.

Everything comes from `unicode_data.py` (Unicode 16.0), so that results do not depend on the Python that runs this.
Knows no patterns (`regex.py`) and no texts.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

from runtime.text.unicode_data import CATEGORIES, OLDER, OTHER_ALPHABETIC, SCRIPTS

LAST = 0x10FFFF


class Set:
    """An immutable set of code points. ranges: sorted, apart, both ends included."""

    __slots__ = ("_hash", "ranges")

    def __init__(self, ranges: tuple[tuple[int, int], ...]):
        self.ranges = ranges
        self._hash = hash(ranges)

    @classmethod
    def of(cls, *codes: int) -> Set:
        return cls.union([(code, code) for code in codes])

    @classmethod
    def range(cls, low: int, high: int) -> Set:
        return cls(((low, high),))

    @classmethod
    def union(cls, ranges) -> Set:
        """Of any ranges, in any order."""
        out: list[list[int]] = []
        for low, high in sorted(ranges):
            if out and low <= out[-1][1] + 1:
                out[-1][1] = max(out[-1][1], high)
            else:
                out.append([low, high])
        return cls(tuple((low, high) for low, high in out))

    @classmethod
    def parse(cls, text: str) -> Set:
        """The notation of `unicode_data.py`."""
        found = []
        for part in text.split():
            low, colon, high = part.partition(":")
            if colon:
                found += [(code, code) for code in range(int(low, 16), int(high, 16) + 1, 2)]
            else:
                low, hyphen, high = part.partition("-")
                found.append((int(low, 16), int(high if hyphen else low, 16)))
        return cls.union(found)

    def __eq__(self, other) -> bool:
        return isinstance(other, Set) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return self._hash

    def __contains__(self, code: int) -> bool:
        at = bisect_right(self.ranges, (code, LAST + 1))
        return at > 0 and self.ranges[at - 1][1] >= code

    def __or__(self, other: Set) -> Set:
        return (
            Set.union([*self.ranges, *other.ranges])
            if self.ranges and other.ranges
            else (self if self.ranges else other)
        )

    def __and__(self, other: Set) -> Set:
        return ~(~self | ~other)

    def __sub__(self, other: Set) -> Set:
        return ~(~self | other)

    def __invert__(self) -> Set:
        out, at = [], 0
        for low, high in self.ranges:
            if low > at:
                out.append((at, low - 1))
            at = high + 1
        if at <= LAST:
            out.append((at, LAST))
        return Set(tuple(out))

    def only(self) -> int | None:
        """Its code point if it has just one."""
        return self.ranges[0][0] if len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1] else None

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def first_bytes(self) -> bytes:
        """256 flags: bytes that the UTF-8 of a member may begin with."""
        flags = bytearray(256)
        for low, high in self.ranges:
            for bottom, top in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, LAST)):
                if low <= top and high >= bottom:
                    a, b = _lead(max(low, bottom)), _lead(min(high, top))
                    flags[a : b + 1] = b"\1" * (b + 1 - a)
        return bytes(flags)


def _lead(code: int) -> int:
    return (
        code
        if code < 0x80
        else 0xC0 | code >> 6
        if code < 0x800
        else 0xE0 | code >> 12
        if code < 0x10000
        else 0xF0 | code >> 18
    )


FULL = Set(((0, LAST),))
WHITE = Set.parse("9-D 20 85 A0 1680 2000-200A 2028-2029 202F 205F 3000")  # the property White_Space
_LONG_NAMES = {
    "letter": "L", "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm",
    "otherletter": "Lo", "mark": "M", "nonspacingmark": "Mn", "spacingmark": "Mc", "enclosingmark": "Me",
    "number": "N", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No", "punctuation": "P",
    "symbol": "S", "mathsymbol": "Sm", "currencysymbol": "Sc", "modifiersymbol": "Sk", "othersymbol": "So",
    "separator": "Z", "spaceseparator": "Zs", "lineseparator": "Zl", "paragraphseparator": "Zp", "other": "C",
    "control": "Cc", "format": "Cf", "surrogate": "Cs", "privateuse": "Co", "unassigned": "Cn", "whitespace": "space",
    "connectorpunctuation": "Pc", "dashpunctuation": "Pd", "openpunctuation": "Ps", "closepunctuation": "Pe",
    "initialpunctuation": "Pi", "finalpunctuation": "Pf", "otherpunctuation": "Po",
}  # fmt: skip
_CATEGORY = {name.lower(): name for name in CATEGORIES}
_SCRIPT = {name.lower().replace("_", ""): name for name in SCRIPTS}


@lru_cache(maxsize=256)
def named(name: str) -> Set:
    """A general category (L, Lu, ...), a script (Han, ...) or a class (space, word, alpha, punct, ...), as Oniguruma
    names them: case, spaces, hyphens and underscores do not count. KeyError for another."""
    key = name.lower().replace("_", "").replace(" ", "").replace("-", "")
    key = _LONG_NAMES.get(key, key).lower()
    if key in _CATEGORY:
        return Set.parse(CATEGORIES[_CATEGORY[key]])
    if key == "cn":
        return ~categories(*CATEGORIES)
    if len(key) == 1 and key in "lmnpszc":
        found = categories(*(k for k in CATEGORIES if k.lower().startswith(key)))
        return found | named("Cn") if key == "c" else found
    if key in _SCRIPT:
        return Set.parse(SCRIPTS[_SCRIPT[key]])
    return _classes(key)


def _classes(key: str) -> Set:
    if key == "space":
        return WHITE
    if key == "alphabetic" or key == "alpha":
        return categories("Lu", "Ll", "Lt", "Lm", "Lo", "Nl") | Set.parse(OTHER_ALPHABETIC)
    if key == "word":  # with the digits of Latin-1 that are no decimal numbers, as Oniguruma has it
        more = Set.parse("24B6-24E9 1F130-1F149 1F150-1F169 1F170-1F189 B2-B3 B9 BC-BE")
        return named("L") | named("M") | categories("Nd", "Nl", "Pc") | more
    if key == "alnum":
        return named("alpha") | named("Nd")
    if key == "punct":
        return named("P") | named("S")
    if key == "xdigit":
        return Set.parse("30-39 41-46 61-66")
    if key == "ascii":
        return Set.range(0, 127)
    if key == "any":
        return FULL
    if key == "blank":
        return named("Zs") | Set.of(9)
    if key == "cntrl":
        return named("Cc")
    if key == "ll" or key == "lower":
        return named("Ll")
    if key == "graph":
        return FULL - WHITE - categories("Cc", "Cs") - named("Cn")
    if key == "print":
        return named("graph") | named("Zs")
    raise KeyError(key)


def categories(*names: str) -> Set:
    """Union of general categories."""
    ranges: list[tuple[int, int]] = []
    for name in names:
        ranges += Set.parse(CATEGORIES[name]).ranges
    return Set.union(ranges)


def older(kind: str) -> Set:
    """ "mark", "nonspacing", "punctuation" or "control" as the components of the `tokenizers` library know it, from an
    older version of Unicode."""
    now = {"mark": named("M"), "nonspacing": named("Mn"), "control": categories("Cc", "Cf", "Co")}
    now["punctuation"] = named("P") | Set.parse("24 2B 3C-3E 5E 60 7C 7E")
    more, less = OLDER[kind]
    return (now[kind] | Set.parse(more)) - Set.parse(less)


@lru_cache(maxsize=1)
def _case_groups() -> dict[int, tuple[int, ...]]:
    """Code point -> all that differ from it in case only."""
    groups: dict[str, list[int]] = {}
    cased = categories("Lu", "Ll", "Lt") | Set.parse("2160-217F 24B6-24E9 345")
    for low, high in cased.ranges:
        for code in range(low, high + 1):
            fold = chr(code).casefold()
            if len(fold) == 1:
                groups.setdefault(fold, []).append(code)
    for fold, codes in groups.items():
        if ord(fold) not in codes:
            codes.append(ord(fold))
    return {code: tuple(codes) for codes in groups.values() if len(codes) > 1 for code in codes}


def folded(found: Set) -> Set:
    """The set with everything that differs from a member in case only."""
    groups = _case_groups()
    if len(found) <= 256:
        more = [c for low, high in found.ranges for code in range(low, high + 1) for c in groups.get(code, ())]
    else:
        more = [c for code, codes in groups.items() if code in found for c in codes]
    return found | Set.of(*more) if more else found
