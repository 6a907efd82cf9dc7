"""No rule breaks: messages of one program at lines of another, sources cut and shuffled, deep and odd sources."""

import ast
import random

import pytest
from programs import FAILING, NOT_COMPILING

from runtime.code.errors.edits import apply, unified_diff
from runtime.code.errors.explain import explain_message, explain_source, explain_traceback
from runtime.code.errors.rules import RULES
from runtime.code.errors.situation import NoSources, Situation
from runtime.code.errors.view import View, compile_error

MESSAGES = [
    ("NameError", "name 'x' is not defined"),
    ("NameError", "name 'self' is not defined"),
    ("UnboundLocalError", "local variable 'total' referenced before assignment"),
    ("AttributeError", "'NoneType' object has no attribute 'get'"),
    ("AttributeError", "'list' object has no attribute 'push'"),
    ("AttributeError", "module 'math' has no attribute 'x'"),
    ("AttributeError", "'Point' object has no attribute 'y'"),
    ("AttributeError", "type object 'Dog' has no attribute 'brk'"),
    ("ImportError", "cannot import name 'a' from 'b' (unknown)"),
    ("ModuleNotFoundError", "No module named 'xml.dmo'"),
    ("ModuleNotFoundError", "No module named 'a.b.c'; 'a' is not a package"),
    ("TypeError", "f() got an unexpected keyword argument 'nmae'"),
    ("TypeError", "C.__init__() missing 2 required positional arguments: 'a' and 'b'"),
    ("TypeError", "f() takes from 1 to 2 positional arguments but 3 were given"),
    ("TypeError", "f() got multiple values for argument 'a'"),
    ("TypeError", "Box() takes no arguments"),
    ("TypeError", "Can't instantiate abstract class Square with abstract method area"),
    ("TypeError", 'can only concatenate str (not "int") to str'),
    ("TypeError", 'can only concatenate list (not "NoneType") to list'),
    ("TypeError", "unsupported operand type(s) for +: 'int' and 'str'"),
    ("TypeError", "unsupported operand type(s) for ** or pow(): 'str' and 'int'"),
    ("TypeError", "'<' not supported between instances of 'str' and 'int'"),
    ("TypeError", "can't multiply sequence by non-int of type 'str'"),
    ("TypeError", "'float' object cannot be interpreted as an integer"),
    ("TypeError", "list indices must be integers or slices, not float"),
    ("TypeError", "list indices must be integers or slices, not tuple"),
    ("TypeError", "string indices must be integers, not 'str'"),
    ("TypeError", "sequence item 0: expected str instance, int found"),
    ("TypeError", "write() argument must be str, not int"),
    ("TypeError", "'list' object is not callable"),
    ("TypeError", "'module' object is not callable"),
    ("TypeError", "'NoneType' object is not callable"),
    ("TypeError", "'NoneType' object is not subscriptable"),
    ("TypeError", "'function' object is not subscriptable"),
    ("TypeError", "'int' object is not iterable"),
    ("TypeError", "cannot unpack non-iterable int object"),
    ("TypeError", "'list' object is not an iterator"),
    ("TypeError", "object of type 'generator' has no len()"),
    ("TypeError", "unhashable type: 'list'"),
    ("TypeError", "'tuple' object does not support item assignment"),
    ("TypeError", "not all arguments converted during string formatting"),
    ("KeyError", "'name'"),
    ("KeyError", "1"),
    ("KeyError", "(((((("),
    ("IndexError", "list index out of range"),
    ("IndexError", "pop from empty list"),
    ("ValueError", "invalid literal for int() with base 10: '3.5'"),
    ("ValueError", "too many values to unpack (expected 2)"),
    ("ValueError", "I/O operation on closed file."),
    ("ValueError", "could not convert string to float: 'a'"),
    ("ValueError", "max() arg is an empty sequence"),
    ("UnicodeDecodeError", "'charmap' codec can't decode byte 0x8f in position 1: character maps to <undefined>"),
    ("ZeroDivisionError", "division by zero"),
    ("RecursionError", "maximum recursion depth exceeded"),
    ("RuntimeError", "dictionary changed size during iteration"),
    ("AssertionError", ""),
    ("NotImplementedError", ""),
    ("StopIteration", ""),
    ("FileNotFoundError", "[Errno 2] No such file or directory: 'a/b.txt'"),
    ("FileExistsError", "[Errno 17] File exists: 'there'"),
]


def check_all(view: View, line: int, marks: tuple[int, int] | None) -> int:
    """Every rule at one line, without the fence; what it proposes must be a change that can be applied."""
    found = 0
    for kind, message in MESSAGES:
        situation = Situation(view, line, kind, message, marks, True, NoSources())
        for rule in RULES[kind]:
            finding = rule(situation)
            if finding is not None:
                assert finding.cause.strip() and all(fact.name and fact.value for fact in finding.facts)
                found += 1
                if finding.edits:
                    assert finding.title and apply(view.text, finding.edits) != view.text
                break
    return found


def test_every_message_at_lines_of_other_programs():
    random.seed(3)
    found = 0
    for program in FAILING.values():
        view = View(program.text, "main.py")
        lines = [n for n in range(1, len(view.lines) + 1) if view.line(n).strip()]
        for line in random.sample(lines, 1):
            width = len(view.line(line))
            start = random.randrange(width)
            found += check_all(view, line, random.choice([None, (start, random.randrange(start, width) + 1)]))
    assert found > 1500


ODD = [
    "",
    "\n",
    "\ufeffx = 1\n",
    "x = 'é𝓬' + y\r\nprint(x)\r\n",
    "if 1: x = f(a, b); y[1] = x\n",
    "class A: pass\n",
    "f(*a, **k)\n",
    "x = yield\n",
    "def f(): return f\n",
    "lambda: (yield)\n",
    "[x for x in y if x for z in x]\n",
    "@a\n@b(c)\ndef f(x=y): pass\n",
    "match x:\n    case {'a': [b, *c]}:\n        d\n",
    "async def f():\n    async with a as b: await b\n",
    "x: int\n",
    "del x\n",
    "global x\n",
    "a = b = c, d = e\n",
    "try:\n    x\nexcept* E as e:\n    e\n",
    "print((((((1))))))\n",
    "x.y.z[1][2](3)(4).w\n",
    "\fx = 1\n",
    "x = " + "(" * 90 + "1" + ")" * 90 + "\n",
    "x = " + "+".join("1" * 300) + "\n",
    "a" + ".b" * 200 + "\n",
    "#\n" * 50 + "x",
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_every_message_in_odd_sources(text):
    view = View(text, "odd.py")
    for line in range(1, min(len(view.lines), 4) + 1):
        check_all(view, line, None)
        check_all(view, line, (0, 3))


def test_cut_and_shuffled_sources_are_explained():
    """What does not compile gets an explanation, quickly; what is proposed compiles or gets further down."""
    random.seed(11)
    texts = [program.text for program in (*FAILING.values(), *NOT_COMPILING.values())]
    repaired = 0
    for _ in range(250):
        text = random.choice(texts)
        at = random.randrange(len(text))
        piece = random.choice(
            ["", "(", ")", "'", '"', ":", "\n", "    ", "\t", "=", "{", "“", "\\", "f'{", "\0", "\ud800"]
        )
        text = text[:at] + piece + text[at + random.randrange(3) :]
        found = explain_source(text, "cut.py")
        if found is None:
            assert compile_error(text) is None
            continue
        assert found.cause and 1 <= found.line and found.as_json()["where"]["file"] == "cut.py"
        if found.diff:
            after = compile_error(apply(text, found.edits))
            assert after is None or after.lineno > found.line
            repaired += after is None
    assert repaired > 40


@pytest.mark.parametrize(
    "text", ["-" * 50_000 + "1", "a" + ".b" * 50_000, "(" * 50_000, "x = 1\n" * 20_000 + "y = (", "if 1:\n" * 99]
)
def test_huge_and_deep_sources_are_bounded(text):
    found = explain_source(text, "deep.py")
    assert found is not None and found.cause
    shown = explain_message("NameError", "name 'b' is not defined", View(text, "deep.py"), 1, None, NoSources())
    assert shown.cause


def test_a_diff_of_any_text_is_a_diff():
    before = "a\r\nb\x0bc\u2028d\n\fe"
    after = before.replace("b", "B")
    assert unified_diff(before, after, "x.py").endswith("\n")
    assert unified_diff("a", "a\nb", "x.py").count("\\ No newline at end of file") == 2
    assert unified_diff("a\n", "a\n", "x.py") == ""


def test_a_source_that_was_changed_since_gets_no_change():
    text = 'Traceback (most recent call last):\n  File "a.py", line 2, in <module>\n    print(cuont)\n'
    text += "NameError: name 'cuont' is not defined\n"

    class Changed(NoSources):
        def source(self, path):
            return "a.py", "count = 1\nprint(count, cuont)\n"

    found = explain_traceback(text, Changed())
    assert found.diff is None and "changed since" in str(found.facts)

    class Moved(NoSources):
        def source(self, path):
            return "a.py", "# a new line\n\ncount = 1\nprint(cuont)\n"

    found = explain_traceback(text, Moved())
    assert found.line == 4 and "+print(count)" in found.diff


def test_nothing_of_the_program_is_run_or_imported(tmp_path):
    """A source whose every statement would leave a trace."""
    from lsp_server.debugging.project import Project

    trap = f"open({str(tmp_path / 'trace')!r}, 'w')\n"
    (tmp_path / "trap.py").write_text(trap)
    (tmp_path / "main.py").write_text(trap + "import trap\ntrap.opne()\n")
    text = f'Traceback (most recent call last):\n  File "{tmp_path}/main.py", line 3, in <module>\n    trap.opne()\n'
    text += "AttributeError: module 'trap' has no attribute 'opne'\n"
    found = explain_traceback(text, Project([tmp_path], tmp_path))
    assert found.line == 3 and not (tmp_path / "trace").exists()
    assert ast.parse(trap)


def test_several_mistakes_are_repaired_together():
    before = "def f():\n    for i in range(3)\n        print(i))\n    return i\n\n\nprint('done)\n"
    found = explain_source(before, "main.py")
    after = apply(before, found.edits)
    assert compile_error(after) is None and found.title.count(";") == 2
    assert after == "def f():\n    for i in range(3):\n        print(i)\n    return i\n\n\nprint('done')\n"
