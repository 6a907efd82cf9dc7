from carets import at

from runtime.code.stream import EnoughText


def fed(caret, *pieces):
    enough = EnoughText(caret)
    for i, piece in enumerate(pieces):
        if enough.feed(piece):
            return i + 1
    return None


def test_a_line_is_enough():
    assert fed(at("x = ¦"), "1", " + 2", "\ny", " = 3") == 3


def test_on_a_blank_line_blank_lines_are_passed_over():
    assert fed(at("def f():\n    ¦"), "\n", "    ", "return 1", "\n", "more") == 4


def test_nothing_but_blank_lines_is_given_up():
    assert fed(at("x = 1\n¦"), "\n", "\n", "\n", "\n") == 3


def test_a_block_ends_where_the_indentation_falls_back():
    caret = at("def f():\n    ¦", multiline=True)
    assert fed(caret, "a = 1\n", "    b = 2\n", "    return b\n", "def g():\n", "    pass\n") == 4


def test_several_lines_are_bounded():
    assert fed(at("x = [\n    ¦", multiline=True), "1,\n", *["    1,\n"] * 50) == 12
