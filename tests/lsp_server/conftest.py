"""Makes `connection` importable for the tests of this folder, and a model folder small enough for a test."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

TEXT = "def add(a, b):\n    return a + b\n\n\nclass Point:\n    def __init__(self, x, y):\n        self.x = x\n"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with random weights and a tokenizer trained on a few lines: the real engine, without its knowledge."""
    from runtime.files.safetensors import write_safetensors
    from runtime.models.decoder import Decoder
    from runtime.models.spec import DecoderSpec
    from runtime.text import train_bpe

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    tokenizer = train_bpe([TEXT] * 4, vocab_size=300)
    tokenizer.save(folder / "tokenizer.json")
    spec = DecoderSpec(
        vocab_size=tokenizer.vocab_size,
        d_model=32,
        n_layers=2,
        n_heads=2,
        n_kv_heads=1,
        head_dim=16,
        d_ff=64,
        max_context=256,
    )
    weights = {name: tensor.data for name, tensor in Decoder(spec, seed=7).parameters().items()}
    write_safetensors(folder / "model.safetensors", weights, {"format": "pt"})
    config = {**spec.to_hf_config(), "hearth": {"fim_order": "spm"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
