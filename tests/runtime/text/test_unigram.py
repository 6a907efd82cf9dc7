"""Unigram: the best segmentation and its expectations against brute force, exact round trips, reproducible training,
ids of the Hugging Face library on the same files, broken files."""

import itertools
import json
import math
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.files.errors import FormatError
from runtime.text import StreamDecoder, UnigramTokenizer, _text, load_tokenizer, train_unigram
from runtime.text.unigram_train import _Fit, digamma

CODE_LIKE = st.text(st.sampled_from(" \t\n\r_aZé深0 9'\"#(=.<x>\u2028\x85\U0001f600")) | st.text()
KINDS = ("code", "metaspace")
BYTES = [[f"<0x{b:02X}>", 0.0] for b in range(256)]


@pytest.fixture(scope="session")
def trained(library_texts):
    return {split: train_unigram(library_texts[:6], 1000, split=split) for split in KINDS}


def core(pieces: dict[str, float], unknown_score=-30.0):
    scores = np.array(list(pieces.values()))
    table = [(text.encode(), i) for i, text in enumerate(pieces)]
    return _text.Unigram(table, scores.tobytes(), -1, unknown_score, [-1] * 256, ("whole",), False)


def segmentations(word: str, pieces: dict[str, float]):
    """Every way to write the word: (ids, log probability)."""
    ids = {text: i for i, text in enumerate(pieces)}
    for cuts in itertools.product((False, True), repeat=max(0, len(word) - 1)):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [len(word)]
        parts = [word[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        if all(part in pieces for part in parts):
            yield [ids[part] for part in parts], sum(pieces[part] for part in parts)


def some_pieces(rng):
    texts = {"".join(rng.choices("abé", k=rng.randint(2, 4))) for _ in range(12)}
    return {text: -rng.uniform(1, 9) for text in ["a", "b", "é", *sorted(texts)]}


def test_the_best_segmentation_is_the_best_of_all():
    rng = random.Random(4)
    for _ in range(100):
        pieces = some_pieces(rng)
        word = "".join(rng.choices("abé", k=rng.randint(1, 10)))
        texts = list(pieces)
        for whole in (True, False):  # with and without the piece that is all of the word; equal ones may swap places
            ways = [score for ids, score in segmentations(word, pieces) if whole or len(ids) > 1]
            if ways:
                ids, score = core(pieces).segment(word.encode(), not whole)
                assert "".join(texts[i] for i in ids) == word
                assert score == pytest.approx(max(ways)) == pytest.approx(sum(pieces[texts[i]] for i in ids))


def test_expected_counts_are_those_of_all_segmentations():
    rng = random.Random(5)
    for _ in range(30):
        pieces = some_pieces(rng)
        words = ["".join(rng.choices("abé", k=rng.randint(1, 8))) for _ in range(3)]
        expected, likelihood = np.zeros(len(pieces)), 0.0
        for weight, word in enumerate(words, 1):
            found = list(segmentations(word, pieces))
            total = sum(math.exp(score) for _, score in found)
            likelihood += weight * math.log(total)
            for ids, score in found:
                np.add.at(expected, ids, weight * math.exp(score) / total)
        raw, value = core(pieces).expected([w.encode() for w in words], [1, 2, 3])
        np.testing.assert_allclose(np.frombuffer(raw), expected, rtol=1e-9, atol=1e-12)
        assert value == pytest.approx(likelihood)


def test_digamma_at_known_points():
    euler = 0.5772156649015329
    known = {1.0: -euler, 0.5: -euler - 2 * math.log(2), 2.0: 1 - euler, 10.0: 2.2517525890667211}
    np.testing.assert_allclose(digamma(np.array(list(known))), list(known.values()), rtol=1e-10)


def test_likelihood_rises_while_the_pieces_stay():
    words = {"abab": 5, "ab": 9, "aab": 3, "bbab": 2}
    fit = _Fit(words, {"a": 10.0, "b": 10.0, "ab": 40.0, "abab": 20.0}, False)
    values = []
    for _ in range(6):
        fit.scores = np.log(np.exp(fit.scores) / np.exp(fit.scores).sum())  # the prior takes mass away: give it back
        values.append(fit.maximise())
    assert values[-1] > values[0]


@pytest.mark.parametrize("split", KINDS)
@given(CODE_LIKE)
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back_exactly(trained, split, text):
    tokenizer = trained[split]
    if split == "metaspace":  # U+2581 is how such a vocabulary writes a space
        text = text.replace("\u2581", "")
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogatepass")
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.feed, ids)) + stream.flush() == tokenizer.decode(ids)


def test_byte_level_pieces_keep_even_the_space_mark(trained):
    assert trained["code"].decode(trained["code"].encode("a\u2581 b")) == "a\u2581 b"


@pytest.mark.parametrize("split", KINDS)
def test_names_of_tokens_in_plain_text_stay_text(trained, split):
    tokenizer = trained[split]
    text = "<0x41><unk><|im_start|>x"
    plain = tokenizer.encode(text)
    assert not set(plain) & set(tokenizer.special.values())
    assert tokenizer.decode(plain) == text
    assert tokenizer.special["<|im_start|>"] in tokenizer.encode(text, parse_special=True)


@pytest.mark.parametrize("split", KINDS)
def test_training_and_saving_are_reproducible(trained, split, library_texts, tmp_path):
    trained[split].save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, UnigramTokenizer)
    assert again.vocab_size == 1000
    assert again.sha256 == trained[split].sha256
    assert again.encode(library_texts[7]) == trained[split].encode(library_texts[7])
    if split == "code":
        assert train_unigram(library_texts[5::-1], 1000).sha256 == again.sha256


def test_frequent_words_become_pieces(trained, library_texts):
    tokenizer = trained["code"]
    assert [tokenizer.token_bytes(i) for i in tokenizer.encode(" return self")] == [b" return", b" self"]
    text = library_texts[8]
    assert len(tokenizer.encode(text)) < len(text) / 2


@pytest.mark.parametrize(
    ("texts", "size", "specials", "split", "message"),
    [
        ([], 300, (), "code", "no text"),
        (["a"], 255, (), "code", "below 256"),
        (["a"], 200, (), "metaspace", "below 258"),
        (["a"], 300, ("<a>", "<a>"), "code", "different"),
        (["a"], 300, ("a",), "code", "also a byte"),
        (["a"], 300, (), "nothing", "unknown split"),
    ],
)
def test_wrong_arguments_are_named(texts, size, specials, split, message):
    with pytest.raises(ValueError, match=message):
        train_unigram(texts, size, special_tokens=specials, split=split)


@pytest.mark.parametrize("text", ["x" * 2_000_000, " " * 2_000_000, "ab_cde" * 300_000, "深" * 700_000])
def test_hostile_lines_stay_linear(trained, text):
    began = time.process_time()
    for tokenizer in trained.values():
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert time.process_time() - began < 30  # a quadratic loop would need hours


def foreign(prepend="always", split=True, fallback=True, decoder=None, seed=0) -> dict:
    """A small Unigram file as others write it: random pieces over few letters, specials at the front."""
    rng = random.Random(seed)
    texts = {"".join(rng.choices("\u2581abé", k=rng.randint(2, 5))) for _ in range(60)}
    pieces = [[text, -rng.uniform(1, 12)] for text in ["\u2581", "a", "b", *sorted(texts)]]
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": prepend, "split": split}
    if decoder is None:
        decoder = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, space, {"type": "Fuse"}]}
        decoder = decoder if fallback else space
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": text, **flags} for i, text in ((0, "<s>"), (1, "<unk>"))],
        "normalizer": None,
        "pre_tokenizer": space,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "Unigram",
            "unk_id": 1,
            "vocab": [["<s>", 0.0], ["<unk>", 0.0], *(BYTES if fallback else []), *pieces],
            "byte_fallback": fallback,
        },
    }


LLAMA_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}
FILES = {
    **{
        f"{prepend} {'split' if split else 'whole'} {'bytes' if fallback else 'unknown'}": (prepend, split, fallback)
        for prepend in ("always", "first", "never")
        for split in (True, False)
        for fallback in (True, False)
    },
    "strip": ("always", True, True, LLAMA_DECODER),
}


def agree(ours, peer, texts) -> int:
    """Texts on which ids and decoded texts are equal; fails at the first that is not."""
    for n, text in enumerate(texts):
        ids = ours.encode(text, parse_special=True)
        assert ids == peer.encode(text, add_special_tokens=False).ids, (n, text)
        for skip in (False, True):
            expected = peer.decode(ids, skip_special_tokens=skip)
            assert ours.decode(ids, skip_special=skip) == expected, (n, text)
            stream = StreamDecoder(ours, skip)
            assert "".join(map(stream.feed, ids)) + stream.flush() == expected
    return len(texts)


@pytest.mark.peer
@pytest.mark.parametrize("name", FILES)
def test_files_of_others_give_the_ids_of_the_hugging_face_library(name, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    rng = random.Random(9)
    parts = ["a", "b", "é", " ", " ", "\n", "深", "\u2581", "<s>", "<unk>", "x"]
    texts = ["", " ", "  a", *("".join(rng.choices(parts, k=rng.randint(1, 24))) for _ in range(150))]
    checked = 0
    for seed in range(8):
        path.write_text(json.dumps(foreign(*FILES[name], seed=seed)))
        checked += agree(load_tokenizer(path), tokenizers.Tokenizer.from_file(str(path)), texts)
    assert checked == 8 * 153


@pytest.mark.peer
@pytest.mark.parametrize("split", KINDS)
def test_our_files_give_the_same_ids_in_the_hugging_face_library(trained, split, library_texts, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    trained[split].save(tmp_path)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    rng = random.Random(1)
    alphabet = [*range(1, 0x250), *range(0x2000, 0x2030), 0x1F600, 0x6DF1]
    odd = ["".join(chr(rng.choice(alphabet)) for _ in range(80)) for _ in range(300)]
    lines = [line for text in library_texts[6:] for line in text.splitlines()]
    assert agree(trained[split], peer, [*library_texts, *odd, *lines, "", "x<|im_start|><|endoftext|> y"]) > 2000


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["metaspace", "byte level"])
def test_vocabularies_that_the_hugging_face_library_trained(kind, library_texts, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    peer = tokenizers.Tokenizer(tokenizers.models.Unigram())
    if kind == "metaspace":
        peer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="always")
        peer.decoder = tokenizers.decoders.Metaspace(prepend_scheme="always")
    else:
        peer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        peer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=800, show_progress=False, special_tokens=["<unk>", "</s>"], unk_token="<unk>"
    )
    peer.train_from_iterator(library_texts[:4], trainer)
    peer.save(str(tmp_path / "tokenizer.json"))
    lines = [line for text in library_texts for line in text.splitlines()]
    assert agree(load_tokenizer(tmp_path), peer, [*library_texts, *lines, "深</s> x"]) > 4000


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(root):
        for k in path:
            root = root[k]
        root[key] = value

    return change


LIES = {
    "vocab is an object": (put("model", "vocab", {}), "model.vocab"),
    "empty vocab": (put("model", "vocab", []), "entries"),
    "piece without score": (put("model", "vocab", 270, ["a"]), r"vocab\[270\]"),
    "score is a string": (put("model", "vocab", 270, ["q", "1"]), r"vocab\[270\]"),
    "score is a bool": (put("model", "vocab", 270, ["q", True]), r"vocab\[270\]"),
    "score is huge": (put("model", "vocab", 270, ["q", -1e300]), r"vocab\[270\]"),
    "empty piece": (put("model", "vocab", 270, ["", -1.0]), r"vocab\[270\]"),
    "piece twice": (put("model", "vocab", 270, ["a", -1.0]), "twice"),
    "byte is missing": (put("model", "vocab", 2, ["q", -1.0]), "<0x00>"),
    "unknown id outside": (put("model", "unk_id", 10_000), "unk_id"),
    "unknown id is text": (put("model", "unk_id", "1"), "unk_id"),
    "fallback is a number": (put("model", "byte_fallback", 3), "byte_fallback"),
    "replacement": (put("pre_tokenizer", "replacement", ""), "replacement"),
    "scheme": (put("pre_tokenizer", "prepend_scheme", "sometimes"), "prepend_scheme"),
    "split is text": (put("pre_tokenizer", "split", "yes"), "split"),
    "other pre-tokenizer": (put("pre_tokenizer", {"type": "Nothing"}), "Nothing"),
    "decoder of something else": (put("decoder", {"type": "Nothing"}), "Nothing"),
    "decoder is a list in a Sequence": (put("decoder", {"type": "Sequence", "decoders": [[]]}), "decoder"),
    "precompiled normaliser": (put("normalizer", {"type": "Precompiled", "precompiled_charsmap": "!"}), "base64"),
    "added token elsewhere": (put("added_tokens", 0, "id", 77), "disagree"),
}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_named(tmp_path, name):
    change, message = LIES[name]
    root = foreign()
    change(root)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(root))
    began = time.process_time()
    with pytest.raises(FormatError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    assert time.process_time() - began < 2


def test_every_truncation_is_refused(trained, tmp_path):
    trained["code"].save(tmp_path)
    path = tmp_path / "tokenizer.json"
    data = path.read_bytes()
    for n in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:n])
        with pytest.raises(FormatError):
            load_tokenizer(path)


def test_a_file_that_has_no_ids_for_some_text_is_refused(trained, tmp_path):
    root = foreign(fallback=False)
    root["model"]["unk_id"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(root))
    with pytest.raises(FormatError, match="unk_id: needed"):
        load_tokenizer(tmp_path)
    trained["code"].save(tmp_path)
    root = json.loads((tmp_path / "tokenizer.json").read_bytes())
    root["model"]["unk_id"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(root))
    assert load_tokenizer(tmp_path).encode("深")  # every byte is a piece
    byte = next(entry for entry in root["model"]["vocab"] if entry[0] == "Ġ")
    byte[0] = "Ġ" * 99
    (tmp_path / "tokenizer.json").write_text(json.dumps(root))
    with pytest.raises(FormatError, match="no piece for the byte 0x20"):
        load_tokenizer(tmp_path)


def test_half_a_surrogate_pair_in_the_file_is_refused(trained, tmp_path):
    trained["code"].save(tmp_path)
    whole = (tmp_path / "tokenizer.json").read_text()
    for text, good in (("\\ud83d\\ude00", True), ("\\ud83d", False), ("\\uDE00x", False)):
        (tmp_path / "tokenizer.json").write_text('{"note": "' + text + '",' + whole.lstrip()[1:])
        if good:
            load_tokenizer(tmp_path)
        else:
            with pytest.raises(FormatError, match="surrogate"):
                load_tokenizer(tmp_path)
