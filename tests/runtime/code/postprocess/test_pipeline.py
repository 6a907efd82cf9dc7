"""All rules together: what a person would see."""

import pytest
from carets import at
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.code.caret import Caret
from runtime.code.lines import body, split_lines
from runtime.code.postprocess import Offer, Silence, apply, traced


@pytest.mark.parametrize(
    ("place", "raw", "line"),
    [
        ("def add(a, b):\n    return ¦\n", "a + b\n\n\ndef sub", "    return a + b"),
        ("print(¦)\n", "value)", "print(value)"),
        ("print(¦)\n", "value).strip()\n", "print(value).strip()"),
        ("x = ¦\n", " 1<|endoftext|>", "x = 1"),
        ("def f(¦) -> int:\n", "a, b) -> int:\n    return", "def f(a, b) -> int:"),
        ("if x:\n    y = 1\n¦\n", "\n    z = 2\n", "    z = 2"),
        ("for ¦ in items:\n", "item in items:\n", "for item in items:"),
        ("¦\n", "import os   \n", "import os"),
    ],
)
def test_the_line_after_accepting(place, raw, line):
    caret = at(place)
    offer = apply(raw, caret)
    assert isinstance(offer, Offer), offer
    assert caret.line_prefix + offer.text + caret.line_suffix[offer.replace :] == line


def test_the_rules_that_changed_something_are_told_in_order():
    offer, changes = traced("a, b) -> int:\n    return<|endoftext|>", at("def f(¦) -> int:\n"))
    assert [name for name, _ in changes] == ["special tokens", "single line", "suffix overlap"]
    assert offer == Offer("a, b") and changes[-1][1] == "a, b"
    assert traced("item", at("for ¦ in items:\n")) == (Offer("item"), [])


@pytest.mark.parametrize(
    ("place", "raw", "reason"),
    [
        ("x = ¦", "", "nothing to add"),
        ("x = 1¦\n", "\ny = 2", "single line"),
        ("x = ¦", "<|endoftext|>", "special tokens"),
        ("print(x)¦", ")", "brackets"),
        ("def f():\n    return total\n    ¦", "return total", "line above"),
        ("def f():\n    ¦\n    return total\n", "return total", "line below"),
    ],
)
def test_silence_has_a_reason(place, raw, reason):
    silence = apply(raw, at(place))
    assert isinstance(silence, Silence) and reason in silence.reason


CODE = st.text(alphabet="ab1 \n\t()[]{}'\"#:=.,\\é😀\r<|>", max_size=60)


@settings(max_examples=400, deadline=None)
@given(CODE, CODE, CODE, st.booleans())
def test_any_answer_at_any_place_gives_a_sane_offer(before, after, raw, multiline):
    lines = split_lines(before + after)
    line = min(len(split_lines(before)), len(lines)) - 1
    column = min(len(body(split_lines(before)[-1])), len(body(lines[line])))
    caret = Caret(lines, line, column, multiline=multiline)
    result = apply(raw, caret)
    assert apply(raw, caret) == result
    if isinstance(result, Offer):
        assert result.text.strip()
        assert 0 <= result.replace <= len(caret.line_suffix)
        assert "\r" not in result.text
        assert multiline or "\n" not in result.text
    else:
        assert result.reason
