"""Every family: logits of random tiny models equal transformers', however config and weights are written."""

import json

import numpy as np
import peers
import pytest

import runtime
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.hf_config import read_config
from runtime.models import twin
from runtime.models.families import open_model
from runtime.models.gguf_layout import exported
from runtime.models.spec import DecoderSpec

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
def test_the_engine_gives_the_logits_of_transformers(saved):
    folder, wanted = saved
    found = runtime.load_model(folder, weights="f32").logits(IDS)
    assert np.abs(found - wanted).max() < 2e-4 * max(1.0, float(wanted.std()))


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


def as_transformers_4_wrote_it(config):
    """The same config with rope_theta and rope_scaling at the top level, and torch_dtype."""
    config = dict(config, torch_dtype=config.pop("dtype", "float32"))
    rope = config.pop("rope_parameters", None)
    if rope and "full_attention" in rope:  # gemma3
        local = rope["sliding_attention"]
        config["rope_local_base_freq"] = local["rope_theta"]
        rope = rope["full_attention"]
    if rope:
        rope = dict(rope)
        config["rope_theta"] = rope.pop("rope_theta")
        if "partial_rotary_factor" in rope:
            config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
        if config["model_type"] == "gpt_neox":
            config["rotary_emb_base"] = config.pop("rope_theta")
            config["rotary_pct"] = config.pop("partial_rotary_factor")
        rope["type"] = rope.pop("rope_type")
        config["rope_scaling"] = None if rope["type"] == "default" else rope
    return config


@pytest.mark.peer
def test_a_config_of_transformers_4_means_the_same(saved):
    config = read_config(saved[0])
    assert DecoderSpec.from_hf_config(as_transformers_4_wrote_it(dict(config))) == DecoderSpec.from_hf_config(config)


@pytest.mark.peer
@pytest.mark.parametrize("kind", sorted({case[0] for case in peers.CASES}))
def test_absent_keys_have_the_defaults_of_transformers(kind):
    transformers = pytest.importorskip("transformers")
    sizes = peers.GPT2 if kind in ("gpt2", "gpt_bigcode") else peers.NEOX
    sizes = {key: value for key, value in sizes.items() if key not in ("n_positions", "max_position_embeddings")}
    sizes["num_attention_heads" if "num_attention_heads" in sizes else "n_head"] = 32
    sizes["hidden_size" if "hidden_size" in sizes else "n_embd"] = 256
    full = transformers.AutoConfig.for_model(kind, **sizes).to_dict()
    full = {key: value for key, value in full.items() if key != "dtype"}
    assert DecoderSpec.from_hf_config(sizes | {"model_type": kind}) == DecoderSpec.from_hf_config(full)


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "gemma", "phi3", "qwen3_moe", "gpt_bigcode"])
def test_shards_of_bfloat16(kind, tmp_path):
    torch = pytest.importorskip("torch")
    arguments = next(case[2] for case in peers.CASES if case[0] == kind)
    model = peers.build(kind, arguments).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    wanted = peers.logits(peers.reload(tmp_path), IDS)
    assert all(tensor.type in ("BF16", "F32") for tensor in open_model(tmp_path).weights.values())
    found = runtime.load_model(tmp_path, weights="f32").logits(IDS)
    assert np.abs(found - wanted).max() < 2e-4 * max(1.0, float(wanted.std()))


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["gpt2", "gpt_bigcode", "starcoder2", "gemma", "gemma3_text", "smollm3"])
def test_a_body_saved_without_its_head_has_names_without_a_prefix(kind, tmp_path):
    pytest.importorskip("torch")
    model = peers.build(kind, next(case[2] for case in peers.CASES if case[0] == kind))
    model.base_model.save_pretrained(tmp_path)
    wanted = peers.logits(model, IDS)
    found = runtime.load_model(tmp_path, weights="f32").logits(IDS)
    assert np.abs(found - wanted).max() < 2e-4 * max(1.0, float(wanted.std()))


@pytest.mark.peer
def test_gemma3_with_pictures_runs_as_its_language_model(tmp_path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    text = next(case[2] for case in peers.CASES if case[:2] == ("gemma3_text", "two bases"))
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, image_token_index=96)
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config).float().eval()
    model.save_pretrained(tmp_path)
    ids = IDS[IDS < 96]
    wanted = peers.logits(model, ids)
    found = runtime.load_model(tmp_path, weights="f32").logits(ids)
    assert np.abs(found - wanted).max() < 2e-4 * max(1.0, float(wanted.std()))


@pytest.mark.peer
def test_a_head_that_is_not_the_table_is_used_although_the_config_ties_them(tmp_path):
    pytest.importorskip("torch")
    model = peers.build("qwen2", peers.BASE | {"tie_word_embeddings": False})
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    wanted = peers.logits(model, IDS)
    assert np.abs(runtime.load_model(tmp_path, weights="f32").logits(IDS) - wanted).max() < 1e-3
