"""`codehearth/explain`: explains a traceback, a diagnostic or a document that does not compile. Runs nothing.

Params {text} (any text that holds a traceback), or {uri, diagnostic: {message, range}} (a diagnostic of any language
server), or {uri} (why the open document does not compile). Result: the object of `hearth explain --json` with `title`,
`markdown` and `edit` (a WorkspaceEdit, or null); null if there is nothing to explain. The model is not asked.
"""

import asyncio
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.debugging.diagnostics import problem
from lsp_server.debugging.known import why_not_compiling
from lsp_server.debugging.markdown import markdown
from lsp_server.debugging.workspace import Workspace, workspace_of
from lsp_server.documents import Document
from runtime.code.errors.explain import Explanation, explain_message, explain_traceback
from runtime.code.errors.view import View

MOST_CHARACTERS = 4 << 20  # of a text sent; its end is read


def register(server: Any) -> None:
    @server.feature("codehearth/explain")
    async def explain(params: Any) -> dict[str, Any] | None:
        return await answer(server, params)

    @server.command("codehearth.explain")
    async def explain_command(*arguments: Any) -> dict[str, Any] | None:
        """For clients without a view of their own: the cause as a message, the whole as the command's result."""
        result = await answer(server, arguments[0] if arguments else None)
        text = result["cause"] + (f" ({result['title']})" if result["title"] else "") if result else NOTHING
        server.window_show_message(types.ShowMessageParams(types.MessageType.Info, text))
        return result


NOTHING = "No error was found to explain."


async def answer(server: Any, params: Any) -> dict[str, Any] | None:
    """The result of one request; raises JsonRpcInvalidParams with the name of what is wrong."""
    text, uri, diagnostic = _checked(params)
    window = workspace_of(server)
    document = server.session.documents.get(uri) if uri else None
    if uri and document is None:
        raise JsonRpcInvalidParams(f"codehearth/explain: the document is not open: {uri[:200]}")
    found = await asyncio.to_thread(_explained, window, text, document, diagnostic)
    if found is None:
        return None
    if found.file is not None and (at := window.uri(found.file)):
        server.session.known.add(at, found)
    edit = window.edit(found)
    return {
        **found.as_json(),
        "model": None,
        "error": found.error,
        "title": found.title,
        "markdown": markdown(found),
        "edit": server.protocol._converter.unstructure(edit) if edit is not None else None,
    }


def _explained(
    window: Workspace, text: str | None, document: Document | None, diagnostic: types.Diagnostic | None
) -> Explanation | None:
    if text is not None:
        return explain_traceback(text, window.project)
    if diagnostic is None:
        return why_not_compiling(document.text, window.name(document.uri))
    return of_diagnostics(window, document, [diagnostic])[0]


def of_diagnostics(
    window: Workspace, document: Document, diagnostics: list[types.Diagnostic]
) -> list[Explanation | None]:
    """The explanation of each of another server's diagnostics; of a document that does not compile, of that. The
    document is parsed once."""
    if document.uri not in window.paths:
        return [None] * len(diagnostics)
    name = window.name(document.uri)
    view = View(document.text, name)
    return [_of_diagnostic(window, document, view, name, diagnostic) for diagnostic in diagnostics]


def _of_diagnostic(
    window: Workspace, document: Document, view: View, name: str, diagnostic: types.Diagnostic
) -> Explanation | None:
    start, end = diagnostic.range.start, diagnostic.range.end
    line, column = document.place(start.line, start.character)
    if view.tree is None:
        found = why_not_compiling(document.text, name)
        return found if found is not None and abs(found.line - line - 1) <= 1 else None
    known = problem(diagnostic.message, view, line + 1)
    if known is None:
        return None
    last, last_column = document.place(end.line, end.character)
    marks = (column, last_column) if last == line and last_column > column else None
    return explain_message(*known, view, line + 1, marks, window.project)


def _checked(params: Any) -> tuple[str | None, str | None, types.Diagnostic | None]:
    if not isinstance(params, dict):
        raise JsonRpcInvalidParams("codehearth/explain: params must be an object")
    text, uri = params.get("text"), params.get("uri")
    if text is not None and not isinstance(text, str):
        raise JsonRpcInvalidParams("codehearth/explain: text must be a text")
    if uri is not None and not isinstance(uri, str):
        raise JsonRpcInvalidParams("codehearth/explain: uri must be a text")
    if text is None and uri is None:
        raise JsonRpcInvalidParams("codehearth/explain: text or uri is needed")
    diagnostic = params.get("diagnostic")
    if diagnostic is None or text is not None:
        return text[-MOST_CHARACTERS:] if text is not None else None, uri if text is None else None, None
    try:
        start, end = diagnostic["range"]["start"], diagnostic["range"]["end"]
        places = [types.Position(_number(at["line"]), _number(at["character"])) for at in (start, end)]
        read = types.Diagnostic(range=types.Range(*places), message=diagnostic["message"])
        if not isinstance(read.message, str):
            raise TypeError
    except (TypeError, KeyError, ValueError) as error:
        raise JsonRpcInvalidParams("codehearth/explain: diagnostic needs a message and a range") from error
    return None, uri, read


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError
    return value
