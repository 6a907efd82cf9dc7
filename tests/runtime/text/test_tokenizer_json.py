"""Reading tokenizer.json: each lie gives one FormatError that names the place, fast; known real files give known
ids."""

import json
import time

import pytest

from runtime.files.errors import FormatError
from runtime.text import load_tokenizer, tokenizer_json


def valid(tokenizer) -> dict:
    return json.loads(tokenizer_json.dumps(tokenizer.spec))


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(root):
        for k in path:
            root = root[k]
        root[key] = value

    return change


LIES = {
    "no model": (put("model", None), "model"),
    "other model": (put("model", "type", "Nothing"), "Nothing"),
    "vocab is a list": (put("model", "vocab", []), "model.vocab"),
    "empty vocab": (put("model", "vocab", {}), "entries"),
    "id is a string": (put("model", "vocab", "a", "7"), "integer"),
    "id is a bool": (put("model", "vocab", "a", True), "integer"),
    "id is a float": (put("model", "vocab", "a", 1.0), "integer"),
    "id is negative": (put("model", "vocab", "a", -1), "integer"),
    "id is huge": (put("model", "vocab", "a", 10**12), "integer"),
    "shared id": (put("model", "vocab", "a", 300), "share"),
    "far id": (put("model", "vocab", "zzzz", 900_000), "contiguous"),
    "merges is an object": (put("model", "merges", {}), "model.merges"),
    "merge of one": (put("model", "merges", 0, "ab"), "two symbols"),
    "merge of numbers": (put("model", "merges", 0, [1, 2]), "two symbols"),
    "merge of an unknown token": (put("model", "merges", 5, ["qqqq", "r"]), r"merges\[5\]"),
    "merge whose result is unknown": (put("model", "merges", 5, ["~", "!"]), r"merges\[5\]"),
    "dropout": (put("model", "dropout", 0.1), "dropout"),
    "suffix": (put("model", "end_of_word_suffix", "</w>"), "suffixes"),
    "byte fallback": (put("model", "byte_fallback", 3), "byte_fallback"),
    "added tokens is an object": (put("added_tokens", {}), "added_tokens"),
    "added token without an id": (put("added_tokens", 0, {"content": "x"}), r"added_tokens\[0\]"),
    "added token with another id": (put("added_tokens", 0, "id", 77), "disagree"),
    "added token with an empty text": (put("added_tokens", 0, "content", ""), "characters"),
    "single word": (put("added_tokens", 0, "single_word", 1), "single_word"),
    "unknown token": (put("model", "unk_token", "<nothing>"), "unk_token"),
    "unknown pre-tokenizer": (put("pre_tokenizer", {"type": "Nothing"}), "Nothing"),
    "unknown pattern": (put("pre_tokenizer", "pretokenizers", 0, "pattern", {"Regex": "(a+"}), "without"),
    "unknown normaliser": (put("normalizer", {"type": "Nothing"}), "Nothing"),
    "unknown decoder": (put("decoder", {"type": "Nothing"}), "Nothing"),
    "unknown post-processor": (put("post_processor", {"type": "Nothing"}), "Nothing"),
    "template with an unknown token": (
        put("post_processor", {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<q>"}}]}),
        "<q>",
    ),
    "truncation is a number": (put("truncation", 3), "truncation"),
}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_named(tokenizer, tmp_path, name):
    change, message = LIES[name]
    root = valid(tokenizer)
    change(root)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(root))
    began = time.process_time()
    with pytest.raises(FormatError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"model": ',
        b"[]",
        b"null",
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b"\xff\xfe{}",
        b"{} {}",
        b'{"model": ' + b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
def test_broken_json_is_refused_fast(tmp_path, data):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    began = time.process_time()
    with pytest.raises(FormatError):
        load_tokenizer(path)
    assert time.process_time() - began < 2


def test_every_truncation_is_refused(tokenizer, tmp_path):
    data = tokenizer_json.dumps(tokenizer.spec)
    path = tmp_path / "tokenizer.json"
    for n in range(0, len(data), len(data) // 60):
        path.write_bytes(data[:n])
        with pytest.raises(FormatError):
            load_tokenizer(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "tokenizer.json"
    with open(path, "wb") as f:
        f.truncate(tokenizer_json.MAX_FILE + 1)
    with pytest.raises(FormatError, match="bytes"):
        load_tokenizer(path)


def test_pickles_are_refused(tmp_path):
    (tmp_path / "tokenizer.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(FormatError, match="execute code"):
        load_tokenizer(tmp_path / "tokenizer.pkl")


def test_writing_is_deterministic(tokenizer):
    data = tokenizer_json.dumps(tokenizer.spec)
    assert tokenizer_json.dumps(tokenizer_json.parse(data)) == data


def test_template_adds_special_tokens(tokenizer, tmp_path):
    root = valid(tokenizer)
    single = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    root["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(root))
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode("x", add_special=True) == [loaded.special["<|endoftext|>"], *tokenizer.encode("x")]
    assert loaded.encode("x") == tokenizer.encode("x")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["gpt-2", "starcoder", "qwen2", "bert-bge"])
def test_conformance_vectors(vectors, name):
    tokenizer = load_tokenizer(vectors / f"{name}.tokenizer.json")
    cases = json.loads((vectors / "cases.json").read_text())
    expected = json.loads((vectors / f"{name}.vectors.json").read_text())["ids"]
    assert len(cases) == len(expected)
    for case, ids in zip(cases, expected, strict=True):
        assert tokenizer.encode(case, parse_special=True) == ids, case


@pytest.mark.shared
@pytest.mark.peer
@pytest.mark.parametrize("name", ["gpt-2", "starcoder", "qwen2", "qwen2.5-coder", "bert-bge"])
def test_decoding_equals_the_hugging_face_library(vectors, name):
    tokenizers = pytest.importorskip("tokenizers")
    path = vectors / f"{name}.tokenizer.json"
    ours, peer = load_tokenizer(path), tokenizers.Tokenizer.from_file(str(path))
    assert ours.vocab_size == peer.get_vocab_size(with_added_tokens=True)
    for case in json.loads((vectors / "cases.json").read_text()):
        ids = peer.encode(case, add_special_tokens=False).ids
        assert ours.encode(case, parse_special=True) == ids
        for skip in (False, True):
            assert ours.decode(ids, skip_special=skip) == peer.decode(ids, skip_special_tokens=skip)


def test_an_id_without_a_token_stands_for_nothing(tokenizer, tmp_path):
    root = valid(tokenizer)
    root["model"]["merges"] = []
    del root["model"]["vocab"][next(t for t, i in root["model"]["vocab"].items() if i == 300)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(root))
    loaded = load_tokenizer(tmp_path)
    assert loaded.decode([300]) == "" and loaded.vocab_size == tokenizer.vocab_size
