"""Added tokens: literals that stand for one token outside the vocabulary's own pieces, and the search for them.

Order and rules are those of the Hugging Face library: the leftmost match counts, of those the longest; a token may want
to stand alone as a word, and may take the white space beside it with it. Knows nothing about what lies between.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.text import _text
from runtime.text.characters import WHITE, Set, categories, named

_WHITE = "".join(chr(c) for low, high in WHITE.ranges for c in range(low, high + 1))
_BLANK = _WHITE + "\u2581"
_WHITE_RUN = re.compile(b"(?:" + b"|".join(re.escape(c.encode()) for c in _WHITE) + b")*")


@dataclass(frozen=True)
class AddedToken:
    """One literal. special: skipped by decode(skip_special=True); lstrip, rstrip: takes white space before or after it;
    single_word: not beside a letter, digit or mark; normalized: looked for in the normalised text, else before."""

    id: int
    content: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    single_word: bool = False

    @property
    def is_space(self) -> bool:
        """White space only: a piece of plain text that nobody can forge a marker with."""
        return not self.special and not self.content.strip(_BLANK)


def _word_characters() -> Set:
    return named("alphabetic") | named("M") | categories("Nd", "Pc") | Set.of(0x200C, 0x200D)


class Literals:
    """Finds some added tokens in texts. contents: as they are looked for, where they were normalised."""

    def __init__(self, tokens: Iterable[AddedToken], contents: Iterable[str]):
        pairs = [(t, c.encode("utf-8", "surrogatepass")) for t, c in zip(tokens, contents, strict=True) if c]
        self._trie = _text.PrefixTree([(data, t.id) for t, data in pairs])
        self._rules = {t.id: t for t, _ in pairs if t.lstrip or t.rstrip or t.single_word}
        self._word = _word_characters() if any(t.single_word for t in self._rules.values()) else None
        self.empty = not pairs

    def cut(self, text: str) -> list[str | int]:
        """The text cut at the literals: str between them, int (id) for each."""
        if self.empty or not text:
            return [text] if text else []
        data = text.encode("utf-8", "surrogatepass")
        found = self._trie.find_all(data)
        if not found:
            return [text]
        out: list[str | int] = []
        at = 0
        for start, end, i in found:
            rule = self._rules.get(i)
            if rule is not None:
                if rule.single_word and not self._alone(data, start, end):
                    continue
                if rule.lstrip:
                    before = data[at:start].decode("utf-8", "surrogatepass")
                    start -= len(before[len(before.rstrip(_WHITE)) :].encode())
                if rule.rstrip:
                    end = _WHITE_RUN.match(data, end).end()
            if start > at:
                out.append(data[at:start].decode("utf-8", "surrogatepass"))
            out.append(i)
            at = max(at, end)
        if at < len(data):
            out.append(data[at:].decode("utf-8", "surrogatepass"))
        return out

    def _alone(self, data: bytes, start: int, end: int) -> bool:
        """Neither the character before nor the one after belongs to a word."""
        before = data[max(0, start - 4) : start].decode("utf-8", "ignore")
        after = data[end : end + 4].decode("utf-8", "ignore")
        return not (before and ord(before[-1]) in self._word) and not (after and ord(after[0]) in self._word)
