"""Normalisers of tokenizer.json: what is done to a text before it is cut. Each entry becomes a function str -> str.

Results are those of the Hugging Face library, but for characters that the Unicode of the running Python does not know.
What is not known is refused by name. Knows nothing of vocabularies; patterns are compiled by `regex.py`.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable

from runtime.text import charsmap, regex
from runtime.text.characters import WHITE, Set, named, older
from runtime.text.unicode_data import NEW_CAPITALS, NOT_COMPATIBLE, NOT_DECOMPOSED
from runtime.text.unsupported import Unsupported, flag, text_of

MAX_STEPS = 32
MAX_TEXT = 4096  # characters of a pattern's replacement or of what is put in front
_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_WHITE = "".join(chr(c) for low, high in WHITE.ranges for c in range(low, high + 1))
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
Step = Callable[[str], str]


def from_json(entry: object) -> tuple[Step, ...]:
    """The steps of a `normalizer` entry, in order. Raises Unsupported or ValueError, which name what is wrong."""
    steps = _steps(entry, 0)
    if len(steps) > MAX_STEPS:
        raise ValueError(f"normalizer: {len(steps)} steps, the limit is {MAX_STEPS}")
    return steps


def _steps(entry: object, depth: int) -> tuple[Step, ...]:
    if entry is None:
        return ()
    if not isinstance(entry, dict):
        raise ValueError("key normalizer: expected an object")
    kind = entry.get("type")
    if kind == "Sequence":
        parts = entry.get("normalizers")
        if not isinstance(parts, list) or len(parts) > MAX_STEPS or depth > 4:
            raise ValueError(f"key normalizer: a Sequence holds at most {MAX_STEPS} entries, nested at most 4 times")
        return tuple(step for part in parts for step in _steps(part, depth + 1))
    if kind in _FORMS:
        return (_form(kind),)
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise Unsupported(f"normalizer {str(kind)[:40]!r}")
    return (make(entry),)


def _form(name: str) -> Step:
    # what the library's older tables do not know stays as it is, and nothing moves across it
    kept = Set.parse((NOT_COMPATIBLE if "K" in name else "") + (" " + NOT_DECOMPOSED if "D" in name else ""))
    kept |= named("M") - older("mark")
    new = re.compile("([" + "".join(f"{chr(a)}-{chr(b)}" for a, b in kept.ranges) + "])")

    def normalize(text: str) -> str:
        if text.isascii():
            return text
        if not new.search(text):
            return unicodedata.normalize(name, text)
        return "".join(part if k % 2 else unicodedata.normalize(name, part) for k, part in enumerate(new.split(text)))

    return normalize


_NEW_CAPITALS = {int(pair.split(">")[0], 16): int(pair.split(">")[1], 16) for pair in NEW_CAPITALS.split()}


def _lower(text: str) -> str:
    # character by character, as the library does: a final sigma is like any other
    return text.lower() if text.isascii() else text.replace("Σ", "σ").translate(_NEW_CAPITALS).lower()


def _without(members) -> Step:
    def strip(text: str) -> str:
        return text if text.isascii() else "".join(c for c in text if ord(c) not in members)

    return strip


def _bert(entry: dict) -> Step:
    clean = flag(entry, "clean_text", True, "normalizer")
    chinese = flag(entry, "handle_chinese_chars", True, "normalizer")
    lowercase = flag(entry, "lowercase", True, "normalizer")
    accents = lowercase if entry.get("strip_accents") is None else flag(entry, "strip_accents", True, "normalizer")
    controls, strip = older("control"), _without(older("nonspacing"))

    def normalize(text: str) -> str:
        if clean:
            kept = []
            for c in text:
                code = ord(c)
                if c in "\t\n\r":
                    kept.append(" ")
                elif code not in (0, 0xFFFD) and (32 <= code < 127 or code not in controls):
                    kept.append(" " if c in _WHITE else c)
            text = "".join(kept)
        if chinese and not text.isascii():
            text = "".join(f" {c} " if _is_chinese(ord(c)) else c for c in text)
        if accents and not text.isascii():
            text = strip(unicodedata.normalize("NFD", text))
        return _lower(text) if lowercase else text

    return normalize


def _is_chinese(code: int) -> bool:
    return code >= 0x3400 and any(low <= code <= high for low, high in _CHINESE)


def _replace(entry: dict) -> Step:
    content = text_of(entry.get("content"), "normalizer.content", MAX_TEXT)
    return replacement(entry.get("pattern"), content, "normalizer.pattern")


def replacement(pattern: object, content: str, key: str) -> Step:
    """What Replace does: every match of a pattern entry ({"String": ..} or {"Regex": ..}) becomes the content."""
    if not isinstance(pattern, dict) or len(pattern) != 1:
        raise ValueError(f"key {key}: expected String or Regex")
    literal = pattern.get("String")
    if isinstance(literal, str):
        if not literal:
            raise ValueError(f"key {key}: an empty String")
        return lambda text: text.replace(literal, content)
    source = text_of(pattern.get("Regex"), key, regex.MAX_PATTERN)
    try:
        compiled = regex.compile_pattern(source)
    except regex.PatternError as e:
        raise Unsupported(f"{key}: {e}") from None

    def replace(text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        found = compiled.find_all(data)
        if not found:
            return text
        parts, at = [], 0
        for start, end in found:
            parts += (data[at:start], put)
            at = end
        parts.append(data[at:])
        return b"".join(parts).decode("utf-8", "surrogatepass")

    put = content.encode("utf-8", "surrogatepass")
    return replace


def _prepend(entry: dict) -> Step:
    front = text_of(entry.get("prepend"), "normalizer.prepend", MAX_TEXT)
    return lambda text: front + text if text else text


def _strip(entry: dict) -> Step:
    left = flag(entry, "strip_left", True, "normalizer")
    right = flag(entry, "strip_right", True, "normalizer")

    def strip(text: str) -> str:
        text = text.lstrip(_WHITE) if left else text
        return text.rstrip(_WHITE) if right else text

    return strip


_NMT_GONE = {*range(1, 9), 0xB, *range(0xE, 0x20), 0x7F, 0x8F, 0x9F}
_NMT_SPACE = {9, 0xA, 0xC, 0xD, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD}
_NMT = {**dict.fromkeys(_NMT_GONE), **dict.fromkeys(_NMT_SPACE, " ")}


def _precompiled(entry: dict) -> Step:
    raw = entry.get("precompiled_charsmap")
    if raw is None:
        return lambda text: text
    try:
        data = base64.b64decode(
            text_of(raw, "normalizer.precompiled_charsmap", charsmap.MAX_MAP * 4 // 3), validate=True
        )
    except (binascii.Error, ValueError):
        raise ValueError("key normalizer.precompiled_charsmap: not base64") from None
    try:
        rules = charsmap.parse(data)
    except charsmap.MapError as e:
        raise ValueError(f"key normalizer.precompiled_charsmap: {e}") from None
    return rules.apply_to_clusters if rules else lambda text: text


def _byte_level(entry: dict) -> Step:
    from runtime.text.tokenizer_json import BYTE_TO_CHAR

    return lambda text: "".join(BYTE_TO_CHAR[b] for b in text.encode("utf-8", "surrogatepass"))


_MAKERS: dict[object, Callable[[dict], Step]] = {
    "Lowercase": lambda entry: _lower,
    "StripAccents": lambda entry: _without(older("mark")),
    "BertNormalizer": _bert,
    "Replace": _replace,
    "Prepend": _prepend,
    "Strip": _strip,
    "Nmt": lambda entry: lambda text: text.translate(_NMT),
    "Precompiled": _precompiled,
    "ByteLevel": _byte_level,
}
