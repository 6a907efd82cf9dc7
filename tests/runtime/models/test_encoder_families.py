"""BERT, RoBERTa and ModernBERT: random tiny models with unusual legal settings, states equal to transformers'."""

import json

import numpy as np
import pytest

from runtime.encoder_model import load_encoder
from runtime.files.errors import FormatError

BASE = {
    "vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
MODERN = BASE | {
    "num_hidden_layers": 4, "local_attention": 6, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1,
    "sep_token_id": 2,
}  # fmt: skip
CASES = [
    ("bert", "as it is", BASE),
    ("bert", "three segments, relu", BASE | {"type_vocab_size": 3, "hidden_act": "relu", "layer_norm_eps": 1e-3}),
    ("bert", "one head of 24, tanh gelu", BASE | {"num_attention_heads": 1, "hidden_act": "gelu_new"}),
    ("roberta", "as it is", BASE | {"pad_token_id": 1, "type_vocab_size": 1}),
    ("roberta", "padding elsewhere", BASE | {"pad_token_id": 7, "hidden_act": "silu"}),
    ("modernbert", "windows", MODERN),
    ("modernbert", "biases, all layers see all", MODERN | {
        "norm_bias": True, "attention_bias": True, "mlp_bias": True, "hidden_activation": "silu",
        "layer_types": ["full_attention"] * 4}),
    ("modernbert", "other bases, windows first, tanh gelu", MODERN | {
        "layer_types": ["sliding_attention", "full_attention"] * 2, "local_attention": 9, "norm_eps": 1e-3,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 777.0},
                            "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0}}}),
]  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def build(model_type, arguments, folder, dtype=None, masked_lm=False):
    """A transformers model with random weights far from their usual start, saved in `folder`."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

    torch.manual_seed(3)
    config = AutoConfig.for_model(model_type, **json.loads(json.dumps(arguments)))
    made = (AutoModelForMaskedLM if masked_lm else AutoModel).from_config(config, attn_implementation="eager")
    made = made.float().eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            start = parameter if "norm" in name.lower() and name.endswith("weight") else 0.0 * parameter
            parameter.copy_(start + 0.3 * torch.randn_like(parameter))
    if dtype:
        made = made.to(getattr(torch, dtype)).float()
    made.to(getattr(torch, dtype or "float32")).save_pretrained(folder)
    return made.float().base_model


def states(made, ids, mask=None, token_types=None):
    import torch

    more = {} if token_types is None else {"token_type_ids": torch.tensor(np.asarray([token_types], np.int64))}
    mask = np.ones(len(ids)) if mask is None else np.asarray(mask)
    with torch.no_grad():
        found = made(torch.tensor(np.asarray([ids], np.int64)), torch.tensor(mask[None].astype(np.int64)), **more)
    return found.last_hidden_state[0].numpy()


def near(got, want, kept=slice(None)):
    assert got.shape == want.shape and got.dtype == np.float32
    assert np.abs(got - want)[kept].max() <= 2e-4 * max(1.0, want[kept].std())


@pytest.mark.peer
@pytest.mark.parametrize("model_type, what, arguments", CASES, ids=[f"{m}: {w}" for m, w, _ in CASES])
def test_states_equal_those_of_transformers(model_type, what, arguments, tmp_path, rng):
    pytest.importorskip("transformers")
    made = build(model_type, arguments, tmp_path, masked_lm=what == "as it is")
    model = load_encoder(tmp_path)
    assert model.tokenizer is None and model.spec.n_layers == arguments["num_hidden_layers"]
    longest = model.spec.max_context
    for length in (1, 2, 7, 23, longest):
        ids = rng.integers(8, 61, length)
        near(model.hidden(ids), states(made, ids))
    ids = rng.integers(8, 61, 20)
    ids[14:] = arguments["pad_token_id"]  # padding at the end, and holes
    for mask in (np.arange(20) < 14, rng.random(20) < 0.6):
        mask[0] = True
        near(model.hidden(ids, mask), states(made, ids, mask), mask)
    if model.spec.n_segments > 1:
        types = rng.integers(0, model.spec.n_segments, 20)
        near(model.hidden(ids, None, types), states(made, ids, None, types))


@pytest.mark.peer
@pytest.mark.parametrize("model_type, arguments", [("bert", BASE), ("modernbert", MODERN)])
def test_several_texts_in_one_pass_are_as_each_alone(model_type, arguments, tmp_path, rng):
    pytest.importorskip("transformers")
    build(model_type, arguments, tmp_path)
    network = load_encoder(tmp_path).network
    texts = [rng.integers(0, 61, n).astype(np.int32) for n in (5, 1, 30, 12)]
    together = np.split(network.run(texts), np.cumsum([5, 1, 30]))
    for text, got in zip(texts, together, strict=True):
        np.testing.assert_allclose(got, network.run([text]), atol=2e-5)


@pytest.mark.peer
def test_bfloat16_weights_and_less_exact_arithmetic(tmp_path, rng):
    pytest.importorskip("transformers")
    made = build("bert", BASE | {"hidden_size": 96, "intermediate_size": 128}, tmp_path, dtype="bfloat16")
    ids = rng.integers(8, 61, 30)
    want = states(made, ids)
    near(load_encoder(tmp_path).hidden(ids), want)
    for weights in ("bf16", "q8_0"):
        got = load_encoder(tmp_path, weights).hidden(ids)
        cosine = (got * want).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
        assert 0.99 < cosine.min() and np.abs(got - want).max() > 1e-4


@pytest.mark.peer
def test_norms_with_the_names_of_the_first_years(tmp_path, rng):
    pytest.importorskip("transformers")
    from safetensors.numpy import load_file, save_file

    made = build("bert", BASE, tmp_path)
    file = tmp_path / "model.safetensors"
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(file).items()
    }
    save_file(old, file)
    ids = rng.integers(8, 61, 11)
    near(load_encoder(tmp_path).hidden(ids), states(made, ids))


@pytest.mark.peer
def test_what_does_not_fit_is_named(tmp_path, rng):
    pytest.importorskip("transformers")
    from safetensors.numpy import load_file, save_file

    build("bert", BASE, tmp_path)
    model = load_encoder(tmp_path)
    for ids, more, message in [
        ([], {}, "non-empty"),
        ([61], {}, "from 61 to 61, outside the vocabulary of 61"),
        ([1] * 41, {}, "41 ids exceed the context of 40"),
        ([1, 2], {"mask": [1]}, "mask must be"),
        ([1, 2], {"mask": [0, 0]}, "not all of them 0"),
        ([1, 2], {"token_types": [0, 2]}, "token_types must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.hidden(ids, **more)
    for call in (lambda: model.logits([1]), lambda: model.generate("x"), lambda: model.infill("x", "y")):
        with pytest.raises(ValueError, match="is an encoder"):
            call()
    with pytest.raises(ValueError, match="no tokenizer"):
        model.embed(["a"])
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in [
        ({"is_decoder": True}, "is_decoder"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_size": 36}, r"shape \(61, 24\), the config says \(61, 36\)"),
        ({"intermediate_size": 41}, "intermediate.dense"),
        ({"num_attention_heads": 5}, "not divisible by 5"),
        ({"hidden_act": "mish"}, "hidden_act"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(FormatError, match=message):
            load_encoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match="encoder.layer.1.output.dense.bias"):
        load_encoder(tmp_path)
