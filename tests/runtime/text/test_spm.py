"""SentencePiece .model files: ids and texts of the sentencepiece library, broken files in bounded time."""

import io
import json
import random
import struct
import time

import pytest

from runtime.files.errors import FormatError
from runtime.text import StreamDecoder, load_tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(fields: list[tuple[int, object]]) -> bytes:
    """Protobuf: int as varint, float as 32 bits, bytes with their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def model(extra=(), trainer=(), normalizer=((3, 0), (4, 0)), unknown=1) -> bytes:
    pieces = [("<unk>", 0.0, UNKNOWN)] * unknown + [("<s>", 0.0, CONTROL), ("\u2581", -2.0, NORMAL)]
    pieces += [("a", -3.0, NORMAL), ("b", -3.5, NORMAL), ("ab", -4.0, NORMAL), *extra]
    fields = [(1, message([(1, text.encode()), (2, score), (3, kind)])) for text, score, kind in pieces]
    return message([*fields, (2, message(list(trainer))), (3, message(list(normalizer)))])


def load(data: bytes, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(data)
    return load_tokenizer(tmp_path)


def test_a_small_model_segments_and_comes_back(tmp_path):
    tokenizer = load(model(), tmp_path)
    assert tokenizer.encode("ab a") == [5, 2, 3]
    assert tokenizer.decode([5, 2, 3]) == "ab a"
    assert tokenizer.encode("xyza") == [0, 3]  # unknown neighbours are one token
    assert tokenizer.encode("<s>a", parse_special=True) == [1, 3]
    assert tokenizer.encode("<s>a") == [0, 3]
    tokenizer.save(tmp_path / "copy.model")
    assert (tmp_path / "copy.model").read_bytes() == model()


def test_byte_fallback_and_a_space_in_front(tmp_path):
    extra = [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
    tokenizer = load(model(extra, trainer=[(35, 1)], normalizer=[(4, 0)]), tmp_path)
    assert tokenizer.encode("a深") == [2, 3, *(6 + b for b in "深".encode())]
    for text in ("a深", " a", "<0x41>", "\n\0"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no pieces"),
        (b"not a model", "SentencePiece|wire type|left|message|cut"),
        (model(trainer=[(3, 3)]), "word"),
        (model(trainer=[(24, 1)]), "suffix"),
        (model(trainer=[(35, 1)]), "byte"),
        (model(unknown=0), "unknown"),
        (model(unknown=2), "twice"),
        (model([("zz", -1.0, 9)]), "type"),
        (model([("", -1.0, NORMAL)]), "characters"),
        (model([("zz", float("nan"), NORMAL)]), "score"),
        (model([("zz", float("inf"), NORMAL)]), "score"),
        (model([("a", -1.0, NORMAL)]), "twice"),
        (message([(1, message([(1, b"\xff"), (3, NORMAL)]))]), "UTF-8"),
        (message([(1, 5)]), "not a message"),
        (message([(1, message([(1, b"a"), (2, 7)]))]), "wrong type"),
        (model(normalizer=[(2, b"\x00" * 5)]), "character map"),
        (model(normalizer=[(2, struct.pack("<I", 1 << 30) + b"\x00" * 8)]), "trie"),
        (model(normalizer=[(2, struct.pack("<II", 4, 1 << 31 | 77) + b"x\x00")]), "between"),
        (model(normalizer=[(2, struct.pack("<II", 4, 0) + b"x" * 5000)]), "replacement"),
        (varint(1 << 3 | 2) + varint(1 << 40), "left"),
        (b"\xff" * 40, "ten bytes"),
    ],
)
def test_each_lie_is_named(tmp_path, data, words):
    began = time.process_time()
    with pytest.raises(FormatError, match=words):
        load(data, tmp_path)
    assert time.process_time() - began < 2


def agree(ours, peer, texts) -> int:
    """Texts on which ids and decoded texts are equal; fails at the first that is not."""
    for text in texts:
        ids = peer.encode(text)
        assert ours.encode(text) == ids, text
        assert ours.decode(ids) == peer.decode(ids), text
        stream = StreamDecoder(ours)
        assert "".join(map(stream.feed, ids)) + stream.flush() == peer.decode(ids)
        assert ours.decode_bytes(ids).decode("utf-8", "replace") == peer.decode(ids)
    return len(texts)


def some_texts(count: int) -> list[str]:
    rng = random.Random(1)
    alphabet = [
        *range(1, 0x250),
        *range(0x2000, 0x2030),
        0x2581,
        0x1F600,
        0x6DF1,
        0xFB01,
        0x2460,
        0x3000,
        0x301,
        32,
        32,
    ]
    return ["".join(chr(rng.choice(alphabet)) for _ in range(40)) for _ in range(count)]


@pytest.mark.peer
@pytest.mark.parametrize("rules", ["identity", "nmt_nfkc", "nmt_nfkc_cf"])
@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("spaces", ["kept", "trimmed"])
def test_the_ids_of_the_sentencepiece_library(rules, fallback, spaces, library_texts, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    lines = [line for text in library_texts for line in text.splitlines()]
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[:2000]),
        model_writer=file,
        vocab_size=800,
        model_type="unigram",
        byte_fallback=fallback,
        normalization_rule_name=rules,
        remove_extra_whitespaces=spaces == "trimmed",
        add_dummy_prefix=spaces == "trimmed" or fallback,
        character_coverage=0.99,
        num_threads=1,
        minloglevel=2,
    )
    peer = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
    ours = load(file.getvalue(), tmp_path)
    assert ours.vocab_size == peer.vocab_size()
    assert agree(ours, peer, [*lines, *some_texts(300), "", " ", "  a  "]) > 4000


@pytest.mark.shared
def test_ids_of_a_real_model(vectors):
    tokenizer = load_tokenizer(vectors / "nomic-bert-moe.model")
    known = json.loads((vectors / "nomic-bert-moe.vectors.json").read_text())["ids"]
    cases = json.loads((vectors / "cases.json").read_text())
    assert len(cases) == len(known) > 20
    assert [tokenizer.encode(case) for case in cases] == known


@pytest.mark.shared
def test_conformance_vectors_of_a_bpe_model(vectors):
    tokenizer = load_tokenizer(vectors / "llama-spm.model")
    known = json.loads((vectors / "llama-spm.vectors.json").read_text())["ids"]
    cases = json.loads((vectors / "cases.json").read_text())
    assert len(cases) == len(known) > 20
    assert [tokenizer.encode(case, parse_special=True) for case in cases] == known
