"""LoRA, rsLoRA and DoRA adapters as the PEFT library makes them: logits equal to its own, on several families."""

import json

import numpy as np
import pytest

import runtime

pytestmark = pytest.mark.peer

BASE = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
NEOX = {k: v for k, v in BASE.items() if k != "num_key_value_heads"}
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"r": 4, "lora_alpha": 10}

# (model_type, what is unusual, arguments of its config, arguments of LoraConfig)
CASES = [
    ("llama", "queries and values", BASE, LORA | {"target_modules": ["q_proj", "v_proj"]}),
    ("llama", "everything, rsLoRA", BASE | {"attention_bias": True, "mlp_bias": True},
     LORA | {"target_modules": ALL, "use_rslora": True}),
    ("llama", "everything, DoRA", BASE | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
     LORA | {"target_modules": ALL, "use_dora": True}),
    ("llama", "ranks and alphas by module", BASE, LORA | {
        "target_modules": ALL, "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 7},
        "alpha_pattern": {"v_proj": 3, "model.layers.0.self_attn.o_proj": 32}}),
    ("llama", "tokens and head, tied", BASE | {"tie_word_embeddings": True},
     LORA | {"target_modules": ["embed_tokens", "lm_head", "k_proj"]}),
    ("llama", "tokens and head, untied", BASE, LORA | {"target_modules": ["embed_tokens", "lm_head"]}),
    ("llama", "only layer 1", BASE, LORA | {"target_modules": ["down_proj"], "layers_to_transform": [1]}),
    ("qwen2", "rsLoRA with patterns", BASE, LORA | {"target_modules": ALL, "use_rslora": True,
                                                    "alpha_pattern": {"k_proj": 5}, "rank_pattern": {"k_proj": 1}}),
    ("gpt2", "fused, turned", GPT2, LORA | {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
    ("gpt2", "fused, turned, DoRA, scores by layer", GPT2 | {"scale_attn_by_inverse_layer_idx": True},
     LORA | {"target_modules": ["c_attn", "c_proj"], "use_dora": True, "fan_in_fan_out": True}),
    ("gpt_neox", "fused by head", NEOX, LORA | {"target_modules": ["query_key_value", "dense_h_to_4h"]}),
    ("phi3", "fused, DoRA", BASE, LORA | {"target_modules": ["qkv_proj", "gate_up_proj", "down_proj"],
                                          "use_dora": True}),
    ("gemma2", "sandwich norms, scaled tokens, DoRA", BASE | {"head_dim": 12, "sliding_window": 6},
     LORA | {"target_modules": ["q_proj", "o_proj", "down_proj"], "use_dora": True}),
    ("gemma3_text", "scaled tokens", BASE | {"head_dim": 8, "sliding_window": 6},
     LORA | {"target_modules": ["embed_tokens", "q_proj"]}),
    ("granite", "multipliers", BASE | {"residual_multiplier": 0.3, "logits_scaling": 4.0, "embedding_multiplier": 3.0},
     LORA | {"target_modules": [*ALL, "embed_tokens"]}),
    ("qwen3_moe", "attention beside experts", BASE | {
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "head_dim": 12},
     LORA | {"target_modules": ["q_proj", "o_proj"]}),
]  # fmt: skip


@pytest.fixture(scope="module")
def peft():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return pytest.importorskip("peft")


def build(model_type, arguments, folder, seed=0):
    """A transformers model with random weights far from their usual start, saved in `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **json.loads(json.dumps(arguments)))
    made = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            start = parameter if "norm" in name or "ln_" in name else 0.0 * parameter
            parameter.copy_(start + 0.25 * torch.randn_like(parameter))
    made.save_pretrained(folder)
    return made


def adapt(peft, made, arguments, folder, seed=1):
    """The model with a random adapter, which is saved in `folder`; (PeftModel, logits of it)."""
    import torch

    torch.manual_seed(seed)
    adapted = peft.get_peft_model(made, peft.LoraConfig(task_type="CAUSAL_LM", **arguments)).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_magnitude" in name:
                parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
            elif "lora_" in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    adapted.save_pretrained(folder)
    return adapted


def logits(made, ids):
    import torch

    with torch.no_grad():
        return made(torch.tensor(np.asarray([ids], np.int64))).logits[0].numpy()


def near(got, want):
    assert got.shape == want.shape
    error = np.abs(got - want).max()
    assert error <= 2e-4 * max(1.0, float(want.std())), error


IDS = np.random.default_rng(2).integers(1, 97, 20)


@pytest.mark.parametrize("model_type, what, arguments, lora", CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_logits_equal_those_of_peft(peft, tmp_path, model_type, what, arguments, lora):
    made = build(model_type, arguments, tmp_path / "base")
    plain = logits(made, IDS)
    adapted = adapt(peft, made, lora, tmp_path / "adapter")
    want = logits(adapted, IDS)
    assert np.abs(want - plain).max() > 0.05
    model = runtime.load_model(tmp_path / "base", weights="f32")
    near(model.logits(IDS), plain)
    near(model.logits(IDS, adapter=tmp_path / "adapter"), want)
    near(model.logits(IDS), plain)  # the model itself is as it was


def test_several_adapters_one_after_the_other_and_together(peft, tmp_path):
    made = build("llama", BASE, tmp_path / "base")
    first = adapt(peft, made, LORA | {"target_modules": ALL}, tmp_path / "first")
    want_first = logits(first, IDS)
    made = build("llama", BASE, tmp_path / "base")
    second = adapt(peft, made, LORA | {"target_modules": ["q_proj", "lm_head"], "r": 3}, tmp_path / "second", 5)
    want_second = logits(second, IDS)
    second.load_adapter(tmp_path / "first", "first")
    second.base_model.set_adapter(["default", "first"])
    want_both = logits(second, IDS)
    model = runtime.load_model(tmp_path / "base", weights="f32")
    a = model.load_adapter(tmp_path / "first", "a")
    model.load_adapter(tmp_path / "second")
    assert model.adapters.names == ["a", "second"] and "rank 4" in repr(a)
    near(model.logits(IDS, adapter="a"), want_first)
    near(model.logits(IDS, adapter="second"), want_second)
    near(model.logits(IDS, adapter=a), want_first)
    near(model.logits(IDS, adapter=["second", a]), want_both)
    near(model.logits(IDS, adapter=[("second", 1), (a, 0.0)]), want_second)
    half = model.logits(IDS, adapter=[(a, 0.5)])
    assert np.abs(half - want_first).max() > 1e-2 < np.abs(half - model.logits(IDS)).max()
    model.adapters.remove("a")
    with pytest.raises(FileNotFoundError, match="'a': neither a folder nor a file; known by name are second"):
        model.logits(IDS, adapter="a")


def test_requests_with_different_adapters_run_side_by_side(peft, tmp_path):
    """In an engine, with caches that are not mixed up; a replaced file is read again."""
    for n in range(2):
        made = build("llama", BASE, tmp_path / "base")
        adapt(peft, made, LORA | {"target_modules": ALL}, tmp_path / str(n), seed=10 + n)
    model = runtime.load_model(tmp_path / "base", weights="f32")
    wanted = [None, tmp_path / "0", tmp_path / "1", [(tmp_path / "0", 0.7), tmp_path / "1"]]
    prompt = IDS.tolist()
    alone = [[p.id for p in model.generate(prompt, max_tokens=12, adapter=a)] for a in wanted]
    assert len({tuple(ids) for ids in alone}) == 4
    with runtime.Engine(model) as engine:
        for _ in range(2):  # the second time over the caches of the first
            requests = [engine.submit(prompt, adapter=a, max_tokens=12) for a in wanted * 2]
            assert [[p.id for p in r] for r in requests] == alone * 2
    made = build("llama", BASE, tmp_path / "base")
    again = adapt(peft, made, LORA | {"target_modules": ["v_proj"]}, tmp_path / "0", seed=30)
    near(model.logits(IDS, adapter=tmp_path / "0"), logits(again, IDS))


@pytest.mark.parametrize("weights", ["auto", "q8_0", "q4_0", "bf16"])
def test_quantised_weights_take_adapters_too(peft, tmp_path, weights):
    arguments = BASE | {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32}
    made = build("llama", arguments, tmp_path / "base")
    for dora in (False, True):
        adapt(peft, made, LORA | {"target_modules": ALL, "use_dora": dora}, tmp_path / f"{dora}")
        made = build("llama", arguments, tmp_path / "base")
    exact = runtime.load_model(tmp_path / "base", weights="f32")
    rough = runtime.load_model(tmp_path / "base", weights=weights)
    for dora in (False, True):
        errors = []
        for adapter in (None, tmp_path / f"{dora}"):
            want, got = exact.logits(IDS, adapter), rough.logits(IDS, adapter)
            errors.append(np.abs(got - want).max() / want.std())
        assert errors[1] < 3 * errors[0] + 1e-4  # no worse than without an adapter


def test_doras_are_not_combined(peft, tmp_path):
    made = build("llama", BASE, tmp_path / "base")
    adapt(peft, made, LORA | {"target_modules": ["q_proj"], "use_dora": True}, tmp_path / "dora")
    model = runtime.load_model(tmp_path / "base")
    for wanted in ([(tmp_path / "dora", 0.5)], [tmp_path / "dora", tmp_path / "dora"]):
        with pytest.raises(ValueError, match="is a DoRA: it works alone and unscaled only"):
            model.generate([1, 2], adapter=wanted)
    for wanted in (3, [3], [("dora", "x")], {"dora": 1}):
        with pytest.raises(ValueError, match="adapter"):
            model.generate([1, 2], adapter=wanted)
