"""Ghost text through the real protocol: offers, ranges, typing-through, cancelling, latest wins."""

import asyncio

import pytest
from connection import INVOKED, URI, connect
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

pytestmark = pytest.mark.asyncio


async def test_what_the_server_announces(tmp_path):
    async with connect(tmp_path) as c:
        assert c.capabilities.inline_completion_provider
        assert c.capabilities.text_document_sync.change == t.TextDocumentSyncKind.Incremental
        assert "codehearth.accepted" in c.capabilities.execute_command_provider.commands


async def test_an_offer_is_one_line_with_an_explicit_range(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="a + b\n\n\ndef sub(a, b):\n") as c:
        c.open("def add(a, b):\n    return ")
        assert await c.offer(1, 11) == ("a + b", (1, 11), (1, 11))
        (note,) = c.notes("start")
        assert note["prompt"] == ["def add(a, b):\n    return ", ""]


async def test_several_lines_where_the_setting_says_so(tmp_path):
    answer = "if a:\n        b()\n    return c\n\n\ndef other():\n"
    async with connect(tmp_path, configuration={"multiline": True}, FAKE_ANSWER=answer) as c:
        await c.state("ready")
        c.open("def f():\n    ")
        assert (await c.offer(1, 4))[0] == "if a:\n        b()\n    return c"


async def test_a_closer_right_of_the_caret_is_replaced(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="x).strip()\n") as c:
        c.open("print()")
        assert await c.offer(0, 6) == ("x).strip()", (0, 6), (0, 7))


async def test_typing_what_is_offered_asks_nobody(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="result(1)\n") as c:
        c.open("x = ")
        assert (await c.offer(0, 4))[0] == "result(1)"
        for i, char in enumerate("resu"):
            c.edit((0, 4 + i), (0, 4 + i), char)
            assert await c.offer(0, 5 + i) == ("result(1)"[i + 1 :], (0, 5 + i), (0, 5 + i))
        assert len(c.notes("start")) == 1
        assert (await c.command("codehearth.lastTiming"))["origin"] == "cache"


async def test_typing_through_an_automatic_bracket(tmp_path):
    """Editors type ")" along with "(": the rest of the offer replaces it."""
    async with connect(tmp_path, FAKE_ANSWER="f(1)\n") as c:
        c.open("x = ")
        await c.offer(0, 4)
        c.edit((0, 4), (0, 4), "f")
        c.edit((0, 5), (0, 5), "()")
        assert await c.offer(0, 6) == ("1)", (0, 6), (0, 7))
        assert len(c.notes("start")) == 1


async def test_typing_something_else_asks_again(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="result\n") as c:
        c.open("x = ")
        await c.offer(0, 4)
        c.edit((0, 4), (0, 4), "z")
        assert (await c.offer(0, 5))[0] == "result"
        assert len(c.notes("start")) == 2


async def test_an_edit_elsewhere_makes_the_old_offer_worthless(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="result\n") as c:
        c.open("import a\nx = ")
        await c.offer(1, 4)
        c.edit((0, 7), (0, 8), "b")
        await c.offer(1, 4)
        assert len(c.notes("start")) == 2


async def test_asking_by_hand_passes_the_cache_over(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="result\n") as c:
        c.open("x = ")
        await c.offer(0, 4)
        await c.offer(0, 4, INVOKED)
        assert len(c.notes("start")) == 2


async def test_cancel_answers_at_once_and_stops_the_engine(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="abc" * 200, FAKE_STEP_MS="20") as c:
        await c.state("ready")
        c.open("x = ")
        answer = asyncio.ensure_future(c.ask(0, 4, number="one"))
        await asyncio.sleep(0.2)
        began = asyncio.get_running_loop().time()
        c.client.cancel_request(t.CancelParams(id="one"))
        with pytest.raises(JsonRpcException) as error:
            await answer
        assert error.value.code == -32800
        assert asyncio.get_running_loop().time() - began < 1
        for _ in range(100):
            if c.notes("stopped"):
                break
            await asyncio.sleep(0.02)
        assert c.notes("stopped")[0]["made"] < 100
        assert (await c.command("codehearth.stats"))["cancelled"] == 1


async def test_the_latest_request_of_a_document_wins_and_queued_ones_never_start(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="abc" * 3000, FAKE_STEP_MS="20") as c:

        async def started(count):
            while len(c.notes("start")) < count:
                await asyncio.sleep(0.02)

        await c.state("ready")
        c.open("x = ")
        # a chat holds the engine's one lane until it is cancelled
        question = {"messages": [{"role": "user", "content": "hi"}], "id": 1}
        chat = asyncio.ensure_future(c.request("codehearth/chat", question, "chat"))
        await asyncio.wait_for(started(1), 20)
        answers = [asyncio.ensure_future(c.ask(0, i)) for i in range(4)]
        assert await asyncio.gather(*answers[:3]) == [None] * 3, "each gave way to the next one"
        c.client.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(URI)))
        assert await answers[3] is None
        c.client.cancel_request(t.CancelParams(id="chat"))
        with pytest.raises(JsonRpcException):
            await chat
        other = c.open("y = ", uri="file:///somewhere/b.py")
        last = asyncio.ensure_future(c.ask(0, 4, uri=other))  # the lane takes it after all that were queued before
        await asyncio.wait_for(started(2), 20)
        assert c.notes("start")[1]["prompt"] == ["y = ", ""]
        assert len(c.notes("cancelled-in-queue")) <= 4
        c.client.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(other)))
        await last


async def test_a_quick_answer_is_told_with_its_timing(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="12\n") as c:
        await c.state("ready")
        c.open("x = ")
        for column, origin in ((4, "engine"), (4, "cache")):
            c.states.clear()
            await c.offer(0, column)
            status = await c.state("ready")
            assert status.timing.origin == origin and len(c.states) == 1


async def test_the_status_does_not_stay_at_thinking_when_a_quick_request_takes_over(tmp_path):
    async with connect(tmp_path, configuration={"debounce": 2000}, FAKE_ANSWER="1\n") as c:
        await c.state("ready")
        c.open("x = ")
        older = asyncio.ensure_future(c.ask(0, 4))
        await c.state("thinking")
        assert (await c.offer(0, 4, INVOKED))[0] == "1"
        assert await older is None
        await asyncio.sleep(0.1)
        assert c.states[-1].state == "ready"


async def test_requests_during_loading_wait_for_the_model(tmp_path):
    async with connect(tmp_path, FAKE_LOAD="700", FAKE_ANSWER="1\n") as c:
        c.open("x = ")
        assert (await c.offer(0, 4))[0] == "1"
        states = [status.state for status in c.states]
        assert states[0] == "loading" and "error" not in states


async def test_no_offer_says_why(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="<|endoftext|>") as c:
        c.open("x = ")
        assert await c.offer(0, 4) is None
        assert "special tokens" in (await c.command("codehearth.lastTiming"))["reason"]
        assert (await c.command("codehearth.stats"))["silent"] == 1


async def test_an_empty_document_and_one_that_nobody_opened(tmp_path):
    async with connect(tmp_path) as c:
        c.open("")
        assert await c.offer(0, 0) is None
        assert await c.offer(0, 0, uri="file:///never/opened.py") is None
        assert c.notes("start") == []


async def test_other_languages_are_off_until_allowed(tmp_path):
    async with connect(tmp_path, configuration={"languages": ["python"]}, FAKE_ANSWER="1\n") as c:
        c.open("x = ", language="plaintext")
        assert await c.offer(0, 4) is None
        c.client.set_configuration({"codehearth": {"languages": ["python", "plaintext"]}})
        c.client.workspace_did_change_configuration(t.DidChangeConfigurationParams(settings=None))
        await asyncio.sleep(0.3)
        assert (await c.offer(0, 4))[0] == "1"


async def test_a_line_of_five_megabytes(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="1\n") as c:
        await c.state("ready")
        c.open("é" * 5_000_000)
        began = asyncio.get_running_loop().time()
        c.edit((0, 2_500_000), (0, 2_500_000), " = ")
        assert (await c.offer(0, 2_500_003))[0] == "1"
        assert asyncio.get_running_loop().time() - began < 5
        (note,) = c.notes("start")
        assert note["prompt"][0].endswith("é = ")


async def test_accepting_is_counted(tmp_path):
    async with connect(tmp_path) as c:
        await c.command("codehearth.accepted")
        assert (await c.command("codehearth.stats"))["accepted"] == 1


async def test_with_the_suggestion_list_open_the_offer_goes_on_from_its_entry(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="(path)).read()\n") as c:
        c.open("😀 = f(os.pa)")
        entry = t.SelectedCompletionInfo(range=t.Range(t.Position(0, 10), t.Position(0, 12)), text="path.join")
        params = t.InlineCompletionParams(
            text_document=t.TextDocumentIdentifier(URI),
            position=t.Position(0, 12),
            context=t.InlineCompletionContext(trigger_kind=INVOKED, selected_completion_info=entry),
        )
        (item,) = (await c.request(t.TEXT_DOCUMENT_INLINE_COMPLETION, params)).items
        assert c.notes("start")[0]["prompt"] == ["😀 = f(os.path.join", ")"]
        assert item.insert_text == "path.join(path)).read()"
        assert (item.range.start.character, item.range.end.character) == (10, 13)
