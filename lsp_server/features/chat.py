"""`codehearth/chat`: one answer of the model, streamed.

Params {messages: [{role, content}], id?, maxTokens?}; while the answer grows, notifications `codehearth/chat/delta`
{id, text}; result {text, finishReason, timing}. `$/cancelRequest` stops the engine at once.
"""

import asyncio
import time
from contextlib import aclosing
from typing import Any

from pygls.exceptions import JsonRpcInvalidParams, JsonRpcServerError

from lsp_server.completion.bridge import pieces
from lsp_server.features.status import current, publish
from runtime.code.chat import MOST_MESSAGES, ROLES, Message, TextStop, chat_prompt
from runtime.code.complete import final_timing

DELTA = "codehearth/chat/delta"
MOST_TOKENS = 4096
LOADING_WAIT_S = 60.0  # a question is worth waiting for the model; the editor shows the state meanwhile
NO_MODEL = -32001  # server error: there is no model to ask
ENGINE_FAILED = -32002


def register(server: Any) -> None:
    @server.feature("codehearth/chat")
    async def chat(params: Any) -> dict[str, Any]:
        session = server.session
        messages, number, max_tokens = _checked(params)
        if not await session.host.ready(LOADING_WAIT_S):
            raise JsonRpcServerError(f"There is no model to ask: {_why_none(server)}", NO_MODEL)
        task = asyncio.current_task()
        session.chats.add(task)
        session.counts.chats += 1
        publish(server)
        try:
            return await _answer(server, messages, number, max_tokens)
        finally:
            session.chats.discard(task)
            publish(server)


def _why_none(server: Any) -> str:
    status = current(server)
    return status["message"] or {"loading": "it is still being loaded"}.get(status["state"], status["state"])


async def _answer(server: Any, messages: list[Message], number: Any, max_tokens: int) -> dict[str, Any]:
    host = server.session.host
    model, engine = host.model, host.engine
    try:
        prompt = chat_prompt(model, messages, max_tokens)
    except ValueError as error:
        raise JsonRpcServerError(f"The model cannot be asked: {error}", NO_MODEL) from error
    stop = TextStop(prompt.stop)
    began = time.perf_counter()
    request = engine.submit(prompt.ids, priority="chat", max_tokens=prompt.max_tokens, temperature=0.0)

    def show(text: str) -> None:
        if text:
            server.protocol.notify(DELTA, {"id": number, "text": text})

    async with aclosing(pieces(request)) as stream:
        async for piece in stream:
            show(stop.feed(piece.text))
            if stop.done:
                break
    if not stop.done:
        show(stop.flush())
    reason = "stop" if stop.done else request.finish_reason
    if reason == "error":
        raise JsonRpcServerError("The engine failed on this request; see the server's log", ENGINE_FAILED)
    return {"text": stop.text, "finishReason": reason, "timing": final_timing(request.timing, began)}


def _checked(params: Any) -> tuple[list[Message], Any, int]:
    """The params, or a JSON-RPC error that says which of them is wrong."""
    if not isinstance(params, dict):
        raise JsonRpcInvalidParams("codehearth/chat: params must be an object")
    messages = params.get("messages")
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        raise JsonRpcInvalidParams(f"codehearth/chat: messages must be a list of 1 to {MOST_MESSAGES} entries")
    read = []
    for message in messages:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            raise JsonRpcInvalidParams(
                f"codehearth/chat: each message needs a role ({', '.join(ROLES)}) and a text as content"
            )
        read.append(Message(role, content))
    number = params.get("id")
    if number is not None and not isinstance(number, (str, int)):
        raise JsonRpcInvalidParams("codehearth/chat: id must be a text or a number")
    most = params.get("maxTokens")
    if most is None:
        most = 256
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_TOKENS:
        raise JsonRpcInvalidParams(f"codehearth/chat: maxTokens must be a whole number from 1 to {MOST_TOKENS}")
    return read, number, most
