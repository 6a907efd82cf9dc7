"""Settings: each value is checked, wrong ones are named and change nothing; the server follows changes."""

import asyncio

import pytest
from connection import connect
from lsprotocol import types as t

from lsp_server.settings import Settings, read_settings


def test_known_values_are_taken():
    settings, complaints = read_settings(
        Settings(), {"maxTokens": 32, "languages": ["c"], "multiline": True, "trace": {"server": "off"}}
    )
    assert (settings.max_tokens, settings.languages, settings.multiline) == (32, ("c",), True)
    assert complaints == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("enable", "yes"),
        ("maxTokens", 0),
        ("maxTokens", True),
        ("maxTokens", 10**9),
        ("languages", "python"),
        ("languages", [1]),
        ("model", 5),
        ("threads", -1),
        ("keepCaches", 1),
        ("debounce", 1.5),
    ],
)
def test_a_wrong_value_is_named_and_changes_nothing(key, value):
    before = Settings(max_tokens=7)
    settings, (complaint,) = read_settings(before, {key: value})
    assert settings == before and f"codehearth.{key}" in complaint


def test_something_else_than_an_object_changes_nothing():
    assert read_settings(Settings(), None) == (Settings(), [])
    assert read_settings(Settings(), [1])[1]


@pytest.mark.asyncio
async def test_switching_off_and_on(tmp_path):
    async with connect(tmp_path, configuration={"enable": False}, FAKE_ANSWER="1\n") as c:
        assert (await c.state("off")).message
        c.open("x = ")
        assert await c.offer(0, 4) is None
        assert c.notes("load") == [], "a product that is switched off loads nothing"
        c.client.set_configuration({"codehearth": {"enable": True}})
        c.client.workspace_did_change_configuration(t.DidChangeConfigurationParams(settings=None))
        await c.state("ready")
        assert (await c.offer(0, 4))[0] == "1"


@pytest.mark.asyncio
async def test_a_model_chosen_while_switched_off_is_loaded_when_switched_on(tmp_path):
    async with connect(tmp_path, configuration={"model": "first"}) as c:
        await c.state("ready")
        for values, state in (({"enable": False, "model": "second"}, "off"), ({"enable": True}, "loading")):
            c.states.clear()
            c.client.set_configuration({"codehearth": values})
            c.client.workspace_did_change_configuration(t.DidChangeConfigurationParams(settings=None))
            await c.state(state)
        assert (await c.state("ready")).model == "second"
        assert [note["name"] for note in c.notes("load")] == ["first", "second"]


@pytest.mark.asyncio
async def test_another_model_does_not_go_on_with_the_offers_of_the_one_before(tmp_path):
    async with connect(tmp_path, FAKE_ANSWER="1\n", FAKE_LOAD="300") as c:
        await c.state("ready")
        c.open("x = ")
        assert (await c.command("codehearth.reloadModel"))["state"] == "loading"
        await c.offer(0, 4)  # from the engine that is still in use, into the cache
        c.states.clear()
        await c.state("ready")
        for _ in range(50):
            if len(c.notes("load")) == 2:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        await c.offer(0, 4)
        assert (await c.command("codehearth.stats"))["from_cache"] == 0


@pytest.mark.asyncio
async def test_another_model_is_loaded_and_a_broken_one_is_said(tmp_path):
    async with connect(tmp_path, configuration={"model": "first"}) as c:
        assert (await c.state("ready")).model == "first"
        for name, state in (("second", "ready"), ("broken", "error")):
            c.states.clear()
            c.client.set_configuration({"codehearth": {"model": name}})
            c.client.workspace_did_change_configuration(t.DidChangeConfigurationParams(settings=None))
            status = await c.state(state)
        assert "header is cut short" in status.message
        assert [note["name"] for note in c.notes("load")] == ["first", "second"]


@pytest.mark.asyncio
async def test_a_wrong_setting_is_told_to_the_user_and_the_rest_counts(tmp_path):
    async with connect(tmp_path, options={"maxTokens": "many", "languages": ["c"]}, FAKE_ANSWER="1\n") as c:
        await c.state("ready")
        assert any("codehearth.maxTokens" in message.message for message in c.client.log_messages)
        c.open("x = ", language="c")
        assert (await c.offer(0, 4))[0] == "1"


@pytest.mark.asyncio
async def test_toggle_and_reload(tmp_path):
    async with connect(tmp_path) as c:
        await c.state("ready")
        assert (await c.command("codehearth.toggle"))["state"] == "off"
        assert (await c.command("codehearth.toggle"))["state"] == "ready"
        c.states.clear()
        assert (await c.command("codehearth.reloadModel"))["state"] == "loading"
        await c.state("ready")
        assert len(c.notes("load")) == 2


@pytest.mark.asyncio
async def test_a_delay_lets_only_the_last_of_several_requests_reach_the_engine(tmp_path):
    async with connect(tmp_path, configuration={"debounce": 200}, FAKE_ANSWER="1\n") as c:
        await c.state("ready")
        c.open("x = ")
        answers = await asyncio.gather(*(c.ask(0, i) for i in (1, 2, 3, 4)))
        assert [answer is None for answer in answers] == [True, True, True, False]
        assert len(c.notes("start")) == 1
