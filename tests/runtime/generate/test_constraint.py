"""Constraints: masks equal brute force over the vocabulary, healing and grammars together, ends of texts."""

import itertools
import json
import random

import numpy as np
import pytest
from vocabularies import Vocabulary

import runtime
from runtime.generate import Chooser, Constraint, Healer, Matcher, Sampling, TokenIndex, compile_grammar

TOKENS = sorted(
    {
        *(bytes([b]) for b in range(256)),
        *(a + b for a, b in itertools.product((b"a", b"b", b'"', b"{", b":", b"\xc3", b"\xa4", b"\xe4\xb8"), repeat=2)),
        *("ä".encode(), "中".encode(), "中ä".encode(), b"\xad\xe4"),
        *(b'{"', b'":', b'","', b"ab ab", b" " * 20, b"12", b'"}'),
        *(b"return", b"returns", b"ret", b"turn"),
    }
)  # fmt: skip
VOCABULARY = Vocabulary(TOKENS, special=("<|eot|>", "<|other|>"))
INDEX = TokenIndex(VOCABULARY)
STOP = frozenset({0})
GRAMMARS = [
    'root ::= "a"* "b"',
    "root ::= [^a]{1,3}",
    'root ::= "\\"" ([^"\\\\] | "\\\\" .)* "\\""',
    'root ::= ("ä" | "中" | [\\u00e0-\\u00ff])+',
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}},
    {"type": "array", "items": {"type": "string", "maxLength": 3}},
]


def constraint(grammar, rest=b""):
    matcher = Matcher(compile_grammar(grammar))
    return Constraint(VOCABULARY, STOP, Healer(INDEX, rest) if rest else None, matcher, INDEX), matcher


@pytest.mark.parametrize("grammar", GRAMMARS, ids=range(len(GRAMMARS)))
def test_masks_equal_asking_for_each_token(grammar):
    rng = random.Random(2)
    for _ in range(8):
        now, matcher = constraint(grammar)
        fed = b""
        for _ in range(12):
            mask = now.mask(VOCABULARY.vocab_size + 5)
            asked = [now.allowed(id) for id in range(VOCABULARY.vocab_size + 5)]
            assert mask.tolist() == asked
            assert not any(asked[VOCABULARY.vocab_size :]) and not asked[1]
            assert asked[0] == matcher.accepting
            # and asking is what the grammar says of the token's bytes, byte by byte
            for id in rng.sample(range(2, VOCABULARY.vocab_size), 20):
                twin = Matcher(compile_grammar(grammar))
                twin.feed(fed)
                assert asked[id] == twin.allows(VOCABULARY.token_bytes(id))
            ids = [id for id in np.flatnonzero(mask).tolist() if id > 1]
            if not ids:
                assert now.finished or matcher.accepting
                break
            fed += now.accept(rng.choice(ids))


@pytest.mark.parametrize("rest", [b"r", b"retu", b"return", b"\xc3", b'{"', b"ab a"])
@pytest.mark.parametrize("grammar", ['root ::= "rn" | "s" | [ -~]{0,9} "!"', GRAMMARS[4], "root ::= .*"])
def test_a_healed_caret_and_a_grammar_hold_together(grammar, rest):
    """Allowed: proper beginnings of the rest, and tokens that begin with it and go on as the grammar wants."""
    now, matcher = constraint(grammar, rest)
    assert now.healing and not now.finished
    wanted = []
    for id in range(VOCABULARY.vocab_size):
        text = VOCABULARY.token_bytes(id) if id > 1 else b""
        proper = bool(text) and rest.startswith(text) and text != rest
        wanted.append(proper or (text.startswith(rest) and matcher.allows(text[len(rest) :])))
    assert now.mask(VOCABULARY.vocab_size).tolist() == wanted
    assert [now.allowed(id) for id in range(VOCABULARY.vocab_size)] == wanted


def test_healing_over_several_tokens_ends_where_the_grammar_begins():
    now, matcher = constraint('root ::= "ns" | "n!"', b"retur")
    assert now.accept(VOCABULARY.id(b"ret")) == b"" and now.healing
    assert not now.allowed(VOCABULARY.id(b"r")) and now.allowed(VOCABULARY.id(b"turn")) is False
    assert now.accept(VOCABULARY.id(b"u")) == b""
    assert now.allowed(VOCABULARY.id(b"r"))
    assert now.accept(VOCABULARY.id(b"r")) == b"" and not now.healing
    assert now.accept(VOCABULARY.id(b"n")) == b"n"
    assert now.accept(VOCABULARY.id(b"!")) == b"!" and now.finished
    now, _ = constraint('root ::= "ns" | "n!"', b"retur")
    assert now.accept(VOCABULARY.id(b"returns")) == b"ns" and now.finished


def test_a_rest_that_no_token_spells_is_given_up_for_the_grammar():
    vocabulary = Vocabulary([b"a", b"b"])
    index = TokenIndex(vocabulary)
    matcher = Matcher(compile_grammar('root ::= "ab"'))
    now = Constraint(vocabulary, STOP, Healer(index, b"z"), matcher, index)
    assert np.flatnonzero(now.mask(3)).tolist() == [1]
    assert now.accept(1) == b"a" and not now.healing


def test_a_grammar_needs_a_tokenizer():
    with pytest.raises(ValueError, match="tokenizer"):
        Constraint(None, STOP, None, Matcher(compile_grammar('root ::= "a"')))


def choose_text(grammar, seed, **options):
    """Random logits under a grammar, until it ends."""
    now, _ = constraint(grammar)
    chooser = Chooser(Sampling(temperature=1.0, seed=seed, **options), [], now)
    rng, out = np.random.default_rng(seed), b""
    for _ in range(300):
        choice = chooser.choose(rng.standard_normal(VOCABULARY.vocab_size).astype(np.float32) * 3)
        if choice.id in STOP:
            return out
        out += choice.raw
        if chooser.finished:
            return out
    return None


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.5}, {"repetition_penalty": 1.3}])
def test_every_text_that_ends_parses(options):
    made = 0
    for seed in range(25):
        text = choose_text(GRAMMARS[4], seed, **options)
        if text is not None:
            value = json.loads(text)
            assert set(value) <= {"a", "b"} and isinstance(value.get("a", 1), int)
            made += 1
    assert made > 5


def test_checking_first_and_masking_draw_from_the_same_distribution():
    """Plain temperature: the pick that may be rejected equals the masked softmax (chi-square, p > 0.001)."""
    logits = np.random.default_rng(3).standard_normal(VOCABULARY.vocab_size).astype(np.float32)
    now, _ = constraint(GRAMMARS[1])
    mask = now.mask(logits.size)
    wanted = np.where(mask, np.exp(logits), 0)
    wanted /= wanted.sum()
    chooser = Chooser(Sampling(temperature=1.0, seed=1), [], now)
    counts = np.bincount([chooser.pick(logits) for _ in range(5000)], minlength=logits.size)
    assert counts[~mask].sum() == 0
    often = wanted * 5000 >= 5
    chi2 = ((counts - wanted * 5000)[often] ** 2 / (wanted * 5000)[often]).sum()
    n = often.sum() - 1
    assert chi2 < n + 3.1 * (2 * n) ** 0.5 + 6


def test_stop_ids_come_only_where_the_grammar_can_end():
    logits = np.zeros(VOCABULARY.vocab_size, np.float32)
    logits[0] = 50  # the model would like to stop at once
    now, _ = constraint('root ::= "ab" "a"*')
    chooser = Chooser(Sampling(), [], now)
    text = b"".join(chooser.choose(logits).raw for _ in range(2))
    assert text == b"ab" and chooser.choose(logits).id == 0


# ---- with a real model and a real vocabulary -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return runtime.load_model()


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "kind": {"enum": ["function", "class"]},
        "lines": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 999}, "maxItems": 3},
    },
    "required": ["name", "kind", "lines"],
}


@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "seed": 3}, {"temperature": 1.0, "top_k": 5, "seed": 4}])
def test_the_embedded_model_writes_what_the_schema_wants(model, options):
    with runtime.Engine(model) as engine:
        texts = [
            "".join(piece.text for piece in model.generate("info = ", max_tokens=200, grammar=SCHEMA, **options)),
            str(model.infill("info = ", "\n", max_tokens=200, grammar=SCHEMA, **options)),
            "".join(piece.text for piece in engine.submit("info = ", max_tokens=200, grammar=SCHEMA, **options)),
        ]
    for text in texts:
        value = json.loads(text)
        assert value["kind"] in ("function", "class") and len(value["name"]) <= 12
        assert all(1 <= n <= 999 for n in value["lines"])


def test_a_caret_inside_a_token_is_healed_under_a_grammar(model):
    text = str(model.infill("def f(x):\n    retu", "\n", max_tokens=20, grammar='root ::= "rn " [a-z]+ "\\n"'))
    assert text.startswith("rn ") and text.endswith("\n")


def test_a_grammar_that_is_wrong_is_refused_at_the_call(model):
    with runtime.Engine(model) as engine:
        for call in (model.generate, engine.submit):
            with pytest.raises(ValueError, match="left recursion"):
                call("x", grammar="root ::= root | [a]")


@pytest.mark.shared
def test_masks_of_a_large_vocabulary_are_right(shared_data):
    """151,665 tokens: the mask equals asking for each token, of which every fifth is asked."""
    tokenizer = runtime.load_tokenizer(shared_data / "conformance" / "tokenizers" / "qwen2.5-coder.tokenizer.json")
    index = TokenIndex(tokenizer)
    size = tokenizer.vocab_size
    for before in (b"", b'{"name": "', b'{"name": "ab', b'{"name": "\xe4', b'{"name": "x", "kind": ', b'{"name": "x"'):
        matcher = Matcher(compile_grammar(SCHEMA))
        matcher.feed(before)
        mask = np.frombuffer(matcher.mask(index.trie, size), bool)
        asked = [bool(raw := index.ordinary(id)) and matcher.allows(raw) for id in range(0, size, 5)]
        assert mask[::5].tolist() == asked
