"""Remembers explained errors of a window, so that their repairs are offered as quick fixes at their lines."""

from collections import OrderedDict

from runtime.code.errors.explain import Explanation, explain_source
from runtime.code.errors.view import View

MOST_DOCUMENTS = 50
MOST_PER_DOCUMENT = 8
MOST_CHARACTERS = 200_000  # of a document that is compiled for a quick fix


class Known:
    """State of one connection. Explanations by document URI; compilations by (URI, version)."""

    def __init__(self) -> None:
        self._explained: OrderedDict[str, list[Explanation]] = OrderedDict()
        self._compiled: OrderedDict[str, tuple[int, Explanation | None]] = OrderedDict()

    def add(self, uri: str, found: Explanation) -> None:
        """Remembers an explanation that has a repair."""
        if not found.edits:
            return
        kept = [one for one in self._explained.pop(uri, []) if one.line != found.line]
        self._explained[uri] = [*kept, found][-MOST_PER_DOCUMENT:]
        while len(self._explained) > MOST_DOCUMENTS:
            self._explained.popitem(last=False)

    def at(self, uri: str, text: str, first: int, last: int) -> list[Explanation]:
        """Explanations of lines `first` to `last` (from 1) that were made of exactly this text."""
        found = self._explained.get(uri, [])
        return [one for one in found if one.view is not None and one.view.text == text and first <= one.line <= last]

    def compiled(self, uri: str, version: int) -> tuple[bool, Explanation | None]:
        """(whether this state of the document was compiled before, why it does not compile)."""
        kept = self._compiled.get(uri)
        return (True, kept[1]) if kept is not None and kept[0] == version else (False, None)

    def remember_compiled(self, uri: str, version: int, found: Explanation | None) -> None:
        self._compiled.pop(uri, None)
        self._compiled[uri] = (version, found)
        while len(self._compiled) > MOST_DOCUMENTS:
            self._compiled.popitem(last=False)

    def forget(self, uri: str) -> None:
        """The document was closed."""
        self._explained.pop(uri, None)
        self._compiled.pop(uri, None)


def why_not_compiling(text: str, name: str) -> Explanation | None:
    """The explanation of a document that does not compile; None also for one that is too long to be tried."""
    if len(text) > MOST_CHARACTERS or View(text).error is None:
        return None
    return explain_source(text, name)
