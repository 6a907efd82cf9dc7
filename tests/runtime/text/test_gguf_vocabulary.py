"""A tokenizer written as GGUF keys and read again gives the same ids; broken keys are refused by name."""

import json

import numpy as np
import pytest

from runtime.files.errors import FormatError
from runtime.files.gguf_write import write_gguf
from runtime.text import gguf_pre, load_tokenizer, train_bpe, train_characters, train_unigram
from runtime.text.gguf_keys import WHOLE_FILE, gguf_keys

TEXT = "def area(width):\r\n    return 2 * width  # é 深 😀 <|im_start|> don't I'LL 12345\n\n\t''x''"
KEY = "tokenizer.ggml."


def reread(keys, tmp_path):
    write_gguf(tmp_path / "x.gguf", keys, [])
    return load_tokenizer(tmp_path / "x.gguf")


def same(one, other):
    assert (other.vocab_size, other.special) == (one.vocab_size, one.special)
    for options in ({}, {"parse_special": True}, {"add_special": True}):
        ids = one.encode(TEXT, **options)
        assert other.encode(TEXT, **options) == ids
        assert other.decode(ids) == one.decode(ids)


@pytest.mark.parametrize("split", ["gpt2", "qwen2", "llama3", "gpt4o", "code"])
def test_byte_level_bpe_comes_back(library_texts, tmp_path, split):
    tokenizer = train_bpe(library_texts[:2], 700, split=split)
    keys = gguf_keys(tokenizer, rows=720, chat_template="{{ messages }}")
    assert (WHOLE_FILE in keys) == (split == "code")  # what has a name in GGUF needs nothing else
    assert len(keys[KEY + "tokens"]) == len(keys[KEY + "token_type"]) == 720
    assert keys["tokenizer.chat_template"] == "{{ messages }}"
    same(tokenizer, reread(keys, tmp_path))


@pytest.mark.parametrize("train", [train_characters, lambda texts: train_unigram(texts, 600)])
def test_kinds_without_a_name_are_kept_whole(library_texts, tmp_path, train):
    tokenizer = train(library_texts[:2])
    same(tokenizer, reread(gguf_keys(tokenizer), tmp_path))


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["gpt-2.tokenizer.json", "starcoder.tokenizer.json", "llama-spm.model", "bert-bge.tokenizer.json"]
)
def test_real_vocabularies_come_back(vectors, tmp_path, name):
    tokenizer = load_tokenizer(vectors / name)
    keys = gguf_keys(tokenizer)
    keys.pop(WHOLE_FILE, None)  # the keys alone say it
    again = reread(keys, tmp_path)
    known = json.loads((vectors / f"{name.split('.')[0]}.vectors.json").read_text())["ids"]
    cases = json.loads((vectors / "cases.json").read_text())
    assert [again.encode(case, parse_special=True) for case in cases] == known


def test_every_name_of_a_pre_tokeniser_makes_a_tokenizer(library_texts, tmp_path):
    keys = gguf_keys(train_bpe(library_texts[:1], 400, split="qwen2"))
    for name, pre in gguf_pre.PRE.items():
        keys[KEY + "pre"] = name
        tokenizer = reread(keys, tmp_path)
        if pre.byte_level:
            assert tokenizer.decode_bytes(tokenizer.encode(TEXT)) == TEXT.encode()
            assert (
                gguf_pre.PRE[gguf_pre.name_of(tokenizer.spec.pre_tokenizer.patterns, pre.ignore_merges)].splits
                == pre.splits
            )


def test_the_flags_say_what_surrounds_a_text(library_texts, tmp_path):
    keys = gguf_keys(train_bpe(library_texts[:1], 400, split="qwen2"))
    keys |= {KEY + "add_bos_token": True, KEY + "bos_token_id": 7, KEY + "add_eos_token": True, KEY + "eos_token_id": 0}
    tokenizer = reread(keys, tmp_path)
    assert tokenizer.encode("a", add_special=True) == [7, *tokenizer.encode("a"), 0]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model", "rwkv", "rwkv"),
        ("pre", "nothing", "nothing"),
        ("tokens", np.arange(9), "array of strings"),
        ("tokens", ["a", "a"], "twice"),
        ("token_type", np.ones(3, np.int32), "entries"),
        ("token_type", np.ones(400, np.float32), "integers"),
        ("merges", ["ab"], r"merges\[0\]"),
        ("merges", ["a zzzzzz"], "merges"),
        ("eos_token_id", 10**6, "within"),
        ("add_bos_token", 3, "bool"),
    ],
)
def test_each_lie_is_named(library_texts, tmp_path, key, value, words):
    keys = gguf_keys(train_bpe(library_texts[:1], 400, split="qwen2"))
    keys |= {KEY + "add_eos_token": True, KEY + "eos_token_id": 0, KEY + key: value}
    with pytest.raises(FormatError, match=words) as caught:
        reread(keys, tmp_path)
    assert "x.gguf" in str(caught.value)
