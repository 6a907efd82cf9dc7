"""Every family: logits of random tiny models equal transformers'; what a config or a file lacks is named."""

import numpy as np
import peers
import pytest

from runtime.models import twin
from runtime.models.families import open_model

IDS = np.random.default_rng(1).integers(0, 97, 48)
_kept: dict = {}


@pytest.fixture(params=peers.CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def saved(request, tmp_path_factory):
    """(folder as save_pretrained writes it, the peer's logits of IDS)."""
    kind, name, arguments = request.param
    pytest.importorskip("transformers")
    if (kind, name) not in _kept:
        model = peers.build(kind, arguments)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        _kept[kind, name] = folder, peers.logits(model, IDS)
    return _kept[kind, name]


def read(folder):
    """(spec, weights by canonical name as float32) of a folder."""
    model = open_model(folder)
    assert {name: tensor.shape for name, tensor in model.weights.items()} == model.spec.weight_shapes()
    return model.spec, {name: tensor.float32() for name, tensor in model.weights.items()}


@pytest.mark.peer
def test_the_twin_gives_the_logits_of_transformers(saved):
    folder, wanted = saved
    assert np.abs(twin.logits(*read(folder), IDS) - wanted).max() < 2e-4 * max(1.0, float(wanted.std()))
