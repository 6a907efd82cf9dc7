"""The protocol layer over pygls: every message is checked here, and every request gets an answer.

Differs from pygls in four ways. A message that cannot be understood is answered with the error that JSON-RPC names
for it (pygls 2.1 answers nothing, and the client waits for ever). Our own methods (`codehearth/...`) get their params
as the plain JSON that was sent. Documents are kept by the session, exact to the code unit (see `documents`). Errors
of handlers are logged by type and message, without the params, which hold source text.
"""

import logging
import traceback
from typing import Any

from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
)
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, LanguageServerProtocol, lsp_method

log = logging.getLogger(__name__)

OWN = "codehearth/"


class HearthProtocol(LanguageServerProtocol):
    """One connection. The server object has `session`, which keeps the documents."""

    def structure_message(self, data: dict[str, Any]) -> dict[str, Any]:
        """Called by pygls for every object in the JSON, inner ones first: nothing is built before `handle_message`."""
        return data

    def handle_message(self, message: Any) -> None:
        """One message, a decoded JSON value."""
        if not isinstance(message, dict) or message.get("jsonrpc") != self.VERSION:
            log.warning("a message that is not JSON-RPC 2.0 was dropped")
            self._refuse(None, JsonRpcInvalidRequest("Not a JSON-RPC 2.0 message"))
            return
        number, method = message.get("id"), message.get("method")
        if (number is not None and not isinstance(number, (int, str))) or not isinstance(method, (str, type(None))):
            log.warning("a message with an id or method of a wrong type was dropped")
            self._refuse(None, JsonRpcInvalidRequest("Wrong type of id or method"))
            return
        try:
            built = self._own(message) or super().structure_message(message)
        except Exception as error:
            log.warning("the params of %s cannot be understood: %s", method, type(error).__name__)
            if method is not None and number is not None:
                self._refuse(number, JsonRpcInvalidParams(f"The params of {method} cannot be understood"))
            return
        super().handle_message(built)

    def _own(self, message: dict[str, Any]) -> Any:
        method = message.get("method")
        if method is None or not method.startswith(OWN):
            return None
        params = message.get("params")
        if "id" in message:
            return JsonRPCRequestMessage(message["id"], method, self.VERSION, params)
        return JsonRPCNotification(method, self.VERSION, params)

    def _refuse(self, number: int | str | None, error: JsonRpcException) -> None:
        if number is not None:
            self._send_response(number, error=error.to_response_error())
            return
        self._send_data(
            {"jsonrpc": self.VERSION, "id": None, "error": {"code": error.code or error.CODE, "message": error.message}}
        )

    def refuse_unreadable(self) -> None:
        """Answers bytes that are not JSON."""
        self._refuse(None, JsonRpcParseError("The message is not JSON"))

    def _send_handler_result(self, future: Any, *, msg_id: int | str) -> None:
        """Answers a request; whatever the handler raised becomes an error response, logged without the params."""
        if future.cancelled():
            super()._send_handler_result(future, msg_id=msg_id)
            return
        error = future.exception()
        if error is None:
            super()._send_handler_result(future, msg_id=msg_id)
            return
        self._request_futures.pop(msg_id, None)
        if isinstance(error, JsonRpcException):
            log.warning("request %s failed: %s", msg_id, error)
        else:
            # Type and place of the exception only: its text may hold source.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s failed with %s\nTraceback:\n%s", msg_id, type(error).__name__, where)
            error = JsonRpcInternalError(f"The server failed on this request ({type(error).__name__}); see its log")
        self._send_response(msg_id, error=error.to_response_error())

    # Documents: the session keeps them; pygls' own copies are not made.

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self._server.session.open(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        self._server.session.change(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        self._server.session.close(params.text_document.uri)
