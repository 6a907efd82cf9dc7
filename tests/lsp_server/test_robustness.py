"""The server lives on: stray prints, failing handlers, messages that make no sense, a model that cannot be loaded."""

import json
import os
import subprocess

import pytest
from connection import FAKE, PACKAGES, connect
from pygls.exceptions import JsonRpcException


@pytest.mark.asyncio
async def test_what_is_printed_never_reaches_the_protocol(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="1\n") as c:
        for _ in range(3):
            assert (await c.request("codehearth/test/print", {})).said is True
        c.open("x = ")
        assert (await c.offer(0, 4))[0] == "1"


@pytest.mark.asyncio
async def test_a_failing_handler_is_an_error_response_without_the_source(tmp_path):
    log = tmp_path / "server.log"
    async with connect(tmp_path, HEARTH_LOG=str(log), FAKE_ANSWER="1\n") as c:
        with pytest.raises(JsonRpcException) as error:
            await c.request("codehearth/test/fail", {"text": "unheard_of_name"})
        assert error.value.code == -32603 and "KeyError" in error.value.message
        assert "unheard_of_name" not in error.value.message
        c.open("unheard_of_name = ")
        assert (await c.offer(0, 18))[0] == "1"
        await c.request("codehearth/chat", {"messages": [{"role": "user", "content": "unheard_of_name"}]})
    text = log.read_text(encoding="utf-8")
    assert "failed" in text and "Traceback" in text
    assert "unheard_of_name" not in text, "the log must not hold source text"


@pytest.mark.asyncio
async def test_a_model_that_cannot_be_loaded_is_a_status(tmp_path):
    async with connect(tmp_path, FAKE_LOAD="fail") as c:
        status = await c.state("error")
        assert status.message == "model.safetensors: the header is cut short"
        c.open("x = ")
        assert await c.offer(0, 4) is None


class Raw:
    """The protocol by hand, for what no client would send."""

    def __init__(self, tmp_path):
        environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
        self.process = subprocess.Popen(
            FAKE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=tmp_path,
        )

    def bytes(self, body: bytes) -> None:
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def send(self, **message) -> None:
        self.bytes(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def receive(self) -> dict:
        length = 0
        while (line := self.process.stdout.readline()) != b"\r\n":
            assert line, "the server has ended"
            assert line.lower().startswith((b"content-length:", b"content-type:")), line
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def answer(self, number) -> dict:
        while True:
            message = self.receive()
            if "method" not in message and message.get("id") == number:
                return message


def started(folder) -> Raw:
    raw = Raw(folder)
    raw.send(id=1, method="initialize", params={"processId": None, "rootUri": None, "capabilities": {}})
    raw.answer(1)
    raw.send(method="initialized", params={})
    return raw


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """One server for all tests that it has to survive."""
    raw = started(tmp_path_factory.mktemp("raw"))
    yield raw
    raw.process.kill()
    raw.process.wait()


COMPLETION = "textDocument/inlineCompletion"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"method": COMPLETION, "params": {}}, -32602),
        ({"method": COMPLETION}, -32602),
        ({"method": COMPLETION, "params": 5}, -32602),
        ({"method": COMPLETION, "params": {"textDocument": {"uri": 1}, "position": "x", "context": []}}, -32602),
        ({"method": "workspace/executeCommand", "params": {"command": "rm -rf"}}, -32602),
        ({"method": "no/such/method", "params": {}}, -32601),
        ({"method": "codehearth/none", "params": {}}, -32601),
    ],
)
def test_each_wrong_request_gets_its_error(raw, message, code):
    raw.send(id=7, **message)
    assert raw.answer(7)["error"]["code"] == code
    raw.send(id=8, method="codehearth/getStatus", params={})
    assert raw.answer(8)["result"]["state"] in ("loading", "ready")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'"x"', -32600),
        (b'{"jsonrpc": "1.0", "id": 3, "method": "shutdown"}', -32600),
        (b'{"jsonrpc": "2.0", "id": [3], "method": "shutdown"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 3, "method": {}}', -32600),
        (b"[" * 100_000, -32700),
    ],
)
def test_bytes_that_are_no_message_get_an_error_and_the_server_lives(raw, body, code):
    raw.bytes(body)
    assert raw.answer(None)["error"]["code"] == code
    raw.send(id=8, method="codehearth/getStatus", params={})
    assert raw.answer(8)["result"]


def test_notifications_that_make_no_sense_are_passed_over(raw):
    raw.send(method="textDocument/didChange", params={})
    raw.send(method="textDocument/didOpen", params={"textDocument": 1})
    raw.send(method="$/cancelRequest", params={"id": 99})
    raw.send(method="no/such/notification")
    identifier = {"uri": "file:///never.py", "version": 2}
    raw.send(method="textDocument/didChange", params={"textDocument": identifier, "contentChanges": [{"text": "x"}]})
    raw.send(id=8, method="codehearth/getStatus", params={})
    assert raw.answer(8)["result"]


def test_a_change_out_of_step_drops_the_document_and_nothing_else(raw):
    document = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": "x = "}
    raw.send(method="textDocument/didOpen", params={"textDocument": document})
    reversed_range = {"start": {"line": 0, "character": 3}, "end": {"line": 0, "character": 1}}
    raw.send(
        method="textDocument/didChange",
        params={
            "textDocument": {"uri": "file:///a.py", "version": 2},
            "contentChanges": [{"range": reversed_range, "text": "y"}],
        },
    )
    ask = {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 0, "character": 4}}
    raw.send(id=8, method=COMPLETION, params={**ask, "context": {"triggerKind": 2}})
    assert raw.answer(8)["result"] is None
    raw.send(method="textDocument/didOpen", params={"textDocument": document})
    raw.send(id=9, method=COMPLETION, params={**ask, "context": {"triggerKind": 2}})
    assert raw.answer(9)["result"]["items"]


def test_shutdown_and_exit_end_the_process(tmp_path):
    raw = started(tmp_path)
    raw.send(id=9, method="shutdown")
    assert raw.answer(9)["result"] is None
    raw.send(method="exit")
    assert raw.process.wait(10) == 0


def test_a_client_that_goes_away_ends_the_process(tmp_path):
    raw = started(tmp_path)
    raw.process.stdin.close()
    assert raw.process.wait(10) == 0
