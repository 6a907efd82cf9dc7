"""JSON schemas combined into one: `$ref` beside other keywords, allOf, anyOf beside a common part.

`Resolver.flat` gives a schema without them. What cannot be combined keyword by keyword is refused: a guess would let a
model write what the schema forbids. Knows no grammars.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from .nodes import MAX_NESTING, GrammarError

ANNOTATIONS = frozenset(
    "title description default examples deprecated readOnly writeOnly $schema $id $comment $anchor $defs definitions "
    "contentEncoding contentMediaType".split()
)
_RULES: dict[str, Callable] = dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), max)
_RULES |= dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), min)


class Resolver:
    """Follows references within one document."""

    def __init__(self, document: object) -> None:
        self.document = document

    def target(self, pointer: str, where: str) -> object:
        """What "#", "#/$defs/name" or another JSON pointer (RFC 6901) into the document means."""
        if not isinstance(pointer, str) or not (pointer == "#" or pointer.startswith("#/")):
            raise GrammarError(f"{where}: $ref {pointer!r} does not point into this schema (#/...)")
        found = self.document
        for part in pointer.split("/")[1:]:
            part = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                raise GrammarError(f"{where}: $ref {pointer!r} leads nowhere")
        return found

    def flat(self, schema: object, where: str, depth: int = 0) -> dict | bool:
        """The schema without allOf, and without $ref unless that stands alone."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise GrammarError(f"{where}: a schema is an object or a boolean, not {type(schema).__name__}")
        if depth > MAX_NESTING:
            raise GrammarError(f"{where}: references and combinations nest deeper than {MAX_NESTING}")
        own = {key: value for key, value in schema.items() if key not in ANNOTATIONS}
        if set(own) == {"$ref"} or not own.keys() & {"$ref", "allOf"}:
            return own
        parts = []
        if "$ref" in own:
            parts.append(self.target(own.pop("$ref"), where))
        more = own.pop("allOf", [])
        if not isinstance(more, list):
            raise GrammarError(f"{where}: allOf must be a list")
        merged: dict | bool = own
        for part in parts + more:
            part = self.flat(part, where, depth + 1)
            while isinstance(part, dict) and "$ref" in part:
                if not merged and len(parts) + len(more) == 1:
                    return part  # nothing to combine it with
                depth += 1
                part = self.flat(self.target(part["$ref"], where), where, depth)
            merged = merge(merged, part, where)
        return merged


def merge(a: dict | bool, b: dict | bool, where: str) -> dict | bool:
    """A schema for what fits both a and b, neither with allOf or $ref."""
    if isinstance(a, bool) or isinstance(b, bool):
        return b if a is True else a if b is True else False
    if a.keys() & {"properties", "required", "additionalProperties"}:
        _check_closed(a, b, where)
        _check_closed(b, a, where)
    out = dict(a)
    for key, value in b.items():
        if key not in a or a[key] == value:
            out[key] = value
        elif key in _RULES and all(_number(x) for x in (a[key], value)):
            out[key] = _RULES[key](a[key], value)
        elif key == "required" and isinstance(value, list) and isinstance(a[key], list):
            out[key] = a[key] + [name for name in value if name not in a[key]]
        elif key == "properties" and isinstance(value, dict) and isinstance(a[key], dict):
            both = {name: {"allOf": [a[key][name], value[name]]} for name in a[key].keys() & value.keys()}
            out[key] = {**a[key], **value, **both}
        elif key == "type":
            out[key] = _common_types(a[key], value)
        elif key == "enum" and isinstance(value, list) and isinstance(a[key], list):
            out[key] = [one for one in a[key] if one in value]
        elif key == "additionalProperties" and isinstance(value, bool) and isinstance(a[key], bool):
            out[key] = False
        else:
            raise GrammarError(f"{where}: two different values of {key} cannot be combined")
    return out


def _check_closed(a: dict, b: dict, where: str) -> None:
    """Further properties of a fall under its additionalProperties: refuse those of b that would."""
    extra = a.get("additionalProperties", True)
    ours, theirs = (x.get("properties", {}) for x in (a, b))
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        raise GrammarError(f"{where}: properties must be an object")
    if extra is not True and not theirs.keys() <= ours.keys():
        raise GrammarError(f"{where}: additionalProperties cannot be combined with properties of another part")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _common_types(a: object, b: object) -> list:
    ours, theirs = (x if isinstance(x, list) else [x] for x in (a, b))
    common = [t for t in ours if t in theirs]
    if "integer" not in common and (
        ("integer" in ours and "number" in theirs) or ("number" in ours and "integer" in theirs)
    ):
        common.append("integer")
    return common
