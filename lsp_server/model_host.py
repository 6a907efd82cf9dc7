"""Loads the model in the background and holds the engine; says what state it is in.

The only place of the server that imports `runtime`'s engine, and it does so on its own thread: the editor's
`initialize` never waits for weights. Knows nothing about documents or protocol.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

# (model name or folder or "", threads or 0, caches outlive the server?) -> (model, engine)
Loader = Callable[[str, int, bool], tuple[Any, Any]]

IDLE_MINUTES = 30  # an editor that stays open over night gives the memory back
SAVING_S = 2.0  # the server's end waits so long for caches to be saved


def load(name: str, threads: int, keep_caches: bool = False) -> tuple[Any, Any]:
    """The product's loader."""
    import runtime
    from runtime.installed import default_model

    model = runtime.load_model(name or default_model(), threads=threads or None)
    if model.tokenizer is None:
        raise ValueError(f"the model {model.name!r} has no tokenizer.json: it cannot read text")
    model.infill("def", "\n", max_tokens=1)  # touches all weights and tables, so that the first keystroke does not wait
    saved = runtime.SavedCaches() if keep_caches else None
    return model, runtime.Engine(model, idle_minutes=IDLE_MINUTES, saved=saved)


class ModelHost:
    """State "off" (nothing asked for), "loading", "ready" or "error"; `changed` is called on the event loop."""

    def __init__(self, loader: Loader, changed: Callable[[], None]):
        self._loader = loader
        self._changed = changed
        self._round = 0  # a load that finishes after a newer one was started is dropped
        self._settled = asyncio.Event()
        self.state = "off"
        self.message = ""
        self.model: Any = None
        self.engine: Any = None
        self.load_ms = 0.0
        self.asked: tuple[str, int, bool] | None = None

    @property
    def name(self) -> str:
        """The model's name for people: its own, or the last part of what was asked for."""
        own = getattr(self.model, "name", None)
        return (
            str(own)
            if own
            else (self.asked[0].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if self.asked else "") or "default"
        )

    def expect(self) -> None:
        """A model will be asked for soon: requests that come before wait as they do while it is being loaded."""
        self.state = "loading"

    def decline(self) -> None:
        """No model is wanted."""
        if self.engine is None:
            self.state, self.message = "off", ""
            self._settled.set()
        self._changed()

    def start(self, name: str, threads: int, keep_caches: bool = False) -> None:
        """Begins to load; the engine in use, if any, goes on until the new one is there."""
        self._round += 1
        self.asked = (name, threads, keep_caches)
        self.state, self.message = "loading", ""
        self._settled.clear()
        self._changed()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._load, args=(loop, self._round, *self.asked), name="load", daemon=True).start()

    def _load(self, loop: asyncio.AbstractEventLoop, number: int, *asked: Any) -> None:
        began = time.perf_counter()
        try:
            model, engine = self._loader(*asked)
            outcome = (model, engine, (time.perf_counter() - began) * 1000, None)
        except Exception as error:
            log.error("the model cannot be loaded", exc_info=error)
            outcome = (None, None, 0.0, " ".join(str(error).split()) or type(error).__name__)
        try:
            loop.call_soon_threadsafe(self._done, number, *outcome)
        except RuntimeError:  # the loop is closed: the editor went away meanwhile
            close(outcome[1])

    def _done(self, number: int, model: Any, engine: Any, load_ms: float, error: str | None) -> None:
        if number != self._round:
            close(engine)
            return
        old, self.model, self.engine, self.load_ms = self.engine, model, engine, load_ms
        self.state, self.message = ("error", error) if error else ("ready", "")
        if old is not None:
            close(old)
        if error is None:
            log.info("model %s is ready after %.0f ms", self.name, load_ms)
        self._settled.set()
        self._changed()

    async def ready(self, seconds: float) -> bool:
        """Waits for a load in progress, at most so long; true if there is an engine to ask."""
        if self.engine is None and self.state == "loading":
            try:
                await asyncio.wait_for(self._settled.wait(), seconds)
            except TimeoutError:
                return False
        return self.engine is not None

    def stop(self) -> None:
        """Ends the engine's thread; the server is going down."""
        self._round += 1
        ending = close(self.engine)
        self.engine = None
        if ending is not None and self.asked is not None and self.asked[2]:
            ending.join(SAVING_S)


def close(engine: Any) -> threading.Thread | None:
    """Closes an engine on a thread of its own: it may wait for a step that is running, and save its caches."""
    end = getattr(engine, "close", None)
    if end is None:
        return None
    thread = threading.Thread(target=end, name="close", daemon=True)
    thread.start()
    return thread
