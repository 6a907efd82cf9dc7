"""Model and load_model at their edges: full contexts, rows without a token, configurations that lie."""

import json

import numpy as np
import pytest

import runtime
from runtime import FormatError
from runtime.engine.network import Network
from runtime.files.safetensors import write_safetensors
from runtime.model import Model
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.text import SPECIAL_TOKENS, train_bpe

ODD = DecoderSpec(37, 24, 2, 6, 3, 6, 19, max_context=20, tied=False)  # nothing here is a multiple of 16
rng = np.random.default_rng(5)


@pytest.fixture
def put(tmp_path):
    """(changes to config.json) -> a model folder of ODD."""
    write_safetensors(tmp_path / "model.safetensors", init_weights(ODD, 0))

    def write(**changes):
        (tmp_path / "config.json").write_text(json.dumps(ODD.to_hf_config() | changes))
        return tmp_path

    return write


@pytest.mark.parametrize("weights", ["f32", "q8_0"])
def test_a_prompt_that_fills_the_context_gives_one_token(put, weights):
    model = runtime.load_model(put(), weights=weights)
    for _ in range(5):
        ids = rng.integers(0, 37, 20).tolist()
        pieces = list(model.generate(ids, max_tokens=1))
        assert [piece.id for piece in pieces] == [int(model.logits(ids)[-1].argmax())]


def test_ids_may_come_in_any_container(put):
    model = runtime.load_model(put())
    wanted = [piece.id for piece in model.generate([5, 6], max_tokens=4)]
    for ids in ((5, 6), np.array([5, 6], np.uint8), np.array([5, 6]), [np.int32(5), np.int64(6)]):
        assert [piece.id for piece in model.generate(ids, max_tokens=np.int64(4))] == wanted


def test_a_generation_closed_early_gives_its_slot_back(put):
    model = runtime.load_model(put())
    for _ in range(3):
        running = [model.generate([n], max_tokens=9) for n in range(3)]
        assert [next(pieces).id for pieces in running]
        for pieces in running:
            pieces.close()
    assert not any(slot.busy for slot in model._store.slots)


def test_generation_ends_with_the_context(put):
    model = runtime.load_model(put())
    assert len(list(model.generate([1, 2, 3], max_tokens=100))) == 20 - 3 + 1


def test_a_row_without_a_token_has_no_text():
    """Tables are often padded beyond the tokenizer; such an id may be drawn and must not end the request."""
    tokenizer = train_bpe(["a b c d " * 50], 280, special_tokens=SPECIAL_TOKENS)
    padded = tokenizer.vocab_size + 40
    spec = DecoderSpec(padded, 32, 1, 2, 1, 16, 32, max_context=64)
    model = Model("padded", {}, spec, tokenizer, Network(spec, init_weights(spec, 0)))
    pieces = [p for seed in range(8) for p in model.generate("a b", max_tokens=30, temperature=50.0, seed=seed)]
    beyond = [piece for piece in pieces if piece.id >= tokenizer.vocab_size]
    assert beyond and all(piece.text == "" for piece in beyond)


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": [1]},
        {"rope_parameters": "linear"},
        {"rope_parameters": None, "rope_scaling": ["x"]},
        {"rope_parameters": None, "rope_scaling": {"rope_theta": "nan"}},
        {"rope_parameters": None, "rope_scaling": {"rope_theta": -1}},
        {"vocab_size": 1 << 30},
        {"vocab_size": 1 << 22},
        {"model_type": "spec"},
        {"max_position_embeddings": None},
    ],
)
def test_lies_of_a_config_are_format_errors(put, change):
    with pytest.raises(FormatError):
        runtime.load_model(put(**change))


@pytest.mark.parametrize("own", [[1], "q8_0", {"precision": [1], "fim_order": {}}, None])
def test_own_settings_of_the_wrong_type_are_ignored(put, own):
    model = runtime.load_model(put(hearth=own))
    assert model.network.precision == "auto" and model.fim_order == "psm"


def test_a_declared_context_does_not_decide_what_is_allocated(put):
    model = runtime.load_model(put(max_position_embeddings=1 << 24))
    assert model.spec.max_context == model.network.capacity == 1 << 20
    assert model.network.cache_bytes <= 2 << 30
    assert model.logits([1, 2, 3]).shape == (3, 37)


def test_a_cache_that_holds_no_useful_context_is_refused(put, monkeypatch):
    monkeypatch.setattr("runtime.files.limits.CACHE_BYTES", 4096)
    with pytest.raises(FormatError, match="positions"):
        runtime.load_model(put())
