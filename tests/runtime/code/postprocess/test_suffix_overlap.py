import pytest
from carets import at

from runtime.code.postprocess.suffix_overlap import cut_overlap


@pytest.mark.parametrize(
    ("place", "raw", "text"),
    [
        ("def f(¦) -> int:", "a, b) -> int:", "a, b"),
        ("x = ¦ + offset", "base + offset", "base"),
        ("f(¦, key=len)", "items, key=len)", "items"),
        ("f(¦, key=len)", "items", "items"),
        ("for ¦ in names:", "name in names:", "name"),
        ("return ¦name", "first_name", "first_name"),
        ("x = ¦", "1", "1"),
        ("print(¦)", "x)", "x)"),
    ],
)
def test_what_stands_right_of_the_caret_is_not_written_twice(place, raw, text):
    assert cut_overlap(raw, at(place), whole_line=False).rstrip() == text


def test_a_model_that_wrote_the_whole_line_wrote_its_rest_too():
    caret = at("total = self.¦ation")
    assert cut_overlap("calculation", caret, whole_line=True) == "calcul"
    assert cut_overlap("calculation", caret, whole_line=False) == "calculation"


def test_an_operator_in_the_middle_is_no_overlap():
    assert cut_overlap("a % b, c", at("x = (¦%"), whole_line=False) == "a % b, c"
