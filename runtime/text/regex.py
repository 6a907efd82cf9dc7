"""Split patterns of tokenizer.json, the Oniguruma subset in use, compiled for the matcher in `_regex.pxi`.

Read: literals, `.`, escapes (\\s \\d \\w \\h \\R and capitals, \\p{..}, \\x41, \\x{1F600}, \\uFFFF), classes with
ranges, nesting, `&&` and POSIX names, groups (plain, named, `(?i:..)`, `(?m:..)`, atomic), alternatives, quantifiers
(greedy, lazy, possessive), anchors, lookahead and lookbehind of fixed length. Anything else is a PatternError that
names it; sizes are bounded, so that a file cannot make a huge program. Knows no tokenizer.
"""

from dataclasses import dataclass

from runtime.text import _text, characters
from runtime.text.byte_alphabet import BYTE_TO_CHAR
from runtime.text.characters import FULL, Set

MAX_PATTERN = 1 << 14  # characters
MAX_PROGRAM = 1 << 15  # numbers of the compiled form
MAX_REPEAT = 1000
MAX_DEPTH = 24

MATCH, CHAR, SET, SPLIT, JUMP, RUN, POSSESSIVE, LOOK, ATOMIC, ASSERT = range(10)
ASSERTIONS = {"^": 0, "$": 1, "A": 2, "z": 3, "Z": 4, "b": 5, "B": 6, "G": 7}
_POSIX = "alnum alpha ascii blank cntrl digit graph lower print punct space upper xdigit word".split()


class PatternError(ValueError):
    """A pattern that is broken or uses something that is not supported; the message says which and where."""


# ---- syntax trees ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class One:
    """One character of a set."""

    set: Set


@dataclass(frozen=True)
class Chain:
    parts: tuple


@dataclass(frozen=True)
class Either:
    parts: tuple


@dataclass(frozen=True)
class Repeat:
    """kind: "greedy", "lazy" or "possessive"; most: None for no bound."""

    body: object
    least: int
    most: int | None
    kind: str


@dataclass(frozen=True)
class Around:
    """Lookahead, or lookbehind where behind."""

    body: object
    behind: bool
    negative: bool


@dataclass(frozen=True)
class Atomic:
    body: object


@dataclass(frozen=True)
class Assert:
    kind: str


EMPTY = Chain(())


class _Parser:
    def __init__(self, pattern: str):
        self.text, self.at = pattern, 0
        self.fold = self.dotall = self.extended = False
        self.depth = 0

    def fail(self, what: str) -> PatternError:
        return PatternError(f"{what} at character {self.at} of the pattern {self.text[:60]!r}")

    def peek(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    def take(self, what: str) -> bool:
        if self.peek(what):
            self.at += len(what)
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.text):
            raise self.fail("the pattern ends too early")
        self.at += 1
        return self.text[self.at - 1]

    # ---- structure
    def whole(self):
        tree = self.either()
        if self.at < len(self.text):
            raise self.fail("an unmatched ')'")
        return tree

    def either(self):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"groups nested deeper than {MAX_DEPTH}")
        flags = self.fold, self.dotall, self.extended
        parts = [self.chain()]
        while self.take("|"):
            parts.append(self.chain())
        self.fold, self.dotall, self.extended = flags
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def chain(self):
        parts = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if self.extended and self.text[self.at] in " \t\r\n":
                self.at += 1
                continue
            item = self.atom()
            if item is None:  # a change of flags up to the end of the group: (?i)
                rest = self.either_rest()
                return Chain((*parts, rest))
            parts.append(self.quantified(item))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def either_rest(self):
        parts = [self.chain()]
        while self.take("|"):
            parts.append(self.chain())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def quantified(self, item):
        while self.at < len(self.text):
            c = self.text[self.at]
            if c in "*+?":
                self.at += 1
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[c]
                kind = "lazy" if self.take("?") else "possessive" if self.take("+") else "greedy"
            elif c == "{" and (bounds := self.bounds()) is not None:
                least, most = bounds
                if self.peek("?"):
                    if least == most:  # {n}? is an optional {n} there
                        self.at += 1
                        item = Repeat(item, least, most, "greedy")
                        least, most, kind = 0, 1, "greedy"
                    else:
                        self.at += 1
                        kind = "lazy"
                else:
                    kind = "greedy"  # {n,m}+ repeats the repetition
            else:
                return item
            if isinstance(item, Assert):
                raise self.fail("a repeated anchor")
            item = Repeat(item, least, most, kind)
        return item

    def bounds(self) -> tuple[int, int | None] | None:
        """{n}, {n,}, {,m} or {n,m}; None where the brace is a plain character."""
        end = self.text.find("}", self.at, self.at + 16)
        if end < 0:
            return None
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        if not all(part.isascii() and part.isdigit() for part in (low, high) if part) or not (low or high):
            return None
        least = int(low) if low else 0
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise self.fail(f"a repetition outside 0 to {MAX_REPEAT} or upside down")
        self.at = end + 1
        return least, most

    def atom(self):
        c = self.next()
        if c == "(":
            return self.group()
        if c == "[":
            return self.one(self.bracket())
        if c == ".":
            return One(FULL if self.dotall else FULL - Set.range(10, 10))
        if c in "^$":
            return Assert(c)
        if c == "\\":
            return self.escape()
        if c in "*+?":
            raise self.fail("nothing to repeat")
        if self.extended and c == "#":
            while self.at < len(self.text) and self.next() != "\n":
                pass
            return EMPTY
        return self.one(Set.range(ord(c), ord(c)))

    def one(self, found: Set):
        return One(characters.folded(found) if self.fold else found)

    def group(self):
        if self.take("?:"):
            body = self.either()
        elif self.take("?="):
            body = Around(self.either(), False, False)
        elif self.take("?!"):
            body = Around(self.either(), False, True)
        elif self.take("?<="):
            body = Around(self.either(), True, False)
        elif self.take("?<!"):
            body = Around(self.either(), True, True)
        elif self.take("?>"):
            body = Atomic(self.either())
        elif self.take("?#"):
            while self.next() != ")":
                pass
            return EMPTY
        elif self.peek("?<") or self.peek("?P<"):
            end = self.text.find(">", self.at)
            if end < 0:
                raise self.fail("a group name without an end")
            self.at = end + 1
            body = self.either()
        elif self.take("?"):
            return self.flags()
        else:
            body = self.either()
        if not self.take(")"):
            raise self.fail("a group without ')'")
        return Chain((body,)) if isinstance(body, Assert) else body

    def flags(self):
        before = self.fold, self.dotall, self.extended
        on = True
        while True:
            c = self.next()
            if c == "-":
                on = False
            elif c == "i":
                self.fold = on
            elif c == "m":  # Oniguruma's m is what others call s
                self.dotall = on
            elif c == "x":
                self.extended = on
            elif c == ")":
                return None
            elif c == ":":
                body = self.either()
                self.fold, self.dotall, self.extended = before
                if not self.take(")"):
                    raise self.fail("a group without ')'")
                return body
            else:
                raise self.fail(f"the group (?{c} is not supported")

    # ---- escapes and classes
    def escape(self):
        c = self.next()
        if c in ASSERTIONS and c not in "^$":
            return Assert(c)
        if c == "R":
            lines = Set.range(10, 13) | Set.of(0x85, 0x2028, 0x2029)
            return Atomic(Either((Chain((One(Set.of(13)), One(Set.of(10)))), One(lines))))
        if c.isdigit() and c != "0":
            raise self.fail("a back reference is not supported")
        if c in "kgXKNOQEc":
            raise self.fail(f"\\{c} is not supported")
        return self.one(self.escaped_set(c))

    def escaped_set(self, c: str) -> Set:
        """The set of a backslash and c, inside or outside of a class."""
        named = {"s": "space", "d": "Nd", "w": "word", "h": "xdigit"}
        if c.lower() in named:
            found = characters.named(named[c.lower()])
            return FULL - found if c.isupper() else found
        if c in "pP":
            return self.property(c == "P")
        code = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27, "0": 0}.get(c)
        if c in "xu":
            code = self.hexadecimal(c)
        if code is None:
            if c.isalnum() and c.isascii():
                raise self.fail(f"\\{c} is not supported")
            code = ord(c)
        return Set.of(code)

    def hexadecimal(self, c: str) -> int:
        if c == "x" and self.take("{"):
            end = self.text.find("}", self.at, self.at + 9)
            digits, self.at = self.text[self.at : max(end, self.at)], end + 1
        else:
            width = 2 if c == "x" else 4
            digits = self.text[self.at : self.at + width]
            if c == "u" and len(digits) < 4:
                raise self.fail("\\u needs four digits")
            self.at += len(digits)
        try:
            code = int(digits, 16)
        except ValueError:
            raise self.fail(f"\\{c} needs hexadecimal digits") from None
        if code > 0x10FFFF:
            raise self.fail("a character beyond Unicode")
        return code

    def property(self, negative: bool) -> Set:
        if not self.take("{"):
            raise self.fail("\\p needs a name in braces")
        end = self.text.find("}", self.at)
        name = self.text[self.at : end]
        self.at = end + 1
        if end < 0:
            raise self.fail("\\p{ without '}'")
        if name.startswith("^"):
            negative, name = not negative, name[1:]
        try:
            found = characters.named(name)
        except KeyError:
            raise self.fail(f"the property {name[:40]!r} is not supported") from None
        return FULL - found if negative else found

    def bracket(self) -> Set:
        """What follows `[`, up to its end."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"classes nested deeper than {MAX_DEPTH}")
        negative = self.take("^")
        both, found, first = None, Set.of(), True
        while True:
            if self.take("&&"):
                both = found if both is None else both & found
                found, first = Set.of(), False
                continue
            c = self.next()
            if c == "]" and not first:
                break
            first = False
            if c == "[":
                found |= (
                    self.posix() if self.peek(":") and ":]" in self.text[self.at : self.at + 14] else self.bracket()
                )
                continue
            part, single = self.member(c)
            if single is not None and self.peek("-") and not self.peek("-]") and not self.peek("-&&"):
                self.at += 1
                c = self.next()
                if c == "[":  # [a-[b]]: the hyphen stands for itself
                    self.at -= 1
                    found |= part | Set.of(ord("-"))
                    continue
                other, last = self.member(c)
                if last is None:
                    found |= part | other | Set.of(ord("-"))
                    continue
                if last < single:
                    raise self.fail("a range upside down")
                part = Set.range(single, last)
            found |= part
        self.depth -= 1
        if both is not None:
            found &= both
        if self.fold:
            found = characters.folded(found)
        return FULL - found if negative else found

    def member(self, c: str) -> tuple[Set, int | None]:
        """(set, its only code point or None) of one member of a class that begins with c."""
        if c != "\\":
            return Set.of(ord(c)), ord(c)
        c = self.next()
        if c == "b":
            return Set.of(8), 8
        found = self.escaped_set(c)
        return found, found.only()

    def posix(self) -> Set:
        end = self.text.index(":]", self.at)
        name = self.text[self.at + 1 : end]
        negative = name.startswith("^")
        name = name.removeprefix("^")
        if name not in _POSIX:
            raise self.fail(f"the class [:{name[:20]}:] is not supported")
        self.at = end + 2
        try:
            found = characters.named({"digit": "Nd", "upper": "Lu", "lower": "Ll"}.get(name, name))
        except KeyError:
            raise self.fail(f"the class [:{name}:] is not supported") from None
        return FULL - found if negative else found


# ---- compilation ----------------------------------------------------------------------------------------------------
class _Compiler:
    """Tree -> flat numbers. runs: repetitions of one set are one instruction (fast); without, every loop is a SPLIT,
    which is what the matcher can remember states of."""

    def __init__(self, runs: bool, sets: list[Set]):
        self.code: list[int] = []
        self.sets, self.index = sets, {s: k for k, s in enumerate(sets)}
        self.runs = runs

    def set_number(self, found: Set) -> int:
        if found not in self.index:
            self.index[found] = len(self.sets)
            self.sets.append(found)
        return self.index[found]

    def put(self, *numbers: int) -> int:
        self.code.extend(numbers)
        if len(self.code) > MAX_PROGRAM:
            raise PatternError(f"the pattern compiles to more than {MAX_PROGRAM} numbers")
        return len(self.code) - len(numbers)

    def tree(self, node) -> None:
        if isinstance(node, One):
            only = node.set.only()
            self.put(CHAR, only) if only is not None else self.put(SET, self.set_number(node.set))
        elif isinstance(node, Chain):
            for part in node.parts:
                self.tree(part)
        elif isinstance(node, Either):
            self.either(node.parts)
        elif isinstance(node, Repeat):
            self.repeat(node)
        elif isinstance(node, Assert):
            self.put(ASSERT, ASSERTIONS[node.kind])
        elif isinstance(node, Atomic):
            self.enclosed(ATOMIC, 0, 0, node.body)
        elif isinstance(node, Around):
            self.around(node)

    def either(self, parts) -> None:
        ends = []
        for part in parts[:-1]:
            at = self.put(SPLIT, 0, 0)
            self.code[at + 1] = len(self.code)
            self.tree(part)
            ends.append(self.put(JUMP, 0))
            self.code[at + 2] = len(self.code)
        self.tree(parts[-1])
        for at in ends:
            self.code[at + 1] = len(self.code)

    def enclosed(self, op: int, kind: int, back: int, body) -> None:
        """A sub-program that ends with MATCH: op, kind, characters to step back, where to go on."""
        at = self.put(op, kind, back, 0)
        self.tree(body)
        self.put(MATCH)
        self.code[at + 3] = len(self.code)

    def around(self, node: Around) -> None:
        if not node.behind:
            self.enclosed(LOOK, int(node.negative), 0, node.body)
            return
        choices = node.body.parts if isinstance(node.body, Either) else (node.body,)
        lengths = [_length(choice) for choice in choices]
        if None in lengths:
            raise PatternError("a lookbehind of variable length is not supported")
        kind = 2 + int(node.negative)
        if node.negative:  # none of them: one after the other
            for choice, length in zip(choices, lengths, strict=True):
                self.enclosed(LOOK, kind, length, choice)
            return
        ends = []
        for choice, length in zip(choices[:-1], lengths, strict=False):
            at = self.put(SPLIT, 0, 0)
            self.code[at + 1] = len(self.code)
            self.enclosed(LOOK, kind, length, choice)
            ends.append(self.put(JUMP, 0))
            self.code[at + 2] = len(self.code)
        self.enclosed(LOOK, kind, lengths[-1], choices[-1])
        for at in ends:
            self.code[at + 1] = len(self.code)

    def repeat(self, node: Repeat) -> None:
        if node.kind == "possessive":
            if isinstance(node.body, One):
                most = -1 if node.most is None else node.most
                self.put(POSSESSIVE, self.set_number(node.body.set), node.least, most)
            else:
                self.enclosed(ATOMIC, 0, 0, Repeat(node.body, node.least, node.most, "greedy"))
            return
        if self.runs and isinstance(node.body, One) and node.kind == "greedy":
            self.put(RUN, self.set_number(node.body.set), node.least, -1 if node.most is None else node.most)
            return
        for _ in range(node.least):
            self.tree(node.body)
        if node.most is None:
            at = self.put(SPLIT, 0, 0)
            body = len(self.code)
            self.tree(node.body)
            self.put(JUMP, at)
            self.split(at, body, len(self.code), node.kind)
            return
        opened = []
        for _ in range(node.most - node.least):
            opened.append(self.put(SPLIT, 0, 0))
            self.tree(node.body)
        for at in opened:
            self.split(at, at + 3, len(self.code), node.kind)

    def split(self, at: int, body: int, end: int, kind: str) -> None:
        self.code[at + 1 : at + 3] = (end, body) if kind == "lazy" else (body, end)


def _length(node) -> int | None:
    """How many characters a tree always takes, None if that varies."""
    if isinstance(node, One):
        return 1
    if isinstance(node, Chain):
        lengths = [_length(part) for part in node.parts]
        return None if None in lengths else sum(lengths)
    if isinstance(node, Either):
        lengths = {_length(part) for part in node.parts}
        return lengths.pop() if len(lengths) == 1 else None
    if isinstance(node, Repeat):
        length = _length(node.body)
        return None if node.least != node.most or length is None else length * node.least
    if isinstance(node, Atomic):
        return _length(node.body)
    return 0


def _first(node) -> tuple[Set, bool]:
    """(characters that a match may begin with, whether it may also be empty)."""
    if isinstance(node, One):
        return node.set, False
    if isinstance(node, Chain):
        found = Set.of()
        for part in node.parts:
            more, empty = _first(part)
            found |= more
            if not empty:
                return found, False
        return found, True
    if isinstance(node, Either):
        firsts = [_first(part) for part in node.parts]
        found = Set.of()
        for more, _ in firsts:
            found |= more
        return found, any(empty for _, empty in firsts)
    if isinstance(node, Repeat):
        found, empty = _first(node.body)
        return found, empty or node.least == 0
    if isinstance(node, Atomic):
        return _first(node.body)
    return Set.of(), True


def _nullable_loop(node) -> bool:
    """Whether something that may be empty is repeated without bound."""
    if isinstance(node, Repeat):
        return (node.most is None and _first(node.body)[1]) or _nullable_loop(node.body)
    if isinstance(node, (Chain, Either)):
        return any(map(_nullable_loop, node.parts))
    return isinstance(node, (Around, Atomic)) and _nullable_loop(node.body)


def compile_pattern(pattern: str, literal: bool = False, mapped: bool = False) -> "_text.Regex":
    """The matcher of a pattern (literal: of that very text). mapped: for bytes that stand for characters of the byte
    alphabet instead of UTF-8. Raises PatternError."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"a pattern of {len(pattern)} characters, the limit is {MAX_PATTERN}")
    if literal:
        tree = Chain(tuple(One(Set.of(ord(c))) for c in pattern))
    else:
        tree = _Parser(pattern).whole()
    choices = tree.parts if isinstance(tree, Either) else (tree,)
    sets: list[Set] = []
    fast, starts = _Compiler(True, sets), []
    firsts = []
    for choice in choices:
        starts.append(len(fast.code))
        fast.tree(choice)
        fast.put(MATCH)
        found, empty = _first(choice)
        flags = bytes(ord(c) in found for c in BYTE_TO_CHAR) if mapped else found.first_bytes()
        firsts.append(b"\1" * 256 if empty else flags)
    slow = _Compiler(False, sets)
    slow.tree(tree)
    slow.put(MATCH)
    word = fast.set_number(characters.named("word"))
    alphabet = [ord(c) for c in BYTE_TO_CHAR] if mapped else None
    return _text.Regex(fast.code, starts, firsts, slow.code, sets, word, _nullable_loop(tree), alphabet)
