"""All state of one connection: settings, documents, the model, the last offers and timings.

Handlers get what they need from here and leave state nowhere else. Documents are immutable (see `documents`): work in
the background holds the state that it started from. Everything here runs on the event loop's thread.
"""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from lsprotocol import types

from lsp_server.completion.offers import OfferCache
from lsp_server.debugging.known import Known
from lsp_server.documents import Document
from lsp_server.model_host import Loader, ModelHost
from lsp_server.settings import Settings

log = logging.getLogger(__name__)

MOST_CHARACTERS = 64 << 20  # a document beyond this is not kept


@dataclass
class Counts:
    """What happened since the start, for `codehearth.stats`."""

    requested: int = 0
    offered: int = 0
    from_cache: int = 0
    cancelled: int = 0
    silent: int = 0
    accepted: int = 0
    chats: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def silence(self, reason: str) -> None:
        self.silent += 1
        if reason in self.reasons or len(self.reasons) < 64:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Session:
    """`fixed` are values that the command line gave; they win over the editor's settings."""

    def __init__(self, loader: Loader, fixed: dict[str, Any], status_changed):
        self.settings = Settings()
        self.fixed = {key: value for key, value in fixed.items() if value is not None}
        self.apply_settings(self.settings)
        self.documents: dict[str, Document] = {}
        self.encoding = "utf-16"
        self.host = ModelHost(loader, status_changed)
        self.told: dict[str, Any] | None = None  # the status that the client knows
        self.offers = OfferCache()
        self.known = Known()
        self.counts = Counts()
        self.running: dict[str, asyncio.Task] = {}  # uri -> the completion being computed for it
        self.chats: set[asyncio.Task] = set()
        self.last_timing: dict[str, Any] | None = None

    def apply_settings(self, settings: Settings) -> None:
        self.settings = replace(settings, **self.fixed)

    def wanted_model(self) -> tuple[str, int, bool]:
        return self.settings.model, self.settings.threads, self.settings.keep_caches

    # documents

    def open(self, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        if len(item.text) > MOST_CHARACTERS:
            log.warning("a document of %d characters is not kept", len(item.text))
            return
        self.documents[item.uri] = Document.open(item.uri, item.language_id, item.version, item.text, self.encoding)

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Applies all changes or, if one makes no sense, none, and forgets the document: no text beats a wrong one."""
        uri, version = params.text_document.uri, params.text_document.version
        document = self.documents.get(uri)
        if document is None:
            log.warning("a change of a document that is not open was dropped")
            return
        try:
            for change in params.content_changes:
                if isinstance(change, types.TextDocumentContentChangePartial):
                    start, end = change.range.start, change.range.end
                    document = document.change(
                        version, (start.line, start.character), (end.line, end.character), change.text
                    )
                else:
                    document = document.replaced(version, change.text)
        except ValueError as error:
            log.error("the document is out of step with the editor and is dropped: %s", error)
            self.documents.pop(uri, None)
            return
        self.documents[uri] = document

    def close(self, uri: str) -> None:
        self.documents.pop(uri, None)
        self.offers.forget(uri)
        self.known.forget(uri)
        task = self.running.pop(uri, None)
        if task is not None:
            task.cancel()
