"""The last offers of each document, so that typing what an offer says needs no engine.

An entry knows the text left of the caret on its line, where it stood, and the text around; while the user types the
offer's own characters, the rest of it is the offer. Knows nothing about protocol or engines.
"""

from collections import OrderedDict
from dataclasses import dataclass

from lsp_server.documents import Document
from runtime.code.lines import body
from runtime.code.postprocess import Offer

DOCUMENTS = 64
PER_DOCUMENT = 16
MOST_TYPED = 512


@dataclass(frozen=True)
class Entry:
    """An offer as it was made: `document` is the state that it was made for."""

    document: Document
    line: int
    column: int
    multiline: bool
    offer: Offer


class OfferCache:
    """A few entries for each of the last documents; the newest is asked first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, list[Entry]] = OrderedDict()

    def put(self, entry: Entry) -> None:
        kept = self._entries.setdefault(entry.document.uri, [])
        kept.insert(0, entry)
        del kept[PER_DOCUMENT:]
        self._entries.move_to_end(entry.document.uri)
        while len(self._entries) > DOCUMENTS:
            self._entries.popitem(last=False)

    def forget(self, uri: str) -> None:
        self._entries.pop(uri, None)

    def clear(self) -> None:
        self._entries.clear()

    def find(self, document: Document, line: int, column: int, multiline: bool) -> Offer | None:
        """What is left of an earlier offer at this caret, or None."""
        for entry in self._entries.get(document.uri, ()):
            if entry.multiline == multiline and (rest := _rest(entry, document, line, column)):
                return rest
        return None


def _rest(entry: Entry, document: Document, line: int, column: int) -> Offer | None:
    if entry.line != line or len(entry.document.lines) != len(document.lines):
        return None
    typed_length = column - entry.column
    if not 0 <= typed_length <= MOST_TYPED:
        return None
    before, now = entry.document.lines[line], document.lines[line]
    typed = now[entry.column : column]
    if now[: entry.column] != before[: entry.column] or not entry.offer.text.startswith(typed):
        return None
    # The editor may have typed closers along with the user ("(" gives "()"): those the offer brings are replaced.
    old_suffix, new_suffix = body(before)[entry.column :], body(now)[column:]
    if not new_suffix.endswith(old_suffix):
        return None
    added = new_suffix[: len(new_suffix) - len(old_suffix)]
    rest = entry.offer.text[typed_length:]
    if not rest.strip():
        return None
    if added and (set(added) - set(")]}\"'`") or not _holds(rest, added)):
        return None
    if not _same_around(entry.document, document, line):
        return None
    return Offer(rest, len(added) + entry.offer.replace)


def _holds(text: str, closers: str) -> bool:
    """Whether all of `closers` occur in `text` in this order."""
    at = 0
    for closer in closers:
        at = text.find(closer, at) + 1
        if at == 0:
            return False
    return True


def _same_around(old: Document, new: Document, line: int) -> bool:
    """Whether all other lines are the same. Lines that an edit left alone are the same objects: this is quick."""
    if old.lines is new.lines:
        return True
    return old.lines[:line] == new.lines[:line] and old.lines[line + 1 :] == new.lines[line + 1 :]
