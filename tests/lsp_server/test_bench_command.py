"""`hearth bench`: figures of the bundled model, a peer's beside them, a picture, and one clear line on wrong use."""

import json
import os
import stat
import sys

import pytest

from lsp_server.commands import bench
from lsp_server.commands.llama_bench import LlamaBench
from runtime.engine.speed import Load

QUICK = ["--rounds", "1", "--prompt", "20", "--tokens", "3"]


@pytest.fixture
def fake_peer(tmp_path):
    """A program with llama-bench's face: it always answers ten tokens a second."""
    program = tmp_path / "llama-bench"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\nprint(json.dumps([{{'avg_ts': 10.0, 'argv': sys.argv}}]))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_measures_prefill_and_decode_of_the_bundled_model(capsys):
    assert bench.main([*QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["load"] for row in report["rows"]] == ["pp20", "tg3"]
    assert all(row["ours"] > 0 and row["peer"] is None and len(row["samples"]) == 1 for row in report["rows"])


def test_one_kind_behind_cached_positions_as_text(capsys):
    assert bench.main(["decode", "--depth", "16", *QUICK]) == 0
    shown = capsys.readouterr().out
    assert "tg3 @ d16" in shown and "pp" not in shown


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
def test_a_peer_is_measured_in_the_same_rounds(fake_peer):
    peer = LlamaBench(fake_peer, "model.gguf", threads=2, kv=None)
    assert peer.sample(Load("prefill", 20)) == 10.0


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
def test_a_peer_that_fails_says_why(tmp_path):
    program = tmp_path / "llama-bench"
    program.write_text("#!/bin/sh\necho 'loading' >&2\necho 'error: no such model' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match="no such model"):
        LlamaBench(str(program), "model.gguf", 1).sample(Load("decode", 2))


def test_wrong_use_is_said():
    with pytest.raises(ValueError, match="not be negative"):
        bench.main([*QUICK, "--depth", "-1"])
    with pytest.raises(ValueError, match="gguf"):
        bench.main([*QUICK, "--peer", sys.executable])
    with pytest.raises(ValueError, match="no program"):
        bench.main([*QUICK, "--peer", "/no/such/llama-bench"])
    with pytest.raises(ValueError, match="positions"):
        bench.main(["prefill", "--rounds", "1", "--prompt", "10000000"])


def test_the_picture_is_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    row = {"load": "pp512", "ours": 100.0, "peer": 50.0, "ratio": 2.0}
    report = {"model": "m", "threads": 2, "instructions": "avx2", "rows": [row, row | {"peer": None}]}
    assert "picture" in bench.draw(report, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
