"""Sections: they join to the document, start where a reader would cut, and are bounded."""

import pytest

from finetune.data.sections import sections

FUNCTION = "def f(a):\n    if a:\n\n        return 1\n    return 2\n\n\n"


def test_sections_join_to_the_document_and_begin_at_top_level():
    text = FUNCTION * 40 + "x = 1"
    parts = sections(text, 20)
    assert "".join(parts) == text and len(parts) > 8
    assert all(part.startswith(("def f", "x = 1")) for part in parts)
    assert all(20 <= len(part.splitlines()) <= 40 for part in parts[:-1])


def test_text_without_a_top_level_line_is_cut_all_the_same():
    parts = sections("    x = 1\n" * 100, 10)
    assert [len(part.splitlines()) for part in parts] == [20] * 5


def test_short_text_and_zero_stay_whole():
    assert sections(FUNCTION, 50) == [FUNCTION]
    assert sections(FUNCTION * 50, 0) == [FUNCTION * 50]
    assert sections("", 10) == [""]
    with pytest.raises(ValueError, match="negative"):
        sections("", -1)
