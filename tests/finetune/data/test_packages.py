"""A corpus of installed packages: licences, held-out packages in every disguise, shares, clusters, equal bytes."""

import json
import os
import random
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from finetune.commands.corpus import run
from finetune.data import collect, installed, sources, unseen
from finetune.data.corpus import SPLITS, EmptyCorpus, build_corpus, load_corpus

MIT = "License-Expression: MIT"


def module(seed: int, lines: int = 60) -> str:
    """A valid file of words that no other seed has."""
    rng = random.Random(seed)
    word = lambda: "".join(rng.choices("bcdfghklmnprst", k=3)) + rng.choice("aeiou")  # noqa: E731
    body = [f"def {word()}_{i}({word()}):\n    return {word()} - {word()}({rng.random()})\n" for i in range(lines // 3)]
    return f'"""About {word()} {word()}."""\n\n' + "\n".join(body)


def install(site, name, files, licence=MIT, version="1.0"):
    """Write a distribution's files and metadata as an installer does."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{licence}\n\nAbout.\n")
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    record = [*files, f"{info.name}/METADATA", f"{info.name}/RECORD", f"../../bin/{name}.py"]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in record))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("environment") / "site-packages"
    rich = module(1)
    install(site, "rich", {"rich/console.py": rich, "rich/text.py": module(2)})
    install(site, "good-one", {
        "good_one/__init__.py": module(10),
        "good_one/core.py": module(11),
        "good_one/_vendor/rich/console.py": rich,  # vendored, and held out
        "good_one/_vendor/small.py": module(12),  # vendored
        "good_one/compat/jinja2/lexer.py": module(13),  # a folder that carries a held-out import name
        "good_one/our_console.py": "LIMIT = 7\n" + rich[: len(rich) * 2 // 3].rpartition("def ")[0],  # a copy
    })  # fmt: skip
    install(site, "copyleft", {"copyleft/a.py": module(20)}, "License-Expression: GPL-3.0-or-later")
    install(site, "silent", {"silent/a.py": module(21)}, "Summary: says nothing")
    install(site, "Old.Style", {"old_style.py": module(22)}, "Classifier: License :: OSI Approved :: BSD License")
    install(site, "pytest", {"_pytest/runner.py": module(23), "pytest/__init__.py": module(24)})
    install(site, "codehearth", {"runtime/x.py": module(25)})
    return site


def built(out, site, **options):
    packages = installed.find_packages([site])
    build_corpus(out, origins=packages, held_out=installed.held_out_files(packages), **options)
    return load_corpus(out)


@pytest.fixture(scope="module")
def corpus(site, tmp_path_factory):
    return built(tmp_path_factory.mktemp("corpus"), site, split=(90, 5, 5))


def test_packages_are_found_with_version_licence_and_files(site, tmp_path):
    found = {s.name: s for s in installed.find_packages([site])}
    assert set(found) == {"rich", "good-one", "copyleft", "silent", "old-style", "pytest", "codehearth"}
    assert found["old-style"].licence == "LicenseRef-BSD" and found["silent"].licence == "unknown"
    assert found["old-style"].files == ("old_style.py",) and found["old-style"].text_version == "1.0"
    install(tmp_path, "old-style", {"old_style.py": module(22)}, version="1.10rc1")
    (newer,) = [s for s in installed.find_packages([site, tmp_path]) if s.name == "old-style"]
    assert newer.root == tmp_path and newer.version == (1, 10)
    with pytest.raises(NotADirectoryError, match="nowhere"):
        installed.find_packages([tmp_path / "nowhere"])


def test_only_permitted_code_that_is_not_held_out_stays(corpus):
    assert {f["path"] for f in corpus.manifest.files} == {
        "good-one/good_one/__init__.py",
        "good-one/good_one/core.py",
        "old-style/old_style.py",
    }
    assert {reason: n["files"] for reason, n in corpus.manifest.summary["left_out"].items()} == {
        "held-out package": 7,
        "licence not permitted": 2,
        "vendored copy": 1,
        "like a held-out package": 1,
    }
    (drop,) = corpus.manifest.summary["drops"]
    assert drop["path"].endswith("our_console.py") and drop["what"].endswith("rich/console.py")
    by_source = corpus.manifest.summary["sources"]
    assert by_source["copyleft"]["left_out"] == {"licence not permitted": {"files": 1, "bytes": len(module(20))}}
    assert by_source["good-one"]["files_seen"] == 6 and by_source["good-one"]["files_kept"] == 2
    assert {"rich", "pygls", "click"} <= set(corpus.manifest.summary["unseen"])


def test_this_project_is_recognised_under_another_name(tmp_path):
    here = Path(collect.__file__).parent
    copies = {f"other/{file.stem}_copy.py": file.read_text() for file in sorted(here.glob("*.py"))}
    install(tmp_path / "site", "other", copies | {"other/own.py": module(600)})
    corpus = built(tmp_path / "out", tmp_path / "site")
    assert [f["path"] for f in corpus.manifest.files] == ["other/other/own.py"]


def test_a_manifest_line_says_all_about_its_file(corpus):
    for f in corpus.manifest.files:
        assert set(f) == {"path", "sha256", "bytes", "licence", "source", "version", "split", "cluster", "start"}
        assert f["version"] == "1.0" and f["licence"] in ("MIT", "LicenseRef-BSD")
    documents = [d for split in SPLITS for d in corpus.documents(split)]
    assert {d.package for d in documents} == {"good-one", "old-style"} and all(d.cluster for d in documents)


def test_the_held_out_list_names_this_project_and_the_packages_of_the_card():
    wanted = "click requests rich jinja2 flask werkzeug jsonschema pytest jedi anyio fsspec typer urllib3 pygls"
    assert {*wanted.split(), "lsprotocol", "codehearth"} <= unseen.names()
    assert unseen.is_unseen("Flask", "flask/app.py") and unseen.is_unseen("x", "pip/_vendor/urllib3/a.py")
    assert unseen.is_unseen("x", "_pytest/main.py") and unseen.is_unseen("x", "click.py")
    assert unseen.is_unseen("x", "lsp_server/cli.py") and not unseen.is_unseen("x", "torch/runtime/a.py")
    assert not unseen.is_unseen("starlette", "starlette/requests.py")


def test_a_package_gets_its_share_and_tests_no_more_than_theirs(tmp_path):
    files = {f"big/m{i}.py": module(100 + i) for i in range(20)} | {
        f"big/tests/t{i}.py": module(200 + i) for i in range(20)
    }
    install(tmp_path / "site", "big", files)
    install(tmp_path / "site", "small", {"small.py": module(300)})
    size = len(module(100))
    corpus = built(tmp_path / "out", tmp_path / "site", max_package_bytes=9 * size + size // 2)
    kept = [f["path"] for f in corpus.manifest.files]
    assert "small/small.py" in kept
    tests = [p for p in kept if "/tests/" in p]
    assert len(tests) == 3 and 9 <= len(kept) - 1 <= 10
    left = corpus.manifest.summary["left_out"]
    everything = built(tmp_path / "all", tmp_path / "site", test_share=1.0)
    assert len(everything.manifest.files) == 41
    assert left["over the share of a package"]["files"] + left["over the share of tests"]["files"] == 41 - len(kept)


def test_a_cluster_is_never_on_two_sides(tmp_path):
    texts = {
        f"kin/group{g}_{i}.py": module(400 + g, 90) + module(900 + 10 * g + i, 60) for g in range(30) for i in range(3)
    }
    install(tmp_path / "site", "kin", texts)
    corpus = built(tmp_path / "out", tmp_path / "site", split=(50, 25, 25))
    sides, groups = {}, {}
    for f in corpus.manifest.files:
        assert sides.setdefault(f["cluster"], f["split"]) == f["split"]
        groups.setdefault(f["path"].rpartition("_")[0], set()).add(f["cluster"])
    assert len(corpus.manifest.files) == 90 and set(sides.values()) == set(SPLITS)
    assert len(sides) == 30 and all(len(clusters) == 1 for clusters in groups.values())


def test_versions_of_a_file_share_a_split(tmp_path):
    older, newer = ({f"m{i}.py": module(seed + i) for i in range(40)} for seed in (2000, 3000))
    for name, files in (("old", older), ("new", newer)):
        for path, text in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / path).write_text(text)
    origins = [sources.Source(f"lib-{n}", tmp_path / n, (i,), package="lib") for i, n in enumerate(("old", "new"))]
    build_corpus(tmp_path / "out", origins=origins, split=(50, 25, 25))
    sides = {}
    for f in load_corpus(tmp_path / "out").manifest.files:
        sides.setdefault(f["path"].partition("/")[2], set()).add(f["split"])
    assert len(sides) == 40 and all(len(s) == 1 for s in sides.values())


def test_building_twice_and_on_several_processes_gives_equal_bytes(corpus, site, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "PARALLEL", 1)
    again = built(tmp_path, site, split=(90, 5, 5), workers=2)
    assert again.sha256 == corpus.sha256
    for name in ("manifest.jsonl", "train.txt", "val.txt", "test.txt", "chat-train.jsonl"):
        assert (tmp_path / name).read_bytes() == (corpus.folder / name).read_bytes()


def test_a_worker_that_is_killed_ends_the_build_and_does_not_hang_it(monkeypatch):
    monkeypatch.setattr(collect, "PARALLEL", 1)
    with pytest.raises(BrokenProcessPool, match="terminated abruptly"):
        list(collect._map(os._exit, [9] * 40, 2))


def test_nothing_permitted_is_a_clear_error(tmp_path):
    install(tmp_path / "site", "copyleft", {"copyleft/a.py": module(20)}, "License: GPL")
    with pytest.raises(EmptyCorpus, match="1 licence not permitted"):
        built(tmp_path / "out", tmp_path / "site")


def test_the_command_reads_a_site_packages_folder_and_says_what_it_left_out(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.py").write_text(module(500))
    out = tmp_path / "out"
    argv = ["build", "--out", str(out), "--vocab-size", "300", "--site-packages", str(site)]
    assert run([*argv, "--from", str(tmp_path / "mine"), "--licence", "own", "--split", "80/10/10"]) == 0
    shown = capsys.readouterr().out
    for word in ("good-one 1.0", "held-out package", "licence", "vendored copy", "LicenseRef-Own", "tokenizer of 300"):
        assert word in shown
    summary = json.loads((out / "summary.json").read_text())
    assert summary["shares"] == [80, 10, 10] and summary["sources"]["mine"]["files_kept"] == 1
    corpus = load_corpus(out)
    assert corpus.tokenizer().sha256 == summary["tokenizer_sha256"]
    assert run([*argv, "--from", str(tmp_path / "mine"), "--no-packages"]) == 0
    assert list(json.loads((out / "summary.json").read_text())["sources"]) == ["mine"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--licence", "MIT"], "--from"),
        (["--from", ".", "--licence", "GPL-3.0-only"], "not on the list"),
        (["--from", "nowhere", "--licence", "MIT"], "nowhere"),
        (["--site-packages", "nowhere"], "nowhere"),
    ],
)
def test_slips_on_the_command_line(argv, said):
    with pytest.raises((ValueError, NotADirectoryError), match=said):
        run(["build", *argv])
    for split in ("90/10", "a/b/c", "90"):
        with pytest.raises(SystemExit):
            run(["build", "--split", split])
