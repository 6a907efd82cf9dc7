"""Computes one offer: cache, engine, early stop, rules, timing. Latest wins: a newer request ends the older.

Runs on the event loop and gives back plain values; the feature wraps them for the protocol. Cancelling the task that
runs `offer` stops the engine's request, and one that still queues there never starts.
"""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from lsp_server.completion.bridge import pieces
from lsp_server.completion.offers import Entry
from lsp_server.documents import Document
from lsp_server.session import Session
from runtime.code.caret import Caret
from runtime.code.complete import final_timing, prompt_at
from runtime.code.postprocess import Offer, Silence, apply
from runtime.code.stream import EnoughText

LOADING_WAIT_S = 8.0  # an automatic request waits no longer than this for a model that is being loaded


@dataclass(frozen=True)
class Outcome:
    """An offer or the reason for none; `origin` is "engine" or "cache"; timing in ms, the engine’s."""

    result: Offer | Silence
    origin: str
    timing: dict[str, Any]


async def offer(session: Session, document: Document, line: int, column: int, invoked: bool) -> Outcome:
    """The offer at a place (code points). `invoked`: the user asked by hand: no cache, no delay.

    Raises asyncio.CancelledError when a newer request for the document takes over.
    """
    began = time.perf_counter()
    settings = session.settings
    if not invoked and (rest := session.offers.find(document, line, column, settings.multiline)):
        session.counts.from_cache += 1
        return _finish(session, rest, "cache", {}, began)
    if settings.debounce and not invoked:
        await asyncio.sleep(settings.debounce / 1000)
    if not await session.host.ready(LOADING_WAIT_S):
        reason = "the model is being loaded" if session.host.state == "loading" else "there is no model"
        return _finish(session, Silence(reason), "engine", {}, began)

    model, engine = session.host.model, session.host.engine
    caret = Caret(document.lines, line, column, document.language, settings.multiline)
    try:
        prompt = prompt_at(model, caret, settings.max_tokens)
    except ValueError as error:
        return _finish(session, Silence(str(error)), "engine", {}, began)
    if not prompt.prefix.strip() and not prompt.suffix.strip():
        return _finish(session, Silence("there is no text to go by"), "engine", {}, began)
    enough = EnoughText(caret)
    submitted = time.perf_counter()
    request = engine.submit(
        (prompt.prefix, prompt.suffix), priority="completion", max_tokens=prompt.max_tokens, temperature=0.0
    )
    async with aclosing(pieces(request)) as stream:
        async for piece in stream:
            if enough.feed(piece.text):
                break
    timing = final_timing(request.timing, submitted)
    if request.finish_reason == "error":
        return _finish(session, Silence("the engine failed on this request"), "engine", timing, began)
    result = apply(enough.text, caret)
    if isinstance(result, Offer):
        session.offers.put(Entry(document, line, column, settings.multiline, result))
    return _finish(session, result, "engine", timing, began)


def _finish(session: Session, result: Offer | Silence, origin: str, timing: dict[str, Any], began: float) -> Outcome:
    timing = {**timing, "server_ms": round((time.perf_counter() - began) * 1000, 3)}
    if isinstance(result, Silence):
        session.counts.silence(result.reason)
    else:
        session.counts.offered += 1
    session.last_timing = {
        **timing,
        "origin": origin,
        "reason": result.reason if isinstance(result, Silence) else None,
    }
    return Outcome(result, origin, timing)
