"""Two implementations compared part by part: the first part that differs is named."""

import numpy as np
import pytest

from runtime.models import twin
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.models.trace import Trace, first_difference
from runtime.nn.init import init_weights

SPEC = DecoderSpec(97, 48, 3, 4, 2, 12, 80, max_context=64)
IDS = np.random.default_rng(0).integers(0, 97, 17).astype(np.int32)


@pytest.fixture
def weights():
    rng = np.random.default_rng(1)
    return {name: w + rng.standard_normal(w.shape).astype(np.float32) * 0.1 for name, w in init_weights(SPEC).items()}


def trace_of_decoder(weights):
    trace = Trace()
    Decoder(SPEC, weights=weights).hidden(IDS[None], seen=trace)
    return trace


def trace_of_twin(weights):
    trace = Trace()
    twin.logits(SPEC, weights, IDS, seen=trace)
    return trace


def test_equal_implementations_have_no_difference(weights):
    trace = trace_of_decoder(weights)
    assert list(trace)[:2] == ["model.embed_tokens", "model.layers.0.input_layernorm"]
    assert list(trace)[-1] == "model.norm" and len(trace) == 2 + 3 * SPEC.n_layers
    assert first_difference(trace, trace_of_twin(weights)) is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("model.layers.1.input_layernorm.weight", "model.layers.1.input_layernorm"),
        ("model.layers.1.self_attn.k_proj.weight", "model.layers.1.post_attention_layernorm"),
        ("model.layers.2.mlp.down_proj.weight", "model.layers.2"),
        ("model.norm.weight", "model.norm"),
    ],
)
def test_the_first_part_that_differs_is_named(weights, changed, named):
    other = {name: w.copy() for name, w in weights.items()}
    other[changed] += np.float32(0.05)
    difference = first_difference(trace_of_decoder(weights), trace_of_twin(other))
    assert difference.name == named and difference.error > 1e-4
    assert str(difference).startswith(f"{named} differs first, by ")


def test_the_place_of_the_largest_difference_is_given(weights):
    ours = trace_of_decoder(weights)
    theirs = {name: values.copy() for name, values in ours.items()}
    theirs["model.layers.0"][5, 7] += 1
    assert first_difference(ours, theirs).where == (5, 7)
    theirs["model.layers.0"][5, 7] = np.nan
    difference = first_difference(ours, theirs)
    assert difference.where == (5, 7) and difference.error == np.inf


def test_traces_that_cannot_be_compared_are_refused(weights):
    ours = trace_of_decoder(weights)
    with pytest.raises(ValueError, match=r"\['model.norm'\] stand on one side"):
        first_difference(ours, {name: v for name, v in ours.items() if name != "model.norm"})
    with pytest.raises(ValueError, match=r"model.norm: shapes \(17, 48\) and \(48,\)"):
        first_difference(ours, {**ours, "model.norm": np.zeros(48)})
    with pytest.raises(ValueError, match="model.norm was recorded twice"):
        ours("model.norm", np.zeros(3))


@pytest.mark.peer
def test_no_part_differs_from_transformers_and_a_wrong_epsilon_is_found(weights):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def trace_of_transformers(**changes):
        config = {k: v for k, v in SPEC.to_hf_config().items() if k != "torch_dtype"}
        for name, value in changes.items():
            assert name in config
            config[name] = value
        peer = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config)).float()
        peer.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in weights.items()}, strict=False)
        peer.tie_weights()
        trace = Trace()
        for name, module in peer.named_modules():
            if name in ours:
                module.register_forward_hook(
                    lambda _, __, out, name=name: trace(
                        name, (out[0] if isinstance(out, tuple) else out).detach().numpy()
                    )
                )
        peer(torch.from_numpy(IDS[None]).long())
        return trace

    ours = trace_of_decoder(weights)
    assert first_difference(ours, trace_of_transformers()) is None
    assert first_difference(ours, trace_of_transformers(rms_norm_eps=0.5)).name == "model.layers.0.input_layernorm"
