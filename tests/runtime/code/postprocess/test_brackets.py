import pytest
from carets import at

from runtime.code.postprocess.brackets import balance
from runtime.code.scanner import scan


@pytest.mark.parametrize(
    ("place", "raw", "offer"),
    [
        ("print(¦)", "x)", ("x", 0)),
        ("print(¦)", "x).strip()", ("x).strip()", 1)),
        ("print(¦", "x)", ("x)", 0)),
        ("foo(bar(¦)", "x)", ("x)", 0)),
        ("foo(bar(¦))", "x))", ("x", 0)),
        ("foo(bar(¦))", "x), 1)", ("x), 1", 1)),
        ('print("¦")', 'hello")', ("hello", 0)),
        ('print("¦")', 'hello", 1)', ('hello", 1', 1)),
        ('print("it\'s ¦")', 'fine")', ("fine", 0)),
        ("a = b¦", ")", ("", 0)),
        ("a = b¦", " + c)", (" + c", 0)),
        ("items = [\n    1,\n    ¦\n]\n", "2]", ("2", 0)),
        ("items = [\n    1,\n    ¦\n", "2]", ("2]", 0)),
        ("x = {¦}", '"a": [1, 2]}', ('"a": [1, 2]', 0)),
        ("f(¦)  # (", "')'", ("')'", 0)),
        ("# (\nx = y¦", ")", ("", 0)),
        ('    """\n    long ago\n    """\n    def f(self):\n        g(¦)\n', "x)", ("x", 0)),
        ('def f():\n    """Says (¦)\n    """\n', "it)", ("it", 0)),
        ('def f():\n    """Ends\n    ¦\n\ndef g():\n    """Other."""\n', 'here."""', ('here."""', 0)),
        ("call(\n    f(¦)\n", "x)", ("x", 0)),
        ("t = (\n    (1, 2),\n    (3, ¦\n)\n", "4),", ("4),", 0)),
        ('"""(\n"""\nx = (¦)', "1)", ("1", 0)),
        ("s = f'{¦}'", "x}'", ("x", 0)),
        ("s = f'{¦}'", "x} is {y}'", ("x} is {y", 0)),
        ("s = f'{¦}'", "x} is", ("x} is", 1)),
        ("s = f'{¦}'", "{1}", ("{1}", 0)),
        ("s = f'{a[¦]}'", "k]", ("k", 0)),
        ('s = f"""{¦} there"""', "x}", ("x", 0)),
    ],
)
def test_brackets_stay_balanced_on_both_sides(place, raw, offer):
    assert balance(raw, at(place)) == offer


def test_the_scanner_knows_strings_and_comments():
    assert scan("f(')', [1  # ]\n")[0] == ("(", "[")
    assert scan("x = '''a ( b")[0] == ("'''",)
    assert scan("x = 'open\ny = (")[0] == ("(",)
    assert scan("f(')' // 2)", language="python")[0] == ()
    assert scan("a // it's )\nf(", language="c")[0] == ("(",)
    assert scan(r"'a\'(' + (")[0] == ("(",)


def test_hundreds_of_lines_around_the_caret_take_no_time():
    import time

    text = "".join(f"    call_{i}(a[{i}], {{'k': ({i},)}})  # note\n" for i in range(400))
    caret = at(text[: len(text) // 2] + "\n    f(¦)\n" + text[len(text) // 2 :])
    began = time.perf_counter()
    assert balance("x)", caret) == ("x", 0)
    assert time.perf_counter() - began < 0.1
