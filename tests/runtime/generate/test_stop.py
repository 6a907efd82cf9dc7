"""Stop rules: stop strings never show, whatever the borders of the pieces; nothing else is lost."""

import numpy as np
import pytest

from runtime.generate.stop import StopRules


def run(text_pieces, **options):
    rules = StopRules(**options)
    shown = ""
    for id, text in enumerate(text_pieces):
        out, done = rules.feed(id, text)
        shown += out
        if done:
            return shown, rules.reason
    return shown + rules.flush(), rules.reason


def test_a_stop_string_across_pieces_is_never_shown():
    assert run(["ab<", "|e", "nd|", ">x"], stop=["<|end|>"]) == ("ab", "stop")
    assert run(["abc\n", "def"], stop="\n") == ("abc", "stop")


def test_text_that_only_began_like_a_stop_string_is_shown_in_the_end():
    assert run(["a<", "|e", "x"], stop=["<|end|>"]) == ("a<|ex", None)
    assert run(["a<", "|"], stop=["<|end|>"]) == ("a<|", None)


def test_held_text_is_as_short_as_possible():
    rules = StopRules(stop=["aab"])
    assert rules.feed(0, "xaaa") == ("xa", False)
    assert rules.feed(1, "b") == ("", True)
    assert rules.flush() == ""


def test_the_earliest_of_several_stops_wins():
    assert run(["one two three"], stop=["three", "two"]) == ("one ", "stop")


def test_random_borders_give_the_same_text():
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = "".join(rng.choice(list("ab\n"), 30))
        stops = ["".join(rng.choice(list("ab\n"), rng.integers(1, 5))) for _ in range(2)]
        cuts = sorted(rng.integers(0, 31, 8))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, 30], strict=True)]
        by_char = run(list(text), stop=stops)
        found = [text.find(s) + len(s) for s in stops if s in text]
        if found:  # character by character, the stop that is complete first ends the text
            end = min(found)
            first = min(text[:end].find(s) for s in stops if s in text[:end])
            assert by_char == (text[:first], "stop")
        else:
            assert by_char == (text, None)
        shown, reason = run(pieces, stop=stops)
        assert reason == by_char[1]
        assert not any(s in shown for s in stops)
        assert text.startswith(shown)


def test_stop_ids_end_without_their_text_and_release_what_was_held():
    assert run(["a", "<", "EOS"], stop=["<|"], stop_ids=[2]) == ("a<", "stop")


def test_max_tokens_ends_with_length_and_a_stop_in_the_last_token_wins():
    assert run(["a", "b", "c"], max_tokens=2) == ("ab", "length")
    assert run(["a", "b\n"], stop=["\n"], max_tokens=2) == ("ab", "stop")
    assert run(["a", "<"], stop=["<|"], max_tokens=2) == ("a<", "length")


def test_flush_with_a_tail_that_completes_a_stop():
    rules = StopRules(stop=["<|"])
    assert rules.feed(0, "a<") == ("a", False)
    assert rules.flush("|b") == ""


def test_misuse_is_refused():
    with pytest.raises(ValueError):
        StopRules(stop=[""])
    with pytest.raises(ValueError):
        StopRules(max_tokens=0)
    rules = StopRules(max_tokens=1)
    rules.feed(0, "a")
    with pytest.raises(RuntimeError):
        rules.feed(1, "b")
