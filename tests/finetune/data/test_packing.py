"""Batches: every token accounted for, the same for the same seed, resumed bit for bit, fast enough not to be the
limit."""

import itertools
import json
import math
import shutil
import time

import numpy as np
import pytest

from finetune.data.chat import ChatDocument
from finetune.data.corpus import load_corpus
from finetune.data.fim import FimSettings
from finetune.data.packing import Batcher, windows
from finetune.data.shards import attach, load_shard, split_ids, write_shards
from runtime.files.errors import FormatError
from runtime.text import FimFormat, train_bpe

NO_HOLES = FimSettings(rate=0)


@pytest.fixture(scope="module")
def texts(corpus):
    return [d.text for d in corpus.documents("train")]


def make(texts, tokenizer, corpus=None, **options):
    settings = {"batch": 4, "length": 256, "seed": 1} | options
    return Batcher(texts, tokenizer, chat=corpus.chat("train") if corpus else (), **settings)


def take(batcher, n):
    return list(itertools.islice(batcher, n))


def same(a, b):
    return len(a) == len(b) and all((x == y).all() and (s == t).all() for (x, s), (y, t) in zip(a, b, strict=True))


def test_shapes_types_and_shift(texts, tokenizer):
    for inputs, targets in take(make(texts, tokenizer), 5):
        assert inputs.shape == targets.shape == (4, 256)
        assert inputs.dtype == targets.dtype == np.int32
        assert (inputs[:, 1:] == targets[:, :-1]).all()
        assert inputs.min() >= 0 and targets.max() < tokenizer.vocab_size


def test_without_holes_every_line_of_every_document_is_seen_in_one_epoch(texts, tokenizer):
    batcher = make(texts, tokenizer, fim=NO_HOLES)
    seen = b""
    while batcher.epoch == 0:
        inputs, targets = next(batcher)
        for row, last in zip(inputs, targets[:, -1], strict=True):
            seen += tokenizer.decode_bytes([*row, last]) + b"\x00"
    for text in texts:
        for line in text.split("\n"):
            if len(line) < 200:
                assert line.encode() in seen


def test_with_holes_rows_hold_whole_infilling_sequences(texts, tokenizer):
    m = FimFormat.find(tokenizer.special)
    sequences = 0
    corpus = "\n".join(texts).encode()
    for inputs, targets in take(make(texts, tokenizer, fim=FimSettings(rate=0.9)), 30):
        for row, last in zip(inputs.tolist(), targets[:, -1].tolist(), strict=True):
            row = [*row, last]
            starts = [i for i, t in enumerate(row) if t == m.prefix]
            assert row.count(m.suffix) == row.count(m.middle) == len(starts)
            for start in starts:
                part = row[start : row.index(m.end, start)]
                s, k = part.index(m.suffix), part.index(m.middle)
                if s == 1:
                    text = tokenizer.decode_bytes(part[k + 1 :] + part[s + 1 : k])
                else:
                    text = tokenizer.decode_bytes(part[1:s] + part[k + 1 :] + part[s + 1 : k])
                assert text in corpus
                sequences += 1
    assert sequences > 60


def test_chat_documents_begin_rows_and_only_answers_have_a_loss(texts, tokenizer, corpus):
    start = tokenizer.special["<|im_start|>"]
    rows = chats = 0
    for inputs, targets in take(make(texts, tokenizer, corpus, chat_rate=0.3, length=512), 40):
        for row, target in zip(inputs, targets, strict=True):
            rows += 1
            if row[0] == start:
                chats += 1
                first = np.flatnonzero(target >= 0)[0]
                head = tokenizer.decode(row[: first + 1])
                assert head.startswith("<|im_start|>user\n") and head.endswith("<|im_start|>assistant\n")
            else:
                assert start not in row and (target >= 0).all()
    assert 0.1 < chats / rows < 0.4


def test_resuming_is_bit_exact(texts, tokenizer, corpus):
    whole = take(make(texts, tokenizer, corpus, chat_rate=0.5), 60)
    first = make(texts, tokenizer, corpus, chat_rate=0.5)
    head = take(first, 23)
    state = json.loads(json.dumps(first.state_dict()))
    second = make(texts, tokenizer, corpus, chat_rate=0.5)
    second.load_state_dict(state)
    assert same(head + take(second, 37), whole)
    assert not same(take(make(texts, tokenizer, corpus, seed=2), 60), whole)


def test_epochs_are_shuffled_anew(tokenizer):
    texts = [f"number {n}\n" for n in range(12)]
    batcher = make(texts, tokenizer, fim=NO_HOLES)
    order = [[batcher._number(epoch, place) for place in range(len(texts))] for epoch in range(3)]
    assert all(sorted(o) == list(range(len(texts))) for o in order)
    assert order[0] != order[1] != order[2]


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_lines_longer_than_a_row_and_greedy_chat_do_not_stop_the_stream(tokenizer, rate):
    talk = [ChatDocument("write", "q", "a")]
    documents = ["x = '" + "ab1" * 4000 + "'\ny = 2\n", "short\n", "\n" * 50]
    batcher = Batcher(documents, tokenizer, 2, 32, chat=talk, chat_rate=1.0, fim=FimSettings(rate=rate))
    for _ in range(3000):
        next(batcher)
        if batcher.epoch >= 2:
            return
    pytest.fail("no progress through the documents")


def test_a_state_of_other_batches_is_refused(texts, tokenizer):
    state = make(texts, tokenizer).state_dict()
    with pytest.raises(ValueError, match="length"):
        make(texts, tokenizer, length=128).load_state_dict(state)
    with pytest.raises(ValueError, match="place"):
        make(texts, tokenizer).load_state_dict(state | {"place": 10**6})


def test_wrong_arguments_are_named(texts, tokenizer):
    with pytest.raises(ValueError, match="corpus is empty"):
        make([], tokenizer)
    with pytest.raises(ValueError, match="batch"):
        make(texts, tokenizer, batch=0)
    with pytest.raises(ValueError, match="fill-in-the-middle"):
        make(texts, train_bpe(texts[:1], 300, special_tokens=("<|endoftext|>",)))


def test_batches_come_faster_than_a_cpu_trains(texts, tokenizer):
    batcher = make(texts, tokenizer, batch=8, length=512)
    take(batcher, 3)
    began = time.process_time()
    take(batcher, 25)
    assert 25 * 8 * 512 / (time.process_time() - began) > 100_000


def test_evaluation_windows_cover_every_byte_once(texts, tokenizer):
    spelled, size = 0, 0
    for inputs, targets, n_bytes in windows(texts, tokenizer, 4, 128):
        assert inputs.shape == targets.shape == (4, 128)
        spelled += sum(len(tokenizer.token_bytes(i)) for i in targets[targets >= 0].tolist())
        size += n_bytes
    assert spelled == size == sum(len(t.encode()) for t in texts)
    few = list(windows(texts, tokenizer, 4, 128, max_windows=6))
    assert len(few) == math.ceil(6 / 4) and (few[1][1][2:] == -1).all()


def test_a_corpus_carries_its_tokenizer_and_refuses_another(corpus, tokenizer, tmp_path):
    shutil.copytree(corpus.folder, tmp_path / "copy")
    copy = load_corpus(tmp_path / "copy")
    with pytest.raises(FileNotFoundError, match="hearth corpus build"):
        copy.tokenizer()
    attach(copy, tokenizer)
    copy = load_corpus(tmp_path / "copy")
    assert copy.tokenizer().sha256 == tokenizer.sha256
    from_shards = split_ids(copy, tokenizer, "train")
    assert np.array_equal(from_shards, load_shard(copy.folder, tokenizer, "train").ids)
    other = train_bpe([corpus.documents("train")[0].text], 400)
    encoded = split_ids(copy, other, "train")  # a model with other tokens is measured on the same text
    assert other.decode(encoded) == "".join(d.text + "<|endoftext|>" for d in copy.documents("train"))
    with pytest.raises(FormatError, match="another corpus"):
        load_shard(copy.folder, tokenizer, "train", "0" * 64)
    other.save(copy.folder / "tokenizer.json")
    with pytest.raises(FormatError, match="another tokenizer than the corpus was built with"):
        copy.tokenizer()


def test_shards_round_trip_and_refuse_another_tokenizer(corpus, tokenizer, tmp_path):
    write_shards(corpus, tokenizer, tmp_path)
    shard = load_shard(tmp_path, tokenizer, "train")
    documents = corpus.documents("train")
    assert shard.ids.dtype == np.uint16
    assert len(shard.docs) == len(documents) + 1
    for i, document in enumerate(documents):
        ids = shard.ids[shard.docs[i] : shard.docs[i + 1]]
        assert tokenizer.decode(ids) == document.text + "<|endoftext|>"
    other = train_bpe([documents[0].text], 400)
    with pytest.raises(FormatError, match="another tokenizer"):
        load_shard(tmp_path, other, "train")
    path = tmp_path / "train.ids.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(FormatError, match="does not match its hash"):
        load_shard(tmp_path, tokenizer, "train")
    with pytest.raises(FileNotFoundError, match="hearth corpus build"):
        load_shard(tmp_path / "nowhere", tokenizer, "train")
