"""A client of pytest-lsp on a real server process; the tests say what the scripted engine answers and how fast."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from lsprotocol import types as t
from pytest_lsp import client_capabilities, make_test_lsp_client

# Where the packages under test are imported from: site-packages, or a checkout with extensions built in place.
PACKAGES = Path(find_spec("lsp_server").origin).resolve().parents[1]
FAKE = [sys.executable, "-P", str(Path(__file__).parent / "fake_server.py")]
AUTOMATIC, INVOKED = t.InlineCompletionTriggerKind.Automatic, t.InlineCompletionTriggerKind.Invoked
URI = "file:///somewhere/a.py"


class Connection:
    """What the tests do with a server: open, type, ask."""

    def __init__(self, client, notes: Path):
        self.client, self.notes_file = client, notes
        self.capabilities = None
        self.states: list = []
        self.deltas: list = []
        self.versions: dict[str, int] = {}

    def open(self, text: str, uri: str = URI, language: str = "python") -> str:
        self.versions[uri] = 1
        item = t.TextDocumentItem(uri=uri, language_id=language, version=1, text=text)
        self.client.text_document_did_open(t.DidOpenTextDocumentParams(item))
        return uri

    def edit(self, start: tuple[int, int], end: tuple[int, int], text: str, uri: str = URI) -> None:
        self.versions[uri] += 1
        change = t.TextDocumentContentChangePartial(range=t.Range(t.Position(*start), t.Position(*end)), text=text)
        self.client.text_document_did_change(
            t.DidChangeTextDocumentParams(t.VersionedTextDocumentIdentifier(self.versions[uri], uri), [change])
        )

    def ask(self, line: int, character: int, kind=AUTOMATIC, uri: str = URI, number: str | None = None):
        """A future of the answer to one inline completion request."""
        params = t.InlineCompletionParams(
            text_document=t.TextDocumentIdentifier(uri),
            position=t.Position(line, character),
            context=t.InlineCompletionContext(trigger_kind=kind),
        )
        return self.request(t.TEXT_DOCUMENT_INLINE_COMPLETION, params, number)

    def request(self, method: str, params, number: str | None = None):
        answer = self.client.protocol.send_request(method, params, msg_id=number)
        return asyncio.wait_for(asyncio.wrap_future(answer), 20)

    async def command(self, name: str):
        return await self.request(t.WORKSPACE_EXECUTE_COMMAND, t.ExecuteCommandParams(command=name, arguments=[]))

    async def offer(self, line: int, character: int, kind=AUTOMATIC, uri: str = URI):
        """(text, start, end) of the one offer, or None."""
        answer = await self.ask(line, character, kind, uri)
        if answer is None:
            return None
        (item,) = answer.items
        assert item.command.command == "codehearth.accepted"
        start, end = item.range.start, item.range.end
        return item.insert_text, (start.line, start.character), (end.line, end.character)

    async def state(self, wanted: str, seconds: float = 20) -> object:
        """Waits for a status notification with this state."""
        for _ in range(int(seconds * 50)):
            for status in self.states:
                if status.state == wanted:
                    return status
            await asyncio.sleep(0.02)
        raise AssertionError(f"no status {wanted!r}; seen: {[status.state for status in self.states]}")

    def notes(self, event: str) -> list[dict]:
        """What the scripted engine noted: "load", "start", "stopped", "cancelled-in-queue"."""
        if not self.notes_file.exists():
            return []
        lines = self.notes_file.read_text(encoding="utf-8").splitlines()
        return [note for note in map(json.loads, lines) if note["event"] == event]


@asynccontextmanager
async def connect(tmp_path, command=None, cwd=None, configuration=None, options=None, encodings=None, **env):
    """A connection that is initialized; `env` goes to the server's environment. Ends with shutdown and exit."""
    client = make_test_lsp_client()
    notes = tmp_path / "notes.jsonl"
    connection = Connection(client, notes)

    @client.feature("codehearth/status")
    def status(params):
        connection.states.append(params)

    @client.feature("codehearth/chat/delta")
    def delta(params):
        connection.deltas.append(params)

    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "FAKE_NOTES": str(notes), **env}
    environment.pop("PYTHONSAFEPATH", None)  # the server has to keep the current folder off the path by itself
    if configuration is not None:
        client.set_configuration({"codehearth": configuration})
    await client.start_io(*(command or FAKE), env=environment, cwd=cwd or tmp_path)
    capabilities = client_capabilities("visual-studio-code")
    capabilities.text_document.inline_completion = t.InlineCompletionClientCapabilities(dynamic_registration=True)
    if encodings:
        capabilities.general.position_encodings = encodings
    try:
        result = await client.initialize_session(
            t.InitializeParams(
                capabilities=capabilities, root_uri=tmp_path.as_uri(), initialization_options=options, process_id=None
            )
        )
        connection.capabilities = result.capabilities
        yield connection
    finally:
        if client._server is not None and client._server.returncode is None:
            await asyncio.wait_for(client.shutdown_session(), 20)
