"""Pre-tokenisation: how a text is cut into the pieces inside which byte pairs may merge.

Each split exists twice: as a pattern in tokenizer.json (Oniguruma syntax, so that other libraries read our files)
and as a hand-written scanner in `_text.pyx` that gives the same pieces. This file is the table between both, and
reads and writes the `pre_tokenizer` entry. An arbitrary pattern is refused by name rather than approximated. Knows
nothing about merges or files.

"code" (ours): newline run with the indent after it is one piece; words are letters, underscore and anything outside
ASCII; digits stand alone; words, digits and punctuation runs take one leading space; blanks inside a line otherwise
stay together.
"words": words are letters, numbers and underscore; runs of white space; every other character alone.
"""

from dataclasses import dataclass

from runtime.text.patterns import GPT2, LLAMA3, QWEN2

CODE_PATTERN = (
    r"[\r\n]+[ \t]*"
    r"| ?[^\x00-@\[-^`{-\x7F]+"
    r"| ?[0-9]"
    r"| ?[\x00-\x08\x0E-\x1F!-/:-@\[-^`{-\x7F]+"
    r"|[ \t\x0B\x0C]+(?![^ \t\x0B\x0C\r\n])"
    r"|[ \t\x0B\x0C]+"
)
WORDS_PATTERN = r"[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]"
METASPACE = "\u2581"  # stands for a space

PATTERNS = {
    CODE_PATTERN: "code",
    GPT2: "gpt2",
    QWEN2: "qwen2",
    LLAMA3: "llama3",
    WORDS_PATTERN: "words",
}
BY_NAME = {name: pattern for pattern, name in PATTERNS.items()}


class Unsupported(ValueError):
    """A component of tokenizer.json that this engine does not have; the message names it."""


@dataclass(frozen=True)
class PreTokenizer:
    """stages: scanner names of `_text.SCANNERS`, each applied inside the pieces of the one before; entry: the JSON
    as read."""

    stages: tuple[str, ...]
    entry: dict | None
    prepend: str | None = None  # Metaspace only: "always", "first" or "never"; None where spaces stay spaces

    @property
    def patterns(self) -> tuple[str, ...] | None:
        """The splits as patterns, the outermost first; None where one of them cannot be said so."""
        parts = (self.entry or {}).get("pretokenizers", [self.entry])
        found: list[str] = []
        for part in parts:
            kind = part.get("type") if part else None
            if kind == "ByteLevel":
                found += [GPT2] if part.get("use_regex", True) else []
            elif kind == "Digits" and part.get("individual_digits"):
                found.append(r"\p{N}")
            elif kind == "Split" and part["behavior"] == "Isolated" and "Regex" in part["pattern"]:
                found.append(part["pattern"]["Regex"])
            else:
                return None
        return tuple(found)


def named(name: str) -> PreTokenizer:
    """The split called "code", "gpt2", "qwen2", "llama3" or "words" with its tokenizer.json entry."""
    if name not in BY_NAME:
        raise ValueError(f"unknown split {name!r}; there are {', '.join(sorted(BY_NAME))}")
    split = {"type": "Split", "pattern": {"Regex": BY_NAME[name]}, "behavior": "Isolated", "invert": False}
    # ByteLevel without its own pattern only maps bytes to the printable alphabet
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return PreTokenizer((name,), {"type": "Sequence", "pretokenizers": [split, level]})


def named_plain(name: str) -> PreTokenizer:
    """The split `name` for vocabularies of characters instead of bytes."""
    return PreTokenizer((name,), named(name).entry["pretokenizers"][0])


def plain_from_json(entry: object) -> PreTokenizer:
    """Read the `pre_tokenizer` entry of a vocabulary of characters: nothing, or a split. Raises as from_json does."""
    if entry is None:
        return PreTokenizer(("whole",), None)
    if not isinstance(entry, dict) or entry.get("type") != "Split":
        kind = entry.get("type") if isinstance(entry, dict) else entry
        raise Unsupported(f"pre_tokenizer {str(kind)[:40]!r} without ByteLevel")
    return PreTokenizer((_split(entry),), entry)


def unigram_from_json(entry: object) -> PreTokenizer:
    """Read the `pre_tokenizer` entry of a Unigram: Metaspace, ByteLevel with its splits, a split, or nothing."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    if kind in ("ByteLevel", "Sequence"):
        return from_json(entry)
    if kind != "Metaspace":
        return plain_from_json(entry)
    prepend = entry.get("prepend_scheme", "always")
    if entry.get("replacement") != METASPACE:
        raise Unsupported("pre_tokenizer Metaspace with another replacement than U+2581")
    if prepend not in ("always", "first", "never") or entry.get("add_prefix_space", prepend != "never") not in (
        True,
        False,
    ):
        raise ValueError("pre_tokenizer Metaspace: prepend_scheme must be always, first or never")
    if entry.get("add_prefix_space") is False:  # how files before the scheme said "never"
        prepend = "never"
    split = entry.get("split", True)
    if split not in (True, False):
        raise ValueError("pre_tokenizer Metaspace: split must be true or false")
    return PreTokenizer(("metaspace",) if split else ("whole",), entry, prepend)


def metaspace(prepend: str = "never") -> PreTokenizer:
    """Spaces become U+2581, which begins a piece; prepend: whether a text gets one in front."""
    entry = {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": prepend, "split": True}
    return PreTokenizer(("metaspace",), entry, prepend)


def from_json(entry: object) -> PreTokenizer:
    """Read a `pre_tokenizer` entry. Raises Unsupported with the name of what is not known, ValueError for a broken
    entry."""
    if not isinstance(entry, dict):
        raise Unsupported("pre_tokenizer is missing: byte-level BPE needs a ByteLevel pre-tokenizer")
    parts = entry.get("pretokenizers") if entry.get("type") == "Sequence" else [entry]
    if not isinstance(parts, list) or len(parts) > 4:
        raise ValueError("pre_tokenizer Sequence must hold a list of at most 4 entries")
    stages: list[str] = []
    byte_level = False
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if byte_level:
            raise Unsupported(f"pre_tokenizer {kind!r} after ByteLevel")
        if kind == "ByteLevel":
            byte_level = True
            if part.get("add_prefix_space", True) is not False:
                raise Unsupported("pre_tokenizer ByteLevel with add_prefix_space")
            if part.get("use_regex", True) is True:
                stages.append("gpt2")
        elif kind == "Digits":
            stages.append("digits" if part.get("individual_digits", False) is True else "digit_runs")
        elif kind == "Split":
            stages.append(_split(part))
        else:
            raise Unsupported(f"pre_tokenizer {str(kind)[:40]!r}")
    if not byte_level:
        raise Unsupported("pre_tokenizer without ByteLevel")
    return PreTokenizer(tuple(stages) or ("whole",), entry)


def _split(part: dict) -> str:
    pattern = part.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if not isinstance(regex, str):
        raise Unsupported("pre_tokenizer Split by a literal string")
    if regex not in PATTERNS:
        raise Unsupported(f"pre_tokenizer Split with the pattern {regex[:60]!r}")
    if part.get("behavior") != "Isolated" or part.get("invert", False) is not False:
        raise Unsupported(f"pre_tokenizer Split with behavior {str(part.get('behavior'))[:20]!r} or invert")
    return PATTERNS[regex]
