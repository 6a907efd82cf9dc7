"""Row streams: rows of a batch come from different documents, every document is read, resuming is exact."""

import json

import numpy as np
import pytest

from finetune.data.fim import FimSettings
from finetune.data.streams import RowStreams
from runtime.text import train_bpe

DOCUMENTS = [f"value_{n} = {n}\n" * 40 for n in range(12)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(DOCUMENTS, 300)


def streams(tokenizer, documents=DOCUMENTS, batch=4, **options):
    return RowStreams(documents, tokenizer, batch, 32, seed=1, fim=FimSettings(rate=0.0), **options)


def documents_in(row, tokenizer):
    text = tokenizer.decode(row.tolist())
    return {n for n in range(12) if f"value_{n} =" in text}


def test_rows_read_different_documents_and_together_all_of_them(tokenizer):
    b = streams(tokenizer)
    seen = [set() for _ in range(4)]
    while b.epoch == 0:
        ids, targets = next(b)
        assert ids.shape == targets.shape == (4, 32) and ids.dtype == targets.dtype == np.int32
        for row, found in zip(ids, seen, strict=True):
            found |= documents_in(row, tokenizer)
    assert set().union(*seen) == set(range(12))
    assert all(len(found) == 3 for found in seen)


def test_resuming_from_json_is_exact(tokenizer):
    a, b = streams(tokenizer), streams(tokenizer)
    for _ in range(7):
        next(a)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    for _ in range(20):
        for x, y in zip(next(a), next(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_fewer_documents_than_rows_still_fill_every_row(tokenizer):
    ids, _ = next(streams(tokenizer, DOCUMENTS[:2]))
    assert ids.shape == (4, 32)


def test_a_state_of_another_size_and_an_empty_corpus_are_refused(tokenizer):
    with pytest.raises(ValueError, match="rows"):
        streams(tokenizer).load_state_dict(streams(tokenizer, batch=3).state_dict())
    with pytest.raises(ValueError, match="empty"):
        streams(tokenizer, [])
    with pytest.raises(ValueError, match="batch"):
        streams(tokenizer, batch=0)
