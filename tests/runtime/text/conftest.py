"""A small vocabulary of our own, trained once per run on the running interpreter's library."""

import os
from pathlib import Path

import pytest

from finetune.data import sources
from runtime.text import train_bpe


@pytest.fixture(scope="session")
def library_texts():
    root = Path(os.__file__).parent
    names = (
        "argparse",
        "ast",
        "base64",
        "calendar",
        "decimal",
        "difflib",
        "functools",
        "heapq",
        "inspect",
        "shlex",
        "textwrap",
    )
    return [sources.normalise((root / f"{name}.py").read_bytes()) for name in names]


@pytest.fixture(scope="session")
def tokenizer(library_texts):
    return train_bpe(library_texts, 1200)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Tests write no cached tokenizers among those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def vectors():
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "conformance" / "tokenizers"
    if not folder.is_dir():
        pytest.skip("no evaluation data beside the project")
    return folder
