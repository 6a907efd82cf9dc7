"""The cached form of a large vocabulary: equal to the file it was read from, refused when it lies, bounded."""

import json
import random
import time

import numpy as np
import pytest

from runtime.text import cached, load_tokenizer, tokenizer_json
from runtime.text.added_tokens import AddedToken
from runtime.text.bpe import Tokenizer
from runtime.text.byte_alphabet import BYTE_PIECES, BYTE_TO_CHAR
from runtime.text.pretokenize import METASPACE, from_json, named

TEXT = "def area(width):\n    return 2 * width  # é 深 😀 <s>  END\n"


def large(by_character: bool) -> Tokenizer:
    """A vocabulary that is worth caching: all pairs and triples of some characters, in a random order of merges."""
    rng = random.Random(1)
    letters = [*"abcdefghijklmnopqrstuvwxyz", METASPACE if by_character else "Ġ"]
    base = [*BYTE_PIECES, *letters] if by_character else BYTE_TO_CHAR
    pairs = [(a, b) for a in letters for b in letters if b != letters[-1]]
    pairs += [(a + b, c) for a, b in pairs for c in letters[:-1]]
    rng.shuffle(pairs)
    pairs.sort(key=lambda pair: len(pair[0]))
    vocab = {text: i for i, text in enumerate(dict.fromkeys([*base, *(a + b for a, b in pairs)]))}
    added = (AddedToken(len(vocab) + 2, "<s>"), AddedToken(len(vocab) + 3, "END", False, normalized=True, lstrip=True))
    if not by_character:
        return Tokenizer(
            tokenizer_json.TokenizerSpec(
                vocab, pairs, added, named("qwen2"), {"type": "NFC"}, (added[0].id, None), True
            )
        )
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": METASPACE}
    steps = [{**replace, "pattern": {"String": METASPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    decoder = {"type": "Sequence", "decoders": steps}
    spec = tokenizer_json.TokenizerSpec(
        vocab, pairs, added, from_json(None), replace, byte_fallback=True, decoder=decoder
    )
    return Tokenizer(spec)


@pytest.fixture(params=[False, True], ids=["bytes", "characters"])
def saved(request, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tokenizer = large(request.param)
    tokenizer.save(tmp_path / "tokenizer.json")
    return tokenizer, tmp_path / "tokenizer.json"


def same(one, other):
    for options in ({}, {"add_special": True}, {"parse_special": True}):
        ids = one.encode(TEXT, **options)
        assert other.encode(TEXT, **options) == ids
        assert other.decode(ids) == one.decode(ids)
    assert (other.vocab_size, other.special, other.sha256) == (one.vocab_size, one.special, one.sha256)
    assert [other.token_bytes(i) for i in range(500)] == [one.token_bytes(i) for i in range(500)]


def test_the_second_load_comes_from_the_cache_and_is_the_same_tokenizer(saved):
    tokenizer, path = saved
    first = load_tokenizer(path)
    (file,) = cached.folder().glob("*.bin")
    second = load_tokenizer(path)
    assert isinstance(second.spec.vocab, cached.Vocabulary) and not isinstance(first.spec.vocab, cached.Vocabulary)
    same(first, second)
    assert second._dumps() == first._dumps() == path.read_bytes()  # whatever the spec is asked for
    assert list(second.spec.merges) == tokenizer.spec.merges and file.stat().st_size < path.stat().st_size


def test_another_file_is_another_entry(saved):
    _, path = saved
    load_tokenizer(path)
    root = json.loads(path.read_text())
    root["normalizer"] = {"type": "NFKC"}
    path.write_text(json.dumps(root))
    assert load_tokenizer(path).spec.normalizer == {"type": "NFKC"}
    assert len(list(cached.folder().glob("*.bin"))) == 2


def test_a_broken_entry_is_removed_and_made_again(saved):
    _, path = saved
    expected = load_tokenizer(path)
    (file,) = cached.folder().glob("*.bin")
    good = file.read_bytes()
    rng = random.Random(2)
    for case in range(60):
        data = bytearray(good)
        if case % 3 == 0:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        if bytes(data) != good:
            assert cached.load(expected.sha256) is None and not file.exists()
    same(expected, load_tokenizer(path))
    assert file.read_bytes() == good


def test_an_entry_with_a_right_checksum_may_still_lie(saved):
    """Whoever writes there can also write checksums: nothing wrong is built, nothing is read outside."""
    _, path = saved
    tokenizer = load_tokenizer(path)
    (file,) = cached.folder().glob("*.bin")
    good = file.read_bytes()
    rest = good[len(cached.MAGIC) + 32 :]
    rng, loaded = random.Random(3), 0
    for _ in range(300):
        data = bytearray(rest)
        at = rng.choice(
            [rng.randrange(8), rng.randrange(3000), rng.randrange(len(data)), len(data) - 1 - rng.randrange(2000)]
        )
        width = rng.choice([1, 4, 8])
        data[at : at + width] = rng.choice([0, 1, 255, 2**31, 2**63, 2**64 - 1]).to_bytes(8, "little")[:width]
        file.write_bytes(cached.MAGIC + cached.hashlib.sha256(data).digest() + data)
        began = time.process_time()
        found = cached.load(tokenizer.sha256)
        if found is not None:
            loaded += 1
            ids = found.encode(TEXT, parse_special=True)
            assert all(0 <= i < found.vocab_size for i in ids)
            found.decode(ids)
        assert time.process_time() - began < 5
    assert 0 < loaded < 300


def test_the_folder_is_bounded(saved, monkeypatch):
    _, path = saved
    load_tokenizer(path)
    (file,) = cached.folder().glob("*.bin")
    monkeypatch.setattr(cached, "MAX_BYTES", 3 * file.stat().st_size)
    root = json.loads(path.read_text())
    for n in range(6):
        root["normalizer"] = {"type": "Prepend", "prepend": str(n)}
        path.write_text(json.dumps(root))
        load_tokenizer(path)
        time.sleep(0.02)
    kept = list(cached.folder().glob("*.bin"))
    assert 1 <= len(kept) <= 3 and file not in kept


def test_a_folder_that_cannot_be_written_changes_nothing(saved, monkeypatch, tmp_path):
    _, path = saved
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert np.array_equal(load_tokenizer(path).encode_array(TEXT), load_tokenizer(path).encode_array(TEXT))
