import pytest
from carets import at

from runtime.code.postprocess.repetition import cut_at_next_line, cut_loop, repeats_neighbour


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("self.a.a.a.a.a.a.a.a.a.a", "self.a"),
        ("x, 1, 1, 1, 1, 1, 1, 1", "x, 1"),
        ("foo bar foo bar foo bar foo bar foo bar", "foo bar"),
        ("a\nb()\nb()\nb()\nb()", "a\nb()"),
        ("= = = = = = = = = = =", "="),
        ("[[0, 1], [1, 0]]", "[[0, 1], [1, 0]]"),
        ("'=' * 10  # ==========================", "'=' * 10  # =========================="),
        ("", ""),
    ],
)
def test_loops_are_cut(raw, text):
    assert cut_loop(raw).strip() == text


def test_a_neighbour_is_not_repeated():
    place = "    total = 0\n    ¦\n    return total\n"
    assert repeats_neighbour("total = 0", at(place)) == "repeats the line above"
    assert repeats_neighbour("return total", at(place)) == "repeats the line below"
    assert repeats_neighbour("total += 1", at(place)) is None
    assert repeats_neighbour("pass", at("    pass\n    ¦\n")) is None


def test_an_offer_stops_before_the_line_that_follows():
    caret = at("def f():\n    ¦\n    return total\n", multiline=True)
    assert cut_at_next_line("total = 0\n    total += 1\n    return total\nx", caret) == "total = 0\n    total += 1"
