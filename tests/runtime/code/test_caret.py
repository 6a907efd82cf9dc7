import pytest
from carets import at

from runtime.code.caret import Caret, Indent, find_indent
from runtime.code.lines import split_lines


def test_neighbours_of_a_caret():
    caret = at("import a\n\ndef f(x):\n    y = ¦x\n\n    return y\n")
    assert (caret.line_prefix, caret.line_suffix) == ("    y = ", "x")
    assert (caret.previous_line, caret.next_line) == ("def f(x):", "    return y")
    assert caret.above == ("import a", "", "def f(x):")


@pytest.mark.parametrize(("line", "column"), [(-1, 0), (2, 0), (0, 2), (0, -1)])
def test_a_place_outside_the_text_is_refused(line, column):
    with pytest.raises(ValueError, match="outside"):
        Caret(["a\n", ""], line, column)


def test_a_line_end_is_no_place_for_a_caret():
    assert Caret(["ab\r\n", ""], 0, 2).line_suffix == ""
    with pytest.raises(ValueError):
        Caret(["ab\r\n", ""], 0, 3)


@pytest.mark.parametrize(
    ("text", "indent"),
    [
        ("", Indent(False, 4)),
        ("if a:\n  if b:\n    c\n", Indent(False, 2)),
        ("def f():\n\tif a:\n\t\tb\n", Indent(True, 4)),
        ("class A:\n    def f(self):\n        g(\n          1)\n    def h(self):\n        pass\n", Indent(False, 4)),
    ],
)
def test_the_file_says_how_it_indents(text, indent):
    assert find_indent(split_lines(text)) == indent


def test_what_a_rule_sees_of_a_huge_line_is_bounded():
    caret = Caret(["x" * 5_000_000], 0, 2_500_000)
    assert len(caret.line_prefix) == len(caret.line_suffix) == 4096
