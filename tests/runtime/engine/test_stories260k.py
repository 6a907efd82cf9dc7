"""A real pretrained Llama: our plan, autograd network and numpy twin give the reference logits and greedy ids."""

import json

import numpy as np
import pytest

import runtime
from runtime.models import twin
from runtime.models.decoder import Decoder

pytestmark = pytest.mark.shared
CASES = range(6)


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "conformance" / "stories260K"


@pytest.fixture(scope="module")
def model(folder):
    return runtime.load_model(folder / "hf", weights="f32")


@pytest.fixture(scope="module")
def reference(folder):
    return np.load(folder / "reference_logits.npz")


@pytest.fixture(scope="module")
def greedy(folder):
    return json.loads((folder / "reference_greedy.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module")
def weights(folder, model):
    from runtime.files.safetensors import read_weights

    stored = read_weights(folder / "hf")
    return {name: stored.float32(name) for name in model.spec.weight_shapes()}


@pytest.mark.parametrize("case", CASES)
def test_plan_gives_the_reference_logits(model, reference, case):
    ids, wanted = reference[f"ids{case}"], reference[f"logits{case}"]
    assert np.abs(model.logits(ids) - wanted).max() < 2e-4 * max(1.0, wanted.std())


@pytest.mark.parametrize("case", CASES)
def test_autograd_and_twin_give_the_reference_logits(model, weights, reference, case):
    ids, wanted = reference[f"ids{case}"].astype(np.int32), reference[f"logits{case}"]
    bound = 2e-4 * max(1.0, wanted.std())
    assert np.abs(Decoder(model.spec, weights=weights).logits(ids[None]).data[0] - wanted).max() < bound
    assert np.abs(twin.logits(model.spec, weights, ids) - wanted).max() < bound


@pytest.mark.parametrize("case", CASES)
def test_greedy_ids_are_the_reference(model, greedy, case):
    wanted = greedy[case]["greedy_ids"]
    pieces = list(model.generate(greedy[case]["prompt_ids"], max_tokens=len(wanted)))
    assert [piece.id for piece in pieces] == wanted


def test_quantised_weights_stay_close(folder, reference):
    model = runtime.load_model(folder / "hf", weights="q8_0")
    ids, wanted = reference["ids4"], reference["logits4"]
    assert 1e-6 < np.abs(model.logits(ids) - wanted).max() < 0.5


def test_a_folder_without_tokenizer_still_scores(model):
    assert model.tokenizer is None
    with pytest.raises(ValueError, match="no tokenizer"):
        model.infill("a", "b")
