"""`textDocument/codeAction`: quick fixes that a rule derives and the compiler confirmed, and “Explain this error”.

For diagnostics of any language server, for the lines of tracebacks that were explained before, and for a document that
does not compile. Computed at the request; no diagnostics of our own are published, others' would stand there twice.
"""

import asyncio
from typing import Any

from lsprotocol import types

from lsp_server.debugging.known import why_not_compiling
from lsp_server.debugging.workspace import Workspace, workspace_of
from lsp_server.documents import Document
from lsp_server.features.explain import of_diagnostics
from runtime.code.errors.explain import Explanation

MOST_DIAGNOSTICS = 10
QUICK = types.CodeActionKind.QuickFix


def register(server: Any) -> None:
    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[QUICK]))
    async def code_action(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        session = server.session
        uri = params.text_document.uri
        document = session.documents.get(uri)
        only = params.context.only
        if document is None or document.language != "python" or (only and not any(QUICK == k or k == "" for k in only)):
            return None
        window = workspace_of(server)
        diagnostics = params.context.diagnostics[:MOST_DIAGNOSTICS]
        first, last = params.range.start.line + 1, params.range.end.line + 1
        actions = []
        if (broken := await _broken(server, window, document)) is not None:
            if first - 1 <= broken.line <= last + 1 or _touches(diagnostics, broken.line):
                actions += _actions(window, uri, broken, None)
            diagnostics = []
        explained = await asyncio.to_thread(of_diagnostics, window, document, diagnostics) if diagnostics else []
        for diagnostic, found in zip(diagnostics, explained, strict=True):
            if found is not None:
                actions += _actions(window, uri, found, diagnostic)
        for found in session.known.at(uri, document.text, first, last):
            actions += _actions(window, uri, found, None)
        return _distinct(actions) or None


async def _broken(server: Any, window: Workspace, document: Document) -> Explanation | None:
    """Why the document does not compile; each state of it is compiled once."""
    known = server.session.known
    seen, found = known.compiled(document.uri, document.version)
    if not seen:
        name = window.name(document.uri)
        found = await asyncio.to_thread(why_not_compiling, document.text, name)
        known.remember_compiled(document.uri, document.version, found)
    return found


def _touches(diagnostics: list[types.Diagnostic], line: int) -> bool:
    return any(d.range.start.line - 1 <= line - 1 <= d.range.end.line + 1 for d in diagnostics)


def _actions(
    window: Workspace, uri: str, found: Explanation, diagnostic: types.Diagnostic | None
) -> list[types.CodeAction]:
    """The repair, if there is one, and the explanation."""
    about = [diagnostic] if diagnostic is not None else None
    actions = []
    edit = window.edit(found)
    if edit is not None:
        title = found.title.replace("`", "'")
        actions.append(types.CodeAction(title=title, kind=QUICK, edit=edit, diagnostics=about, is_preferred=True))
    place = found.marks or (0, len(found.view.line(found.line)))
    units = [types.Position(found.line - 1, column) for column in place]
    asked: dict[str, Any] = {"uri": uri}
    if diagnostic is not None:
        start, end = diagnostic.range.start, diagnostic.range.end
        asked["diagnostic"] = {
            "message": diagnostic.message,
            "range": {
                "start": {"line": start.line, "character": start.character},
                "end": {"line": end.line, "character": end.character},
            },
        }
    elif found.type not in ("SyntaxError", "IndentationError", "TabError"):
        asked["diagnostic"] = {
            "message": found.error,
            "range": {
                "start": {"line": units[0].line, "character": units[0].character},
                "end": {"line": units[1].line, "character": units[1].character},
            },
        }
    command = types.Command("Explain this error", "codehearth.explain", arguments=[asked])
    actions.append(types.CodeAction(title="Explain this error", kind=QUICK, command=command, diagnostics=about))
    return actions


def _distinct(actions: list[types.CodeAction]) -> list[types.CodeAction]:
    """Each repair and each explanation once: several servers may report the same."""
    kept: dict[tuple, types.CodeAction] = {}
    for action in actions:
        kept.setdefault((action.title, repr(action.edit)), action)
    return list(kept.values())
