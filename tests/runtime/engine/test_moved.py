"""Parts of a prompt that stand elsewhere in a cache: found, moved, turned, and only where it was asked for."""

import numpy as np
import pytest
from fake_network import VOCABULARY, answer, fake_model
from hypothesis import given
from hypothesis import strategies as st

import runtime
from runtime import Engine
from runtime.engine.moved import LEAST, Move, find_moves, move
from runtime.engine.network import Chunk, Network
from runtime.model import EMBEDDED
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights


def ids(n, seed=0):
    return np.random.default_rng(seed).integers(0, VOCABULARY, n).astype(np.int32)


def test_an_edit_leaves_what_follows_to_be_moved():
    old = ids(300)
    new = np.concatenate([old[:100], ids(7, 1), old[120:]])
    assert find_moves(old, new, 100, 100) == [Move(120, 107, 179)], "all but the last id"


def test_a_window_that_dropped_its_first_lines_moves_as_a_whole():
    old = ids(300)
    new = np.concatenate([old[64:], ids(20, 1)])
    assert find_moves(old, new, 0, 0) == [Move(64, 0, 236)]


def test_short_parts_and_parts_out_of_order_stay():
    old = ids(300)
    assert find_moves(old, np.concatenate([ids(9, 1), old[: LEAST - 1], ids(9, 2)]), 0, 0) == []
    swapped = np.concatenate([old[150:], old[:150], ids(1, 3)])
    assert find_moves(old, swapped, 0, 0) == [Move(150, 0, 150)]


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_moves_are_what_they_say(old, new):
    old, new = np.array(old, np.int32), np.array(new, np.int32)
    end = after = 0
    for m in find_moves(old, new, 0, 0, least=4):
        assert m.length >= 4 and m.begin >= end and m.old >= after and m.begin + m.length < len(new)
        np.testing.assert_array_equal(old[m.old : m.old + m.length], new[m.begin : m.begin + m.length])
        end, after = m.begin + m.length, m.old + m.length


@pytest.mark.parametrize("reuse_moved", [False, True])
def test_an_engine_moves_only_when_asked(reuse_moved):
    """On caches that hold ids a wrong move would be an error or another answer."""
    text = ids(400)
    edits = [
        np.concatenate([text[:150], ids(9, 1), text[150:]]),
        np.concatenate([text[:40], text[60:200], ids(80, 2), text[220:]]),
        np.concatenate([text[100:], ids(90, 3)]),
    ]
    with Engine(fake_model(max_rows=64), reuse_moved=reuse_moved) as engine:
        list(engine.submit(text, max_tokens=1))
        for edited, shared, at_most in zip(edits, (150, 40, 0), (20, 120, 100), strict=True):
            request = engine.submit(edited, max_tokens=6)
            assert [piece.id for piece in request] == answer(edited, 6)
            timing = request.timing
            assert timing["reused_tokens"] + timing["new_tokens"] == len(edited)
            assert timing["new_tokens"] <= at_most if reuse_moved else timing["reused_tokens"] == shared


def test_moved_rows_are_turned_to_their_new_positions():
    """In a network of one layer nothing but the position is in a key: moved rows are those of a whole computation."""
    spec = DecoderSpec(VOCABULARY, 64, 1, 4, 2, 32, 96, max_context=384)
    network = Network(spec, init_weights(spec, seed=2, std=0.15), "f32")
    text = ids(200)
    cache, wanted = network.new_cache(384), network.new_cache(384)
    network.run([Chunk(text, 0, cache)])
    network.run([Chunk(np.concatenate([ids(30, 1), text[20:180]]), 0, wanted)])
    move(network, cache, cache, [Move(20, 30, 100), Move(120, 130, 60)])
    for part, right in zip(cache.rows(30, 190), wanted.rows(30, 190), strict=True):
        np.testing.assert_allclose(part.view(np.float32), right.view(np.float32), atol=2e-5)


@pytest.mark.skipif(not (EMBEDDED / "model.safetensors").exists(), reason="the model is not trained yet")
def test_what_moving_costs_in_a_trained_model():
    """A line more at the beginning of a file: the distribution of the next token hardly changes."""
    model = runtime.load_model()
    lines = (EMBEDDED / "sample.py").read_text(encoding="utf-8").splitlines(keepends=True)
    first = np.array(model.tokenizer.encode("".join(lines))[:400], np.int32)
    more = np.array(model.tokenizer.encode("import math\n"), np.int32)
    n = len(more)
    second = np.concatenate([first[:60], more, first[60:]])
    network = model.network
    cache = network.new_cache(512)
    for start in range(0, len(first), 200):
        network.run([Chunk(first[start : start + 200], start, cache)])
    network.run([Chunk(more, 60, moved := cache.copy(60, 512))])
    move(network, cache, moved, [Move(60, 60 + n, len(first) - 61)])
    ((scores, _),) = network.run([Chunk(second[-1:], len(second) - 1, moved)])
    p, q = (np.exp(x.astype(np.float64) - x.max()) for x in (model.logits(second)[-1], scores[-1]))
    p, q = p / p.sum(), q / q.sum()
    assert (p * np.log(p / q)).sum() < 0.05


def test_learned_positions_cannot_be_moved():
    model = fake_model()
    model.spec.positions = "learned"
    with pytest.raises(ValueError, match="learned positions"):
        Engine(model, reuse_moved=True)
