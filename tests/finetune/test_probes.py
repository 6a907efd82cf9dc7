"""Probes: their items are true, a random model scores what guessing would, a trained one far more."""

import inspect
import json
import textwrap
import tokenize

import numpy as np
import pytest

import runtime
from finetune.probes import cloze, diversity, punctuation, questions, run_probes, syntax, words
from finetune.probes.diversity import distinct, diversity_of
from finetune.probes.passages import passages
from finetune.probes.teacher import Teacher
from runtime.generate.samplers import log_softmax

TEXTS = [inspect.getsource(module) for module in (textwrap, json.decoder, inspect, tokenize)]


@pytest.fixture(scope="module")
def models(tmp_path_factory, write_model):
    """Four models that know nothing."""
    folder = tmp_path_factory.mktemp("random")
    return [runtime.load_model(write_model(folder / str(n), TEXTS[0] + TEXTS[1], seed=n)) for n in range(4)]


@pytest.fixture(scope="module")
def teacher(models):
    return Teacher(models[0])


@pytest.fixture(scope="module")
def parts(models):
    return passages(TEXTS, models[0].tokenizer, 240)


# ---- the teacher -------------------------------------------------------------------------------------------------


def test_scores_do_not_depend_on_what_was_asked_before(models, teacher):
    rng = np.random.default_rng(1)
    base = rng.integers(6, 300, 310).tolist()
    for _ in range(12):
        ids = base[: rng.integers(2, 300)] + rng.integers(6, 300, 8).tolist()
        first = int(rng.integers(1, len(ids)))
        rows = models[0].logits(ids)
        expected = -sum(log_softmax(rows[i - 1])[ids[i]] for i in range(first, len(ids)))
        assert teacher.nats(ids, first) == pytest.approx(expected, rel=1e-4)
        p = teacher.distribution(ids)
        assert p.sum() == pytest.approx(1) and p[7] == pytest.approx(np.exp(log_softmax(rows[-1])[7]), rel=1e-3)
    with pytest.raises(ValueError, match="context"):
        teacher.distribution(list(range(321)))


def test_characters_share_out_all_probability(teacher):
    """After a context at a token's end: every character's chance and that of what no ASCII character begins."""
    context = "x = ("
    ids = teacher.encode(context)
    kept, rest = teacher.index.split(ids)
    p = teacher.distribution(kept)
    starts = [teacher.tokenizer.token_bytes(i) for i in range(teacher.tokenizer.vocab_size)]
    chances = teacher.chances(context, [chr(c) for c in range(128)])
    if not rest:
        others = sum(p[i] for i, b in enumerate(starts) if i in teacher.special or b[:1] >= b"\x80" or not b)
        assert sum(chances) + others == pytest.approx(1, abs=1e-6)
    twice = teacher.chances(context, ["se", "s"])
    assert 0 < twice[0] < twice[1]
    longer = sum(teacher.chances(context, ["s" + chr(c) for c in range(128)]))
    assert longer == pytest.approx(twice[1], rel=0.2) and longer <= twice[1] + 1e-9


def test_greedy_text_is_what_the_engine_writes(models, teacher):
    for context in ("def area(wid", "import os\n\n", "class Box:\n    def __in"):
        expected = models[0].infill(context, "", max_tokens=9).text
        assert teacher.write(context, lambda text: False, 9).rstrip("\ufffd") == expected.rstrip("\ufffd")
    assert teacher.write("a = ", lambda text: True, 9) == teacher.write("a = ", lambda text: False, 1)


# ---- items -------------------------------------------------------------------------------------------------------


def test_passages_fit_and_their_tokens_stand_where_they_say(models, parts):
    assert len(parts) > 20
    for part in parts:
        assert len(models[0].tokenizer.encode(part.text)) <= 244 and part.text.count("\n") >= 6
        assert all(part.text[token.start : token.end] == token.text for token in part.code if token.text.strip())
    text = "a = 1\n" * 12 + "b = (\n"
    (only,) = passages([text], models[0].tokenizer, 240)
    assert only.text == text and len(only.statements()) == 12


def test_items_continue_the_text_with_the_right_answer(parts, teacher):
    held = "\0".join(part.text for part in parts)
    for context, right, marks in punctuation.brackets(parts, 90) + punctuation.colons(parts, 90):
        assert (context + right) in held and right in marks
    for context, rest in words.items(parts, 60):
        assert (context + rest) in held and rest.isidentifier() or rest[0].isdigit()
    for context, good, bad in syntax.pairs(parts, teacher, 60):
        assert (context + good) in held and sorted(good) == sorted(bad) and good != bad
    for first, choices in cloze.items(parts, teacher, 60):
        assert len(choices) == cloze.CHOICES and len({tuple(ids) for ids in choices}) == cloze.CHOICES
        assert len({len(ids) for ids in choices}) == 1 and all(ids[:first] == choices[0][:first] for ids in choices)
        assert teacher.tokenizer.decode(choices[0], skip_special=True) in held


def test_every_answer_is_asked_for_equally_often(parts):
    for found in (punctuation.brackets(parts, 90), punctuation.colons(parts, 90)):
        marks = [mark for _, mark, _ in found]
        assert len({marks.count(mark) for mark in set(marks)}) == 1 and set(marks) == set(found[0][2])


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        ("x = f(1)", True), ("return", True), ("elif x:", True), ("else:", True), ("except ValueError:", True),
        ("finally:", True), ("case 1:", True), ("case = 1", True), ("@decorator", True), ("total = sum(", True),
        ('"""Documentation.', True), ("if x:", True), ("# a remark", True), ("await x", True),
        ("x = = 1", False), ("x y", False), ("def f(:", False), ("'open", False), ("", False), ("f)", False),
        ("return return", False), ("elif:", False),
    ],
)  # fmt: skip
def test_lines_that_are_python_or_begin_some(line, valid):
    assert syntax.valid_line(line) == valid


class Writer:
    """Says what it was told to."""

    def __init__(self, text):
        self.text = text

    def write(self, context, enough, most):
        for n in range(1, len(self.text) + 1):
            if enough(self.text[:n]):
                return self.text[:n]
        return self.text


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("return x\n\n\nclass A:", True), ("y = x\n    return y\n\ndef", True), ("if x:\n        y = 1\n    re", True),
        ("return (x\nclass A:\n", False), ("return return\n\nx", False), ("", False), ("y = (x,\n    z = 1", True),
    ],
)  # fmt: skip
def test_blocks_end_where_the_indent_does(text, right):
    assert syntax.run_blocks(Writer(text), [("def f(x):\n    ", "def f(x):")]) == [right]


def test_a_word_is_finished_when_nothing_is_missing_or_added():
    found = [("import os\nretu", "rn")]
    assert [words.run(Writer(text), found) for text in ("rn x", "rn", "rns x", "r", "")] == [
        [True], [True], [False], [False], [False],
    ]  # fmt: skip


def test_no_question_holds_its_answer_and_answers_are_words_of_their_own():
    assert len(questions.QUESTIONS) >= 50 and len({q for q, _ in questions.QUESTIONS}) == len(questions.QUESTIONS)
    for question, answers in questions.QUESTIONS:
        assert not questions.accepts(answers, question) and answers.strip() == answers and question.endswith("?")
        assert questions.accepts(answers, f"`{answers.split('|')[0]}` does.")
    for text in ("append", " append adds", "Use `append()`.", "```python\nappend(x)\n```", "'append'"):
        assert questions.accepts("append", text)
    for text in ("", "appended", "I would append it", "It is `append2`"):
        assert not questions.accepts("append", text)


# ---- results -----------------------------------------------------------------------------------------------------


def test_random_models_score_what_guessing_would(models):
    found = [run_probes(model, TEXTS, items=60) for model in models]
    for probe in ("brackets", "colons", "valid_pairs", "cloze"):
        n = sum(f[probe]["n"] for f in found)
        mean = sum(f[probe]["value"] * f[probe]["n"] for f in found) / n
        chance = found[0][probe]["chance"]
        assert n >= 80 and abs(mean - chance) < 0.12, (probe, mean, chance, n)
    for probe in ("common_words", "questions"):
        assert all(f[probe]["n"] >= 30 and f[probe]["value"] < 0.05 for f in found)
    assert all(f["blocks_parse"]["value"] < 0.3 for f in found)
    assert "as expected" in found[0]["questions"]["words"]


def test_the_embedded_model_knows_more_than_chance():
    found = run_probes(runtime.load_model(), TEXTS[:2], items=24)
    assert found["brackets"]["value"] > 0.75 and found["colons"]["value"] > 0.8 and found["cloze"]["value"] > 0.5
    assert found["common_words"]["value"] > 0.6 and found["valid_pairs"]["value"] > 0.8
    assert found["lines_parse"]["value"] > 0.6 and found["blocks_parse"]["value"] > 0.5
    for probe in found.values():
        assert 0 <= probe["low"] <= probe["value"] <= probe["high"] <= 1


def test_a_small_context_or_text_without_items_measures_nothing(tmp_path, write_model):
    small = runtime.load_model(write_model(tmp_path / "small", TEXTS[0], context=64))
    for found in (run_probes(small, TEXTS), run_probes(runtime.load_model(), ["x = 1\n"])):
        assert all(
            found[name] == {"value": None, "n": 0, "low": 0.0, "high": 1.0, "chance": 0.25} for name in ("cloze",)
        )
        assert found["brackets"]["n"] == 0 == found["lines_parse"]["n"]


# ---- distinct n-grams --------------------------------------------------------------------------------------------


def test_distinct_counts_different_ngrams():
    assert distinct([1, 1, 1, 1], 1) == 0.25 and distinct([1, 2, 1, 2], 2) == pytest.approx(2 / 3)
    assert distinct([1, 2, 3], 3) == 1 and distinct([1], 2) == 0


def test_distinct_ngrams_rise_with_the_temperature():
    model = runtime.load_model()
    found = diversity_of(model, (0.2, 1.4), tokens=120, prompts=diversity.PROMPTS[:2])
    assert found["rises"] == {f"distinct_{n}": True for n in (1, 2, 3)} and found["tokens"] == 120
    for n in (1, 2, 3):
        low, high = found[f"distinct_{n}"]
        assert 0 < low < high - 0.2 and high <= 1
    assert diversity_of(model, (0.2, 1.4), 30, diversity.PROMPTS[:1]) == diversity_of(
        model, (0.2, 1.4), 30, diversity.PROMPTS[:1]
    )
    with pytest.raises(ValueError, match="rising"):
        diversity_of(model, (1.0, 0.2))


def test_a_model_that_always_says_the_same_does_not_rise(monkeypatch, models):
    monkeypatch.setattr(diversity, "_sample", lambda *args, **more: [1, 2] * 20)
    found = diversity_of(models[0])
    assert not any(found["rises"].values()) and found["distinct_1"] == [0.05] * 4
