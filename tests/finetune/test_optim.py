"""The optimisers: by their definitions, beside torch's over several steps, decay groups by name, clipping, refusals."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from finetune.optim import OptimizerSettings, decay_groups
from finetune.settings import OPTIMIZERS, TrainSettings
from runtime.models.decoder import Decoder
from runtime.models.encoder import Encoder, EncoderSpec
from runtime.models.gpt import GPT, GPTSpec
from runtime.models.spec import DecoderSpec

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import trainer


def parameter(shape, seed):
    rng = np.random.default_rng(seed)
    data, grad = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    return SimpleNamespace(data=data, grad=grad)


SHAPES = {"model.embed_tokens.weight": (5, 4), "a.q_proj.weight": (3, 4), "norm.weight": (4,)}


def parameters():
    return {name: parameter(shape, i) for i, (name, shape) in enumerate(SHAPES.items())}


def test_adamw_follows_its_definition_with_clipping_and_decay_groups():
    params = parameters()
    expected = {
        n: (p.data.astype(np.float64), np.zeros(p.data.shape), np.zeros(p.data.shape)) for n, p in params.items()
    }
    optimizer = OPTIMIZERS["adamw"](params, OptimizerSettings(clip=0.5))
    for step in range(1, 4):
        norm = math.sqrt(sum((p.grad.astype(np.float64) ** 2).sum() for p in params.values()))
        assert optimizer.step(0.01, step) == pytest.approx(norm, rel=1e-6)
        for name, p in params.items():
            x, m, v = expected[name]
            g = p.grad * (0.5 / norm)
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.95 * v + 0.05 * g * g
            decay = 0.1 if name == "a.q_proj.weight" else 0.0
            x -= 0.01 * (m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.95**step)) + 1e-8) + decay * x)
            np.testing.assert_allclose(p.data, x, atol=2e-6, err_msg=name)


CASES = [
    ("sgd", {"momentum": 0.0}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.8, "nesterov": True}),
    ("adam", {"beta2": 0.999}),
    ("adamw", {"beta1": 0.8}),
]


@pytest.mark.peer
@pytest.mark.parametrize("decay", [0.0, 0.2])
@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda case: str(case))
def test_steps_equal_torchs(name, options, decay):
    torch = pytest.importorskip("torch")
    params = parameters()
    settings = OptimizerSettings(**options, weight_decay=decay, clip=1.5)
    mine = OPTIMIZERS[name](params, settings)
    theirs = {n: torch.nn.Parameter(torch.from_numpy(p.data.copy())) for n, p in params.items()}
    groups = [
        {"params": [theirs[n] for n in names], "weight_decay": decay if group == "decay" else 0.0}
        for group, names in decay_groups(params).items()
    ]
    if name == "sgd":
        peer = torch.optim.SGD(groups, lr=0.1, momentum=settings.momentum, nesterov=settings.nesterov)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
        peer = kind(groups, lr=0.1, betas=(settings.beta1, settings.beta2), eps=settings.eps)
    rng = np.random.default_rng(9)
    for step in range(1, 13):
        rate = 0.1 / step
        for n, p in params.items():
            p.grad = rng.standard_normal(p.data.shape).astype(np.float32)
            theirs[n].grad = torch.from_numpy(p.grad.copy())
        norm = torch.nn.utils.clip_grad_norm_(theirs.values(), 1.5)
        for group in peer.param_groups:
            group["lr"] = rate
        peer.step()
        assert mine.step(rate, step) == pytest.approx(norm.item(), rel=1e-5)
        for n, p in params.items():
            np.testing.assert_allclose(p.data, theirs[n].detach().numpy(), rtol=2e-5, atol=2e-6, err_msg=f"{n} {step}")


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_gradient_that_is_not_finite_changes_nothing(name):
    params = parameters()
    optimizer = OPTIMIZERS[name](params, OptimizerSettings())
    optimizer.step(0.1, 1)
    before = {n: p.data.copy() for n, p in params.items()} | {n: a.copy() for n, a in optimizer.state().items()}
    params["a.q_proj.weight"].grad[1, 1] = np.inf
    with pytest.raises(FloatingPointError):
        optimizer.step(0.1, 2)
    for n, array in ({n: p.data for n, p in params.items()} | optimizer.state()).items():
        np.testing.assert_array_equal(array, before[n], err_msg=n)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_parameters_without_a_gradient_stay(name):
    params = parameters()
    params["a.q_proj.weight"].grad = None
    before = params["a.q_proj.weight"].data.copy()
    OPTIMIZERS[name](params, OptimizerSettings()).step(0.1, 1)
    np.testing.assert_array_equal(params["a.q_proj.weight"].data, before)


def test_decay_groups_of_a_decoder_are_its_matrices_and_the_rest():
    spec = DecoderSpec(32, 32, 1, 2, 1, 16, 48, max_context=16, tied=False)
    layer = "model.layers.0."
    matrices = [f"{layer}self_attn.{x}_proj.weight" for x in "qkvo"]
    matrices += [f"{layer}mlp.{x}_proj.weight" for x in ("gate", "up", "down")]
    assert decay_groups(Decoder(spec).parameters()) == {
        "decay": [*matrices, "lm_head.weight"],
        "no decay": [
            "model.embed_tokens.weight",
            f"{layer}input_layernorm.weight",
            f"{layer}post_attention_layernorm.weight",
            "model.norm.weight",
        ],
    }


def test_biases_positions_and_segments_do_not_decay():
    for model in (GPT(GPTSpec(32, 1, 2, 16, 16)), Encoder(EncoderSpec(32, 1, 2, n_layers=1, n_heads=2, d_model=16))):
        groups = decay_groups(model.parameters())
        assert groups["decay"] and all("embed" not in n and n.endswith("weight") for n in groups["decay"])
        assert all("embed" in n or n.endswith("bias") or "norm" in n for n in groups["no decay"])
        assert any("embed_positions" in n for n in groups["no decay"])


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_toy_is_learnt_and_a_stopped_run_goes_on_exactly(tmp_path, name):
    options = {"optimizer": name, "nesterov": True, "lr": {"sgd": 0.3, "adam": 1e-2}[name], "steps": 60}
    whole = trainer(tmp_path / "whole", **options)
    whole.run()
    cut = trainer(tmp_path / "cut", **options)
    cut.listener.saved = lambda step, path: cut.stop() if step == 12 else None
    cut.run()
    again = trainer(tmp_path / "cut", **options)
    again.run(resume=True)
    for n, p in whole.parameters.items():
        np.testing.assert_array_equal(p.data, again.parameters[n].data)
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    losses = [float(line.split('"loss": ')[1].split(",")[0]) for line in lines]
    assert len(losses) == 60 and np.mean(losses[-5:]) < 0.6 * losses[0]


@pytest.mark.parametrize(
    "bad",
    [{"optimizer": "rmsprop"}, {"accumulate": 0}, {"momentum": 1.0}, {"beta2": -0.1}, {"weight_decay": -1}],
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TrainSettings(steps=1, **bad)
