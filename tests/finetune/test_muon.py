"""Muon: its updates are orthogonal, it learns, and a run that is resumed computes the same numbers."""

import sys
from pathlib import Path

import numpy as np
import pytest

from finetune.muon import Muon, inside_blocks, orthogonalise
from finetune.optim import OptimizerSettings
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import trainer

rng = np.random.default_rng(2)


@pytest.mark.parametrize("shape", [(48, 48), (64, 24), (24, 96), (1, 7)])
def test_updates_have_singular_values_near_one(shape):
    left, _, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    spread = np.linspace(0.2, 1.0, min(shape)) * 30  # singular values near zero would need more iterations
    update = orthogonalise((left * spread @ right).astype(np.float32))
    values = np.linalg.svd(update, compute_uv=False)
    assert 0.6 < values.min() and values.max() < 1.3
    assert float((update * (left @ right)).sum()) > 0.65 * min(shape)  # the same directions


def test_zero_stays_zero_and_scale_does_not_matter():
    assert not orthogonalise(np.zeros((4, 6), np.float32)).any()
    matrix = rng.standard_normal((8, 8)).astype(np.float32)
    np.testing.assert_allclose(orthogonalise(matrix), orthogonalise(matrix * 1000), atol=1e-4)


def test_matrices_of_blocks_take_muon_and_the_rest_adamw():
    decoder = Decoder(DecoderSpec(32, 32, 1, 2, 1, 16, 48, max_context=16, tied=False))
    muon = Muon(decoder.parameters(), OptimizerSettings())
    assert set(muon.matrices) == {n for n, p in decoder.parameters().items() if "proj" in n}
    assert set(muon.matrices) | set(muon.rest.parameters) == set(decoder.parameters())
    assert not inside_blocks("lm_head.weight", np.zeros((2, 2)))
    state = muon.state()
    assert {key[2:] for key in state if key.startswith("m/")} == set(decoder.parameters())


def test_not_finite_gradients_change_nothing():
    decoder = Decoder(DecoderSpec(32, 32, 1, 2, 1, 16, 48, max_context=16))
    muon = Muon(decoder.parameters(), OptimizerSettings())
    before = {name: p.data.copy() for name, p in decoder.parameters().items()}
    decoder.parameters()["model.norm.weight"].grad[0] = np.nan
    with pytest.raises(FloatingPointError):
        muon.step(1e-3, 1)
    for name, p in decoder.parameters().items():
        np.testing.assert_array_equal(p.data, before[name])


def test_it_learns_and_resumes_exactly(tmp_path):
    whole = trainer(tmp_path / "whole", steps=24, optimizer="muon", lr=3e-3)
    whole.run()
    first = trainer(tmp_path / "cut", steps=24, optimizer="muon", lr=3e-3)
    first.listener.saved = lambda step, path: (_ for _ in ()).throw(KeyboardInterrupt) if step == 12 else None
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = trainer(tmp_path / "cut", steps=24, optimizer="muon", lr=3e-3)
    second.run(resume=True)
    for name, p in whole.parameters.items():
        np.testing.assert_array_equal(p.data, second.parameters[name].data)
    losses = [float(line.split('"loss": ')[1].split(",")[0]) for line in open(tmp_path / "whole" / "metrics.jsonl")]
    assert losses[-1] < 0.7 * losses[0]
