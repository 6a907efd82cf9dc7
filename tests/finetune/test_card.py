"""The card of a model, and which run is exported: from facts alone, without a training."""

import json
import os

import pytest

from finetune.card import card
from finetune.export import newest_run
from runtime.models.spec import DecoderSpec

FIM = {"rate": 0.35, "spm": 0.75}
LATER = {
    "step": 51,
    "context": 128,
    "batch": 4,
    "chat_rate": 0.1,
    "section_lines": 60,
    "fim": {"rate": 0.6, "spm": 0.8},
}
FACTS = {
    "run": {
        "recipe": {
            "name": "small",
            "seed": 7,
            "data": {"context": 64, "batch": 8, "fim": FIM, "later": [LATER, LATER | {"step": 500, "batch": 1}]},
            "train": {"optimizer": "muon", "muon_ratio": 7.0, "lr": 3e-3, "min_lr_ratio": 0.03, "decay": 0.4,
                      "weight_decay": 0.1, "clip": 1.0, "precision": "bf16", "schedule": "wsd"},
        },
        "corpus": {
            "manifest_sha256": "c0ffee" * 10,
            "splits": {name: {"files": 5, "bytes": 4_000_000} for name in ("train", "val", "test")},
            "sources": {
                "cpython-3.13": {"version": "3.13", "licence": "PSF-2.0", "files_kept": 9, "bytes_kept": 2_000_000},
                "box": {"version": "1.2", "licence": "MIT", "files_kept": 4, "bytes_kept": 1_000_000},
                "empty": {"version": "1", "licence": "MIT", "files_kept": 0, "bytes_kept": 0},
            },
            "left_out": {"near duplicate": {"files": 31, "bytes": 1_500_000}},
            "unseen": ["click", "rich"],
        },
        "tokenizer_sha256": "ab" * 32,
    },
    "state": {"step": 90, "tokens": 123_456, "seconds": 600.0, "schedule": {"warmup": 10, "kind": "wsd"}},
    "spec": DecoderSpec(300, 32, 2, 2, 1, 16, 64, max_context=128),
    "metrics": [{"step": 90, "val_loss": 2.5, "val_bits_per_byte": 1.01}],
    "note": None,
    "files": {"model.safetensors": 11_200_000, "tokenizer.json": 210_000},
}  # fmt: skip


def share(value, low, high, n=100, **more):
    return {"value": value, "n": n, "low": low, "high": high} | more


RESULTS = {
    "bits_per_byte": share(0.88, 0.85, 0.9, 9000),
    "line_exact_match": {"mid_line": share(0.27, 0.2, 0.33)},
    "pass_at_1": {"value": None, "n": 0, "low": None, "high": None},
}
REPORT = {
    "results": RESULTS,
    "settings": {
        "documents": 40,
        "pieces": "sections of files",
        "bytes": 200_000,
        "carets": 600,
        "seed": 0,
        "context": 128,
    },
    "opponents": [
        {
            "name": "n-gram + cache",
            "about": "an n-gram model",
            "context": 128,
            "results": RESULTS | {"bits_per_byte": share(1.1, 1.0, 1.2)},
            "paired": {
                "bits_per_byte": share(-0.22, -0.25, -0.2),
                "line_exact_match": {"mid_line": share(0.04, 0.01, 0.07, better=30, worse=14, p=0.0226)},
            },
        }
    ],
    "probes": {"questions": share(0.02, 0.0, 0.1, chance=0.0, words="Of 100 questions it answers 2.")},
    "diversity": {"temperatures": [0.2, 1.0], "tokens": 300, "samples": 4, "distinct_1": [0.1, 0.5],
                  "rises": {"distinct_1": True}},
}  # fmt: skip


def test_a_card_says_what_it_is_from_what_and_how_good():
    page = card(FACTS, [("packages never seen (click 8)", REPORT)])
    assert "model.safetensors 11.20 MB, tokenizer.json 0.21 MB" in page
    assert "123,456 tokens in 90 steps of 8 x 64; from step 51 on 4 x 128 |" in page  # step 500 was never reached
    assert "35% of pieces, 75% of them suffix first; from step 51 on 60% of pieces, 80%" in page
    assert "constant, then linear to 3% over the last 40% of the steps" in page and "products in bfloat16" in page
    assert "| line exact match, inside a line | 27.0 % | 20.0 % to 33.0 % | 100 | 27.0 % |" in page
    assert "small is better by 4.0 points [1.0, 7.0]; 30 lines only small has right, 14 only n-gram + cache" in page
    assert "| pass at 1" not in page and "pass@1 was not measured" in page
    assert "### Probes on packages never seen\n" in page and "| 1 | 0.500 |" in page and "curve.png" in page
    assert "| box | 1.2 | MIT | 4 | 1.00 |" in page and "| empty |" not in page and "9 PSF-2.0, 4 MIT" in page
    assert "| near duplicate | 31 | 1.5 |" in page and "Never in any training text: click, rich." in page
    assert max(len(line) for line in page.split("\n") if line[:1] not in "|-#") < 260


def test_a_card_without_an_evaluation_and_of_a_first_recipe():
    facts = json.loads(json.dumps({k: v for k, v in FACTS.items() if k != "spec"})) | {"spec": FACTS["spec"]}
    facts["run"]["recipe"]["train"] |= {"optimizer": "adamw", "schedule": "cosine"}
    del facts["run"]["recipe"]["train"]["precision"], facts["run"]["recipe"]["data"]["later"]
    facts["state"]["schedule"] = {"warmup": 10}
    facts["note"] = "no curve"
    page = card(facts)
    assert "cosine to 3%" in page and "AdamW, peak rate" in page and "products in float32" in page
    assert "in 90 steps of 8 x 64 |" in page and "curve.png" not in page and "Bits per byte, perplexity" not in page


def test_the_run_that_saved_last_is_exported_by_default(tmp_path):
    with pytest.raises(FileNotFoundError, match="give --run"):
        newest_run(tmp_path)
    for n, name in enumerate(("second", "first", "empty")):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        for step in (10, 20) if name != "empty" else ():
            folder = tmp_path / name / "checkpoints" / f"step-{step:08d}"
            folder.mkdir()
            (folder / "state.json").write_text("{}")
            os.utime(folder, (1000 - 100 * n + step, 1000 - 100 * n + step))
    assert newest_run(tmp_path).name == "second"
    os.utime(tmp_path / "first" / "checkpoints" / "step-00000020", (5000, 5000))
    assert newest_run(tmp_path).name == "first"
