"""Files of adapters, honest and not, PEFT and GGUF: what is read is exact, everything else is refused by name."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from native_kernels import reference
from runtime.adapters import load_adapter
from runtime.adapters.shelf import Shelf
from runtime.engine.network import Network
from runtime.files.errors import FormatError
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.safetensors import write_safetensors
from runtime.models.spec import DecoderSpec

SPEC = DecoderSpec(40, 32, 2, 4, 2, 8, 48, max_context=32)
CONFIG = {"model_type": "llama"}
IDS = np.arange(1, 20, dtype=np.int32)
rng = np.random.default_rng(4)
WEIGHTS = {name: (rng.standard_normal(shape) * 0.3).astype(np.float32) for name, shape in SPEC.weight_shapes().items()}
SHAPES = {"self_attn.q_proj": (32, 32), "self_attn.k_proj": (16, 32), "mlp.down_proj": (32, 48)}


def low_rank(rank=3):
    """module -> (A, B) of layer 1."""
    return {
        f"model.layers.1.{name}": tuple(
            (rng.standard_normal(s) * 0.3).astype(np.float32) for s in ((rank, k), (n, rank))
        )
        for name, (n, k) in SHAPES.items()
    }


def peft_tensors(parts):
    return {
        f"base_model.model.{module}.lora_{side}.weight": values
        for module, pair in parts.items()
        for side, values in zip("AB", pair, strict=True)
    }


def write_peft(folder, tensors, **config):
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def load(path):
    return load_adapter(path, CONFIG, SPEC, WEIGHTS.__getitem__)


def merged(parts, scale):
    changed = dict(WEIGHTS)
    for module, (a, b) in parts.items():
        changed[module + ".weight"] = WEIGHTS[module + ".weight"] + scale * reference.gemm(b, a)
    return Network(SPEC, changed, "f32").whole(IDS)[0]


def test_an_adapter_is_what_it_would_be_merged_into_the_weights(tmp_path):
    parts = low_rank()
    adapter = load(write_peft(tmp_path / "a", peft_tensors(parts)))
    network = Network(SPEC, WEIGHTS, "f32")
    got = network.whole(IDS, adapter)[0]
    np.testing.assert_allclose(got, merged(parts, 2.0), atol=2e-4)
    root = load(write_peft(tmp_path / "b", peft_tensors(parts), use_rslora=True))
    np.testing.assert_allclose(network.whole(IDS, root)[0], merged(parts, 6 / 3**0.5), atol=2e-4)
    network.unload()
    np.testing.assert_allclose(network.whole(IDS, adapter)[0], got, atol=1e-6)


def test_more_adapters_than_plans_are_kept(tmp_path):
    network = Network(SPEC, WEIGHTS, "f32")
    adapters = [load(write_peft(tmp_path / str(n), peft_tensors(low_rank()))) for n in range(11)]
    first = [network.whole(IDS, adapter)[0] for adapter in adapters]
    assert len(network._adapted) == 8
    for adapter, want in zip(adapters, first, strict=True):
        np.testing.assert_array_equal(network.whole(IDS, adapter)[0], want)


def gguf_tensors(parts):
    """As llama.cpp's converter writes them: its names, and the rows of queries and keys in its own order."""
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "mlp.down_proj": "ffn_down"}
    found = []
    for module, (a, b) in parts.items():
        short = module.removeprefix("model.layers.1.")
        heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(short)
        if heads:
            b = b.reshape(heads, 2, len(b) // heads // 2, -1).swapaxes(1, 2).reshape(b.shape)
        for side, values in (("a", a), ("b", b)):
            found.append((f"blk.1.{names[short]}.weight.lora_{side}", np.ascontiguousarray(values)))
    return found


METADATA = {
    "general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 6.0,
}  # fmt: skip


def write_adapter(path, tensors, metadata=METADATA):
    write_gguf(path, metadata, [GgufTensor(n, "F32", v.shape, lambda v=v: [v]) for n, v in tensors])
    return path


def test_a_gguf_adapter_is_the_same_adapter(tmp_path):
    parts = low_rank()
    adapter = load(write_adapter(tmp_path / "a.gguf", gguf_tensors(parts)))
    network = Network(SPEC, WEIGHTS, "f32")
    np.testing.assert_allclose(network.whole(IDS, adapter)[0], merged(parts, 2.0), atol=2e-4)
    without = {k: v for k, v in METADATA.items() if k != "adapter.lora.alpha"}
    plain = load(write_adapter(tmp_path / "b.gguf", gguf_tensors(parts), without))
    np.testing.assert_allclose(network.whole(IDS, plain)[0], merged(parts, 1.0), atol=2e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"general.type": "model"}, "general.type is not 'adapter'"),
        ({"adapter.type": "control"}, "adapter.type is 'control'"),
        ({"general.architecture": "qwen2"}, "is for the architecture 'qwen2', the model is 'llama'"),
    ],
)
def test_gguf_files_that_are_no_adapter_of_this_model(tmp_path, change, message):
    with pytest.raises(FormatError, match=message):
        load(write_adapter(tmp_path / "a.gguf", gguf_tensors(low_rank()), METADATA | change))


def test_gguf_tensors_that_do_not_fit(tmp_path):
    tensors = gguf_tensors(low_rank())
    for changed, message in [
        (tensors[1:], "has only one of lora_a and lora_b"),
        ([*tensors, ("blk.0.attn_norm.weight", np.ones(32, np.float32))], "belongs to no LoRA"),
        ([("blk.9.attn_q.weight.lora_a", tensors[0][1]), ("blk.9.attn_q.weight.lora_b", tensors[1][1])], "no matrix"),
        ([(tensors[0][0], tensors[0][1][:2]), tensors[1]], "do not belong together"),
    ]:
        with pytest.raises(FormatError, match=message):
            load(write_adapter(tmp_path / "a.gguf", changed))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"peft_type": "IA3"}, "peft_type = 'IA3'"),
        ({"peft_type": "absent"}, "peft_type = None"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"target_parameters": ["x"]}, "target_parameters"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        ({"lora_alpha": "6"}, "lora_alpha"),
        ({"lora_alpha": True}, "lora_alpha"),
        ({"use_rslora": 1}, "use_rslora"),
        ({"use_dora": True}, "use_dora is True"),
        ({"alpha_pattern": {"(a+)+b": 1}}, "alpha_pattern .* holds a regular expression"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern"),
        ({"rank_pattern": [1]}, "rank_pattern"),
    ],
)
def test_configs_that_ask_for_more_than_lora(tmp_path, change, message):
    with pytest.raises(FormatError, match=message):
        load(write_peft(tmp_path / "a", peft_tensors(low_rank()), **change))


def test_alphas_by_module(tmp_path):
    parts = low_rank()
    pattern = {"q_proj": 3, "^model.layers.1.self_attn.k_proj": 12, r"layers\.0\.mlp\.down_proj": 99}
    adapter = load(write_peft(tmp_path / "a", peft_tensors(parts), alpha_pattern=pattern))
    for (module, (_, b)), scale in zip(parts.items(), (1, 4, 2), strict=True):
        np.testing.assert_allclose(adapter.parts[module].b, b * scale, rtol=1e-6)


def test_tensors_that_do_not_fit_are_named(tmp_path):
    tensors = peft_tensors(low_rank())
    first, second = list(tensors)[:2]
    table = "base_model.model.model.embed_tokens"
    cases = [
        ({}, "holds no adapter"),
        ({first: tensors[first]}, "needed are lora_A and lora_B"),
        (tensors | {first: tensors[first][:2]}, "do not belong together"),
        (tensors | {first: tensors[first][:, :31]}, r"adapted as \(32, 31\), in the model it has shape \(32, 32\)"),
        (tensors | {first: tensors[first].astype(np.int32)}, "I32"),
        (tensors | {"base_model.model.score.weight": np.ones((2, 32), np.float32)}, "belongs to no LoRA"),
        (tensors | {table + ".weight": np.ones((40, 32), np.float32)}, "is not the model's own weight"),
        ({n.replace("layers.1", "layers.7"): v for n, v in tensors.items()}, "no matrix of this model"),
        ({n.replace("q_proj", "q_norm"): v for n, v in tensors.items()}, "q_norm' is no matrix"),
        (tensors | {first[: -len(".lora_A.weight")] + ".lora_magnitude_vector": np.ones(32, np.float32)}, "use_dora"),
        ({f"{table}.lora_embedding_A": np.ones((3, 41), np.float32),
          f"{table}.lora_embedding_B": np.ones((32, 3), np.float32)}, r"\(40, 32\)"),
    ]  # fmt: skip
    for changed, message in cases:
        with pytest.raises(FormatError, match=message):
            load(write_peft(tmp_path / "a", changed))
    same = {table + ".weight": WEIGHTS["model.embed_tokens.weight"]}
    assert len(load(write_peft(tmp_path / "a", tensors | same)).parts) == 3


def test_missing_and_pickled_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="adapter_config.json"):
        load(tmp_path)
    folder = write_peft(tmp_path / "a", peft_tensors(low_rank()))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(FormatError, match="pickled weights are not read") as error:
        load(folder)
    assert error.value.kind == "pickle"
    (folder / "adapter_config.json").write_text("[1]")
    with pytest.raises(FormatError, match="not a JSON object"):
        load(folder)


def test_random_damage_is_refused_or_read(tmp_path):
    folder = write_peft(tmp_path / "a", peft_tensors(low_rank()))
    gguf = write_adapter(tmp_path / "a.gguf", gguf_tensors(low_rank()))
    refused = 0
    for file, path in ((folder / "adapter_model.safetensors", folder), (folder / "adapter_config.json", folder),
                       (gguf, gguf)):  # fmt: skip
        whole = file.read_bytes()
        for n in range(150):
            data = bytearray(whole)
            for at in rng.integers(0, min(len(data), 900), 1 + n % 3):
                data[at] = rng.integers(256)
            file.write_bytes(data[: rng.integers(len(data))] if n % 5 == 0 else data)
            try:
                load(path)
            except FormatError:
                refused += 1
        file.write_bytes(whole)
    assert refused > 200


def test_chunks_with_different_adapters_are_refused(tmp_path):
    from runtime.engine.network import Chunk

    network = Network(SPEC, WEIGHTS, "f32")
    adapter = load(write_peft(tmp_path / "a", peft_tensors(low_rank())))
    with pytest.raises(ValueError, match="different adapters"):
        network.run([Chunk(IDS, 0, network.new_cache()), Chunk(IDS, 0, network.new_cache(), adapter=adapter)])


def test_a_shelf_reads_a_path_once_until_its_files_change(tmp_path):
    calls = []

    def read(path, key):
        calls.append(path.name)
        return SimpleNamespace(name=path.name, key=key)

    shelf = Shelf(read)
    folder = write_peft(tmp_path / "a", peft_tensors(low_rank()))
    first = shelf.get(folder)
    assert shelf.get(str(folder)) is first and calls == ["a"]
    shelf.load(folder, "mine")
    assert shelf.get("mine") is first and shelf.names == ["mine"] and calls == ["a"]
    write_peft(folder, peft_tensors(low_rank(5)))
    assert shelf.get(folder) is not first and calls == ["a", "a"]
    shelf.remove("mine")
    with pytest.raises(KeyError):
        shelf.remove("mine")
