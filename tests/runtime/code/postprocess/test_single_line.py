from carets import at

from runtime.code.postprocess.single_line import cut_to_line


def test_one_line_by_default():
    assert cut_to_line("1 + 2\ny = 3", at("x = ¦")) == "1 + 2"


def test_on_a_blank_line_the_first_line_with_text():
    assert cut_to_line("\n    \n    return x\nmore", at("def f():\n¦")) == "    return x"


def test_after_text_a_newline_ends_it():
    assert cut_to_line("\nmore", at("x = 1¦")) == ""


def test_several_lines_where_they_are_wanted():
    assert cut_to_line("a\nb", at("x = ¦", multiline=True)) == "a\nb"
