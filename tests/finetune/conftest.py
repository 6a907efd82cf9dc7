"""Gives tests a model folder with random weights: the real engine, without any knowledge."""

import json
from pathlib import Path

import pytest

from runtime.files.safetensors import write_safetensors
from runtime.models.spec import DecoderSpec
from runtime.nn.init import init_weights
from runtime.text import train_bpe

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]


@pytest.fixture(scope="session")
def write_model():
    """(folder, text for the tokenizer, entries, context, seed, more of config.json) -> the folder, written."""

    def write(folder: Path, text: str, vocab: int = 400, context: int = 320, seed: int = 0, **config) -> Path:
        folder.mkdir(parents=True)
        tokenizer = train_bpe([text], vocab, special_tokens=SPECIAL)
        tokenizer.save(folder / "tokenizer.json")
        spec = DecoderSpec(tokenizer.vocab_size, 32, 2, 2, 1, 16, 64, max_context=context)
        weights = {name: 4 * w if w.ndim == 2 else w for name, w in init_weights(spec, seed).items()}
        write_safetensors(folder / "model.safetensors", weights)
        (folder / "config.json").write_text(json.dumps(spec.to_hf_config() | config))
        return folder

    return write
