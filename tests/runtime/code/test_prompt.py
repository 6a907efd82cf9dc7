import time

import pytest
from carets import at
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.code.caret import Caret
from runtime.code.lines import body, split_lines
from runtime.code.prompt import MARKERS, completion_prompt, split_budget


def tokens(text: str) -> int:
    """A stand-in for a tokenizer: three bytes a token."""
    return -(-len(text.encode("utf-8")) // 3)


FILE = "".join(f"    value_{i} = compute({i}, factor={i * 7})\n" for i in range(400))


def test_small_text_is_seen_whole():
    prompt = completion_prompt(at("def add(a, b):\n    return ¦\n\nprint(add(1, 2))\n"), tokens, 512)
    assert prompt.prefix == "def add(a, b):\n    return "
    assert prompt.suffix == "\n\nprint(add(1, 2))\n"


def test_line_ends_become_newlines():
    prompt = completion_prompt(at("a = 1\r\nb = ¦\r\nc = 3\r\n"), tokens, 512)
    assert (prompt.prefix, prompt.suffix) == ("a = 1\nb = ", "\nc = 3\n")


def test_budget_of_the_first_model():
    budget = split_budget(512, 64)
    assert (budget.prefix, budget.suffix, budget.answer) == (315, 125, 64)
    with pytest.raises(ValueError, match="too small"):
        split_budget(16)


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="ab \n\t()é中😀\r", max_size=3000),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from([64, 128, 512]),
)
def test_a_prompt_always_fits_and_is_text_of_the_file(text, line, column, context):
    lines = split_lines(text)
    line %= len(lines)
    caret = Caret(lines, line, column % (len(body(lines[line])) + 1))
    prompt = completion_prompt(caret, tokens, context)
    assert tokens(prompt.prefix) + tokens(prompt.suffix) + prompt.max_tokens + MARKERS <= context + 2
    normal = "".join(body(x) + ("\n" if body(x) != x else "") for x in lines)
    where = sum(len(body(x)) + 1 for x in lines[:line]) + caret.column
    assert normal[:where].endswith(prompt.prefix)
    assert normal[where:].startswith(prompt.suffix)


def test_the_window_stays_put_while_lines_are_typed():
    """Of 40 lines typed one after the other, few move the start of the prompt: all others only add to it."""
    lines = split_lines(FILE)[:200]
    moved, before = 0, None
    for _ in range(40):
        lines = [*lines, "    another = line_of_code(1, 2)\n"]
        prompt = completion_prompt(Caret([*lines, "    "], len(lines), 4), tokens, 512)
        if before is not None and not prompt.prefix.startswith(before.rstrip(" ")):
            moved += 1
        before = prompt.prefix
    assert 0 < moved <= 40 // 8 + 1
    assert tokens(before) > 315 // 2, "the window is not kept far below its budget"


def test_typing_within_a_line_only_appends():
    lines = split_lines(FILE)
    line = "    value = compute(factor)"
    starts = set()
    for column in range(4, len(line)):
        prompt = completion_prompt(Caret([*lines[:300], line[:column] + "\n", *lines[300:]], 300, column), tokens, 512)
        starts.add(prompt.prefix[: len(prompt.prefix) - column])
    assert len(starts) == 1


@pytest.mark.parametrize("unit", ["x", "é", "ab = 1; "])
def test_a_line_of_five_megabytes_costs_no_more_than_a_short_one(unit):
    line = unit * (5_000_000 // len(unit))
    began = time.perf_counter()
    prompt = completion_prompt(Caret([line], 0, len(line) // 2), tokens, 512)
    assert time.perf_counter() - began < 1.0
    assert 315 // 3 < tokens(prompt.prefix) <= 315
    assert 125 // 3 < tokens(prompt.suffix) <= 125


def test_an_empty_file_has_an_empty_prompt():
    prompt = completion_prompt(Caret([""], 0, 0), tokens, 512)
    assert (prompt.prefix, prompt.suffix) == ("", "")
