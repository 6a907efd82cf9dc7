"""A small corpus of well-known modules and a ladder whose rungs train in a second each."""

import os
from pathlib import Path

import pytest

from finetune.data import sources
from finetune.data.corpus import build_corpus

LIBRARY = Path(os.__file__).parent
MODULES = (
    "shutil",
    "queue",
    "calendar",
    "cmd",
    "code",
    "codecs",
    "configparser",
    "contextlib",
    "copy",
    "sched",
    "fractions",
)
TINY = """
kind = "ladder"
name = "tiny"
seed = 3
minutes = 1
evaluations = 3

[text]
train_mb = 0.2
val_kb = 6.0
section_lines = 30
characters = 330
subwords = 400
subwords_mb = 0.1

[[rung]]
name = "bigram"
context = 64
batch = 4
[rung.model]
kind = "bigram"
[rung.train]
steps = 24
lr = 0.1
checkpoint_every = 5

[[rung]]
name = "window"
context = 64
batch = 4
[rung.model]
kind = "feed-forward"
window = 4
width = 8
hidden = 32
[rung.train]
steps = 40
lr = 5e-3
checkpoint_every = 5

[[rung]]
name = "gpt"
context = 48
batch = 4
[rung.model]
kind = "gpt"
layers = 1
heads = 2
width = 32
[rung.train]
steps = 24
lr = 5e-3

[[rung]]
name = "llama"
context = 48
batch = 4
[rung.model]
kind = "llama"
layers = 1
heads = 2
kv_heads = 1
width = 32
inner = 48
[rung.train]
steps = 24
lr = 5e-3
optimizer = "muon"

[[rung]]
name = "encoder"
context = 48
batch = 4
[rung.model]
kind = "encoder"
layers = 1
heads = 2
width = 32
inner = 48
[rung.train]
steps = 24
lr = 5e-3
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A source with a few modules of the standard library."""
    root = tmp_path_factory.mktemp("library")
    for name in MODULES:
        (root / f"{name}.py").write_bytes((LIBRARY / f"{name}.py").read_bytes())
    return sources.Source("library-1", root, (1,))


@pytest.fixture(scope="session")
def corpus(library, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    build_corpus(out, origins=[library], split=(0.6, 0.2, 0.2))
    return out


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY)
    return path
