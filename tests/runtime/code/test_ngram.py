"""The n-gram model: Witten-Bell by hand, sums, the document's memory, counts against a plain count."""

import math
from collections import Counter

import numpy as np
import pytest

from runtime.code.ngram import NgramCounts, NgramModel

TEXT = b"def add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return a - b\n" * 3


def model(text=TEXT, vocab=256, order=4, cache=True):
    return NgramModel(NgramCounts.of(np.frombuffer(text, np.uint8), vocab, order), cache)


def test_counts_equal_a_plain_count():
    ids = np.random.default_rng(0).integers(0, 5, 300)
    counts = NgramCounts.of(ids, 5, order=4)
    for n in range(1, 5):
        plain = Counter(tuple(ids[i : i + n].tolist()) for i in range(len(ids) - n + 1))
        assert len(counts.arrays["ids"][n - 1]) == len(plain)
        for gram, times in plain.items():
            node = 0
            for level, id in enumerate(gram):
                node = counts.child(level, node, id)
            assert counts.count(n, node) == times
            if n < 4:  # what follows is counted without the sequence's own end
                followed = sum(
                    times
                    for longer, times in Counter(
                        tuple(ids[i : i + n + 1].tolist()) for i in range(len(ids) - n)
                    ).items()
                    if longer[:n] == gram
                )
                assert counts.followers(n, node)[0] == followed
    assert counts.child(0, 0, 4) >= 0 and NgramCounts.of([0, 1], 5).child(0, 0, 4) == -1


def test_witten_bell_by_hand():
    m = NgramModel(NgramCounts.of([0, 1, 0, 1, 0, 2], 3, order=2), cache=False)
    uni = [(c + 3 * (1 / 3)) / 9 for c in (3, 2, 1)]  # 6 ids, 3 kinds
    np.testing.assert_allclose(m.distribution(), uni)
    m.feed(0)  # followed by 1 twice and by 2 once: 2 kinds
    np.testing.assert_allclose(m.distribution(), [(c + 2 * u) / 5 for c, u in zip((0, 2, 1), uni, strict=True)])
    m.feed(2)  # stands at the end only: nothing ever followed it
    np.testing.assert_allclose(m.distribution(), uni)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_sum_to_one_and_agree(cache, order):
    rng = np.random.default_rng(order)
    m = NgramModel(NgramCounts.of(rng.integers(0, 7, 200), 9, order), cache)
    for id in rng.integers(0, 9, 120).tolist():  # 7 and 8 never stand in the corpus
        p = m.distribution()
        assert p.min() > 0 and abs(p.sum() - 1) < 1e-12
        np.testing.assert_allclose([m.probability(i) for i in range(9)], p)
        assert m.best() == p.argmax() and m.log_probability(id) == pytest.approx(math.log(p[id]))
        m.feed(id)


def test_incremental_equals_from_scratch():
    document = list(b"def mul(a, b):\n    return a * b\n\ndef mul3(a, b, c):\n    return mul(mul(a, b), c)\n")
    m = model()
    for n in range(0, len(document), 7):
        fresh = model()
        for id in document[:n]:
            fresh.feed(id)
        np.testing.assert_array_equal(fresh.distribution(), m.distribution())
        for id in document[n : n + 7]:
            m.feed(id)
    m.reset()
    np.testing.assert_array_equal(m.distribution(), model().distribution())


def bits(m, document: bytes) -> float:
    total = 0.0
    for id in document:
        total -= m.log_probability(id) / math.log(2)
        m.feed(id)
    return total / len(document)


def test_it_knows_its_text_and_remembers_the_document():
    m = model()
    for id in b"def add(a, b):\n    ret":
        m.feed(id)
    assert m.best() == ord("u")
    new = b"zebra_quagga = xylophone[zebra_quagga]\n" * 6
    assert bits(model(cache=True), new) < 0.5 * bits(model(cache=False), new)
    assert bits(model(cache=False), TEXT[:66]) < 1.5 < 8 < bits(model(cache=False), b"\x01\x02\x03\x04")


def test_what_cannot_be_counted_is_refused():
    for ids, vocab, order in (([], 3, 2), ([3], 3, 2), ([-1], 3, 2), ([0.5], 3, 2), ([0], 3, 0), ([0], 3, 9)):
        with pytest.raises(ValueError):
            NgramCounts.of(ids, vocab, order)
    with pytest.raises(ValueError, match="outside"):
        model().feed(256)
    good = NgramCounts.of([0, 1, 2, 1], 3, 2)
    for key, level, change in (("first", 1, 99), ("ids", 0, 3), ("counts", 1, 0)):
        arrays = {name: [a.copy() for a in levels] for name, levels in good.arrays.items()}
        arrays[key][level][-1] = change
        with pytest.raises(ValueError, match="level"):
            NgramCounts(3, arrays["ids"], arrays["counts"], arrays["first"], good.tail)
