"""Pre-tokenisation: how a text is cut into the pieces that tokens never cross.

Each entry of tokenizer.json becomes stages of the loops in `_text.pyx`, one inside the other: a hand-written scanner
where the pattern is a well-known one (the table PATTERNS), else the pattern itself, compiled by `regex.py`. Entries
that change the text (a space in front, Metaspace) are done here, piece by piece, before the stages. What is not known
is refused by name rather than approximated. Knows nothing about merges or files.

"code" (ours): newline run with the indent after it is one piece; words are letters, underscore and anything outside
ASCII; digits stand alone; words, digits and punctuation runs take one leading space; blanks inside a line otherwise
stay together.
"words": words are letters, numbers and underscore; runs of white space; every other character alone.
"""

from dataclasses import dataclass

from runtime.text import _text, regex
from runtime.text.characters import older
from runtime.text.patterns import GPT2, GPT4O, LLAMA3, QWEN2, TEKKEN
from runtime.text.unicode_data import SCRIPTS
from runtime.text.unsupported import Unsupported, flag, text_of

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
_PUNCTUATION = "[" + "".join(f"\\x{{{a:X}}}-\\x{{{b:X}}}" for a, b in older("punctuation").ranges) + "]"
_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}"

PATTERNS = {
    CODE_PATTERN: "code",
    GPT2: "gpt2",
    QWEN2: "qwen2",
    LLAMA3: "llama3",
    GPT4O: "gpt4o",
    TEKKEN: "tekken",
    WORDS_PATTERN: "words",
}
BY_NAME = {name: pattern for pattern, name in PATTERNS.items()}
MAX_PARTS = 16  # entries of a Sequence
NONE = ("whole",)  # the stages of a text that is one piece


@dataclass(frozen=True)
class Split:
    """A stage by a pattern. literal: the pattern is a text; mapped: it sees the byte alphabet of ByteLevel."""

    pattern: str
    behavior: str = "Isolated"
    invert: bool = False
    literal: bool = False
    mapped: bool = False

    @property
    def scanner(self) -> str | None:
        """Name of the hand-written scanner that cuts the same."""
        if self.literal or self.mapped:
            return None
        how = self.behavior, self.invert
        if self.pattern == r"\p{N}" and how == ("Isolated", False):
            return "numbers"
        whole = how in (("Isolated", False), ("Removed", True))  # patterns that leave no gaps
        return PATTERNS.get(self.pattern) if whole else None


@dataclass(frozen=True)
class SpaceInFront:
    """Every piece begins with a space (ByteLevel with add_prefix_space)."""

    def apply(self, pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        return [(text if text.startswith(" ") else " " + text, first) for text, first in pieces if text]


@dataclass(frozen=True)
class Metaspace:
    """A space becomes `replacement`; scheme: which pieces get one in front, "always", "first" or "never"."""

    replacement: str
    scheme: str

    def apply(self, pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        out = []
        for text, first in pieces:
            text = text.replace(" ", self.replacement)
            wanted = self.scheme == "always" or (self.scheme == "first" and first)
            out.append((self.replacement + text if text and wanted and text[0] != self.replacement else text, first))
        return out


@dataclass(frozen=True)
class PreTokenizer:
    """stages: scanner names of `_text.SCANNERS` or Splits, each applied inside the pieces of the one before; entry: the
    JSON as read; before: steps that change the text, and the splits before them; byte_level: pieces are bytes."""

    stages: tuple
    entry: dict | None
    before: tuple = ()
    byte_level: bool = False

    @property
    def patterns(self) -> tuple[str, ...] | None:
        """The splits as patterns, the outermost first; None where one of them cannot be said so."""
        if self.before:
            return None
        found: list[str] = []
        for stage in self.stages:
            if isinstance(stage, Split):
                if stage.behavior != "Isolated" or stage.invert or stage.literal or stage.mapped:
                    return None
                found.append(stage.pattern)
            elif stage in ("digits", "numbers"):
                found.append(r"\p{N}")
            elif stage != "whole":
                if stage not in BY_NAME:
                    return None
                found.append(BY_NAME[stage])
        return tuple(found)

    @property
    def names(self) -> str:
        """For looking at: the stages in a few words."""
        return "+".join(stage if isinstance(stage, str) else "pattern" for stage in self.stages)

    def compiled(self) -> tuple:
        """The stages as `_text.Pieces` takes them. They keep the state of a search: every core needs its own."""
        return tuple(map(_compiled, self.stages))

    def prepared(self, text: str, first: bool) -> list[str]:
        """The pieces that the stages cut further. first: nothing stands before the text."""
        pieces = [(text, first)]
        for step in self.before:
            pieces = step.apply(pieces)
        return [text for text, _ in pieces if text]


class _SplitStep:
    """Splits before a step that changes the text."""

    def __init__(self, stage):
        self._splitter = _text.Pieces()
        self._splitter.set_stages((_compiled(stage),))

    def apply(self, pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        out = []
        for text, first in pieces:
            data = text.encode("utf-8", "surrogatepass")
            for a, b in self._splitter.split(data):
                out.append((data[a:b].decode("utf-8", "surrogatepass"), first and a == 0))
        return out


def _compiled(stage):
    if isinstance(stage, str):
        return stage
    try:
        found = regex.compile_pattern(stage.pattern, stage.literal, stage.mapped)
    except regex.PatternError as e:
        raise Unsupported(f"pre_tokenizer: {e}") from None
    return found, stage.behavior, stage.invert


# ---- our own splits
def named(name: str) -> PreTokenizer:
    """The split called "code", "gpt2", "qwen2", "llama3", "words", ... with its tokenizer.json entry."""
    if name not in BY_NAME:
        raise ValueError(f"unknown split {name!r}; there are {', '.join(sorted(BY_NAME))}")
    split = {"type": "Split", "pattern": {"Regex": BY_NAME[name]}, "behavior": "Isolated", "invert": False}
    # ByteLevel without its own pattern only maps bytes to the printable alphabet
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return PreTokenizer((name,), {"type": "Sequence", "pretokenizers": [split, level]}, (), True)


def named_plain(name: str) -> PreTokenizer:
    """The split `name` for vocabularies of characters instead of bytes."""
    return PreTokenizer((name,), named(name).entry["pretokenizers"][0])


def metaspace(prepend: str = "never") -> PreTokenizer:
    """Spaces become U+2581, which begins a piece; prepend: whether a text gets one in front."""
    entry = {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": prepend, "split": True}
    return PreTokenizer(("metaspace",), entry, (Metaspace(METASPACE, prepend),))


# ---- reading
def from_json(entry: object) -> PreTokenizer:
    """Read a `pre_tokenizer` entry. Raises Unsupported with the name of what is not known, ValueError for a broken
    entry."""
    steps: list = []
    byte_level = False
    for part in _parts(entry, 0):
        more = _MAKERS[part.get("type")](part)
        if byte_level:
            if part.get("type") == "ByteLevel" or not all(isinstance(step, (Split, str)) for step in more):
                raise Unsupported(f"pre_tokenizer {part.get('type')!r} after ByteLevel")
            more = [_mapped(step) for step in more]
        byte_level = byte_level or part.get("type") == "ByteLevel"
        steps += more
    if len(steps) > MAX_PARTS:
        raise ValueError(f"pre_tokenizer: {len(steps)} steps, the limit is {MAX_PARTS}")
    last = max((k for k, step in enumerate(steps) if not isinstance(step, (Split, str))), default=-1)
    before = tuple(_SplitStep(s) if isinstance(s, (Split, str)) else s for s in steps[: last + 1])
    stages = tuple((stage.scanner or stage) if isinstance(stage, Split) else stage for stage in steps[last + 1 :])
    found = PreTokenizer(stages or NONE, entry, before, byte_level)
    found.compiled()  # a broken pattern shows now
    return found


def _parts(entry: object, depth: int) -> list[dict]:
    """The entries of nested Sequences in one list."""
    if entry is None:
        return []
    if not isinstance(entry, dict):
        raise ValueError("key pre_tokenizer: expected an object")
    kind = entry.get("type")
    if kind != "Sequence":
        if not isinstance(kind, str) or kind not in _MAKERS:
            raise Unsupported(f"pre_tokenizer {str(kind)[:40]!r}")
        return [entry]
    parts = entry.get("pretokenizers")
    if not isinstance(parts, list) or len(parts) > MAX_PARTS or depth > 4:
        raise ValueError(
            f"pre_tokenizer Sequence must hold a list of at most {MAX_PARTS} entries, nested at most 4 times"
        )
    return [one for part in parts for one in _parts(part, depth + 1)]


_PLAIN = {"digits": (r"\p{N}", "Isolated"), "digit_runs": (r"\p{N}", "Contiguous")}


def _mapped(stage) -> Split:
    """The stage as it cuts a text of the byte alphabet, where every character is a byte."""
    if isinstance(stage, str):
        pattern, behavior = _PLAIN[stage] if stage in _PLAIN else (BY_NAME[stage], "Isolated")
        return Split(pattern, behavior, mapped=True)
    return Split(stage.pattern, stage.behavior, stage.invert, stage.literal, mapped=True)


def _split(part: dict) -> list:
    pattern = part.get("pattern")
    if not isinstance(pattern, dict) or len(pattern) != 1:
        raise ValueError("pre_tokenizer Split: pattern must have String or Regex")
    literal = "String" in pattern
    source = text_of(pattern.get("String", pattern.get("Regex")), "pre_tokenizer.pattern", regex.MAX_PATTERN)
    invert = flag(part, "invert", False, "pre_tokenizer")
    return [Split(source, _behavior(part, None), invert, literal)] if source else []


def _behavior(part: dict, default: str | None) -> str:
    behavior = part.get("behavior", default)
    if not isinstance(behavior, str) or behavior not in _text.BEHAVIORS:
        raise Unsupported(f"pre_tokenizer {part.get('type')} with behavior {str(behavior)[:20]!r}")
    return behavior


def _byte_level(part: dict) -> list:
    steps: list = [SpaceInFront()] if flag(part, "add_prefix_space", True, "pre_tokenizer") else []
    return [*steps, Split(GPT2)] if flag(part, "use_regex", True, "pre_tokenizer") else steps


def _metaspace(part: dict) -> list:
    replacement = text_of(part.get("replacement"), "pre_tokenizer.replacement", 1)
    if not replacement:
        raise ValueError("key pre_tokenizer.replacement: expected one character")
    scheme = scheme_of(part, "pre_tokenizer")
    split = flag(part, "split", True, "pre_tokenizer")
    cut = "metaspace" if replacement == METASPACE else Split(replacement, "MergedWithNext", literal=True)
    return [Metaspace(replacement, scheme), *([cut] if split else [])]


def scheme_of(part: dict, key: str) -> str:
    """prepend_scheme of a Metaspace entry; add_prefix_space is how files before the scheme said it."""
    scheme = part.get("prepend_scheme", "always")
    if scheme not in ("always", "first", "never"):
        raise ValueError(f"key {key} Metaspace: prepend_scheme must be always, first or never")
    return scheme if flag(part, "add_prefix_space", scheme != "never", key) else "never"


def _delimiter(part: dict) -> list:
    delimiter = text_of(part.get("delimiter"), "pre_tokenizer.delimiter", 1)
    return [Split(delimiter, "Removed", literal=True)] if delimiter else []


def _fixed(part: dict) -> list:
    length = part.get("length", 5)
    if type(length) is not int or not 1 <= length <= regex.MAX_REPEAT:
        raise ValueError(f"key pre_tokenizer.length: expected a number from 1 to {regex.MAX_REPEAT}")
    return [Split(f"(?m:.){{1,{length}}}")]


def _scripts(part: dict) -> list:
    """A piece is characters of one script with the spaces and characters without a script among them."""
    members = {name: rf"\p{{{name}}}" for name in SCRIPTS}
    every = "".join(members.values())
    members["Common"] = r"\p{Common}&&[^ \x{30FC}]"
    members["Han"] = r"\p{Han}\p{Hiragana}\p{Katakana}\x{30FC}"
    for name in ("Hiragana", "Katakana"):
        del members[name]
    loose = rf"[^{every}]|[ ]"
    runs = [rf"(?:{loose})*+[{one}](?:[{one}]|{loose})*+" for one in members.values()]
    return [Split("|".join([*runs, rf"(?:{loose})+"]))]


_MAKERS = {
    "ByteLevel": _byte_level,
    "Split": _split,
    "Digits": lambda part: ["digits" if flag(part, "individual_digits", False, "pre_tokenizer") else "digit_runs"],
    "Punctuation": lambda part: [Split(_PUNCTUATION, _behavior(part, "Isolated"))],
    "Whitespace": lambda part: [Split(rf"[{_WORD}]+|[^{_WORD}\s]+", "Removed", True)],
    "WhitespaceSplit": lambda part: [Split(r"\s", "Removed")],
    "BertPreTokenizer": lambda part: [Split(r"\s", "Removed"), Split(_PUNCTUATION)],
    "Metaspace": _metaspace,
    "CharDelimiterSplit": _delimiter,
    "FixedLength": _fixed,
    "UnicodeScripts": _scripts,
}
