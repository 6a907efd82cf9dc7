"""What is wrong in a config or a file is named; quantised rows stay what they are when a family orders them."""

import json
import random

import numpy as np
import pytest

import native_kernels as nk
from runtime.files.errors import FormatError
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.safetensors import write_safetensors
from runtime.models.families import family_names, open_model
from runtime.models.gguf_layout import exported
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights

LLAMA = {
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40}


def spec_of(config: dict, **changes) -> DecoderSpec:
    return DecoderSpec.from_hf_config({key: v for key, v in (config | changes).items() if v != "absent"})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    weights = init_weights(DecoderSpec.from_hf_config(LLAMA), 3, std=0.5)
    write_safetensors(tmp_path / "model.safetensors", weights)
    return tmp_path


def rewrite(folder, **changes):
    """The folder's tensors with some replaced (an array), renamed (a name) or gone (None)."""
    weights = init_weights(DecoderSpec.from_hf_config(LLAMA), 3, std=0.5)
    for name, new in changes.pop("tensors").items():
        old = weights.pop(name)
        if new is not None:
            weights |= {new: old} if isinstance(new, str) else {name: new}
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "model.safetensors", weights)


# ---- configs ---------------------------------------------------------------------------------------------------------


def test_an_unknown_model_type_names_the_known_ones():
    with pytest.raises(FormatError, match=r"'mamba' is not a family.*gemma2.*llama.*qwen3_moe.*starcoder2"):
        DecoderSpec.from_hf_config({"model_type": "mamba"})
    assert {"gpt2", "gpt_bigcode", "gpt_neox", "gemma3", "phi", "phi3", "granite", "olmo2"} <= set(family_names())


@pytest.mark.parametrize(
    ("config", "change", "words"),
    [
        (LLAMA, {"hidden_size": "absent"}, "lacks 'hidden_size'"),
        (LLAMA, {"num_key_value_heads": 3}, "4 attention heads are not divisible by 3"),
        (LLAMA, {"num_attention_heads": 5}, "hidden_size 64 is not divisible by 5"),
        (LLAMA, {"hidden_act": "swoosh"}, "hidden_act = 'swoosh' is not supported; supported: silu"),
        (
            LLAMA,
            {"rope_scaling": {"type": "spiral"}},
            "rope type 'spiral' is not supported; supported: default",
        ),
        (LLAMA, {"rope_scaling": {"type": "linear"}}, "lacks 'factor'"),
        (LLAMA, {"rope_scaling": {"type": "linear", "factor": 0}}, "factor of the rotary positions"),
        (LLAMA, {"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "lacks 'low_freq_factor'"),
        (LLAMA, {"rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1]}}, "8 numbers, got 1"),
        (LLAMA, {"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "differ by layer"),
        (LLAMA, {"model_type": "phi", "partial_rotary_factor": 1.5}, "partial_rotary_factor must lie above 0"),
        (LLAMA, {"rms_norm_eps": float("nan")}, "rms_norm_eps must be a finite number"),
        (LLAMA, {"model_type": "qwen2", "layer_types": ["full_attention"]}, "layer_types must be a list of 2"),
        (LLAMA, {"model_type": "qwen2", "layer_types": ["linear_attention"] * 2}, "layer type 'linear_attention'"),
        (LLAMA, {"model_type": "mistral", "sliding_window": 0}, "sliding_window must be an integer from 1"),
        (LLAMA, {"model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 5}, "5 of 4 experts"),
        (LLAMA, {"model_type": "qwen3_moe", "mlp_only_layers": "all"}, "mlp_only_layers must be a list"),
        (LLAMA, {"model_type": "granite", "logits_scaling": 0}, "logits_scaling must not be 0"),
        (LLAMA, {"model_type": "gemma3"}, "lacks 'text_config'"),
        (LLAMA, {"model_type": "gemma", "use_bidirectional_attention": True}, "use_bidirectional_attention = True"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention = True is not supported"),
        (GPT2, {"n_head": 5}, "hidden_size 32 is not divisible by 5"),
    ],
)
def test_what_a_config_lacks_or_asks_for_in_vain_is_named(config, change, words):
    with pytest.raises(FormatError, match=words):
        spec_of(config, **change)


def test_mutated_configs_give_a_spec_or_a_format_error():
    """Values of the wrong type, size and nesting in any key; whatever passes describes weights and rotations."""
    wrong = [
        *(None, 0, -1, 3, 1 << 31, 1.5, 1e-300, 1e300, float("inf"), float("nan"), "", True),
        *([], ["x"] * 5, [0] * 3, [None] * 5, ["sliding_attention"] * 9),
        *({}, {"rope_type": "yarn"}, {"type": {}}, {"full_attention": 1}),
    ]
    more = ["head_dim", "rope_scaling", "rope_theta", "partial_rotary_factor", "sliding_window", "layer_types"]
    more += ["original_max_position_embeddings", "text_config", "no_rope_layers", "num_experts", "rope_parameters"]
    draw, read = random.Random(4), 0
    for _ in range(3000):
        config = dict(draw.choice([LLAMA, GPT2]), model_type=draw.choice(family_names()))
        for _ in range(draw.choice([1, 1, 2, 3])):
            config[draw.choice([*config, *more])] = draw.choice(wrong)
        try:
            spec = DecoderSpec.from_hf_config(config)
        except FormatError:
            continue
        read += 1
        assert all(min(shape) > 0 for shape in spec.weight_shapes().values())
        for rope in filter(None, (spec.rope, spec.local_rope)):
            assert all(np.isfinite(table).all() for table in rope.tables(4))
    assert read > 300


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_missing_tensor_is_named(folder):
    rewrite(folder, tensors={"model.layers.1.mlp.up_proj.weight": None})
    with pytest.raises(FormatError, match=r"the file lacks model\.layers\.1\.mlp\.up_proj\.weight"):
        open_model(folder)


def test_a_tensor_missing_under_the_name_of_its_family_is_named_by_it(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    write_safetensors(tmp_path / "model.safetensors", {"wte.weight": np.zeros((50, 32), np.float32)})
    with pytest.raises(FormatError, match=r"the file lacks wpe\.weight \(for model\.embed_positions\.weight\)"):
        open_model(tmp_path)


def test_a_wrong_shape_is_named_with_both_shapes(folder):
    rewrite(folder, tensors={"model.layers.0.self_attn.k_proj.weight": np.zeros((64, 64), np.float32)})
    with pytest.raises(FormatError, match=r"k_proj\.weight has shape \(64, 64\), the config says \(32, 64\)"):
        open_model(folder)


def test_two_names_of_one_weight_are_refused(folder):
    weights = init_weights(DecoderSpec.from_hf_config(LLAMA), 3)
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "model.safetensors", weights | {"norm.weight": np.ones(64, np.float32)})
    with pytest.raises(FormatError, match="are the same weight"):
        open_model(folder)


def test_weights_go_back_to_the_names_and_layout_they_came_from(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "config.json").write_text(json.dumps(GPT2 | {"scale_attn_by_inverse_layer_idx": True}))
    d, stored = 32, {"wte.weight": (50, 32), "wpe.weight": (40, 32), "ln_f.weight": (32,), "ln_f.bias": (32,)}
    for n in range(2):
        stored |= {f"h.{n}.{ln}.{kind}": (d,) for ln in ("ln_1", "ln_2") for kind in ("weight", "bias")}
        for name, k, m in [
            ("attn.c_attn", d, 3 * d),
            ("attn.c_proj", d, d),
            ("mlp.c_fc", d, 4 * d),
            ("mlp.c_proj", 4 * d, d),
        ]:
            stored |= {f"h.{n}.{name}.weight": (k, m), f"h.{n}.{name}.bias": (m,)}
    arrays = {f"transformer.{name}": rng.standard_normal(s).astype(np.float32) for name, s in stored.items()}
    write_safetensors(tmp_path / "model.safetensors", arrays)
    weights = open_model(tmp_path).weights
    back = weights.to_stored({name: weights.float32(name) for name in weights})
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_allclose(back[name], array, rtol=1e-6)


# ---- GGUF ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quantised(folder, tmp_path_factory):
    """A GGUF of the folder's model whose matrices are Q8_0."""
    metadata, tensors, _ = exported(folder)
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"

    def blocks(tensor, kind):
        rows = int(np.prod(tensor.shape[:-1], dtype=np.int64))
        values = np.concatenate([part.float32() for part in tensor.rows(0, rows)])
        return [nk.quantize(kind, values) if kind == "Q8_0" else values]

    kinds = {tensor.name: "Q8_0" if len(tensor.shape) > 1 else "F32" for tensor in tensors}
    write = [GgufTensor(t.name, kinds[t.name], t.shape, lambda t=t: blocks(t, kinds[t.name])) for t in tensors]
    write_gguf(path, metadata, write)
    return path


@pytest.mark.parametrize("name", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj"])
def test_rows_in_another_order_stay_quantised_and_come_back_exactly(folder, quantised, name):
    """llama.cpp keeps queries and keys by pairs: the order is undone on the blocks, not on their values."""
    name = f"model.layers.1.{name}.weight"
    tensor = open_model(quantised).weights[name]
    assert tensor.type == "Q8_0"
    original = open_model(folder).weights.float32(name)
    same = nk.dequantize("Q8_0", nk.quantize("Q8_0", original), *original.shape)
    np.testing.assert_array_equal(tensor.float32(), same)


def test_a_gguf_of_an_unknown_architecture_names_the_known_ones(tmp_path):
    write_gguf(tmp_path / "x.gguf", {"general.architecture": "mamba"}, [_zeros("token_embd.weight", (50, 64))])
    with pytest.raises(FormatError, match=r"architecture 'mamba' is not supported; supported: .*llama.*qwen3moe"):
        open_model(tmp_path / "x.gguf")


def test_a_gguf_tensor_that_nothing_would_read_is_refused(folder, tmp_path):
    metadata, tensors, _ = exported(folder)
    whole = [GgufTensor(t.name, "F32", t.shape, lambda t=t: _all_rows(t)) for t in tensors]
    write_gguf(tmp_path / "x.gguf", metadata, [*whole, _zeros("blk.0.ffn_gate_shexp.weight", (8, 64))])
    with pytest.raises(FormatError, match=r"has no use for: blk\.0\.ffn_gate_shexp\.weight"):
        open_model(tmp_path / "x.gguf")


def _zeros(name, shape):
    return GgufTensor(name, "F32", shape, lambda: [np.zeros(shape, np.float32)])


def _all_rows(tensor):
    return [part.data for part in tensor.rows(0, int(np.prod(tensor.shape[:-1], dtype=np.int64)))]
