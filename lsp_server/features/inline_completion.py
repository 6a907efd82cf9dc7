"""`textDocument/inlineCompletion` (LSP 3.18): ghost text at the caret.

Always at most one item, with an explicit range (without one editors replace the word at the caret) and a command that
counts its acceptance. The work is done by `completion.service`; here are positions, the latest-wins rule and the
answer.
"""

import asyncio
import itertools
from typing import Any

from lsprotocol import types

from lsp_server.completion.service import offer
from lsp_server.features.status import publish
from runtime.code.postprocess import Silence

_NUMBERS = itertools.count(1)


def register(server: Any) -> None:
    # pygls announces the capability only with options.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        session = server.session
        uri = params.text_document.uri
        document = session.documents.get(uri)
        if document is None or not session.settings.allows(document.language):
            return None
        session.counts.requested += 1
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        line, column = document.place(params.position.line, params.position.character)

        older = session.running.get(uri)
        work = asyncio.ensure_future(offer(session, document, line, column, invoked))
        session.running[uri] = work
        if older is not None:
            older.cancel()
        shown = _show_thinking(server, work)
        try:
            outcome = await work
        except asyncio.CancelledError:
            session.counts.cancelled += 1
            if work.cancelled() and not _being_cancelled():
                return None  # a newer request took over; this one's client still gets its answer
            work.cancel()
            raise
        finally:
            shown.cancel()
            if session.running.get(uri) is work:
                del session.running[uri]
            if shown.done() and not shown.cancelled():
                publish(server)
        if isinstance(outcome.result, Silence):
            return None
        return types.InlineCompletionList([_item(document, line, column, outcome)])


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _show_thinking(server: Any, work: asyncio.Task) -> asyncio.Task:
    """Says "thinking" if the answer takes longer than a blink: a status that flickers at each key helps nobody."""

    async def later() -> None:
        await asyncio.sleep(0.15)
        publish(server)

    return asyncio.ensure_future(later())


def _item(document: Any, line: int, column: int, outcome: Any) -> types.InlineCompletionItem:
    result = outcome.result
    end = column + result.replace
    number = f"{next(_NUMBERS)}"
    return types.InlineCompletionItem(
        insert_text=result.text,
        range=types.Range(
            types.Position(line, document.units(line, column)), types.Position(line, document.units(line, end))
        ),
        command=types.Command("Accepted", "codehearth.accepted", arguments=[number]),
    )
