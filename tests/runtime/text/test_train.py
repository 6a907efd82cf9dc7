"""Training: the textbook example, ties, limits; equality with the Hugging Face trainer where it is installed."""

import json
import random

import pytest

from runtime.text import SPECIAL_TOKENS, pretokenize, train_bpe


def test_the_most_frequent_pair_is_merged_first():
    tokenizer = train_bpe(["low low low lower lowest"], 256 + 2, special_tokens=(), split="gpt2")
    assert tokenizer.spec.merges == [("l", "o"), ("lo", "w")]


def test_overlapping_pairs_count_as_they_are_met():
    tokenizer = train_bpe(["aaaa\n" * 3], 256 + 2, special_tokens=())
    assert tokenizer.spec.merges == [("a", "a"), ("aa", "aa")]


def test_training_stops_when_no_pair_is_left():
    assert train_bpe(["ab"], 5000, special_tokens=("<s>",)).vocab_size == 1 + 256 + 1


@pytest.mark.parametrize(
    ("texts", "size", "specials", "message"),
    [
        ([], 300, (), "no text"),
        (["a"], 255, (), "below 256"),
        (["a"], 300, ("<a>", "<a>"), "different"),
        (["a"], 300, ("a",), "byte symbol"),
    ],
)
def test_wrong_arguments_are_named(texts, size, specials, message):
    with pytest.raises(ValueError, match=message):
        train_bpe(texts, size, special_tokens=specials)


def hugging_face(texts, size, split):
    tokenizers = pytest.importorskip("tokenizers")
    pre = tokenizers.pre_tokenizers
    peer = tokenizers.Tokenizer(tokenizers.models.BPE())
    cut = pre.Split(tokenizers.Regex(pretokenize.BY_NAME[split]), "isolated")
    peer.pre_tokenizer = pre.Sequence([cut, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )
    peer.train_from_iterator(texts, trainer)
    return peer


@pytest.mark.peer
@pytest.mark.parametrize("split", ["code", "gpt2", "qwen2", "llama3", "words"])
def test_same_merges_as_the_hugging_face_trainer(library_texts, split):
    peer = hugging_face(library_texts, 2000, split)
    ours = train_bpe(library_texts, 2000, split=split)
    assert ours.spec.vocab == peer.get_vocab()
    assert [list(pair) for pair in ours.spec.merges] == json.loads(peer.to_str())["model"]["merges"]


@pytest.mark.peer
@pytest.mark.parametrize("alphabet", ["a", "ab", "abc"])
def test_same_merges_on_ties_and_repeats(alphabet):
    rng = random.Random(5)
    texts = [" ".join("".join(rng.choices(alphabet, k=rng.randint(2, 30))) for _ in range(400))]
    peer = hugging_face(texts, 700, "code")
    merges = [list(pair) for pair in train_bpe(texts, 700).spec.merges]
    assert len(merges) > 20
    assert merges == json.loads(peer.to_str())["model"]["merges"]


@pytest.mark.peer
def test_the_saved_file_gives_the_same_ids_in_the_hugging_face_library(tokenizer, library_texts, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer.save(tmp_path)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    rng = random.Random(1)
    odd = [
        "".join(chr(rng.choice([*range(0x250), *range(0x2000, 0x2030), 0x1F600, 0x6DF1])) for _ in range(80))
        for _ in range(400)
    ]
    for text in [*library_texts, *odd, "", "x<|im_start|><|endoftext|> y"]:
        ids = tokenizer.encode(text, parse_special=True)
        assert ids == peer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == peer.decode(ids, skip_special_tokens=False)
        assert tokenizer.decode(ids, skip_special=True) == peer.decode(ids, skip_special_tokens=True)


@pytest.mark.peer
@pytest.mark.parametrize("split", ["code", "gpt2", "qwen2", "llama3", "words"])
def test_scanners_cut_where_the_hugging_face_patterns_cut(library_texts, split):
    tokenizers = pytest.importorskip("tokenizers")
    pattern = tokenizers.Regex(pretokenize.BY_NAME[split])
    peer = tokenizers.pre_tokenizers.Split(pattern, "isolated")
    ours = train_bpe(library_texts[:1], 300, split=split)
    rng = random.Random(3)
    # classes rather than the whole of Unicode, so that two Unicode versions cannot disagree
    common = " \t\n\r\f\v\x1c\x1f\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeffaZsS"
    common += "ſ''tlvrem_09½²Ⅷ٣é\u0301深한😀.,#=(\"\\\0\x7f"
    for _ in range(3000):
        text = "".join(rng.choices(common, k=rng.randint(0, 24)))
        assert ours.pre_tokens(text) == [piece for piece, _ in peer.pre_tokenize_str(text)], repr(text)
