import pytest
from carets import at

from runtime.code.postprocess.indentation import fit_indentation


@pytest.mark.parametrize(
    ("place", "raw", "text"),
    [
        ("x = ¦", " 1", "1"),
        ("x =¦", " 1", " 1"),
        ("def f():\n    ¦", "return 1", "return 1"),
        ("def f():\n    ¦", "    return 1", "return 1"),
        ("def f():\n¦", "    return 1", "    return 1"),
        ("def f():\n  ¦", "  return 1", "  return 1"),
        ("def f():\n    if x:\n    ¦", "    return 1", "    return 1"),
        ("a = 1\n¦", "    b = 2", "b = 2"),
        ("a = 1  # note:\n¦", "    b = 2", "b = 2"),
        ('if c == "#":\n¦', "    b = 2", "    b = 2"),
        ("a = '#'  # it's:\n¦", "    b = 2", "b = 2"),
        ("def f():\n    pass\n\n¦", "def g():", "def g():"),
        ("x = call(a,\n¦", "         b)", "         b)"),
        ('"""Doc.\n¦', "      indented prose", "      indented prose"),
        ("a      = 1\nb  ¦", "    = 2", "    = 2"),
    ],
)
def test_the_first_line_fits_the_white_space_left_of_the_caret(place, raw, text):
    assert fit_indentation(raw, at(place)) == text


def test_a_tab_left_of_the_caret_says_how_a_new_file_indents():
    assert fit_indentation("x = 1\n    return x", at("def f():\n\t¦", multiline=True)) == "x = 1\n\treturn x"
    spaces = at("def f():\n    if a:\n        b()\n\t¦", multiline=True)
    assert fit_indentation("x = 1\n    return x", spaces) == "x = 1\n    return x"


def test_a_file_with_tabs_gets_tabs():
    caret = at("def f():\n\tif x:\n\t\tpass\n\t¦", multiline=True)
    assert fit_indentation("while y:\n        z()", caret) == "while y:\n\t\tz()"


def test_a_file_with_spaces_gets_spaces():
    caret = at("def f():\n    if x:\n        pass\n    ¦", multiline=True)
    assert fit_indentation("while y:\n\t\tz()", caret) == "while y:\n        z()"


def test_a_blank_line_in_a_tabbed_block():
    assert fit_indentation("    y = 1", at("if x:\n\ta = 1\n\tb = 2\n¦")) == "\ty = 1"
