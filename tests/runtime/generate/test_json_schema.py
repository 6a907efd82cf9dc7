"""JSON schemas: texts of the grammar parse and fit by an independent validator; good values are accepted; bounds."""

import ipaddress
import json
import random
import re
import time
import uuid
from datetime import date, datetime

import pytest

from runtime.generate.grammar import GrammarError, Matcher, compile_grammar

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
CHECKS = {
    "date": date.fromisoformat,
    "date-time": lambda s: datetime.fromisoformat(s.replace("Z", "+00:00")),
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
}


def is_a(value, name):
    if name in ("number", "integer"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (name == "number" or value == int(value))
    return isinstance(value, KINDS[name])


def valid(schema, value, root=None):
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        if not valid(target, value, root):
            return False
    types = schema.get("type", [])
    if types and not any(is_a(value, t) for t in ([types] if isinstance(types, str) else types)):
        return False
    if "enum" in schema and not any(value == v and type(value) is type(v) for v in schema["enum"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if not all(valid(s, value, root) for s in schema.get("allOf", [])):
        return False
    for key in ("anyOf", "oneOf"):
        if key in schema and not any(valid(s, value, root) for s in schema[key]):
            return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        extra = schema.get("additionalProperties", True)
        return all(name in value for name in schema.get("required", [])) and all(
            valid(known.get(name, extra), v, root) for name, v in value.items()
        )
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 60) and all(
            valid(first[i] if i < len(first) else schema.get("items", True), v, root) for i, v in enumerate(value)
        )
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 60):
            return False
        if schema.get("format") in CHECKS:
            CHECKS[schema["format"]](value)
        return re.search(schema.get("pattern", ""), value) is not None
    if is_a(value, "number"):
        return schema.get("minimum", -1e99) <= value <= schema.get("maximum", 1e99) and schema.get(
            "exclusiveMinimum", -1e99
        ) < value < schema.get("exclusiveMaximum", 1e99)
    return True


def random_text(automaton, rng, most=400):
    """A random text of the grammar; closing signs are likelier, so that it ends. None if it gets long."""
    matcher, out = Matcher(automaton), b""
    while len(out) < most:
        if matcher.accepting and (matcher.finished or rng.random() < 0.4):
            return out
        bytes_ = [b for b in range(256) if matcher.allows(bytes([b]))]
        weights = [20 if b in b'"}]' else 0.1 if b > 127 or b == 92 else 0.3 if b in b"[{ \n" else 1 for b in bytes_]
        out += bytes(rng.choices(bytes_, weights))
        matcher.feed(out[-1:])
    return None


def accepts(automaton, text):
    matcher = Matcher(automaton)
    if not matcher.allows(text.encode()):
        return False
    matcher.feed(text.encode())
    return matcher.accepting


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["v"],
        }
    },
    "$ref": "#/$defs/node",
}
CASES = [
    (True, [1, "a", {"b": [None, True]}, [], {}], []),
    ({"type": "object"}, [{}, {"a": {"b": 1.5}}], [1, "a", []]),
    ({"type": ["string", "null"]}, ["", "x\n\"\\é😀", None], [1, []]),
    ({"type": "integer"}, [0, -5, 123456], [1.5, "1"]),
    ({"type": "number"}, [0, -5.25, 1e10, 3], ["1", None]),
    ({"type": "boolean"}, [True, False], [0, None]),
    ({"enum": ["a", 1, None, {"x": [1]}, "q\"uote", "ü"]}, ["a", 1, None, {"x": [1]}, 'q"uote', "ü"], ["b", 2, True]),
    ({"const": "only"}, ["only"], ["other"]),
    ({"enum": ["a", 1, 2.5], "type": "number"}, [1, 2.5], ["a"]),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "null"}},
         "required": ["b"]},
        [{"b": "x"}, {"a": 1, "b": ""}, {"a": 1, "b": "", "c": None}, {"b": "", "c": None}],
        [{}, {"a": 1}, {"b": 1}, {"b": "", "d": 1}],
    ),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "null"}},
         "additionalProperties": {"type": "string"}},
        [{}, {"a": 1}, {"x": "1"}, {"a": 1, "ab": None, "abc": "s", "": "s", "b": "t"}],
        [{"a": "1"}, {"x": 1}, {"ab": "s"}],
    ),
    ({"type": "object", "required": ["k"]}, [{"k": [1]}], [{}, {"j": 1}]),
    ({"type": "object", "properties": {"a": True}, "additionalProperties": True}, [{"a": 1, "b": 2}, {}], [[]]),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4}, [[1, 2], [1, 2, 3, 4]],
     [[], [1], [1, 2, 3, 4, 5], ["a", "b"]]),
    ({"type": "array", "maxItems": 0}, [[]], [[1]]),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False, "minItems": 1},
     [["a"], ["a", 1]], [[], [1], ["a", 1, 2]]),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}, "minItems": 2},
     [["a", None], ["a", None, None]], [["a"], ["a", 1]]),
    ({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "boolean"}}]}, [1, [True]], ["a", [1]]),
    (
        {"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}, "x": {"type": "integer"}},
                    "required": ["k", "x"]},
                   {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]},
        [{"k": "a", "x": 1}, {"k": "b"}], [{"k": "a"}, {"k": "c"}],
    ),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
         "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 1}, {"a": 1, "b": 2}], [{}],
    ),
    (
        {"allOf": [{"type": "object", "properties": {"a": {"type": "number", "minimum": 0}}},
                   {"properties": {"a": {"type": "integer", "maximum": 3}, "b": {"type": "null"}},
                    "required": ["a"]}]},
        [{"a": 2}, {"a": 0, "b": None}], [{"a": 1.5}, {"a": 4}, {"b": None}],
    ),
    ({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s", "maxLength": 2}, ["", "ab"], ["abc", 1]),
    (TREE, [{"v": 1}, {"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3}]}], [{}, {"v": 1, "kids": [1]}]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "a\"b", "äöü", "😀😀"], ["a", "abcd"]),
    ({"type": "string", "pattern": "^[a-z]+(-[0-9]{2,3})?$"}, ["abc", "a-12", "z-123"], ["", "A", "a-1", "a-1234"]),
    ({"type": "string", "pattern": "b+"}, ["b", "abba", "\"b\""], ["", "aca"]),
    ({"type": "string", "pattern": "^(?:x|\\.\\d)|y$"}, ["x", ".1z", "ay"], ["ax", "y1", "1"]),
    ({"type": "string", "pattern": "^[^\"a]\\s?\\\\$"}, ["b \\", "c\\"], ["a\\", "\"\\"]),
    ({"type": "string", "pattern": "^[a-f]*$", "minLength": 2, "maxLength": 4}, ["ab", "fade"], ["a", "abcde", "xy"]),
    ({"type": "string", "format": "date"}, ["2024-02-28", "1999-12-31"], ["2024-13-01", "2024-04-31", "x"]),
    ({"type": "string", "format": "date-time"}, ["2024-02-28T23:59:59Z", "2024-01-01T00:00:00.5+05:30"], ["2024"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
    ({"type": "string", "format": "ipv4"}, ["192.168.0.1", "0.0.0.255"], ["256.0.0.1", "1.2.3"]),
    ({"type": "string", "format": "something-else"}, ["anything"], [1]),
    ({"type": "number", "minimum": 0}, [0, 0.5, 12345.75], [-1, -0.5]),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 2}, [0.5, 1, 1.75, 2, 2.0], [0, 0.0, 2.1, -1, 3]),
    ({"type": "number", "minimum": -2, "exclusiveMaximum": 1}, [-2, -1.5, -0.5, 0, 0.99], [-2.5, 1, 1.0, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=range(len(CASES)))
def test_good_values_are_accepted_bad_ones_are_not_and_every_text_is_valid(schema, good, bad):
    automaton = compile_grammar(schema)
    for value in good:
        assert valid(schema, value), "the case is wrong"
        assert accepts(automaton, json.dumps(value, ensure_ascii=False)), value
    for value in bad:
        assert not accepts(automaton, json.dumps(value)), value
    rng = random.Random(1)
    made = 0
    for _ in range(25):
        text = random_text(automaton, rng)
        if text is not None:
            assert valid(schema, json.loads(text)), text
            made += 1
    assert made > 2


def test_bounds_of_integers_are_exact():
    rng = random.Random(0)
    pairs = [(0, 0), (-1, 0), (0, 9), (10, 99), (-5, 123), (99, 101), (-120, -7), (1000, 1999), (7, 100000)]
    pairs += [tuple(sorted(rng.choices(range(-3000, 3000), k=2))) for _ in range(25)]
    pairs += [(None, 17), (None, -17), (17, None), (-17, None), (0, None), (None, 0)]
    for low, high in pairs:
        schema = {"type": "integer"}
        schema |= {} if low is None else {"minimum": low}
        schema |= {} if high is None else {"maximum": high}
        matcher = Matcher(compile_grammar(schema))
        around = {0, 1, -1, *range(-40, 40)} | {b + d for b in (low, high) if b is not None for d in range(-12, 13)}
        for n in around | set(rng.choices(range(-99999, 99999), k=60)):
            inside = (low is None or low <= n) and (high is None or n <= high)
            text = str(n).encode()
            if n in (low, high) or matcher.allows(text):
                whole = Matcher(compile_grammar(schema))
                fits = whole.fits(text) == len(text)
                if fits:
                    whole.feed(text)
                assert (fits and whole.accepting) == inside, (low, high, n)
            else:
                assert not inside, (low, high, n)
        assert not matcher.allows(b"00") and not matcher.allows(b"01")


def test_exclusive_and_fractional_bounds_of_integers():
    automaton = compile_grammar({"type": "integer", "exclusiveMinimum": 2, "maximum": 7.5})
    assert [n for n in range(12) if accepts(automaton, str(n))] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strin"}, "#: unknown type 'strin'"),
        ({"not": {}}, "keyword not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"multipleOf": 3}}}, "#/properties/a: the keyword multipleOf"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$ref": "http://x/y"}, "does not point into this schema"),
        ({"$ref": "#"}, "finite text"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "finite"),
        ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "string"}]}}, "$ref": "#/$defs/a"}, "deeper"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "finite text"),
        ({"anyOf": []}, "anyOf must be a list"),
        ({"enum": []}, "enum must be a list"),
        ({"enum": [1], "type": "string"}, "no value"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no number lies between 5 and 4"),
        ({"type": "number", "minimum": 0.5}, "must be whole"),
        ({"type": "array", "items": False, "minItems": 1}, "minItems 1 exceeds"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "at most"),
        ({"type": "string", "minLength": -1}, "minLength"),
        ({"type": "string", "minLength": 10**9}, "minLength exceeds"),
        ({"type": "string", "pattern": "(?=a)"}, "look-around"),
        ({"type": "string", "pattern": "a\\1"}, "not supported"),
        ({"type": "string", "pattern": "(a"}, "never closed"),
        ({"type": "string", "pattern": "(" * 99 + ")" * 99}, "deeper"),
        ({"type": "string", "pattern": "(a+)+b", "maxLength": 3}, "length beside a pattern"),
        ({"properties": []}, "properties must be an object"),
        ({"required": "a"}, "required must be a list"),
        ([], "as a dict, not list"),
        ({"type": "number", "minimum": float("nan")}, "not JSON"),
        ({"allOf": [{"properties": {"a": True}, "additionalProperties": False}, {"properties": {"b": True}}]},
         "additionalProperties cannot be combined"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_with_its_place(schema, message):
    with pytest.raises(GrammarError, match=re.escape(message)):
        compile_grammar(schema)


def test_hostile_schemas_end_soon():
    deep: dict = {"type": "string"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    chain = {"$defs": {f"d{i}": {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(1000)}}
    chain["$defs"]["d1000"] = True
    wide = {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(1000)}}
    power = {"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 9} for i in range(30)} | {"d30": True}}
    evil = {"type": "string", "pattern": "^(((a{1,200}){1,200}){1,200}b)*$"}
    for schema in (deep, {**chain, "$ref": "#/$defs/d0"}, wide, {**power, "$ref": "#/$defs/d0"}, evil):
        began = time.process_time()
        try:
            matcher = Matcher(compile_grammar(schema))
            matcher.fits(b'"' + b"a" * 5000)
        except ValueError:
            pass
        assert time.process_time() - began < 10
