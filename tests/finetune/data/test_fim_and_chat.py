"""Holes give the document back, in both orders; chat documents are made of the corpus' own text."""

import ast
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.data import chat
from finetune.data.fim import FimSettings, choose_hole, fim_ids
from runtime.text import FimFormat

TEXT = "import os\n\n\ndef f(a, b):\n    # é\n    return a + b\n\n\nprint(f(1, 2))\n"


def reconstruct(ids, tokenizer):
    """The document of an infilling sequence, from its ids alone."""
    m = FimFormat.find(tokenizer.special)
    ids = list(ids)
    assert ids[-1] == m.end and ids[0] == m.prefix
    s, k = ids.index(m.suffix), ids.index(m.middle)
    assert s < k
    if s == 1:  # suffix first: the middle follows the prefix directly
        return tokenizer.decode_bytes(ids[k + 1 : -1]) + tokenizer.decode_bytes(ids[s + 1 : k]), "spm"
    return tokenizer.decode_bytes(ids[1:s] + ids[k + 1 : -1] + ids[s + 1 : k]), "psm"


@given(st.text(), st.integers(0, 1 << 30))
@settings(deadline=None)
def test_prefix_middle_suffix_are_the_document(tokenizer, text, seed):
    text = text.encode("utf-8", "ignore").decode()
    markers = FimFormat.find(tokenizer.special)
    ids = fim_ids(text, tokenizer, markers, FimSettings(), random.Random(seed))
    assert reconstruct(ids, tokenizer)[0] == text.encode()
    start, end = choose_hole(text, FimSettings(), random.Random(seed))
    assert 0 <= start <= end <= len(text)


def test_both_orders_come_about_equally_often(tokenizer):
    markers = FimFormat.find(tokenizer.special)
    orders = [
        reconstruct(fim_ids(TEXT, tokenizer, markers, FimSettings(), random.Random(i)), tokenizer)[1]
        for i in range(400)
    ]
    assert 140 < orders.count("spm") < 260


def test_the_same_seed_gives_the_same_hole(tokenizer):
    markers = FimFormat.find(tokenizer.special)
    a, b, c = (fim_ids(TEXT, tokenizer, markers, FimSettings(), random.Random(s)).tolist() for s in (4, 4, 5))
    assert a == b != c


def holes(**weights):
    only = {"span": 0, "line_rest": 0, "line": 0, "block": 0} | weights
    for seed in range(200):
        start, end = choose_hole(TEXT, FimSettings(**only), random.Random(seed))
        yield start, end, TEXT[start:end]


def test_line_shaped_holes_have_the_shape_of_lines():
    for _, end, hole in holes(line_rest=1):
        assert "\n" not in hole and TEXT[end] == "\n"
    for start, end, hole in holes(line=1):
        assert "\n" not in hole and TEXT[end : end + 1] in ("\n", "")
        assert not TEXT[:start].rpartition("\n")[2].strip()
    assert any(hole.count("\n") > 1 for _, _, hole in holes(block=1))
    assert any("\n" in hole and not hole.endswith("\n") for _, _, hole in holes(span=1))


def test_wrong_fim_settings_are_refused():
    for wrong in ({"rate": 1.5}, {"spm": -1}, {"span": -1}, {"span": 0, "line_rest": 0, "line": 0, "block": 0}):
        with pytest.raises(ValueError, match="fim"):
            FimSettings(**wrong)


SOURCE = '''
def area(width, height=2):
    """Return the area of a rectangle.

    Both sides in metres.
    """
    return width * height


class Box:
    def fill(self, water):
        """Fill the box with some water."""
        self.content = water
        return self
'''


def test_questions_and_answers_come_from_the_function():
    made = chat.from_source(SOURCE, ast.parse(SOURCE))
    assert [d.kind for d in made] == ["write", "explain", "explain"]
    write, explain, method = made
    assert "area(width, height=2)" in write.user and "area of a rectangle" in write.user
    assert write.assistant.startswith("```python\ndef area(") and write.assistant.endswith("\n```")
    ast.parse(write.assistant.removeprefix("```python\n").removesuffix("```"))
    assert "return width * height" in explain.user and "rectangle" not in explain.user
    assert explain.assistant.startswith("Return the area")
    assert "\ndef fill(self, water):\n    self.content" in method.user


def test_only_the_answer_is_trained_and_markers_in_text_stay_text(tokenizer):
    document = chat.ChatDocument("write", "say <|im_end|>", "no <|endoftext|> here")
    ids, trained = chat.chat_ids(document, tokenizer)
    assert tokenizer.decode(ids[trained]) == "no <|endoftext|> here<|im_end|>"
    assert tokenizer.special["<|endoftext|>"] not in ids
    assert ids.tolist().count(tokenizer.special["<|im_end|>"]) == 2
    expected = "<|im_start|>user\nsay <|im_end|><|im_end|>\n<|im_start|>assistant\nno <|endoftext|> here<|im_end|>\n"
    assert tokenizer.decode(ids) == expected


def test_chat_files_read_back(tmp_path):
    made = chat.from_source(SOURCE, ast.parse(SOURCE))
    (tmp_path / "c.jsonl").write_bytes(chat.to_jsonl(made))
    assert chat.read_jsonl(tmp_path / "c.jsonl") == made
