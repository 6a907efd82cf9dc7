"""Puts the language server together: protocol, session, features. State lives in the session."""

import logging
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from lsp_server import features
from lsp_server.features.status import publish
from lsp_server.model_host import Loader, load
from lsp_server.protocol import HearthProtocol
from lsp_server.session import Session

log = logging.getLogger(__name__)


def own_version() -> str:
    try:
        return version("codehearth")
    except PackageNotFoundError:  # run from a checkout
        return "0"


class HearthServer(LanguageServer):
    """A pygls server with a session. One process serves one editor window."""

    def __init__(self, loader: Loader, fixed: dict[str, Any]):
        super().__init__(
            "codehearth",
            own_version(),
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=HearthProtocol,
            converter_factory=default_converter,
            max_workers=2,
        )
        self.session = Session(loader, fixed, self._status_changed)

    def _status_changed(self) -> None:
        if self.session.host.state in ("ready", "error"):
            self.session.offers.clear()  # what the model before offered counts no more
        publish(self)

    def report_server_error(self, error: Exception, source: type) -> None:
        """Out-of-band errors go to the log: pygls would raise a pop-up in the editor for each."""
        log.error("a message could not be handled: %s", type(error).__name__)
        if source is JsonRpcException:  # raised by the reader: the bytes were no JSON
            self.protocol.refuse_unreadable()


def create_server(model: str | None = None, threads: int | None = None, loader: Loader = load) -> HearthServer:
    """A server that is ready for `start_io(stdin, stdout)`; `model` and `threads` win over the editor's settings."""
    server = HearthServer(loader, {"model": model, "threads": threads})
    features.register(server)
    return server
