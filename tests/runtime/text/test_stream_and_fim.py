"""StreamDecoder gives whole characters only; FimFormat finds the markers and writes both orders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.text import FimFormat, StreamDecoder, load_tokenizer
from runtime.text.byte_alphabet import BYTE_TO_CHAR


@given(st.binary())
def test_stream_joined_is_decode(tokenizer, data):
    ids = [tokenizer.spec.vocab[BYTE_TO_CHAR[b]] for b in data]
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.feed, ids)) + stream.flush() == tokenizer.decode(ids)


def test_half_a_character_is_held_back(tokenizer):
    ids = [tokenizer.spec.vocab[BYTE_TO_CHAR[b]] for b in "a😀b".encode()]
    stream = StreamDecoder(tokenizer)
    assert [stream.feed(i) for i in ids] == ["a", "", "", "", "😀", "b"]
    stream.feed(ids[1])
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""


def test_stream_skips_special_tokens_on_request(tokenizer):
    end = tokenizer.special["<|endoftext|>"]
    assert StreamDecoder(tokenizer).feed(end) == "<|endoftext|>"
    assert StreamDecoder(tokenizer, skip_special=True).feed(end) == ""
    assert StreamDecoder(tokenizer).feed(tokenizer.vocab_size + 1) == ""


def test_fim_prompts_of_our_vocabulary(tokenizer):
    fim = FimFormat.find(tokenizer.special)
    assert (fim.prefix, fim.suffix, fim.middle, fim.pad, fim.end) == (1, 2, 3, 4, 0)
    assert fim.prompt([10, 11], [20], "spm") == [1, 2, 20, 3, 10, 11]
    assert fim.prompt([10, 11], [20], "psm") == [1, 10, 11, 2, 20, 3]
    assert {0, 1, 2, 3, 4} <= fim.stop_ids
    with pytest.raises(ValueError, match="spm"):
        fim.prompt([], [], "middle-out")


@pytest.mark.parametrize(
    ("family", "literals", "name", "expected"),
    [
        ("qwen", "<|endoftext|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_sep|>", "", "1 P 2 S 3"),
        ("codegemma", "<bos> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_separator|>", "", "0 1 P 2 S 3"),
        ("granite", "<|end_of_text|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|>", "", "1 P 2 S 3"),
        ("starcoder", "<|endoftext|> <fim_prefix> <fim_suffix> <fim_middle> <filename>", "", "1 P 2 S 3"),
        ("mellum", "<|endoftext|> <fim_prefix> <fim_suffix> <fim_middle> <filename>", "Mellum-4b-base", "2 S 1 P 3"),
        ("deepseek", "<｜begin▁of▁sentence｜> <｜fim▁begin｜> <｜fim▁hole｜> <｜fim▁end｜>", "", "0 1 P 2 S 3"),
        ("codellama", "<s> ▁<PRE> ▁<SUF> ▁<MID> ▁<EOT>", "", "0 1 P 2 S 3"),
        ("seed-coder", "<[begin▁of▁sentence]> <[fim-prefix]> <[fim-suffix]> <[fim-middle]>", "", "0 2 S 1 P 3"),
        ("codestral", "<s> [PREFIX] [SUFFIX] </s>", "", "0 2 S 1 P"),
    ],
)
def test_each_family_writes_its_own_prompt(family, literals, name, expected):
    fim = FimFormat.find({text: i for i, text in enumerate(literals.split())}, name)
    assert fim.family == family
    assert fim.prompt(["P"], ["S"]) == [int(i) if i.isdigit() else i for i in expected.split()]
    assert {fim.prefix, fim.suffix} <= fim.stop_ids


def test_an_order_needs_its_markers():
    with pytest.raises(ValueError, match="suffix-first"):
        FimFormat.find({"<s>": 0, "[PREFIX]": 1, "[SUFFIX]": 2}).prompt([], [], "psm")


def test_a_vocabulary_without_markers_has_no_fim():
    assert FimFormat.find({"<|endoftext|>": 0, "<|fim_prefix|>": 1}) is None


@pytest.mark.shared
@pytest.mark.parametrize(("name", "family"), [("qwen2.5-coder", "qwen"), ("starcoder", "starcoder")])
def test_markers_of_real_vocabularies(vectors, name, family):
    tokenizer = load_tokenizer(vectors / f"{name}.tokenizer.json")
    fim = FimFormat.find(tokenizer.special)
    assert fim.family == family
    assert tokenizer.token_bytes(fim.middle).decode() in ("<|fim_middle|>", "<fim_middle>")
    assert tokenizer.token_bytes(fim.end).decode() == "<|endoftext|>"
