"""Characters and words: exact round trips through byte fallback, ids of the Hugging Face library, broken files."""

import json
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.files.errors import FormatError
from runtime.text import LookupTokenizer, StreamDecoder, load_tokenizer, train_characters, train_words

CODE_LIKE = st.text(st.sampled_from(" \t\n\r_aZé深0 9'\"#(=.<x>\u2028\u2581\U0001f600")) | st.text()
KINDS = ("characters", "words")


@pytest.fixture(scope="session")
def trained(library_texts):
    return {"characters": train_characters(library_texts), "words": train_words(library_texts, 3000)}


@pytest.mark.parametrize("kind", KINDS)
@given(CODE_LIKE)
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back_exactly(trained, kind, text):
    tokenizer = trained[kind]
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogatepass")
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.feed, ids)) + stream.flush() == tokenizer.decode(ids)


def test_characters_are_tokens_and_others_are_bytes():
    tokenizer = train_characters(["abcé"], special_tokens=("<s>",))
    assert tokenizer.vocab_size == 1 + 256 + 4
    ids = tokenizer.encode("aé深")
    assert [tokenizer.token_bytes(i) for i in ids] == [b"a", "é".encode(), b"\xe6", b"\xb7", b"\xb1"]


def test_words_are_tokens_then_characters_then_bytes():
    tokenizer = train_words(["foo_1 = foo_1 + (foo_1)"], 1000, special_tokens=())
    assert tokenizer.pre_tokens("foo_1  += (é深)") == ["foo_1", "  ", "+", "=", " ", "(", "é深", ")"]
    ids = tokenizer.encode("foo_1 f深")
    assert [tokenizer.token_bytes(i) for i in ids] == [b"foo_1", b" ", b"f", b"\xe6", b"\xb7", b"\xb1"]


def test_the_most_frequent_are_kept():
    tokenizer = train_words(["aa aa aa bb bb cc"], 256 + 4, special_tokens=())
    assert list(tokenizer.spec.vocab)[256:] == ["a", " ", "aa", "bb"]
    with pytest.raises(ValueError, match="below 256"):
        train_characters(["a"], 255, special_tokens=())
    with pytest.raises(ValueError, match="no text"):
        train_words([], 300)
    with pytest.raises(ValueError, match="different"):
        train_characters(["a"], special_tokens=("<a>", "<a>"))


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_tokens_in_plain_text_stay_text(trained, kind):
    tokenizer = trained[kind]
    text = "<0x41><|im_start|>x"
    plain = tokenizer.encode(text)
    assert not set(plain) & set(tokenizer.special.values())
    assert tokenizer.decode(plain) == text
    parsed = tokenizer.encode(text, parse_special=True)
    assert tokenizer.special["<|im_start|>"] in parsed
    assert tokenizer.decode(parsed, skip_special=True) == "<0x41>x"


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_saving_are_reproducible(trained, kind, library_texts, tmp_path):
    train = {"characters": train_characters, "words": lambda texts: train_words(texts, 3000)}[kind]
    trained[kind].save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, LookupTokenizer)
    assert again.sha256 == trained[kind].sha256 == train(list(reversed(library_texts))).sha256
    assert again.encode(library_texts[0]) == trained[kind].encode(library_texts[0])


def test_words_split_equals_its_pattern(trained):
    # Python's \w has no \p: the same classes for these characters
    pattern = r"[a-zA-Zé深0-9_]+|\s+|[^\sa-zA-Zé深0-9_]"
    rng = random.Random(2)
    for _ in range(500):
        text = "".join(rng.choices(" \t\n_aZé深0.'(=", k=rng.randint(0, 30)))
        assert trained["words"].pre_tokens(text) == re.findall(pattern, text)


@pytest.mark.parametrize("text", ["x" * 3_000_000, " " * 3_000_000, "深" * 1_000_000, "(" * 3_000_000])
def test_hostile_lines_stay_linear(trained, text):
    began = time.process_time()
    for kind in KINDS:
        assert trained[kind].decode(trained[kind].encode(text)) == text
    assert time.process_time() - began < 20  # a quadratic loop would need hours


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root["model"]["vocab"].pop("<0x41>"), "<0x41>"),
        (lambda root: root["model"]["vocab"].update({"zz": -1}), "integer"),
        (lambda root: root["model"]["vocab"].update({"zz": 300}), "share"),
        (lambda root: root["model"]["vocab"].update({"zz": 900_000}), "contiguous"),
        (lambda root: root["model"].update(ignore_merges=3), "ignore_merges"),
        (lambda root: root["model"].update(dropout=0.5), "dropout"),
        (lambda root: root["model"].update(end_of_word_suffix="</w>"), "suffixes"),
        (lambda root: root.update(pre_tokenizer={"type": "Nothing"}), "Nothing"),
        (lambda root: root.update(pre_tokenizer=3), "pre_tokenizer"),
        (lambda root: root.update(decoder={"type": "Nothing"}), "Nothing"),
        (lambda root: root.update(normalizer={"type": "Nothing"}), "Nothing"),
    ],
)
def test_each_lie_is_named(trained, tmp_path, change, message):
    trained["words"].save(tmp_path)
    path = tmp_path / "tokenizer.json"
    root = json.loads(path.read_text())
    change(root)
    path.write_text(json.dumps(root))
    began = time.process_time()
    with pytest.raises(FormatError, match=message):
        load_tokenizer(path)
    assert time.process_time() - began < 2


@pytest.mark.peer
@pytest.mark.parametrize("kind", KINDS)
def test_the_hugging_face_library_reads_the_same_ids(trained, kind, library_texts, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    ours = trained[kind]
    ours.save(tmp_path)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    rng = random.Random(1)
    alphabet = [*range(1, 0x250), *range(0x2000, 0x2030), 0x1F600, 0x6DF1]
    odd = ["".join(chr(rng.choice(alphabet)) for _ in range(80)) for _ in range(400)]
    for text in [*library_texts, *odd, "", "x<|im_start|><|endoftext|> y"]:
        ids = ours.encode(text, parse_special=True)
        assert ids == peer.encode(text, add_special_tokens=False).ids
        assert ours.decode(ids) == peer.decode(ids, skip_special_tokens=False)
        assert ours.decode(ids, skip_special=True) == peer.decode(ids, skip_special_tokens=True)
