"""Token healing: exactly the tokens that fit the bytes before the caret, at any vocabulary size."""

import time

import numpy as np
import pytest
from vocabularies import Vocabulary

from runtime.generate.healing import Healer, TokenIndex

WORDS = [
    b"r",
    b"re",
    b"ret",
    b"u",
    b"return",
    b"returns",
    b"t",
    b"ur",
    b"n",
    b" ",
    b"<",
    b"<|",
    b"\xff",
    b"\xff\xffa",
    b"\xc3",
]


def brute(vocab, rest):
    fits = lambda t: t and (t.startswith(rest) or rest.startswith(t))  # noqa: E731
    return [i for i in range(vocab.vocab_size) if i not in vocab.special.values() and fits(vocab.token_bytes(i))]


@pytest.mark.parametrize("rest", [b"r", b"ret", b"retu", b"return", b"x", b"<", b"\xff", b"\xff\xff", b"u", b"ur"])
def test_allowed_are_extensions_and_beginnings(rest):
    vocab = Vocabulary(WORDS)
    assert TokenIndex(vocab).allowed(rest).tolist() == brute(vocab, rest)


def test_allowed_on_random_vocabularies():
    rng = np.random.default_rng(3)
    tokens = sorted({bytes(rng.choice([97, 98, 254, 255], rng.integers(1, 6)).tolist()) for _ in range(400)})
    vocab = Vocabulary(tokens)
    index = TokenIndex(vocab)
    for _ in range(300):
        rest = bytes(rng.choice([97, 98, 254, 255], rng.integers(1, 7)).tolist())
        assert index.allowed(rest).tolist() == brute(vocab, rest)
        assert index.extends(rest) == any(t.startswith(rest) and len(t) > len(rest) for t in tokens)


def test_split_drops_the_tokens_that_a_longer_one_covers():
    vocab = Vocabulary(WORDS)
    index = TokenIndex(vocab)
    ids = {t: i for i, t in enumerate(vocab._tokens)}
    assert index.split([ids[b" "], ids[b"ret"], ids[b"u"]]) == ([ids[b" "]], b"retu")
    assert index.split([ids[b" "], ids[b"returns"]]) == ([ids[b" "], ids[b"returns"]], b"")
    assert index.split([0, ids[b"n"]]) == ([0, ids[b"n"]], b"")
    assert index.split([ids[b" "], 0]) == ([ids[b" "], 0], b"")
    assert index.split([ids[b"ret"]]) == ([ids[b"ret"]], b"")
    assert index.split([]) == ([], b"")


def test_healer_shows_only_bytes_beyond_the_caret():
    vocab = Vocabulary(WORDS)
    ids = {t: i for i, t in enumerate(vocab._tokens)}
    healer = Healer(TokenIndex(vocab), b"retu")
    assert healer.active and ids[b"return"] in healer.allowed()
    assert healer.accept(ids[b"return"]) == b"rn"
    assert not healer.active and healer.allowed() is None
    assert healer.accept(ids[b" "]) == b" "
    healer = Healer(TokenIndex(vocab), b"retu")
    assert healer.accept(ids[b"ret"]) == b""
    assert healer.allowed().tolist() == sorted([ids[b"u"], ids[b"ur"]])
    assert healer.accept(ids[b"ur"]) == b"r"


def test_a_rest_that_the_vocabulary_cannot_spell_gives_up():
    vocab = Vocabulary([b"a"])
    healer = Healer(TokenIndex(vocab), b"z")
    assert healer.allowed() is None
    assert healer.accept(1) == b"a" and not healer.active


def test_large_vocabularies_build_once_and_answer_from_the_cache():
    rng = np.random.default_rng(0)
    tokens = [bytes(row) for row in rng.integers(97, 123, (150_000, 6), dtype=np.uint8)]
    start = time.perf_counter()
    index = TokenIndex(Vocabulary(tokens))
    assert time.perf_counter() - start < 10
    first = index.allowed(b"ab")
    assert first is index.allowed(b"ab") and len(first) > 50
    with pytest.raises(ValueError):
        first[0] = 1
