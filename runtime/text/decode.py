"""Decoders of tokenizer.json: from the texts of tokens to text, token by token.

Each entry becomes steps; a step takes one text and gives the texts that are certain by now, so that the same steps
serve decode() and streaming. Results are those of the Hugging Face library's decode without clean-up. What is not known
is refused by name. Knows no vocabulary.
"""

from __future__ import annotations

import codecs
import re

from runtime.text import normalize
from runtime.text.byte_alphabet import symbol_bytes
from runtime.text.pretokenize import scheme_of
from runtime.text.unsupported import Unsupported, flag, text_of

MAX_STEPS = 16
MAX_TEXT = 256  # characters of a prefix, suffix or name
_BYTE_NAME = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Step:
    """One step. feed() takes the text of the next token; end() says that there is none. fused: everything before was
    joined, so that the texts are parts of a single one."""

    fused = False

    def feed(self, text: str) -> list[str]:
        return [text]

    def end(self) -> list[str]:
        return []

    def joins(self) -> bool:
        """Whether a token's part of the text does not depend on what is beside it, but for the first one's."""
        return True

    def one(self, data: str | bytes, first: bool) -> str | bytes:
        """What this makes of a token in the middle of a text, or at its beginning: bytes where they are certain."""
        return data


class _Spaces(Step):
    """No decoder: a space between tokens."""

    def __init__(self):
        self.begun = False

    def feed(self, text: str) -> list[str]:
        begun, self.begun = self.begun, True
        return [" " + text if begun else text]

    def one(self, data, first):
        return data if first else " " + data


class _ByteLevel(Step):
    def __init__(self):
        self.utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, text: str) -> list[str]:
        return [self.utf8.decode(symbol_bytes(text))]

    def end(self) -> list[str]:
        return [self.utf8.decode(b"", final=True)]

    def one(self, data, first):
        return symbol_bytes(data) if isinstance(data, str) else data


class _ByteFallback(Step):
    """Names of bytes become characters; a run of them that is no UTF-8 becomes one U+FFFD a byte."""

    def __init__(self):
        self.held = bytearray()

    def feed(self, text: str) -> list[str]:
        name = _BYTE_NAME.fullmatch(text)
        if name:
            self.held.append(int(name[1], 16))
            return []
        return [*self.end(), text]

    def end(self) -> list[str]:
        held, self.held = bytes(self.held), bytearray()
        try:
            return [held.decode()] if held else []
        except UnicodeDecodeError:
            return ["\ufffd"] * len(held)

    def one(self, data, first):
        name = _BYTE_NAME.fullmatch(data) if isinstance(data, str) else None
        return bytes([int(name[1], 16)]) if name else data


class _Fuse(Step):
    pass


class _Metaspace(Step):
    def __init__(self, replacement: str, scheme: str):
        self.replacement, self.drops, self.begun = replacement, scheme != "never", False

    def feed(self, text: str) -> list[str]:
        begun, self.begun = self.begun, True
        return [text.replace(self.replacement, "" if self.drops and (self.fused or not begun) else " ")]

    def one(self, data, first):
        if not isinstance(data, str):
            return data
        return data.replace(self.replacement, "" if self.drops and (first or self.fused) else " ")


class _WordPiece(Step):
    def __init__(self, prefix: str, cleanup: bool):
        self.prefix, self.cleanup, self.begun = prefix, cleanup, False

    def feed(self, text: str) -> list[str]:
        begun, self.begun = self.begun, True
        return [self.one(text, not begun)]

    def one(self, data, first):
        if not isinstance(data, str):
            return data
        if not first:
            data = data.replace(self.prefix, "", 1) if data.startswith(self.prefix) else " " + data
        return _tidy(data) if self.cleanup else data


_TIDY = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " do not", " 's", " 've", " 're")


def _tidy(text: str) -> str:
    """What the library calls clean-up."""
    for dirty in _TIDY:
        text = text.replace(dirty, " don't" if dirty == " do not" else dirty.strip())
    return text


class _Suffix(Step):
    """BPEDecoder: the mark of a word's end is a space, but for the last token."""

    def __init__(self, suffix: str):
        self.suffix, self.held = suffix, None

    def joins(self) -> bool:
        return False

    def feed(self, text: str) -> list[str]:
        held, self.held = self.held, text
        return [] if held is None else [held.replace(self.suffix, " ")]

    def end(self) -> list[str]:
        held, self.held = self.held, None
        return [] if held is None else [held.replace(self.suffix, "")]

    def one(self, data, first):
        return data.replace(self.suffix, " ") if isinstance(data, str) else data


class _Replace(Step):
    def __init__(self, replace, short: bool):
        self.replace, self.short, self.held = replace, short, []

    def joins(self) -> bool:
        return self.short

    def feed(self, text: str) -> list[str]:
        if self.fused and not self.short:  # a match may span tokens
            self.held.append(text)
            return []
        return [self.replace(text)]

    def end(self) -> list[str]:
        held, self.held = "".join(self.held), []
        return [self.replace(held)] if held else []

    def one(self, data, first):
        return self.replace(data) if isinstance(data, str) else data


class _Strip(Step):
    def __init__(self, content: str, start: int, stop: int):
        self.content, self.start, self.stop = content, start, stop
        self.left, self.held = start, ""

    def joins(self) -> bool:
        return not self.fused or (self.start <= 1 and not self.stop)

    def _cut(self, text: str, most: int) -> str:
        """The text without at most so many of the characters at its beginning."""
        at = 0
        while at < min(most, len(text)) and text[at] == self.content:
            at += 1
        return text[at:]

    def feed(self, text: str) -> list[str]:
        if not self.fused:
            text = self._cut(text, self.start)
            return [self._cut(text[::-1], self.stop)[::-1] if self.stop else text]
        if self.left and text:
            rest = self._cut(text, self.left)
            self.left = 0 if rest else self.left - len(text)
            text = rest
        if not self.stop:
            return [text]
        text = self.held + text  # the end may come after any of these
        kept = max(0, len(text) - self.stop)
        self.held = text[kept:]
        return [text[:kept]]

    def end(self) -> list[str]:
        held, self.held, self.left = self.held, "", self.start
        return [self._cut(held[::-1], self.stop)[::-1]] if held else []

    def one(self, data, first):
        if not isinstance(data, str):
            return data
        if self.fused:
            return self._cut(data, self.start) if first else data
        data = self._cut(data, self.start)
        return self._cut(data[::-1], self.stop)[::-1]


class _Ctc(Step):
    def __init__(self, pad: str, delimiter: str, cleanup: bool):
        self.pad, self.delimiter, self.cleanup, self.last = pad, delimiter, cleanup, None

    def joins(self) -> bool:
        return False

    def feed(self, text: str) -> list[str]:
        last, self.last = self.last, text
        text = self.one(text, False)
        return [] if last == self.last or not text else [text]

    def one(self, data, first):
        data = data.replace(self.pad, "") if self.pad else data
        return _tidy(data).replace(self.delimiter, " ") if self.cleanup else data


class Chain:
    """The steps of one decoder, one after the other. A chain keeps the state of one text."""

    def __init__(self, steps: list[Step]):
        self.steps = steps
        fused = False
        for step in steps:
            step.fused = fused
            fused = fused or isinstance(step, (_Fuse, _ByteLevel))
        self.joins = all(
            step.joins() for step in steps
        )  # where all bytes are UTF-8, decoding is joining those of one()

    def feed(self, text: str) -> str:
        """Text that became certain with the next token."""
        return "".join(self._on(0, [text]))

    def end(self) -> str:
        """The rest of the text."""
        out: list[str] = []
        for k in range(len(self.steps)):
            out += self._on(k + 1, self.steps[k].end())
        return "".join(out)

    def _on(self, at: int, texts: list[str]) -> list[str]:
        for step in self.steps[at:]:
            if not texts:
                break
            texts = [part for text in texts for part in step.feed(text)]
        return texts

    def one(self, text: str, first: bool) -> bytes:
        """The bytes of one token in the middle of a text, or at its beginning."""
        data: str | bytes = text
        for step in self.steps:
            data = step.one(data, first)
        return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data


def chain(entry: object) -> Chain:
    """A fresh chain of a `decoder` entry. Raises Unsupported or ValueError, which name what is wrong."""
    if entry is None:
        return Chain([_Spaces()])
    steps = _steps(entry, 0)
    if len(steps) > MAX_STEPS:
        raise ValueError(f"decoder: {len(steps)} steps, the limit is {MAX_STEPS}")
    return Chain(steps)


def is_byte_level(entry: object) -> bool:
    """Whether decoding is joining the tokens' bytes."""
    while isinstance(entry, dict) and entry.get("type") == "Sequence":
        parts = entry.get("decoders")
        if not isinstance(parts, list) or len(parts) != 1:
            return False
        entry = parts[0]
    return isinstance(entry, dict) and entry.get("type") == "ByteLevel"


def _steps(entry: object, depth: int) -> list[Step]:
    if not isinstance(entry, dict):
        raise ValueError("key decoder: expected an object")
    kind = entry.get("type")
    if kind == "Sequence":
        parts = entry.get("decoders")
        if not isinstance(parts, list) or len(parts) > MAX_STEPS or depth > 4:
            raise ValueError(f"key decoder: a Sequence holds at most {MAX_STEPS} entries, nested at most 4 times")
        return [step for part in parts for step in _steps(part, depth + 1)]
    if not isinstance(kind, str) or kind not in _MAKERS:
        raise Unsupported(f"decoder {str(kind)[:40]!r}")
    return [_MAKERS[kind](entry)]


def _text(entry: dict, name: str, default: str) -> str:
    return text_of(entry.get(name, default), f"decoder.{name}", MAX_TEXT)


def _metaspace(entry: dict) -> Step:
    replacement = text_of(entry.get("replacement"), "decoder.replacement", 1)
    if not replacement:
        raise ValueError("key decoder.replacement: expected one character")
    return _Metaspace(replacement, scheme_of(entry, "decoder"))


def _replace(entry: dict) -> Step:
    pattern = entry.get("pattern")
    replace = normalize.replacement(pattern, _text(entry, "content", ""), "decoder.pattern")
    return _Replace(replace, len(pattern.get("String", "")) == 1 and bool(entry.get("content")))


def _strip(entry: dict) -> Step:
    content = _text(entry, "content", " ")
    numbers = [entry.get(name, 0) for name in ("start", "stop")]
    if len(content) != 1 or any(type(n) is not int or not 0 <= n <= MAX_TEXT for n in numbers):
        raise ValueError(f"key decoder Strip: expected one character and numbers from 0 to {MAX_TEXT}")
    return _Strip(content, *numbers)


def _ctc(entry: dict) -> Step:
    cleanup = flag(entry, "cleanup", True, "decoder")
    return _Ctc(_text(entry, "pad_token", "<pad>"), _text(entry, "word_delimiter_token", "|"), cleanup)


_MAKERS = {
    "ByteLevel": lambda entry: _ByteLevel(),
    "ByteFallback": lambda entry: _ByteFallback(),
    "Fuse": lambda entry: _Fuse(),
    "Metaspace": _metaspace,
    "WordPiece": lambda entry: _WordPiece(_text(entry, "prefix", "##"), flag(entry, "cleanup", True, "decoder")),
    "BPEDecoder": lambda entry: _Suffix(_text(entry, "suffix", "</w>")),
    "Replace": _replace,
    "Strip": _strip,
    "CTC": _ctc,
}
