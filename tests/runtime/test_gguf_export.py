"""runtime.quantize: the files that llama.cpp writes, from folders and from GGUF; loaded again here and by llama.cpp."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import native_kernels as nk
import runtime
from runtime.files.errors import FormatError
from runtime.files.gguf_mix import TYPES, storage_types
from runtime.files.gguf_write import GgufTensor, write_gguf
from runtime.files.safetensors import write_safetensors
from runtime.files.tensors import open_weights
from runtime.models.gguf_names import gguf_sources
from runtime.models.sources import CanonicalWeights
from runtime.models.spec import DecoderSpec
from runtime.text import train_bpe

sys.path.insert(0, str(Path(__file__).parent / "models"))  # peers: makers of random tiny models

TEXT = "def add(a, b):\n    return a + b\n\n\nclass Point:\n    def __init__(self, x, y):\n        self.x = x\n"
SPEC = DecoderSpec(
    vocab_size=300, d_model=256, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=64, d_ff=512, max_context=64, tied=False
)


def write_folder(folder: Path, spec=SPEC, tokenizer=True, dtype=None, shards=1, **config) -> dict[str, np.ndarray]:
    """A Hugging Face folder with random weights; the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    weights = {name: (rng.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in
               spec.weight_shapes().items()}  # fmt: skip
    parts = np.array_split(np.array(list(weights)), shards)
    index = {}
    for k, names in enumerate(parts):
        file = "model.safetensors" if shards == 1 else f"model-{k + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / file, {name: weights[name] for name in names}, dtypes=dtype)
        index |= {str(name): file for name in names}
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "config.json").write_text(json.dumps(spec.to_hf_config() | config))
    if tokenizer:
        train_bpe([TEXT] * 4, 300, ["<|endoftext|>", "<|fim_prefix|>"], split="qwen2").save(folder / "tokenizer.json")
    return weights


# ---- which type a tensor gets ---------------------------------------------------------------------------------------


def names_of(layers: int, width: int, inner: int, tied=True):
    shapes = {"token_embd.weight": (1000, width), "output_norm.weight": (width,)}
    if not tied:
        shapes["output.weight"] = (1000, width)
    for n in range(layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"):
            shapes[f"blk.{n}.{part}.weight"] = (64, width)
        shapes |= {f"blk.{n}.ffn_down.weight": (width, inner), f"blk.{n}.attn_norm.weight": (width,)}
        shapes |= {f"blk.{n}.attn_q.bias": (64,), f"blk.{n}.ffn_gate_inp.weight": (8, width)}
    return shapes


def test_q4_k_m_is_llama_cpps_mix():
    # as llama-quantize chose for a model of 24 layers (Qwen2.5 0.5B: 896 is no multiple of 256, 4864 is)
    chosen = storage_types(names_of(24, 896, 4864), "Q4_K_M")
    more = {0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23}
    for n in range(24):
        assert chosen[f"blk.{n}.attn_v.weight"] == ("Q8_0" if n in more else "Q5_0")
        assert chosen[f"blk.{n}.ffn_down.weight"] == ("Q6_K" if n in more else "Q4_K")
        assert chosen[f"blk.{n}.attn_q.weight"] == chosen[f"blk.{n}.ffn_up.weight"] == "Q5_0"
        assert {chosen[f"blk.{n}.{x}"] for x in ("attn_norm.weight", "attn_q.bias", "ffn_gate_inp.weight")} == {"F32"}
    assert chosen["token_embd.weight"] == "Q8_0"  # tied: it is the head, too


@pytest.mark.parametrize(
    "kind, table, tied_table, ordinary, odd",
    [
        ("F16", "F16", "F16", "F16", "F16"),
        ("Q8_0", "Q8_0", "Q8_0", "Q8_0", "F16"),
        ("Q4_0", "Q4_0", "Q6_K", "Q4_0", "F16"),
        ("Q6_K", "Q6_K", "Q6_K", "Q6_K", "F16"),
        ("Q4_K_M", "Q4_K", "Q6_K", "Q4_K", "F16"),
    ],
)
def test_heads_are_kept_finer_and_rows_that_fit_nothing_are_f16(kind, table, tied_table, ordinary, odd):
    for tied, expected in ((True, tied_table), (False, table)):
        chosen = storage_types(names_of(4, 512, 100, tied), kind)
        assert chosen["token_embd.weight"] == expected and chosen["blk.1.attn_q.weight"] == ordinary
        assert chosen["blk.1.ffn_down.weight"] == odd
        if not tied and kind != "F16":
            assert chosen["output.weight"] == ("Q8_0" if kind == "Q8_0" else "Q6_K")


# ---- what is written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, shards", [(None, 1), ("BF16", 3)])
@pytest.mark.parametrize("kind", TYPES)
def test_a_folder_becomes_a_file_with_the_same_weights(tmp_path, kind, dtype, shards):
    write_folder(tmp_path / "m", dtype=dtype, shards=shards)
    seen = []
    done = runtime.quantize(tmp_path / "m", tmp_path / "out" / "m.gguf", kind, lambda at, of: seen.append((at, of)))
    assert done == tmp_path / "out" / "m.gguf" and [p.name for p in done.parent.iterdir()] == ["m.gguf"]
    assert seen == sorted(seen) and 0 < seen[-1][0] <= seen[-1][1]
    stored, before = open_weights(done), open_weights(tmp_path / "m")
    back = CanonicalWeights(stored, gguf_sources(SPEC, "llama", stored.names()))
    bound = {"F16": 1e-3, "Q8_0": 0.012, "Q6_K": 0.03, "Q4_K_M": 0.09, "Q4_0": 0.12}[kind]
    for name, shape in SPEC.weight_shapes().items():
        exact, got = before.float32(name), back.float32(name)
        assert got.shape == shape
        limit = 0.0 if len(shape) == 1 else bound
        assert np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2)) <= limit, name


def test_metadata_and_tokenizer_travel_with_the_weights(tmp_path):
    own = {"fim_order": "spm", "precision": "q8_0"}
    write_folder(tmp_path / "m", eos_token_id=1, hearth=own)
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    runtime.quantize(tmp_path / "m", tmp_path / "m.gguf", "Q8_0")
    data = open_weights(tmp_path / "m.gguf").metadata
    wanted = {
        "general.architecture": "llama", "general.name": "m", "general.file_type": 7, "llama.block_count": 3,
        "llama.embedding_length": 256, "llama.attention.head_count_kv": 2, "llama.vocab_size": 300,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.eos_token_id": 1, "tokenizer.chat_template": "{{ messages }}",
    }  # fmt: skip
    assert {key: data[key] for key in wanted} == wanted
    assert len(data["tokenizer.ggml.tokens"]) == 300 and json.loads(data["codehearth.config"]) == own
    model = runtime.load_model(tmp_path / "m.gguf", weights="f32")
    tokenizer = runtime.load_tokenizer(tmp_path / "m" / "tokenizer.json")
    assert model.tokenizer.encode(TEXT) == tokenizer.encode(TEXT)
    assert model.fim_order == "spm"


def test_the_embedded_model_answers_from_gguf_as_from_its_folder(tmp_path):
    embedded = runtime.load_model(weights="f32")
    runtime.quantize(Path(runtime.__file__).parent / "embedded", tmp_path / "e.gguf", "Q8_0")
    model = runtime.load_model(tmp_path / "e.gguf", weights="f32")
    ids = model.tokenizer.encode(TEXT)
    assert ids == embedded.tokenizer.encode(TEXT)
    expected, got = embedded.logits(ids), model.logits(ids)
    assert np.abs(got - expected).max() < 0.1 * expected.std()
    assert model.infill("def add(a, b):\n    return ", "\n").text == embedded.infill(
        "def add(a, b):\n    return ", "\n").text  # fmt: skip


def test_a_gguf_is_written_again_in_another_type_with_all_it_holds(tmp_path):
    write_folder(tmp_path / "m")
    runtime.quantize(tmp_path / "m", tmp_path / "f16.gguf", "F16")
    runtime.quantize(tmp_path / "m", tmp_path / "direct.gguf", "Q4_0")
    runtime.quantize(tmp_path / "f16.gguf", tmp_path / "again.gguf", "Q4_0")
    f16, direct, again = (open_weights(tmp_path / f"{name}.gguf") for name in ("f16", "direct", "again"))
    assert list(direct.metadata) == list(again.metadata)
    for key in direct.metadata:
        np.testing.assert_array_equal(direct.metadata[key], again.metadata[key])
    assert [direct.metadata.type(key) for key in direct.metadata] == [again.metadata.type(k) for k in direct.metadata]
    for name in direct.names():
        assert again.type(name) == direct.type(name)
        if len(f16.shape(name)) > 1:  # from the float16 values, exactly
            wanted = nk.quantize(again.type(name), f16.float32(name))
            np.testing.assert_array_equal(again.tensor(name).data, wanted.reshape(-1))
    runtime.quantize(tmp_path / "again.gguf", tmp_path / "copy.gguf", "Q4_0")
    assert (tmp_path / "copy.gguf").read_bytes() == (tmp_path / "again.gguf").read_bytes()


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_the_bytes_are_those_of_llama_quantize(shared_data, tmp_path, kind):
    folder = shared_data / "conformance" / "stories260K"
    runtime.quantize(folder / "stories260K.f32.gguf", tmp_path / "q.gguf", kind)
    ours, theirs = open_weights(tmp_path / "q.gguf"), open_weights(folder / f"stories260K.{kind}.gguf")
    assert set(ours.names()) == set(theirs.names())
    for name in ours.names():
        assert ours.type(name) == theirs.type(name)
        np.testing.assert_array_equal(ours.tensor(name).data, theirs.tensor(name).data)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_wrong_arguments_and_models_are_refused_and_leave_nothing(tmp_path):
    write_folder(tmp_path / "m")
    target = tmp_path / "q.gguf"
    runtime.quantize(tmp_path / "m", tmp_path / "here.gguf", "Q8_0")
    cases = [
        (ValueError, "must be one of", tmp_path / "m", target, "Q5_K_M"),
        (ValueError, "is a folder", tmp_path / "m", tmp_path / "m", "Q8_0"),
        (ValueError, "is the model that is read", tmp_path / "here.gguf", tmp_path / "here.gguf", "Q4_0"),
        (FileNotFoundError, "no such file", tmp_path / "absent", target, "Q8_0"),
        (FormatError, "holds weights alone", tmp_path / "m" / "model.safetensors", target, "Q8_0"),
        (FormatError, "not a GGUF", tmp_path / "m" / "config.json", target, "Q8_0"),
    ]
    for error, words, source, destination, kind in cases:
        with pytest.raises(error, match=words):
            runtime.quantize(source, destination, kind)
    (tmp_path / "m" / "config.json").write_text(json.dumps(SPEC.to_hf_config() | {"hidden_act": "gelu"}))
    with pytest.raises(ValueError, match="activation gelu"):
        runtime.quantize(tmp_path / "m", target, "Q8_0")
    assert not target.exists() and [p.name for p in tmp_path.glob(".*")] == []


def test_a_value_that_is_not_finite_is_named_and_the_old_file_stays(tmp_path):
    source, target = tmp_path / "s.gguf", tmp_path / "t.gguf"
    values = np.zeros((2, 32), np.float32)
    values[1, 3] = np.nan
    tensor = GgufTensor("blk.0.ffn_up.weight", "F32", (2, 32), lambda: [values])
    write_gguf(source, {"general.architecture": "llama"}, [tensor])
    target.write_bytes(b"old")
    with pytest.raises(FormatError, match="'blk.0.ffn_up.weight'.*not finite") as caught:
        runtime.quantize(source, target, "Q8_0")
    assert caught.value.path == str(source) and target.read_bytes() == b"old"


# ---- llama.cpp ------------------------------------------------------------------------------------------------------


def llama_cpp_logits(path, ids) -> np.ndarray:
    """Scores (T, V) of every position, from llama.cpp in this process."""
    peer = pytest.importorskip("llama_cpp")
    model = peer.Llama(str(path), n_ctx=256, n_threads=1, logits_all=True, verbose=False, n_gpu_layers=0)
    model.eval([int(i) for i in ids])
    return np.array(model.scores[: len(ids)])


@pytest.mark.peer
@pytest.mark.parametrize("kind, bound", [("F16", 0.02), ("Q8_0", 0.15), ("Q6_K", 0.3), ("Q4_K_M", 0.8), ("Q4_0", 1.2)])
def test_llama_cpp_loads_every_type_and_answers_alike(tmp_path, kind, bound):
    write_folder(tmp_path / "m", tokenizer=False)
    runtime.quantize(tmp_path / "m", tmp_path / "q.gguf", kind)
    ids = np.random.default_rng(0).integers(0, 300, 40)
    theirs, ours = llama_cpp_logits(tmp_path / "q.gguf", ids), runtime.load_model(tmp_path / "m", weights="f32")
    exact = ours.logits(ids)
    assert np.abs(theirs - exact).max() < bound * exact.std()  # against the weights before they were quantised
    same = runtime.load_model(tmp_path / "q.gguf", weights="f32").logits(ids)
    assert np.abs(theirs - same).max() < 0.15 * exact.std()  # llama.cpp quantises what is multiplied with, too


@pytest.mark.peer
@pytest.mark.shared
def test_llama_cpp_reads_the_tokenizer(shared_data, tmp_path):
    peer = pytest.importorskip("llama_cpp")
    folder = shared_data / "conformance" / "tokenizers"
    found = next(folder.glob("*qwen2.5-coder*/tokenizer.json"), None) or next(folder.glob("*qwen2.5-coder*.json"))
    tokenizer = runtime.load_tokenizer(found)
    spec = DecoderSpec(
        vocab_size=tokenizer.vocab_size + 7, d_model=32, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=16, d_ff=32
    )
    write_folder(tmp_path / "m", spec, tokenizer=False)
    os.symlink(found, tmp_path / "m" / "tokenizer.json")
    runtime.quantize(tmp_path / "m", tmp_path / "q.gguf", "F16")
    theirs = peer.Llama(str(tmp_path / "q.gguf"), vocab_only=True, verbose=False)
    for text in (TEXT, "x = 'é 深 😀'\t# 123456\r\n\n  \n", "<|fim_prefix|>a<|im_end|>", " ", "a  b   c"):
        ids = theirs.tokenize(text.encode(), add_bos=False, special=True)
        assert ids == tokenizer.encode(text, parse_special=True)
