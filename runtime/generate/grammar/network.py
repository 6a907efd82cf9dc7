"""Rules -> an automaton over bytes: UTF-8 ranges, copies of repetitions, calls of rules.

Before that the rules are checked: every reference has its rule, every rule fits some finite text (alternatives that fit
none are left out), and no rule can reach itself before a character is read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

from runtime.text._text import Automaton

from .nodes import Alt, Chars, GrammarError, Node, Ref, Repeat, Seq, Text, children

_MAX_STATES = 1 << 17
_MAX_RULES = 1 << 14
_INLINE = 8  # states of an item whose repetitions are copied; larger items become a rule that is called
_UTF8 = ((0x00, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF))


def compile_rules(rules: Mapping[str, Node]) -> Automaton:
    """GrammarError if the rules are wrong or too large."""
    if "root" not in rules:
        raise GrammarError("the grammar has no rule `root`")
    if len(rules) > _MAX_RULES:
        raise GrammarError(f"{len(rules)} rules exceed {_MAX_RULES}")
    for name, node in rules.items():
        for ref in _refs(node):
            if ref not in rules:
                raise GrammarError(f"rule `{name}` uses `{ref}`, which is not defined")
    fits = _productive(rules)
    if "root" not in fits:
        raise GrammarError("the grammar fits no finite text: `root` never comes to an end")
    used = _reachable(rules, fits)
    _refuse_left_recursion({name: rules[name] for name in used}, fits)
    return _Builder({name: rules[name] for name in used}, fits).automaton()


def _walk(node: Node) -> Iterator[Node]:
    todo = [node]
    while todo:
        todo.extend(children(now := todo.pop()))
        yield now


def _refs(node: Node) -> Iterator[str]:
    return (part.name for part in _walk(node) if isinstance(part, Ref))


def _least_fixpoint(rules: Mapping[str, Node], holds) -> set[str]:
    """Names for which holds(node, names so far) is true, grown until nothing changes; each rule is looked at again only
    when one that it uses has joined."""
    users: dict[str, list[str]] = {}
    for name, node in rules.items():
        for ref in set(_refs(node)):
            users.setdefault(ref, []).append(name)
    found: set[str] = set()
    todo = list(rules)
    while todo:
        name = todo.pop()
        if name not in found and holds(rules[name], found):
            found.add(name)
            todo.extend(users.get(name, ()))
    return found


def _fits(node: Node, known: set[str]) -> bool:
    """True if the node fits some finite text."""
    if isinstance(node, Alt):
        return any(_fits(item, known) for item in node.items)
    if isinstance(node, Seq):
        return all(_fits(item, known) for item in node.items)
    if isinstance(node, Repeat):
        return node.least == 0 or _fits(node.item, known)
    return node.name in known if isinstance(node, Ref) else bool(isinstance(node, Text) or node.ranges)


def _empty(node: Node, known: set[str]) -> bool:
    """True if the node fits the empty text."""
    if isinstance(node, Alt):
        return any(_empty(item, known) for item in node.items)
    if isinstance(node, Seq):
        return all(_empty(item, known) for item in node.items)
    if isinstance(node, Repeat):
        return node.least == 0 or _empty(node.item, known)
    return node.name in known if isinstance(node, Ref) else isinstance(node, Text) and not node.text


def _productive(rules: Mapping[str, Node]) -> set[str]:
    return _least_fixpoint(rules, _fits)


def _reachable(rules: Mapping[str, Node], fits: set[str]) -> list[str]:
    order, seen = ["root"], {"root"}
    for name in order:
        for ref in _refs(rules[name]):
            if ref in fits and ref not in seen:
                seen.add(ref)
                order.append(ref)
    return order


def _refuse_left_recursion(rules: Mapping[str, Node], fits: set[str]) -> None:
    empty = _least_fixpoint(rules, _empty)

    def first(node: Node) -> Iterator[str]:
        """Rules that may be entered before anything is read."""
        if isinstance(node, Ref):
            yield node.name
        elif isinstance(node, Seq):
            for item in node.items:
                yield from first(item)
                if not _empty(item, empty):
                    break
        else:
            for item in children(node):
                yield from first(item)

    begins = {name: [ref for ref in dict.fromkeys(first(node)) if ref in rules] for name, node in rules.items()}
    done: set[str] = set()
    for start in rules:
        path, trail = {}, [(start, iter(begins[start]))]
        path[start] = True
        while trail:
            name, more = trail[-1]
            ref = next(more, None)
            if ref is None:
                trail.pop()
                del path[name]
                done.add(name)
            elif ref in path:
                loop = [*list(path)[list(path).index(ref) :], ref]
                raise GrammarError(f"left recursion: {' -> '.join(f'`{n}`' for n in loop)} before anything is read")
            elif ref not in done:
                path[ref] = True
                trail.append((ref, iter(begins[ref])))


def utf8_ranges(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Code points low..high (no surrogates) as sequences of byte ranges, each one run of UTF-8 strings."""
    for first, last in _UTF8:
        a, b = max(low, first), min(high, last)
        if a <= b:
            yield from _same_length(a, b)


def _same_length(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    a, b = chr(low).encode(), chr(high).encode()
    for at in range(len(a) - 1):  # split until bytes after the first difference run over all continuations
        tail = (1 << 6 * (len(a) - 1 - at)) - 1
        if low & ~tail == high & ~tail:
            continue
        if low & tail:
            yield from _same_length(low, low | tail)
            yield from _same_length((low | tail) + 1, high)
            return
        if high & tail != tail:
            yield from _same_length(low, (high & ~tail) - 1)
            yield from _same_length(high & ~tail, high)
            return
    yield tuple(zip(a, b, strict=True))


class _Builder:
    def __init__(self, rules: Mapping[str, Node], fits: set[str]) -> None:
        self._rules, self._fits = dict(rules), fits
        self._edges: list[list[tuple[int, int, int]]] = []
        self._eps: list[list[int]] = []
        self._call: list[str | None] = []
        self._after: list[int] = []
        self._bounds: dict[str, tuple[int, int]] = {}
        self._wrapped: dict[Node, str] = {}

    def automaton(self) -> Automaton:
        todo = list(self._rules)
        for name in todo:
            self._bounds[name] = start, end = self._state(), self._state()
            before = len(self._rules)
            self._build(self._rules[name], start, end)
            todo.extend(list(self._rules)[before:])  # items of repetitions that became rules
        n = len(self._edges)
        ends = array("i", bytes(4 * n))
        for _, end in self._bounds.values():
            ends[end] = 1
        call = array("i", [-1 if name is None else self._bounds[name][0] for name in self._call])
        edges = array("i", [number for out in self._edges for edge in out for number in edge])
        eps = array("i", [to for out in self._eps for to in out])
        return Automaton(
            self._bounds["root"][0],
            _starts(self._edges),
            edges.tobytes(),
            _starts(self._eps),
            eps.tobytes(),
            call.tobytes(),
            array("i", self._after).tobytes(),
            ends.tobytes(),
        )

    def _state(self) -> int:
        if len(self._edges) >= _MAX_STATES:
            raise GrammarError(f"the grammar needs more than {_MAX_STATES} states: fewer repetitions or rules")
        self._edges.append([])
        self._eps.append([])
        self._call.append(None)
        self._after.append(-1)
        return len(self._edges) - 1

    def _build(self, node: Node, start: int, end: int) -> None:
        """Ways from start to end for each text of the node. Nothing leads back to `start` itself."""
        if isinstance(node, Text):
            data = node.text.encode()
            for byte in data[:-1]:
                start, before = self._state(), start
                self._edges[before].append((byte, byte, start))
            self._edges[start].append((data[-1], data[-1], end)) if data else self._eps[start].append(end)
        elif isinstance(node, Chars):
            self._characters(node, start, end)
        elif isinstance(node, Alt):
            for item in node.items:
                if _fits(item, self._fits):
                    self._build(item, start, end)
        elif isinstance(node, Seq):
            for item in node.items[:-1]:
                start, before = self._state(), start
                self._build(item, before, start)
            self._build(node.items[-1], start, end) if node.items else self._eps[start].append(end)
        elif isinstance(node, Ref):
            state = self._state()
            self._eps[start].append(state)
            self._call[state], self._after[state] = node.name, end
        else:
            self._repeat(node, start, end)

    def _characters(self, node: Chars, start: int, end: int) -> None:
        tails: dict[tuple, int] = {(): end}  # what is left to read -> the state that reads it
        for low, high in node.ranges:
            for parts in utf8_ranges(low, high):
                for at in range(len(parts) - 1, 0, -1):
                    if parts[at:] not in tails:
                        tails[parts[at:]] = state = self._state()
                        self._edges[state].append((*parts[at], tails[parts[at + 1 :]]))
                self._edges[start].append((*parts[0], tails[parts[1:]]))

    def _repeat(self, node: Repeat, start: int, end: int) -> None:
        item = node.item
        if not _fits(item, self._fits):
            self._eps[start].append(end)
            return
        if max(node.least, node.most or 0) > 1 and _size(item) > _INLINE:
            item = self._as_rule(item)
        for _ in range(node.least):
            start, before = self._state(), start
            self._build(item, before, start)
        if node.most is None:
            loop = self._state()
            self._eps[start].append(loop)
            back = self._state()
            self._build(item, loop, back)
            self._eps[back].append(loop)
            self._eps[loop].append(end)
            return
        for _ in range(node.most - node.least):
            self._eps[start].append(end)
            start, before = self._state(), start
            self._build(item, before, start)
        self._eps[start].append(end)

    def _as_rule(self, item: Node) -> Ref:
        if item not in self._wrapped:
            name = f"\0{len(self._wrapped)}"  # no rule of a grammar can have this name
            self._wrapped[item] = name
            self._rules[name] = item
            self._fits.add(name)
        return Ref(self._wrapped[item])


def _size(node: Node) -> int:
    """About as many states as one copy of the node needs."""
    if isinstance(node, Text):
        return len(node.text)
    if isinstance(node, Chars):
        return 1 if all(high < 0x80 for _, high in node.ranges) else 9
    copies = max(1, node.least, node.most or 0) if isinstance(node, Repeat) else 1
    return 1 + copies * sum(_size(item) for item in children(node))


def _starts(rows: list[list]) -> bytes:
    out, total = array("i", [0]), 0
    for row in rows:
        total += len(row)
        out.append(total)
    return out.tobytes()
