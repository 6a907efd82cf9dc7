"""Masked pairs: neighbouring pieces of one document, 15 % guessed in the 80/10/10 way, exact resume."""

import json

import numpy as np
import pytest

from finetune.data.masked import Marks, MaskedPairs, pairs_of
from runtime.models.encoder import Encoder, EncoderSpec
from runtime.text import train_bpe

SPECIAL = ("<|endoftext|>", "<|pad|>", "<|cls|>", "<|sep|>", "<|mask|>")
TEXTS = [
    "".join(f"def function_{n}_{i}(value, other):\n    return value * {i} + other\n\n" for i in range(9 + n))
    for n in range(12)
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 340, special_tokens=SPECIAL)


def restored(ids, targets):
    return np.where(targets >= 0, targets, ids)


def test_pieces_are_neighbours_and_join_to_the_document(tokenizer):
    ends_line = np.array([b"\n" in tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)])
    ids = tokenizer.encode_array(TEXTS[3])
    pairs = list(pairs_of(ids, ends_line, 61))
    joined = np.concatenate([np.concatenate(pair) for pair in pairs])
    np.testing.assert_array_equal(joined, ids[: len(joined)])
    assert len(ids) - len(joined) < 16
    assert all(len(first) + len(second) <= 61 and len(first) and len(second) for first, second in pairs)
    assert sum(bool(ends_line[first[-1]]) for first, _ in pairs) >= 0.8 * len(pairs)


def test_rows_are_pairs_that_the_encoder_reads_as_two_segments(tokenizer):
    batches = MaskedPairs(TEXTS, tokenizer, 4, 64, seed=1)
    marks = Marks.find(tokenizer.special)
    model = Encoder(EncoderSpec(tokenizer.vocab_size, marks.sep, marks.pad, 16, 1, 2, 24, 64))
    padded = 0
    for _ in range(20):
        ids, targets = next(batches)
        assert ids.shape == targets.shape == (4, 64) and ids.dtype == targets.dtype == np.int32
        for row, types, mask in zip(restored(ids, targets), model.token_types(ids), model.mask(ids), strict=True):
            end = int(mask.sum())
            padded += end < 64
            assert row[0] == marks.cls and row[end - 1] == marks.sep and (row == marks.sep).sum() == 2
            first, second = row[1:end][types[1:end] == 0][:-1], row[1:end][types[1:end] == 1][:-1]
            assert min(len(first), len(second)) >= 4
            text = tokenizer.decode(np.concatenate([first, second]).tolist())
            assert any(text in whole for whole in TEXTS)
        assert np.isfinite(model.loss(ids, targets).item())
    assert 0 < padded < 80


def test_shares_of_guessed_masked_replaced_and_kept_tokens(tokenizer):
    batches = MaskedPairs(TEXTS, tokenizer, 32, 64, seed=2)
    marks = Marks.find(tokenizer.special)
    special = set(tokenizer.special.values())
    text = guessed = masked = kept = replaced = 0
    for _ in range(40):
        ids, targets = next(batches)
        chosen = targets >= 0
        text += int(np.isin(restored(ids, targets), list(special), invert=True).sum())
        guessed += int(chosen.sum())
        masked += int((ids[chosen] == marks.mask).sum())
        kept += int((ids[chosen] == targets[chosen]).sum())
        other = (ids != targets) & chosen & (ids != marks.mask)
        replaced += int(other.sum())
        assert not special & set(ids[other].tolist()) and not special & set(targets[chosen].tolist())
        assert chosen.any(axis=1).all()
    assert guessed / text == pytest.approx(0.15, abs=0.01)
    assert masked / guessed == pytest.approx(0.80, abs=0.02)
    assert kept / guessed == pytest.approx(0.10, abs=0.015)
    assert replaced / guessed == pytest.approx(0.10, abs=0.015)


def test_every_pair_comes_once_an_epoch_with_other_masks_in_the_next(tokenizer):
    batches = MaskedPairs(TEXTS, tokenizer, 1, 64, seed=3)
    epochs = []
    for number in range(2):
        rows = []
        while batches.epoch == number:
            rows.append(next(batches))
        epochs.append(rows)
    whole = [sorted(restored(ids, targets).tobytes() for ids, targets in rows) for rows in epochs]
    assert whole[0] == whole[1] and len(set(whole[0])) == len(batches.pairs)
    assert {t.tobytes() for _, t in epochs[0]} != {t.tobytes() for _, t in epochs[1]}


def test_resuming_from_json_is_exact_and_another_seed_is_another_run(tokenizer):
    a, b, c = (MaskedPairs(TEXTS, tokenizer, 5, 48, seed=seed) for seed in (4, 4, 5))
    for _ in range(13):
        next(a)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    for _ in range(30):
        for x, y in zip(next(a), next(b), strict=True):
            np.testing.assert_array_equal(x, y)
    with pytest.raises(ValueError, match="seed"):
        c.load_state_dict(a.state_dict())
    with pytest.raises(ValueError, match="outside"):
        b.load_state_dict({**b.state_dict(), "place": 10**6})


def test_bad_sizes_texts_and_tokenizers_are_refused(tokenizer):
    with pytest.raises(ValueError, match="length 8"):
        MaskedPairs(TEXTS, tokenizer, 4, 8)
    with pytest.raises(ValueError, match="too short"):
        MaskedPairs(["x = 1\n"], tokenizer, 4, 64)
    with pytest.raises(ValueError, match=r"lacks <\|cls\|>"):
        MaskedPairs(TEXTS, train_bpe(TEXTS, 300), 4, 64)
