"""Every family: logits of random tiny models equal transformers'; what a config or a file lacks is named."""

import numpy as np
import peers
import pytest

from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.models import twin
from runtime.models.families import open_model
from runtime.models.gguf_layout import exported

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


def write_exported(folder, path):
    """The model of a folder as a GGUF file in float32."""
    metadata, tensors, _ = exported(folder)

    def whole(tensor):
        rows = int(np.prod(tensor.shape[:-1], dtype=np.int64))
        return [part.data for begin in range(rows) for part in tensor.rows(begin, begin + 1)]

    write_gguf(path, metadata, [GgufTensor(t.name, "F32", t.shape, lambda t=t: whole(t)) for t in tensors])


@pytest.mark.peer
def test_a_model_written_as_gguf_is_the_same_model(saved, tmp_path):
    """Or it is refused, because the keys of GGUF cannot say what is unusual about it."""
    folder, wanted = saved
    try:
        write_exported(folder, tmp_path / "model.gguf")
    except ValueError as error:
        assert str(error).startswith("GGUF has no way to say ")
        return
    spec, weights = read(tmp_path / "model.gguf")
    if spec.max_context < len(IDS):  # dynamic scaling: the file declares what needs none
        return
    approximation = open_model(folder).spec.activation != spec.activation  # GGUF does not tell one GELU from another
    error = np.abs(twin.logits(spec, weights, IDS) - wanted).max()
    assert error < (5e-3 if approximation else 2e-4) * max(1.0, float(wanted.std()))
