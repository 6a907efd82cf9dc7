"""Carets, the n-gram floor and the comparison: with subjects whose answers are known."""

import numpy as np
import pytest

from finetune.carets import KINDS, choose, similarity
from finetune.data.corpus import build_corpus, load_corpus
from finetune.data.sources import Source
from finetune.evaluate import DocumentScore
from finetune.floor import Floor, training_counts
from finetune.measure import Measurement, paired
from runtime.code.ngram import NgramCounts
from runtime.code.postprocess import Offer, apply
from runtime.code.prompt import Prompt
from runtime.text import train_bpe

TEXT = '''"""Shapes."""

def area(width, height):
    # of a box
    return width * height


class Box:
    def volume(self, depth):
        return area(self.width, self.height) * depth
'''
TEXTS = [TEXT, TEXT.replace("width", "breadth") * 3, "x = 1\n"]


def test_places_are_what_their_kind_says():
    places = choose(TEXTS, 40, seed=1)
    assert {kind: sum(p.kind == kind for p in places) for kind in KINDS} == {
        "line_start": 29,
        "mid_line": 40,
        "trigger": 40,
    }
    for place in places:
        caret, text = place.caret, TEXTS[place.document]
        left = caret.line_prefix
        line = text.split("\n")[caret.line]
        assert left + place.wanted == line and place.wanted.strip() and caret.line_suffix == ""
        assert len(caret.lines) == text.count("\n") + 1 and caret.lines[caret.line] == left + "\n"
        assert (place.kind == "line_start") == (not left.strip())
        assert place.kind != "trigger" or left[-1] in ".(=, "
    assert choose(TEXTS, 40, seed=1) == places != choose(TEXTS, 40, seed=2)
    assert [p.document for p in places] == sorted(p.document for p in places)


def test_places_keep_line_ends_and_leave_out_what_is_cut_or_data():
    (only,) = choose(["\r\n  a\r\nb = " + "1" * 500 + "\r\nlast"], 1)
    assert only.kind == "line_start" and only.wanted == "a" and only.caret.lines[1] == "  \r\n"
    assert choose(["\n\n", ""], 5) == []
    with pytest.raises(ValueError, match="per_kind"):
        choose(TEXTS, 0)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)],
)
def test_similarity_is_levenshtein(a, b, distance):
    assert similarity(a, b) == similarity(b, a) == pytest.approx(1 - distance / max(len(a), len(b), 1))


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 300, special_tokens=["<|endoftext|>"])


def floor(tokenizer, texts):
    end = tokenizer.special["<|endoftext|>"]
    ids = [id for text in texts for id in [end, *tokenizer.encode(text)]]
    return Floor(NgramCounts.of(ids, tokenizer.vocab_size), tokenizer, end)


def test_the_floor_completes_what_it_has_counted_even_inside_a_token(tokenizer):
    text = "import forms\nbox = shapes.Box(2, 3)\nprint(area.of_it)\nquit_now()\n"
    subject = floor(tokenizer, [text])
    places = choose([text], 30)
    right = 0
    for place in places:
        caret = place.caret
        prefix = "".join(caret.lines[: caret.line]) + caret.line_prefix
        offer = apply(subject.raw(Prompt(prefix, "", 40), caret), caret)
        right += isinstance(offer, Offer) and offer.text == place.wanted
    assert right > 0.85 * len(places) > 35


def test_the_floor_uses_the_document(tokenizer):
    subject = floor(tokenizer, TEXTS[2:])
    caret = choose(["unheard = 1\n"], 1)[0].caret
    known = "value = unheard_of(zebra)\n" * 3
    assert subject.raw(Prompt(known + "value = unh", "", 30), caret) == "eard_of(zebra)\n"
    assert subject.raw(Prompt("value = unh", "\n" + known, 30), caret) == "eard_of(zebra)\n"
    assert "eard_of" not in subject.raw(Prompt("value = unh", "", 30), caret)
    ids = tokenizer.encode(known)
    whole, _ = subject.score(ids, 0, ids[1:])
    later, best = subject.score(ids, len(ids) - 11, ids[-10:])
    np.testing.assert_allclose(whole[-10:], later)
    assert best.tolist() == ids[-10:] and whole[:5].mean() > 5 * later.mean()


def test_counts_are_kept_and_made_again_when_broken(tmp_path, tokenizer):
    (tmp_path / "src").mkdir()
    for n in range(40):
        names = "\n".join(f"name_{n}_{k} = function_{n * k}({n}, {k})" for k in range(30))
        (tmp_path / "src" / f"part{n}.py").write_text(f'"""Part {n}."""\n{names}\n')
    build_corpus(tmp_path / "corpus", origins=[Source("s", tmp_path / "src", licence="MIT")])
    corpus = load_corpus(tmp_path / "corpus")
    first = training_counts(corpus, tokenizer, tmp_path / "kept")
    (path,) = (tmp_path / "kept").iterdir()
    documents = corpus.documents("train")
    assert first.total == len(documents) + sum(len(tokenizer.encode(d.text)) for d in documents)
    good = path.read_bytes()
    same = lambda counts: all(  # noqa: E731
        np.array_equal(a, b) for key in first.arrays for a, b in zip(first.arrays[key], counts.arrays[key], strict=True)
    )
    before = path.stat().st_mtime_ns
    assert same(training_counts(corpus, tokenizer, tmp_path / "kept")) and path.stat().st_mtime_ns == before
    path.write_bytes(good[:-9])
    assert same(training_counts(corpus, tokenizer, tmp_path / "kept")) and path.read_bytes() == good
    path.write_bytes(good.replace(corpus.sha256.encode(), b"0" * 64))
    assert same(training_counts(corpus, tokenizer, tmp_path / "kept")) and path.read_bytes() == good


def measurement(places, exact, similar, nats):
    documents = [DocumentScore(0, nats, 10, 20, 5), DocumentScore(1, 2 * nats, 10, 20, 5)]
    return Measurement(documents, {}, places, np.array(exact), np.array(similar, np.float64))


def test_paired_differences():
    places = choose(TEXTS[:2], 2)
    ours = measurement(places, [True] * 6, [1.0] * 6, 1.0)
    theirs = measurement(places, [p.kind == "trigger" for p in places], [0.5] * 6, 3.0)
    found = paired(ours, theirs)
    start = found["line_exact_match"]["line_start"]
    assert (start["value"], start["n"], start["better"], start["worse"]) == (1.0, 2, 2, 0)
    assert found["line_exact_match"]["trigger"]["value"] == 0 == found["top1"]["value"]
    assert found["edit_similarity"]["value"] == 0.5 and found["edit_similarity"]["better"] == 6
    bits = found["bits_per_byte"]
    assert bits["value"] == pytest.approx(-6 / np.log(2) / 40) and bits["low"] < bits["value"] < bits["high"] < 0
    back = paired(theirs, ours)["line_exact_match"]["mid_line"]
    assert (back["value"], back["better"], back["worse"]) == (-1.0, 0, 2)
    with pytest.raises(ValueError, match="same"):
        paired(ours, measurement(choose(TEXTS[:2], 2, seed=5), [True] * 6, [1.0] * 6, 1.0))
    kinds = ours.results()["line_exact_match"]
    assert all(kinds[kind]["n"] == 2 and kinds[kind]["value"] == 1 for kind in KINDS)
