"""Encoding and decoding: exact round trips, specials only on request, hostile input in bounded time."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.text import Tokenizer, load_tokenizer, train_bpe
from runtime.text.added_tokens import AddedToken
from runtime.text.byte_alphabet import BYTE_TO_CHAR
from runtime.text.tokenizer_json import TokenizerSpec

CODE_LIKE = st.text(st.sampled_from(" \t\n\r\f\x1c_aZé深0 9'\"#(=.\u2028\x85\U0001f600")) | st.text()
ANY_SPLIT = pytest.mark.parametrize("split", ["code", "gpt2", "qwen2", "llama3", "words"])


def naive(tokenizer, data: bytes) -> list[int]:
    """Lowest rank first, leftmost of equals, by looking at every pair every time."""
    vocab, rank = tokenizer.spec.vocab, {pair: n for n, pair in reversed(list(enumerate(tokenizer.spec.merges)))}
    word = [BYTE_TO_CHAR[b] for b in data]
    while True:
        ranked = [(rank[pair], i) for i, pair in enumerate(zip(word, word[1:], strict=False)) if pair in rank]
        if not ranked:
            return [vocab[s] for s in word]
        i = min(ranked)[1]
        word[i : i + 2] = [word[i] + word[i + 1]]


@given(CODE_LIKE)
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back_exactly(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogatepass")
    assert tokenizer.decode(ids) == text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@given(st.binary())
def test_any_bytes_decode_exactly(tokenizer, data):
    table = [tokenizer.spec.vocab[c] for c in BYTE_TO_CHAR]
    ids = [table[b] for b in data]
    assert tokenizer.decode_bytes(ids) == data
    assert tokenizer.decode(ids) == data.decode("utf-8", "replace")


@given(CODE_LIKE)
@settings(max_examples=200, deadline=None)
def test_merge_loop_equals_the_naive_one(tokenizer, text):
    expected = [
        i for piece in tokenizer.pre_tokens(text) for i in naive(tokenizer, piece.encode("utf-8", "surrogatepass"))
    ]
    assert tokenizer.encode(text) == expected


def test_long_pre_tokens_take_the_same_merges_as_short_ones(tokenizer):
    word = "self_return_argument_default_" * 7  # above the length where the heap takes over
    assert tokenizer.encode(word) == naive(tokenizer, word.encode())


@given(st.text(st.sampled_from(" \t\n\r\f\x1c_aZé深0 9'\"#(=.\u2028\x85")))
@settings(max_examples=300, deadline=None)
def test_code_split_equals_its_pattern(tokenizer, text):
    pattern = tokenizer.spec.pre_tokenizer.entry["pretokenizers"][0]["pattern"]["Regex"]
    assert tokenizer.pre_tokens(text) == [m[0] for m in re.finditer(pattern, text)]


def test_code_split_keeps_newline_and_indent_together_and_digits_apart(tokenizer):
    assert tokenizer.pre_tokens("def f1(x):\n    return  x + 42\n\n\n#") == [
        *("def", " f", "1", "(", "x", "):", "\n    ", "return", " ", " x", " +", " 4", "2", "\n\n\n", "#")
    ]


@ANY_SPLIT
def test_splits_lose_nothing(split, library_texts):
    tokenizer = train_bpe(library_texts[:1], 300, split=split)
    text = "I'll don't  X١٢3456\r\n\n  ſ'ſ \u00a0\u2003x \t"
    assert "".join(tokenizer.pre_tokens(text)) == text


def test_lone_surrogates_neither_crash_nor_vanish(tokenizer):
    ids = tokenizer.encode("a\ud800b")
    assert tokenizer.decode_bytes(ids) == b"a\xed\xa0\x80b"
    assert tokenizer.decode(ids) == "a\ufffd\ufffd\ufffdb"


def test_special_literals_are_tokens_only_on_request(tokenizer):
    text = "x<|im_start|>y<|endoftext|>"
    parsed = tokenizer.encode(text, parse_special=True)
    assert [i for i in parsed if i in tokenizer.special.values()] == [
        tokenizer.special["<|im_start|>"],
        tokenizer.special["<|endoftext|>"],
    ]
    plain = tokenizer.encode(text)
    assert not set(plain) & set(tokenizer.special.values())
    assert tokenizer.decode(plain) == tokenizer.decode(parsed) == text
    assert tokenizer.decode(parsed, skip_special=True) == "xy"


def test_the_longest_special_literal_wins():
    added = (AddedToken(256, "<a>"), AddedToken(257, "<a><b>"))
    base = train_bpe(["x"], 256, special_tokens=())
    tokenizer = Tokenizer(TokenizerSpec(base.spec.vocab, [], added, base.spec.pre_tokenizer))
    assert tokenizer.encode("<a><b><a>", parse_special=True) == [257, 256]


def test_ids_beyond_the_vocabulary_decode_to_nothing_and_negative_ones_are_refused(tokenizer):
    assert tokenizer.decode([tokenizer.vocab_size + 5]) == ""
    with pytest.raises(ValueError, match="negative"):
        tokenizer.decode([-1])
    with pytest.raises(ValueError, match="outside"):
        tokenizer.token_bytes(tokenizer.vocab_size)
    with pytest.raises(TypeError, match="bytes"):
        tokenizer.encode(b"bytes")


@pytest.mark.parametrize("text", ["x" * 20_000, " " * 5_000_000, "ab_cde" * 850_000, "=" * 5_000_000, "\n" * 3_000_000])
def test_hostile_lines_stay_linear(tokenizer, text):
    began = time.process_time()
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()
    assert time.process_time() - began < 20  # a quadratic loop would need hours


def test_cache_turnover_changes_nothing(tokenizer):
    words = [
        f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676 % 26)}{chr(97 + i // 17576)}"
        for i in range(60_000)
    ]
    sample = words[:50]
    before = [tokenizer.encode(w) for w in sample]
    tokenizer.encode(" ".join(words))
    assert [tokenizer.encode(w) for w in sample] == before


def test_saved_file_loads_to_the_same_tokenizer(tokenizer, tmp_path, library_texts):
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.sha256 == tokenizer.sha256
    assert again.special == tokenizer.special
    assert np.array_equal(again.encode_array(library_texts[0]), tokenizer.encode_array(library_texts[0]))


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


def test_threads_share_one_tokenizer(library_texts, tokenizer):
    """Encoding keeps its scratch memory in the tokenizer; eight threads at once get what one gets."""
    patterned = train_bpe(library_texts[:1], 400, split="tekken")
    texts = [text[k * 500 : k * 500 + 4000] for text in library_texts for k in range(6)]
    for one in (tokenizer, patterned):
        expected = [one.encode(text) for text in texts]
        with ThreadPoolExecutor(8) as pool:
            for ids in pool.map(lambda _, one=one: [one.encode(text) for text in texts], range(16)):
                assert ids == expected
            decoded = pool.map(lambda ids, one=one: one.decode(ids), expected)
            assert list(decoded) == texts
