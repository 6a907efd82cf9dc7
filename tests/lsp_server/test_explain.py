"""`codehearth/explain` and quick fixes by the real protocol: tracebacks, diagnostics, sources that do not compile."""

import ast
import asyncio
import subprocess
import sys

import pytest
from connection import connect
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from lsp_server.debugging.diagnostics import problem
from runtime.code.errors.view import View

pytestmark = pytest.mark.asyncio
PROGRAM = "def total(items):\n    𝓬ount = 0\n    s = '𝓬'; return cuont + len(s)\n\nprint(total([]))\n".replace(
    "𝓬ount", "count"
)


def position(line, character):
    return t.Position(line, character)


async def actions(c, uri, line, message=None, columns=(0, 0), only=None):
    where = t.Range(position(line, columns[0]), position(line, columns[1]))
    diagnostics = [t.Diagnostic(where, message)] if message else []
    params = t.CodeActionParams(
        t.TextDocumentIdentifier(uri), where, t.CodeActionContext(diagnostics=diagnostics, only=only)
    )
    return await c.request(t.TEXT_DOCUMENT_CODE_ACTION, params) or []


def command(action) -> dict:
    """The command of an action; lsprotocol takes such an action for a bare command, and its text for the name."""
    return ast.literal_eval(action.command)


def apply(text: str, edit, uri: str) -> str:
    """The edits of one document, positions in UTF-16 units as the protocol has them."""
    lines = [line.encode("utf-16-le") for line in text.split("\n")]
    for one in sorted(edit.changes[uri], key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        start, end = one.range.start, one.range.end
        text_after = lines[end.line][end.character * 2 :]
        head = lines[start.line][: start.character * 2]
        lines[start.line : end.line + 1] = [head + one.new_text.encode("utf-16-le") + text_after]
    return "\n".join(line.decode("utf-16-le") for line in lines)


async def test_the_capability_is_announced(tmp_path):
    async with connect(tmp_path) as c:
        assert list(c.capabilities.code_action_provider.code_action_kinds) == ["quickfix"]
        assert "codehearth.explain" in c.capabilities.execute_command_provider.commands


@pytest.mark.parametrize(
    "message",
    ['"cuont" is not defined', "undefined name 'cuont'", "F821 Undefined name `cuont`", "Undefined variable 'cuont'"],
)
async def test_a_diagnostic_gets_a_quick_fix(tmp_path, message):
    async with connect(tmp_path) as c:
        uri = c.open(PROGRAM, (tmp_path / "shop.py").as_uri())
        fix, explain = await actions(c, uri, 2, message, (21, 26))  # '𝓬' counts two units
        assert fix.title == "Change 'cuont' to 'count'" and fix.kind == "quickfix" and fix.is_preferred
        assert apply(PROGRAM, fix.edit, uri) == PROGRAM.replace("cuont", "count")
        assert explain.title == "Explain this error" and command(explain)["command"] == "codehearth.explain"
        (asked,) = command(explain)["arguments"]
        result = await c.request("codehearth/explain", asked)
        assert result.where.line == 3 and "`count`" in result.cause and "count" in result.markdown and result.fix


async def test_unknown_diagnostics_and_other_languages_get_nothing(tmp_path):
    async with connect(tmp_path) as c:
        uri = c.open(PROGRAM, (tmp_path / "shop.py").as_uri())
        assert await actions(c, uri, 2, "Line too long", (0, 5)) == []
        assert await actions(c, uri, 2) == []
        assert await actions(c, uri, 2, "undefined name 'cuont'", (21, 26), only=["source.organizeImports"]) == []
        other = c.open("x", "file:///a.c", "c")
        assert await actions(c, other, 0, "undefined name 'x'", (0, 1)) == []
        assert await actions(c, "file:///not/open.py", 0, "undefined name 'x'", (0, 1)) == []


async def test_a_document_that_does_not_compile_gets_a_quick_fix(tmp_path):
    async with connect(tmp_path) as c:
        uri = c.open("def f(x)\n    return x\n", (tmp_path / "a.py").as_uri())
        fix, explain = await actions(c, uri, 0)
        assert fix.title == "Add the missing colon"
        assert apply("def f(x)\n    return x\n", fix.edit, uri) == "def f(x):\n    return x\n"
        assert (await c.request("codehearth/explain", command(explain)["arguments"][0])).title == fix.title
        c.edit((0, 8), (0, 8), ":", uri)
        assert await actions(c, uri, 0) == []
        untitled = c.open("print('a'\n", "untitled:Untitled-1")
        assert [a.title for a in await actions(c, untitled, 0)][0] == "Add the missing ')'"


async def test_an_explained_traceback_leaves_a_quick_fix_at_its_line(tmp_path):
    (tmp_path / "shop.py").write_text(PROGRAM, encoding="utf-8")
    text = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True).stderr
    async with connect(tmp_path) as c:
        result = await c.request("codehearth/explain", {"text": f"$ python shop.py\n{text}"})
        assert (result.where.file, result.where.line) == ("shop.py", 3) and result.error.startswith("NameError")
        uri = c.open(PROGRAM, (tmp_path / "shop.py").as_uri())
        assert [a.title for a in await actions(c, uri, 2)] == ["Change 'cuont' to 'count'", "Explain this error"]
        assert await actions(c, uri, 4) == []
        c.edit((0, 0), (0, 0), "# changed\n", uri)
        assert await actions(c, uri, 2) == [] == await actions(c, uri, 3)


async def test_the_text_in_the_editor_counts_not_the_one_on_disk(tmp_path):
    (tmp_path / "helpers.py").write_text("old = 1\n")
    async with connect(tmp_path) as c:
        c.open("def load_settings():\n    pass\n", (tmp_path / "helpers.py").as_uri())
        program = "import helpers\n\nhelpers.load_setings()\n"
        uri = c.open(program, (tmp_path / "a.py").as_uri())
        fix, _ = await actions(c, uri, 2, '"load_setings" is not a known attribute of module "helpers"', (8, 20))
        assert fix.title == "Change '.load_setings' to '.load_settings'"


async def test_nothing_to_explain_is_null_and_wrong_params_are_named(tmp_path):
    async with connect(tmp_path) as c:
        assert await c.request("codehearth/explain", {"text": "all is well"}) is None
        uri = c.open("x = 1\n")
        assert await c.request("codehearth/explain", {"uri": uri}) is None
        place, before = {"line": 0, "character": 0}, {"line": -1, "character": 0}
        wrong = [None, {}, {"text": 1}, {"uri": 1}, {"uri": "file:///gone.py"}]
        wrong += [
            {"uri": uri, "diagnostic": diagnostic}
            for diagnostic in (
                1,
                {"message": "x"},
                {"message": 1, "range": {"start": place, "end": place}},
                {"message": "x", "range": {"start": before, "end": place}},
            )
        ]
        for params in wrong:
            with pytest.raises(JsonRpcException) as error:
                await c.request("codehearth/explain", params)
            assert error.value.code == -32602 and "codehearth/explain" in error.value.message


async def test_other_clients_get_the_cause_as_a_message(tmp_path):
    async with connect(tmp_path) as c:
        uri = c.open(PROGRAM, (tmp_path / "shop.py").as_uri())
        explain = (await actions(c, uri, 2, "undefined name 'cuont'", (21, 26)))[1]
        asked = command(explain)
        params = t.ExecuteCommandParams(command=asked["command"], arguments=asked["arguments"])
        result = await c.request(t.WORKSPACE_EXECUTE_COMMAND, params)
        assert result["title"] if isinstance(result, dict) else result.title
        await asyncio.sleep(0.1)
        assert any("`count`" in message.message for message in c.client.messages)


KNOWN = [
    ('"x" is possibly unbound', "UnboundLocalError", "'x'"),
    ('Cannot access attribute "lenght" for class "str"', "AttributeError", "'str' object has no attribute 'lenght'"),
    ('Cannot access attribute "a" for class "type[C]"', "AttributeError", "type object 'C' has no attribute 'a'"),
    ('"str" has no attribute "lenght"  [attr-defined]', "AttributeError", "'str' object"),
    ('"squrt" is not a known attribute of module "math"', "AttributeError", "module 'math' has no attribute 'squrt'"),
    ('"x" is not a known attribute of "None"', "AttributeError", "'NoneType'"),
    ("Instance of 'Point' has no 'lable' member", "AttributeError", "'Point' object has no attribute 'lable'"),
    ('Import "maths" could not be resolved', "ModuleNotFoundError", "No module named 'maths'"),
    ('"sqrtt" is unknown import symbol', "ImportError", "cannot import name 'sqrtt' from 'math'"),
    ('No parameter named "nmae"', "TypeError", "connect() got an unexpected keyword argument 'nmae'"),
    ('Unexpected keyword argument "nmae" for "connect"', "TypeError", "connect() got an unexpected"),
    ('Argument missing for parameter "port"', "TypeError", "connect() missing 1 required positional arguments: 'port'"),
    (
        'Operator "+" not supported for types "Literal[\'a\']" and "int"',
        "TypeError",
        'can only concatenate str (not "int")',
    ),
    (
        'Operator "-" not supported for types "str" and "int"',
        "TypeError",
        "unsupported operand type(s) for -: 'str' and 'int'",
    ),
    ("ZeroDivisionError: division by zero", "ZeroDivisionError", "division by zero"),
]


@pytest.mark.parametrize("message, kind, words", KNOWN)
async def test_the_words_of_other_servers_are_read(message, kind, words):
    view = View("from math import sqrtt; connect(nmae=1)\n")
    found = problem(message, view, 1)
    assert found[0] == kind and words in found[1]
