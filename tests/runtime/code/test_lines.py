import pytest

from runtime.code.lines import body, line_end, replace_lone_surrogates, split_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("\n", ["\n", ""]),
        ("a", ["a"]),
        ("a\r\nb\rc\nd", ["a\r\n", "b\r", "c\n", "d"]),
        ("\r\r\n\n", ["\r", "\r\n", "\n", ""]),
        ("form\x0cfeed\u2028and\x85more\n", ["form\x0cfeed\u2028and\x85more\n", ""]),
    ],
)
def test_lines_end_where_editors_end_them(text, lines):
    assert split_lines(text) == lines
    assert "".join(split_lines(text)) == text


def test_a_line_without_its_end():
    assert [body(line) for line in ("a\r\n", "a\r", "a\n", "a", "")] == ["a", "a", "a", "a", ""]


def test_line_end_is_that_of_the_first_line():
    assert line_end(["a\r\n", "b\n", ""]) == "\r\n"
    assert line_end(["a"]) == "\n"


def test_lone_surrogates_are_replaced_one_for_one():
    assert replace_lone_surrogates("a\ud83db\ude00😀") == "a\ufffdb\ufffd😀"
