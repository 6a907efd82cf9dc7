"""The longest-suffix model: the longest past wins, the newest among equals, texts given before, drafts."""

import numpy as np
import pytest

from runtime.code.suffix_model import SuffixModel


def fed(text, texts=(), **options):
    m = SuffixModel(256, texts, **options)
    for id in text:
        m.feed(id)
    return m


def test_the_longest_past_wins():
    m = fed(b"self.count = 1; else.count + 2; self.count")
    assert m.match()[1] == len("self.count") and bytes(m.draft(4)) == b" = 1"
    assert chr(m.best()) == " "


def test_the_newest_wins_among_equals():
    assert chr(fed(b"xab1 yab2 zab").best()) == "2"


def test_nothing_is_said_without_a_match():
    m = fed(b"abcdefg")
    assert m.best() is None and m.draft(5) == [] and m.match()[1] == 0 and m.confidence() == 0
    np.testing.assert_allclose(m.distribution(), np.full(256, 1 / 256))


def test_texts_given_before_help_and_no_match_crosses_their_end():
    known = [b"def helper(path, mode):", b"mode"]
    m = fed(b"x = helper(", known)
    assert bytes(m.draft(40)) == b"path, mode):"  # not what follows in the next text
    assert fed(b"mode):", known).best() is None


def test_a_draft_goes_on_with_a_loop():
    assert bytes(fed(b"abcabcab").draft(7)) == b"cabcabc"


def test_sums_and_confidence():
    m = SuffixModel(256)
    for id in b"abcabcabcabcabcabcabd" * 3:
        assert abs(m.distribution().sum() - 1) < 1e-12
        m.feed(id)
    good = fed(b"0123456789" * 10)
    assert good.confidence() > 0.95 and good.distribution()[ord("0")] == good.distribution().max()


def test_incremental_equals_from_scratch():
    text = bytes(np.random.default_rng(0).choice(list(b"abc"), 200).tolist())
    m = SuffixModel(256)
    for n, id in enumerate(text):
        if n % 20 == 0:
            fresh = fed(text[:n])
            assert fresh.match() == m.match()
            np.testing.assert_array_equal(fresh.distribution(), m.distribution())
        m.feed(id)


def test_against_the_plain_search():
    text = bytes(np.random.default_rng(1).choice(list(b"abcdef"), 120).tolist())
    m = SuffixModel(256)
    for n, id in enumerate(text):
        plain = max(
            (
                (k, place)
                for place in range(2, n)
                for k in range(2, place + 1)
                if text[place - k : place] == text[n - k : n]
            ),
            default=(0, 0),
        )
        assert m.match() == (plain[1], plain[0]), n
        m.feed(id)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="least"):
        SuffixModel(10, least=0)
    with pytest.raises(ValueError, match="outside"):
        SuffixModel(10).feed(10)
