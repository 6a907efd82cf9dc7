"""The decoder: plan, autograd and numpy twin agree; gradients and one optimiser step equal torch's."""

import numpy as np
import pytest

from runtime.engine.network import Network
from runtime.files.errors import FormatError
from runtime.models import twin
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.nn.rotary import RopeSpec

SPECS = {
    "grouped": DecoderSpec(97, 64, 2, 4, 2, 16, 96, max_context=64),
    "one kv head, untied": DecoderSpec(33, 36, 3, 3, 1, 10, 40, max_context=48, tied=False, rope_theta=500.0),
    "odd widths": DecoderSpec(131, 36, 1, 2, 2, 6, 50, max_context=40, norm_eps=1e-6),
}
SIZES = (61, 32, 2, 4, 2, 8, 44)
LIKE = {  # the kinds of decoder that people tune, by what sets them apart
    "qwen2": DecoderSpec(*SIZES, max_context=48, qkv_bias=True),
    "qwen3": DecoderSpec(*SIZES, max_context=48, qk_norm="head", tied=False),
    "olmo2": DecoderSpec(*SIZES, max_context=48, qk_norm="full", norm_layout="post"),
    "starcoder2": DecoderSpec(*SIZES, max_context=48, norm="layer", norm_bias=True, gated=False, qkv_bias=True,
                              activation="gelu_tanh", o_bias=True, mlp_bias=True, windows=(40, 40)),
    "gpt2": DecoderSpec(61, 32, 2, 4, 4, 8, 44, max_context=48, norm="layer", norm_bias=True, gated=False,
                        activation="gelu_tanh", qkv_bias=True, o_bias=True, mlp_bias=True, positions="learned"),
    "neox": DecoderSpec(*SIZES, max_context=48, norm="layer", norm_bias=True, gated=False, activation="gelu",
                        parallel=True, qkv_bias=True, o_bias=True, mlp_bias=True),
    "phi without part rotation": DecoderSpec(*SIZES, max_context=48, norm="layer", gated=False, activation="relu",
                                             parallel=True, shared_norm=True, o_bias=True),
    "gemma3": DecoderSpec(*SIZES, max_context=48, norm_layout="sandwich", qk_norm="head", activation="gelu_tanh",
                          embedding_scale=5.5, attention_scale=0.2, windows=(0, 40), local_rope=RopeSpec(100.0, 8)),
    "granite": DecoderSpec(*SIZES, max_context=48, embedding_scale=3.0, residual_scale=0.3, logits_scale=0.25,
                           attention_scale=0.3),
    "smollm3": DecoderSpec(*SIZES, max_context=48, layer_rope=(True, False)),
    "dynamic": DecoderSpec(*SIZES, max_context=48, rope=RopeSpec(100.0, 8, kind="dynamic", factor=3.0,
                                                                 original_context=16)),
}  # fmt: skip
rng = np.random.default_rng(3)


@pytest.fixture(params=SPECS, ids=str)
def case(request):
    spec = SPECS[request.param]
    weights = init_weights(spec, seed=5, std=0.3)
    ids = rng.integers(0, spec.vocab_size, 37).astype(np.int32)
    return spec, weights, ids


def test_plan_autograd_and_twin_agree(case):
    spec, weights, ids = case
    wanted = twin.logits(spec, weights, ids)
    bound = 1e-4 * max(1.0, float(wanted.std()))
    assert np.abs(Network(spec, weights).whole(ids)[0] - wanted).max() < bound
    assert np.abs(Decoder(spec, weights=weights).logits(ids[None]).data[0] - wanted).max() < bound


@pytest.mark.parametrize("like", LIKE)
def test_what_people_tune_gives_the_logits_of_the_twin_and_true_gradients(like):
    spec = LIKE[like]
    weights = {
        name: w + rng.standard_normal(w.shape).astype(np.float32) * 0.2 for name, w in init_weights(spec).items()
    }
    ids = rng.integers(0, spec.vocab_size, 33).astype(np.int32)
    wanted = twin.logits(spec, weights, ids)
    decoder = Decoder(spec, weights=weights)
    assert np.abs(decoder.logits(ids[None]).data[0] - wanted).max() < 1e-4 * max(1.0, float(wanted.std()))
    batch = rng.integers(0, spec.vocab_size, (2, 20)).astype(np.int32)
    decoder.loss(batch, batch).backward()
    for name, parameter in decoder.parameters().items():
        # along the gradient the loss grows as its length says
        length = float(np.sqrt((parameter.grad.astype(np.float64) ** 2).sum()))
        if length < 1e-5:  # a bias of keys shifts all scores of a row alike
            assert name.endswith("k_proj.bias")
            continue
        step, kept = 2e-2 / max(1.0, length) * parameter.grad / length, parameter.data.copy()
        losses = []
        for sign in (1, -1):
            parameter.data[...] = kept + sign * step
            losses.append(decoder.loss(batch, batch).item())
        parameter.data[...] = kept
        slope = (losses[0] - losses[1]) / (2 * float(np.sqrt((step**2).sum())))
        assert abs(slope - length) < 0.03 * length + 2e-3, name


def test_what_cannot_be_trained_is_said():
    for fields, word in [
        ({"n_experts": 2, "experts_per_token": 1, "expert_d_ff": 8}, "experts"),
        ({"final_softcap": 30.0}, "soft-caps"),
        ({"activation": "relu2"}, "activation relu2"),
        ({"rope": RopeSpec(100.0, 4)}, "part of each head"),
    ]:
        with pytest.raises(ValueError, match=word):
            Decoder(DecoderSpec(*SIZES, **fields))
    with pytest.raises(ValueError, match="window has 5"):
        Decoder(DecoderSpec(*SIZES, windows=(0, 5))).hidden(np.zeros((1, 6), np.int32))


def test_cached_steps_equal_the_whole_sequence(case):
    spec, weights, ids = case
    network = Network(spec, weights)
    wanted = network.whole(ids)[0]
    cache = network.new_cache()
    at = 0
    for size in (5, 1, 1, 13, 17):
        scores, _ = network.step(ids[at : at + size], at, cache)
        at += size
        np.testing.assert_allclose(scores[0], wanted[at - 1], rtol=1e-4, atol=1e-4)


def test_parameters_are_views_of_what_the_network_computes_with():
    spec = SPECS["grouped"]
    decoder = Decoder(spec, weights=init_weights(spec, seed=1, std=0.3))
    ids = np.arange(8, dtype=np.int32)[None]
    before = decoder.logits(ids).data.copy()
    decoder.parameters()["model.layers.1.self_attn.v_proj.weight"].data[...] *= 2
    assert np.abs(decoder.logits(ids).data - before).max() > 1e-4
    decoder.loss(ids, ids).backward()
    assert all(np.abs(p.grad).max() > 0 for p in decoder.parameters().values())
    decoder.zero_grad()
    assert not any(p.grad.any() for p in decoder.parameters().values())


def test_same_seed_gives_the_same_bits():
    spec = SPECS["grouped"]
    for a, b in zip(init_weights(spec, 9).values(), init_weights(spec, 9).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_ids_and_weights_are_named():
    spec = SPECS["grouped"]
    decoder = Decoder(spec)
    with pytest.raises(ValueError, match="vocabulary of 97"):
        decoder.logits(np.array([[97]], dtype=np.int32))
    with pytest.raises(ValueError, match="context of 64"):
        decoder.logits(np.zeros((1, 65), dtype=np.int32))
    weights = init_weights(spec)
    del weights["model.norm.weight"]
    with pytest.raises(FormatError, match=r"lacks model\.norm\.weight"):
        Decoder(spec, weights=weights)
    weights["model.norm.weight"] = np.ones(3, dtype=np.float32)
    with pytest.raises(FormatError, match=r"model\.norm\.weight has shape \(3,\)"):
        Decoder(spec, weights=weights)


def test_config_round_trip():
    for spec in SPECS.values():
        assert DecoderSpec.from_hf_config(spec.to_hf_config()) == spec
    with pytest.raises(FormatError, match="model_type 'mamba'"):
        DecoderSpec.from_hf_config({"model_type": "mamba"})
    with pytest.raises(FormatError, match="model_type 'decoder'"):  # a module of the package, but no family
        DecoderSpec.from_hf_config({"model_type": "decoder"})


@pytest.mark.peer
def test_loss_and_gradients_equal_torch(case):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    spec, weights, _ = case
    config = transformers.LlamaConfig(**{k: v for k, v in spec.to_hf_config().items() if k != "torch_dtype"})
    peer = transformers.LlamaForCausalLM(config).float()
    state = {name: torch.from_numpy(w.copy()) for name, w in weights.items()}
    missing = peer.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}
    peer.tie_weights()
    ids = rng.integers(0, spec.vocab_size, (3, 21)).astype(np.int32)
    targets = rng.integers(0, spec.vocab_size, (3, 21)).astype(np.int32)
    targets[1, 4:9] = -1
    scores = peer(torch.from_numpy(ids).long()).logits
    torch_loss = torch.nn.functional.cross_entropy(
        scores.reshape(-1, spec.vocab_size), torch.from_numpy(targets).long().reshape(-1), ignore_index=-1
    )
    torch_loss.backward()
    decoder = Decoder(spec, weights=weights)
    loss = decoder.loss(ids, targets)
    loss.backward()
    assert abs(loss.item() - torch_loss.item()) < 1e-4
    for name, parameter in peer.named_parameters():
        if name not in decoder.parameters():
            continue
        wanted = parameter.grad.numpy()
        error = np.abs(decoder.parameters()[name].grad - wanted).max()
        assert error < 1e-4 * max(1.0, np.abs(wanted).max()), name
