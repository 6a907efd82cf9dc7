"""One engine request as an asynchronous stream of pieces; leaving the stream stops the engine.

The engine calls back on its own thread; pieces cross over with `call_soon_threadsafe`, so the event loop never waits.
Knows nothing about prompts or protocol.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any


async def pieces(request: Any) -> AsyncIterator[Any]:
    """The pieces of a submitted request as they come; after the last one the request has its `finish_reason`.

    Cancelling the task, an exception in the consumer, or closing the generator cancels the request at once.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def arrived(piece: Any) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, piece)
        except RuntimeError:  # the loop is closed: nobody waits for this piece any more
            pass

    try:
        request.add_listener(arrived)
        while (piece := await queue.get()) is not None:
            yield piece
    finally:
        request.cancel()  # of no effect on a request that has finished
