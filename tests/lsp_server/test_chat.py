"""`codehearth/chat` through the real protocol: streaming, stopping, wrong params."""

import asyncio

import pytest
from connection import connect
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

pytestmark = pytest.mark.asyncio
QUESTION = {"messages": [{"role": "user", "content": "How?"}], "id": "q1"}


async def test_an_answer_streams(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="With a loop.\nLike this.") as c:
        answer = await c.request("codehearth/chat", QUESTION)
        assert answer.text == "With a loop.\nLike this." and answer.finishReason == "stop"
        assert answer.timing.generated_tokens > 3
        assert "".join(delta.text for delta in c.deltas) == answer.text
        assert len(c.deltas) > 3 and {delta.id for delta in c.deltas} == {"q1"}


async def test_stopping_an_answer_stops_the_engine(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="abc" * 300, FAKE_STEP_MS="20") as c:
        answer = asyncio.ensure_future(c.request("codehearth/chat", QUESTION, "c1"))
        for _ in range(200):
            if len(c.deltas) >= 3:
                break
            await asyncio.sleep(0.02)
        c.client.cancel_request(t.CancelParams(id="c1"))
        with pytest.raises(JsonRpcException) as error:
            await answer
        assert error.value.code == -32800
        seen = len(c.deltas)
        await asyncio.sleep(0.3)
        assert len(c.deltas) <= seen + 1
        assert c.notes("stopped")[0]["made"] < 100
        assert c.states[-1].state == "ready"


async def test_the_answer_ends_at_the_next_question(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="Yes.\n# user: and then?") as c:
        assert (await c.request("codehearth/chat", QUESTION)).text == "Yes."


WRONG = [
    None,
    [],
    {},
    {"messages": []},
    {"messages": "hi"},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "robot", "content": "x"}]},
    {"messages": [{"role": "user", "content": 1}]},
    {"messages": [{"role": "user", "content": "x"}], "maxTokens": 0},
    {"messages": [{"role": "user", "content": "x"}], "maxTokens": True},
    {"messages": [{"role": "user", "content": "x"}], "id": {}},
]


async def test_wrong_params_are_named(tmp_path):
    async with connect(tmp_path) as c:
        for params in WRONG:
            with pytest.raises(JsonRpcException) as error:
                await c.request("codehearth/chat", params)
            assert error.value.code == -32602 and "codehearth/chat" in error.value.message, params


async def test_without_a_model_the_reason_comes_back(tmp_path):
    async with connect(tmp_path, FAKE_LOAD="fail") as c:
        with pytest.raises(JsonRpcException, match="header is cut short"):
            await c.request("codehearth/chat", QUESTION)


async def test_a_failing_engine_is_an_error_and_no_end(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="!error") as c:
        for _ in range(2):
            with pytest.raises(JsonRpcException, match="engine failed"):
                await c.request("codehearth/chat", QUESTION)
        c.open("x = ")
        assert await c.offer(0, 4) is None
