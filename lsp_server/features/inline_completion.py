"""`textDocument/inlineCompletion` (LSP 3.18): ghost text at the caret.

Always at most one item, with an explicit range (without one editors replace the word at the caret) and a command that
counts its acceptance. The work is done by `completion.service`; here are positions, the latest-wins rule and the
answer.
"""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from lsp_server.completion.service import Outcome, offer
from lsp_server.documents import Document
from lsp_server.features.status import publish, publish_if_changed
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
        chosen = _chosen(document, params.context.selected_completion_info, line, column)
        if chosen is not None:
            document, column = chosen.document, chosen.column

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
            if uri not in session.running:  # else a newer request took over and will say how it ended
                publish_if_changed(server)
        if isinstance(outcome.result, Silence):
            return None
        return types.InlineCompletionList([_item(document, line, column, outcome, chosen)])


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _show_thinking(server: Any, work: asyncio.Task) -> asyncio.Task:
    """Says "thinking" if the answer takes longer than a blink: a status that flickers at each key helps nobody."""

    async def later() -> None:
        await asyncio.sleep(0.15)
        publish(server)

    return asyncio.ensure_future(later())


@dataclass(frozen=True)
class Chosen:
    """An entry of the suggestion list that is highlighted: the document as if it were accepted, and where it began."""

    document: Document
    start: int
    column: int
    units_replaced: int


def _chosen(document: Document, info: Any, line: int, column: int) -> Chosen | None:
    """With the suggestion list open, editors show only offers that go on from its highlighted entry."""
    if info is None or info.range.start.line != line or info.range.end.line != line or not info.text:
        return None
    (_, start), (_, end) = (document.place(line, at.character) for at in (info.range.start, info.range.end))
    if not start <= column <= end or "\n" in info.text or "\r" in info.text:
        return None
    first, last = ((line, document.units(line, at)) for at in (start, end))
    accepted = document.change(document.version, first, last, info.text)
    return Chosen(accepted, start, start + len(info.text), last[1] - first[1])


def _item(
    document: Document, line: int, column: int, outcome: Outcome, chosen: Chosen | None
) -> types.InlineCompletionItem:
    result = outcome.result
    number = f"{next(_NUMBERS)}"
    command = types.Command("Accepted", "codehearth.accepted", arguments=[number])
    start, text = document.units(line, column), result.text
    end = document.units(line, column + result.replace)
    if chosen is not None:
        # Back to the document as it is: the entry's own text is part of the offer.
        begin = document.units(line, chosen.start)
        text = document.lines[line][chosen.start : column] + text
        end, start = end - start + chosen.units_replaced + begin, begin
    return types.InlineCompletionItem(
        insert_text=text, range=types.Range(types.Position(line, start), types.Position(line, end)), command=command
    )
