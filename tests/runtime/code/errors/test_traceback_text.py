"""The parser of tracebacks on what real Pythons, terminals, logs and pytest print, and on garbage."""

import os
import random
import subprocess
import sys
import time

import pytest
from programs import Program

from runtime.code.errors.explain import explain_traceback, read
from runtime.code.errors.situation import NoSources
from runtime.code.errors.traceback_text import CAUSE, CONTEXT, parse_traceback


def trace(workplace, text: str, **beside: str) -> str:
    workplace.write(Program(text, (), beside=beside))
    return workplace.run().stderr


def test_frames_lines_and_marks(workplace):
    (found,) = parse_traceback(trace(workplace, "def f(a):\n    return 1 + a['x']['y']\n\nf({'x': {}})\n"))
    assert (found.type, found.message, found.link) == ("KeyError", "'y'", "")
    assert [(f.line, f.function) for f in found.frames] == [(4, "<module>"), (2, "f")]
    last = found.frames[-1]
    assert last.code == "return 1 + a['x']['y']"
    assert last.code[slice(*last.marks)] == "a['x']['y']"


CHAINED = """\
def read():
    try:
        int("x")
    except ValueError as error:
        raise RuntimeError("cannot read") from error

def clean():
    try:
        read()
    except RuntimeError:
        {}["gone"]

clean()
"""


def test_chains_keep_their_order_and_links(workplace):
    text = trace(workplace, CHAINED)
    chain = parse_traceback(text)
    assert [r.name for r in chain] == ["ValueError", "RuntimeError", "KeyError"]
    assert [r.link for r in chain] == ["", CAUSE, CONTEXT]


def test_what_only_passes_an_error_on_is_not_what_is_explained(workplace):
    found = explain_traceback(trace(workplace, CHAINED), NoSources())
    assert found.type == "KeyError"  # an accident inside `except` ended the program
    wrapped = CHAINED.replace('{}["gone"]', 'raise SystemError("no")')
    found = explain_traceback(trace(workplace, wrapped), NoSources())
    assert found.type == "ValueError"
    assert any(f.name == "ended the program" and "SystemError" in f.value for f in found.facts)


def test_a_group_is_a_tree(workplace):
    text = trace(
        workplace,
        "def f(n):\n    raise ValueError(n)\n\nerrors = []\nfor n in range(2):\n    try:\n        f(n)\n"
        "    except ValueError as e:\n        errors.append(e)\nerrors.append(ExceptionGroup('inner', "
        "[KeyError('k')]))\n"
        "raise ExceptionGroup('several', errors)\n",
    )
    (found,) = parse_traceback(text)
    assert found.name == "ExceptionGroup" and found.message == "several (3 sub-exceptions)"
    assert [chain[-1].name for chain in found.members] == ["ValueError", "ValueError", "ExceptionGroup"]
    assert [f.function for f in found.members[0][0].frames] == ["<module>", "f"]
    assert found.members[2][0].members[0][0].line == "KeyError: 'k'"
    shown = explain_traceback(text, NoSources())
    assert shown.type == "ValueError" and shown.message == "0"


def test_notes_and_further_lines_of_a_message(workplace):
    text = trace(workplace, "e = ValueError('first\\nsecond')\ne.add_note('a note')\nraise e\n")
    (found,) = parse_traceback(text)
    assert found.message == "first" and found.notes == ("second", "a note")


def test_repeated_frames_are_counted(workplace):
    (found,) = parse_traceback(trace(workplace, "def f(n):\n    return f(n + 1)\n\nf(0)\n"))
    assert found.name == "RecursionError"
    assert max(frame.repeated for frame in found.frames) > 900 and len(found.frames) < 20


def test_the_short_form_of_a_syntax_error(workplace):
    (found,) = parse_traceback(trace(workplace, "x = (\n"))
    assert found.name == "SyntaxError" and found.message == "'(' was never closed"
    assert [(f.line, f.function) for f in found.frames] == [(1, "")]


def test_a_syntax_error_of_an_imported_module(workplace):
    (found,) = parse_traceback(trace(workplace, "import other\n", **{"other.py": "def f(:\n"}))
    assert [f.file.rpartition("/")[2] for f in found.frames] == ["main.py", "other.py"]


def test_colours_prefixes_and_carriage_returns(workplace):
    text = trace(workplace, "def f():\n    return nothing\n\nf()\n")
    (plain,) = parse_traceback(text)
    coloured = text.replace("main.py", "\x1b[1m\x1b[35mmain.py\x1b[0m").replace("NameError", "\x1b[31mNameError\x1b[0m")
    assert parse_traceback(coloured) == (plain,)
    assert parse_traceback(text.replace("\n", "\r\n")) == (plain,)
    assert parse_traceback("".join(f"web-1  | {row}\n" for row in text.splitlines())) == (plain,)
    assert parse_traceback("".join(f"    {row}\n" for row in text.splitlines())) == (plain,)
    assert parse_traceback(f"ERROR:root:it failed\n{text}INFO:root:going on\n\nbye\n")[-1].frames == plain.frames


def test_of_several_the_last_and_of_cut_ones_what_is_there(workplace):
    text = trace(workplace, "def f():\n    return nothing\n\nf()\n")
    other = text.replace("nothing", "other")
    assert parse_traceback(text + "\n" + other)[0].message == "name 'other' is not defined"
    head_gone = "\n".join(text.splitlines()[3:])
    (found,) = parse_traceback(head_gone)
    assert found.name == "NameError" and found.frames[-1].function == "f"
    tail_gone = "\n".join(text.splitlines()[:-1])
    (found,) = parse_traceback(tail_gone)
    assert found.type == "" and len(found.frames) == 2
    assert parse_traceback(text + "\n" + tail_gone)[0].name == "NameError"


def test_an_exception_without_a_place():
    (found,) = read("something\nNameError: name 'x' is not defined\n")
    assert found.line == "NameError: name 'x' is not defined" and not found.frames
    assert read("nothing of the kind: here\n") == ()


def run_pytest(workplace, *options: str) -> str:
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir=.",
        *options,
        "test_it.py",
    ]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # quicker
    return subprocess.run(command, cwd=workplace.folder, env=environment, capture_output=True, text=True).stdout


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_what_pytest_prints(workplace, style):
    source = "def add(a, b):\n    return a + b\n\n\ndef test_add():\n    assert add(1, '2') == 3\n"
    (workplace.folder / "test_it.py").write_text(source)
    text = run_pytest(workplace, f"--tb={style}")
    (found,) = read(text)
    assert found.line == "TypeError: unsupported operand type(s) for +: 'int' and 'str'"
    assert (found.frames[-1].line, found.frames[-1].code) == (2, "return a + b")
    assert found.frames[-1].file.endswith("test_it.py") and found.frames[-2].line == 6


def test_an_assertion_of_pytest_keeps_its_values(workplace):
    (workplace.folder / "test_it.py").write_text("def test_sum():\n    assert sum([1, 2]) == 4\n")
    (found,) = read(run_pytest(workplace))
    assert found.name == "AssertionError" and found.message.startswith("assert 3 == 4")


# As Python 3.13 prints it: marks of several kinds, and a suggestion of its own.
NEWER = """\
Traceback (most recent call last):
  File "/tmp/a.py", line 4, in <module>
    print(
    ~~~~~^
        f(1,
        ^^^^
          nmae=2)
          ^^^^^^^
    )
    ^
TypeError: f() got an unexpected keyword argument 'nmae'. Did you mean 'name'?
"""


def test_statements_of_several_lines_of_newer_pythons():
    (found,) = parse_traceback(NEWER)
    assert found.frames[0].code == "print(" and found.message.endswith("'name'?")


def test_garbage_neither_breaks_nor_delays_the_parser(workplace):
    """Pieces of real tracebacks, shuffled, cut and repeated, and bytes of all kinds: an answer each time, quickly."""
    pieces = [
        *trace(workplace, CHAINED).splitlines(keepends=True), *NEWER.splitlines(keepends=True),
        "  + Exception Group Traceback (most recent call last):\n", "  |   File \"a.py\", line 1, in f\n",
        "  +-+---------------- 1 ----------------\n", "    +------------------------------------\n", "E   x\n", "> y\n",
        "a.py:3: "
        "KeyError\n", "\x1b[31m", "\x00", "\ud800", "^^^^\n", "  File \"", "\", line 99999999999, in\n", "|" * 50,
        "  [Previous line repeated 996 more times]\n", "(" * 300 + "\n", "\u2028", "\r", "    ~~~^^^\n",
    ]  # fmt: skip
    random.seed(5)
    began = time.perf_counter()
    for _ in range(1500):
        text = "".join(random.choices(pieces, k=random.randrange(40)))
        cut = random.randrange(len(text) + 1)
        found = explain_traceback(text[cut:], NoSources())
        assert found is None or (found.cause and found.as_json()["fix"] is None)
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\n" + '  File "a.py", line 1, in f\n    x\n' * 200_000 + "KeyError: 1\n",
        "Traceback (most recent call last):\n  File \"" + "a" * 2_000_000 + "\", line 1, in f\nKeyError: 1\n",
        "Traceback (most recent call last):\n" + " " * 2_000_000,
        "~^" * 1_000_000, "| " * 700_000, "\x1b[" * 500_000, "\x1b]" * 500_000, "KeyError: " * 100_000,
        "During handling of the above exception, another exception occurred:\n" * 20_000,
        "  + Exception Group Traceback (most recent call last):\n" * 20_000,
        "".join(
            " " * i + "+ Exception Group Traceback (most recent call last):\n" + " " * i + "+-+--- 1 ---\n"
            for i in range(900)
        ),
        "E   " * 300_000, "___ a ___\n" * 100_000, "a.py:1: " * 100_000,
    ],
    ids=range(14),
)  # fmt: skip
def test_huge_and_deep_texts_are_bounded(text):
    began = time.process_time()
    explain_traceback(text, NoSources())
    assert time.process_time() - began < 10
