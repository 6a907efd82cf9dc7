"""A JSON schema (the part of draft 2020-12 that is in use) -> rules of a grammar whose texts are JSON that fits it.

Supported: type, properties, required, additionalProperties, items, prefixItems, minItems, maxItems, enum, const, anyOf,
oneOf (as anyOf), allOf of what can be combined, $ref into the document (also recursive), minLength, maxLength, pattern,
formats of `FORMATS`, bounds of integers, whole bounds of numbers. Narrower than the standard where that is what people
mean: properties come in the order of the schema, other properties only where additionalProperties asks for them, and a
schema with `properties` alone means an object. Other keywords that restrict are refused, annotations are ignored.
"""

from __future__ import annotations

import math

from . import json_text as js
from .nodes import (
    EMPTY,
    MAX_NESTING,
    MAX_REPEAT,
    NOTHING,
    SURROGATES,
    Chars,
    GrammarError,
    Node,
    Ref,
    Repeat,
    Text,
    alt,
    chars,
    optional,
    repeat,
    seq,
)
from .regex import bounded, parse_regex
from .schema_merge import Resolver

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_REFUSED = frozenset(
    "not if then else multipleOf patternProperties propertyNames dependentRequired dependentSchemas dependencies "
    "contains minContains maxContains minProperties maxProperties additionalItems $dynamicRef".split()
)
_TYPE_OF = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
_DATE = (
    "[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|"
    "02-(0[1-9]|1[0-9]|2[0-8]))"
)
_TIME = f"{_HOUR}:[0-5][0-9](\\.[0-9]{{1,6}})?(Z|[+-]{_HOUR})"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
FORMATS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "ipv4": f"^{_BYTE}(\\.{_BYTE}){{3}}$",
    "hostname": f"^{_LABEL}(\\.{_LABEL}){{0,5}}$",
    "email": f"^[A-Za-z0-9_+-]{{1,32}}(\\.[A-Za-z0-9_+-]{{1,16}}){{0,2}}@{_LABEL}(\\.{_LABEL}){{1,4}}$",
}


def schema_rules(schema: object) -> dict[str, Node]:
    """Rules with `root`. GrammarError names the place (a JSON pointer) and the keyword that is wrong or unsupported."""
    return _Writer(schema).rules()


class _Writer:
    def __init__(self, document: object) -> None:
        self._document, self._resolver = document, Resolver(document)
        self._rules: dict[str, Node] = js.common_rules()
        self._waiting: list[str] = []  # pointers that are referred to and not written yet
        self._names = 0

    def rules(self) -> dict[str, Node]:
        self._rules["root"] = self._schema(self._document, "#", 0)
        while self._waiting:
            pointer = self._waiting.pop()
            self._rules[f"ref {pointer}"] = self._schema(self._resolver.target(pointer, pointer), pointer, 0)
        return self._rules

    def _rule(self, node: Node) -> Ref:
        """The node as a rule of its own."""
        self._names += 1
        ref = Ref(f"part {self._names}")
        self._rules[ref.name] = node
        return ref

    def _schema(self, schema: object, where: str, depth: int) -> Node:
        if depth > MAX_NESTING:
            raise GrammarError(f"{where}: schemas nest deeper than {MAX_NESTING}")
        schema = self._resolver.flat(schema, where)
        if isinstance(schema, bool):
            return js.VALUE if schema else NOTHING
        self._check_keywords(schema, where)
        if "$ref" in schema:
            return self._reference(schema["$ref"], where)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._any_of(schema, key, where, depth)
        if "const" in schema or "enum" in schema:
            return self._values(schema, where)
        ways = [self._typed(schema, name, where, depth) for name in self._types(schema, where)]
        return alt(*ways) if ways else NOTHING

    def _check_keywords(self, schema: dict, where: str) -> None:
        for key in schema.keys() & _REFUSED:
            raise GrammarError(f"{where}: the keyword {key} is not supported")
        if schema.get("uniqueItems", False) is not False:
            raise GrammarError(f"{where}: the keyword uniqueItems is not supported")
        if schema.get("unevaluatedProperties", False) not in (False, True) or "unevaluatedItems" in schema:
            raise GrammarError(f"{where}: the keywords unevaluated... are not supported")

    def _reference(self, pointer: object, where: str) -> Ref:
        self._resolver.target(pointer, where)  # it exists
        name = f"ref {pointer}"
        if name not in self._rules:
            self._rules[name] = NOTHING  # until it is its turn
            self._waiting.append(pointer)
        return Ref(name)

    def _any_of(self, schema: dict, key: str, where: str, depth: int) -> Node:
        base = {name: value for name, value in schema.items() if name != key}
        branches = schema[key]
        if not isinstance(branches, list) or not branches:
            raise GrammarError(f"{where}: {key} must be a list of schemas")
        ways = []
        for i, branch in enumerate(branches):
            there = f"{where}/{key}/{i}"
            if base:
                branch = {"allOf": [base, branch]}
            ways.append(self._schema(branch, there, depth + 1))
        return alt(*ways)

    # ---- values and types --------------------------------------------------------------------------------------

    def _values(self, schema: dict, where: str) -> Node:
        values = schema.get("enum", [schema.get("const")])
        if not isinstance(values, list) or not values:
            raise GrammarError(f"{where}: enum must be a list of values")
        if "const" in schema and "enum" in schema:
            values = [value for value in values if _same(value, schema["const"])]
        others = schema.keys() - {"enum", "const", "type"}
        if others & {name for names in _TYPE_OF.values() for name in names}:
            raise GrammarError(f"{where}: enum or const beside {', '.join(sorted(others))} is not supported")
        if "type" in schema:
            types = self._types(schema, where)
            values = [value for value in values if any(_is(value, name) for name in types)]
        if not values:
            raise GrammarError(f"{where}: no value of enum or const fits the rest of the schema")
        return alt(*(js.written(value) for value in values))

    def _types(self, schema: dict, where: str) -> list[str]:
        if "type" not in schema:
            meant = [name for name, keys in _TYPE_OF.items() if schema.keys() & set(keys)]
            return meant or ["any"]
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        for name in types:
            if name not in TYPES:
                raise GrammarError(f"{where}: unknown type {name!r}")
        return [name for name in types if not (name == "integer" and "number" in types)]

    def _typed(self, schema: dict, name: str, where: str, depth: int) -> Node:
        if name == "object":
            return self._object(schema, where, depth)
        if name == "array":
            return self._array(schema, where, depth)
        if name == "string":
            return self._string(schema, where)
        if name in ("integer", "number"):
            return _number(schema, name, where)
        return {"boolean": alt("true", "false"), "null": js.written(None), "any": js.VALUE}[name]

    # ---- objects -----------------------------------------------------------------------------------------------

    def _object(self, schema: dict, where: str, depth: int) -> Node:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict):
            raise GrammarError(f"{where}: properties must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise GrammarError(f"{where}: required must be a list of names")
        extra = schema.get("additionalProperties", not (properties or required))
        if not properties and not required and extra is True:
            return js.OBJECT
        known = dict(properties)
        for name in required:
            known.setdefault(name, schema.get("additionalProperties", True))
        rest: Node = NOTHING
        if extra is not False:
            there = f"{where}/additionalProperties"
            value = self._schema(extra, there, depth + 1)
            rest = self._rule(seq(self._other_name(known), ":", js.BLANK, value))
        members = []
        for name, value in known.items():
            node = self._schema(value, f"{where}/properties/{name}", depth + 1)
            pair = self._rule(seq(js.written(name), ":", js.BLANK, node))
            members.append((pair, name in required))
        return seq("{", js.BLANK, self._members(members, rest), js.BLANK, "}")

    def _members(self, members: list[tuple[Ref, bool]], rest: Node) -> Node:
        """In order; those that are not required may be left out; then any number of `rest`. One rule for each place,
        once with something before it and once without: which decides about the comma."""
        comma = seq(",", js.BLANK)
        none = rest == NOTHING
        later: Node = EMPTY if none else Repeat(seq(comma, rest))
        first: Node = EMPTY if none else optional(rest, later)
        for pair, needed in reversed(members):
            first = seq(pair, later) if needed else alt(seq(pair, later), first)
            later = seq(comma, pair, later) if needed else alt(seq(comma, pair, later), later)
            first, later = self._rule(first), self._rule(later)
        return first

    def _other_name(self, known: dict) -> Node:
        """A name that is none of the known ones, without escapes: a walk along the tree of their characters."""
        tree: dict = {}
        for name in known:
            at = tree
            if all(_plain(ord(c)) for c in name):  # another one cannot be written without escapes anyway
                for c in name:
                    at = at.setdefault(c, {})
                at[""] = {}
        anything = self._rule(seq(Repeat(js.PLAIN), '"'))
        root = self._rule(NOTHING)
        todo = [(tree, root)]
        while todo:
            at, here = todo.pop()
            ways: list[Node] = [] if "" in at else [Text('"')]
            taken = [c for c in at if c]
            others = chars([*_outside(js.PLAIN), *((ord(c), ord(c)) for c in taken)], negated=True)
            ways.append(seq(others, anything))
            for c in taken:
                todo.append((at[c], self._rule(NOTHING)))
                ways.append(seq(c, todo[-1][1]))
            self._rules[here.name] = alt(*ways)
        return seq('"', root)

    # ---- arrays and strings ------------------------------------------------------------------------------------

    def _array(self, schema: dict, where: str, depth: int) -> Node:
        least, most = _count(schema, "minItems", where) or 0, _count(schema, "maxItems", where)
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        if not isinstance(first, list) or isinstance(rest, list):
            raise GrammarError(f"{where}: prefixItems must be a list of schemas, items one schema")
        if not first and rest is True and not least and most is None:
            return js.ARRAY
        comma = seq(",", js.BLANK)
        nodes = [
            self._rule(self._schema(one, f"{where}/prefixItems/{i}", depth + 1)) for i, one in enumerate(first[:most])
        ]
        k = len(nodes)
        inner: Node = EMPTY
        if rest is not False and (most is None or most > k):
            item = self._rule(self._schema(rest, f"{where}/items", depth + 1))
            up_to = None if most is None else most - k
            if k:
                inner = repeat(seq(comma, item), max(0, least - k), up_to, f"{where}: items")
            else:
                more = None if up_to is None else up_to - 1
                inner = seq(item, repeat(seq(comma, item), max(0, least - 1), more, f"{where}: items"))
                inner = inner if least else optional(inner)
        elif least > k:
            raise GrammarError(f"{where}: minItems {least} exceeds the {k} items that there can be")
        for i in range(k - 1, -1, -1):
            inner = seq(comma, nodes[i], inner) if i else seq(nodes[i], inner)
            inner = self._rule(inner if i < least else optional(inner))
        return seq("[", js.BLANK, inner, js.BLANK, "]")

    def _string(self, schema: dict, where: str) -> Node:
        least, most = _count(schema, "minLength", where) or 0, _count(schema, "maxLength", where)
        pattern = schema.get("pattern", FORMATS.get(schema.get("format")))
        if pattern is None:
            return seq('"', repeat(js.CHARACTER, least, most, f"{where}: length"), '"')
        if not isinstance(pattern, str):
            raise GrammarError(f"{where}: pattern must be a string")
        if "pattern" in schema and schema.get("format") in FORMATS:
            raise GrammarError(f"{where}: pattern beside format is not supported")
        node = parse_regex(pattern, js.one_character, where)
        if least or most is not None:
            limited = bounded(node, least, most)
            if limited is None and "pattern" in schema:
                raise GrammarError(f"{where}: a length beside a pattern of several parts is not supported")
            node = node if limited is None else limited
        return seq('"', node, '"')


def _number(schema: dict, name: str, where: str) -> Node:
    low, open_low = _bound(schema, "minimum", "exclusiveMinimum", max, where)
    high, open_high = _bound(schema, "maximum", "exclusiveMaximum", min, where)
    if low is None and high is None:
        return js.INTEGER if name == "integer" else js.NUMBER
    if name == "integer":
        first = None if low is None else math.floor(low) + 1 if open_low else math.ceil(low)
        last = None if high is None else math.ceil(high) - 1 if open_high else math.floor(high)
        return js.integers(first, last, where)
    for bound in (low, high):
        if bound is not None and bound != int(bound):
            raise GrammarError(f"{where}: bounds of numbers must be whole, not {bound}")
    whole = [None if bound is None else int(bound) for bound in (low, high)]
    return js.numbers(*whole, open_low, open_high, where)


def _bound(schema: dict, name: str, exclusive: str, stricter, where: str) -> tuple[float | None, bool]:
    """(the stricter of the two bounds, is it left out)."""
    found = []
    for key, is_open in ((name, False), (exclusive, True)):
        if key in schema:
            value = schema[key]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise GrammarError(f"{where}: {key} must be a number")
            found.append((value, is_open))
    if not found:
        return None, False
    value = stricter(value for value, _ in found)
    return value, any(is_open for bound, is_open in found if bound == value)


def _count(schema: dict, key: str, where: str) -> int | None:
    value = schema.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise GrammarError(f"{where}: {key} must be an integer >= 0")
    if value > MAX_REPEAT:
        if key.startswith("max"):
            return MAX_REPEAT  # narrower, and long enough
        raise GrammarError(f"{where}: {key} exceeds {MAX_REPEAT}")
    return int(value)


def _plain(point: int) -> bool:
    return any(low <= point <= high for low, high in js.PLAIN.ranges)


def _outside(node: Chars) -> list[tuple[int, int]]:
    return [*chars(node.ranges, negated=True).ranges, SURROGATES]


def _is(value: object, name: str) -> bool:
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if name in kinds:
        return isinstance(value, kinds[name])
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (name == "number" or value == int(value))


def _same(a: object, b: object) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)
