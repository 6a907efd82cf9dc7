"""config.json: numbers that become shapes are checked before use."""

import json

import pytest

from runtime.files.errors import FormatError
from runtime.files.hf_config import read_config

GOOD = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 172,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "head_dim": None,
    "tie_word_embeddings": True,
}


def put(folder, **changes):
    (folder / "config.json").write_text(json.dumps({**GOOD, **changes}))
    return folder


def test_a_good_config_comes_back_as_it_is(tmp_path):
    assert read_config(put(tmp_path)) == GOOD
    assert read_config(tmp_path / "config.json") == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"vocab_size": 0},
        {"vocab_size": -1},
        {"vocab_size": 2**40},
        {"hidden_size": 64.0},
        {"hidden_size": True},
        {"hidden_size": "64"},
        {"hidden_size": 60},
        {"num_hidden_layers": 513},
        {"num_key_value_heads": 3},
        {"intermediate_size": 10**9},
        {"rms_norm_eps": -1e-5},
        {"rope_theta": 0},
        {"rope_theta": 1e300},
        {"rope_parameters": {"rope_theta": "x"}},
        {"tie_word_embeddings": 1},
        {"model_type": 3},
    ],
)
def test_numbers_out_of_range_are_refused_by_key(tmp_path, change):
    with pytest.raises(FormatError) as caught:
        read_config(put(tmp_path, **change))
    assert caught.value.kind == "config"
    assert next(iter(change)).split("_")[0] in caught.value.message or "heads" in caught.value.message


def test_a_missing_or_broken_config_is_said_clearly(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"needs a config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(FormatError, match="not a JSON object"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": NaN}')
    with pytest.raises(FormatError):
        read_config(tmp_path)
