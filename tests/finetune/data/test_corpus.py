"""The corpus accounts for every file, keeps each text once, splits by cluster, and notices what was changed."""

import hashlib
import shutil

import pytest

from finetune.data import sources
from finetune.data.corpus import SPLITS, EmptyCorpus, build_corpus, load_corpus
from finetune.data.dedupe import HASHES, Duplicates, signature
from runtime.files.errors import FormatError

SHARES = (0.6, 0.2, 0.2)


def paths(corpus):
    return {f["path"] for f in corpus.manifest.files}


def test_good_files_are_kept_and_every_other_is_accounted_for(corpus, origin):
    summary = corpus.manifest.summary
    left_out = {reason: entry["files"] for reason, entry in summary["left_out"].items()}
    # cmd.py differs from windows_ends.py only in line ends, so one of the two stays
    assert left_out == {
        "exact duplicate": 1,
        "near duplicate": 1,
        "not UTF-8": 1,
        "too short": 1,
        "does not parse": 1,
        "very long line": 1,
        "literal table": 1,
        "generated": 1,
    }
    seen = summary["sources"]["library-1"]["files_seen"]
    assert seen == len(list(sources.walk(origin))) == len(corpus.manifest.files) + sum(left_out.values())
    assert "library-1/cmd.py" in paths(corpus)
    assert not any("alien" in p for p in paths(corpus))


def test_documents_are_the_manifest_texts(corpus):
    found = {d.path: d.text for name in SPLITS for d in corpus.documents(name)}
    assert len(found) == len(corpus.manifest.files)
    for f in corpus.manifest.files:
        text = found[f["path"]]
        assert hashlib.sha256(text.encode()).hexdigest() == f["sha256"]
        assert "\r" not in text
        assert not any(line != line.rstrip(" \t") for line in text.split("\n"))


def test_building_twice_gives_the_same_bytes(corpus, origin, tmp_path):
    build_corpus(tmp_path, origins=[origin], split=SHARES)
    for name in ("manifest.jsonl", "train.txt", "val.txt", "test.txt", "chat-train.jsonl"):
        assert (tmp_path / name).read_bytes() == (corpus.folder / name).read_bytes()


def test_tests_can_be_left_out(origin, tmp_path):
    build_corpus(tmp_path, include_tests=False, origins=[origin])
    assert "library-1/tests/test_heapq.py" not in paths(load_corpus(tmp_path))


def test_the_newest_version_wins_among_near_duplicates(origin, tmp_path):
    older = sources.Source("library-0", origin.root, (0,))
    build_corpus(tmp_path, origins=[older, origin], split=SHARES)
    assert all(p.startswith("library-1/") for p in paths(load_corpus(tmp_path)))


def test_an_older_version_stays_where_the_newest_does_not_parse(origin, tmp_path):
    body = (origin.root / "queue.py").read_text()
    for name, extra in (("new", "\ndef broken(:\n    pass\n"), ("old", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "queue.py").write_text(body + extra)
    origins = [sources.Source(name, tmp_path / name, (n,)) for n, name in enumerate(("old", "new"))]
    build_corpus(tmp_path / "out", origins=origins)
    assert paths(load_corpus(tmp_path / "out")) == {"old/queue.py"}


def test_files_that_share_code_with_an_excluded_file_go(origin, tmp_path):
    secret = tmp_path / "evaluation.py"
    secret.write_text("\n".join((origin.root / "queue.py").read_text().split("\n")[:40]))
    build_corpus(tmp_path / "out", origins=[origin], exclude_file=secret)
    corpus = load_corpus(tmp_path / "out")
    assert "library-1/queue.py" not in paths(corpus)
    assert "library-1/shutil.py" in paths(corpus)
    assert corpus.manifest.summary["left_out"]["shares code with an evaluation set"]["files"] >= 1


def test_an_empty_corpus_is_a_clear_error(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(EmptyCorpus, match="no Python file"):
        build_corpus(tmp_path / "out", origins=[sources.Source("nothing", tmp_path / "in")])
    (tmp_path / "in" / "a.py").write_text("x\n")
    with pytest.raises(EmptyCorpus, match="1 too short"):
        build_corpus(tmp_path / "out", origins=[sources.Source("little", tmp_path / "in")])
    assert not (tmp_path / "out" / "summary.json").exists()


def test_wrong_shares_are_refused(origin, tmp_path):
    for shares in ((1,), (0, 0.5, 0.5), (1, -1, 1)):
        with pytest.raises(ValueError, match="shares"):
            build_corpus(tmp_path, origins=[origin], split=shares)
    with pytest.raises(ValueError, match="share of tests"):
        build_corpus(tmp_path, origins=[origin], test_share=1.5)


@pytest.mark.parametrize("name", ["train.txt", "manifest.jsonl"])
def test_a_changed_file_is_noticed(corpus, tmp_path, name):
    folder = tmp_path / "copy"
    shutil.copytree(corpus.folder, folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(FormatError, match="build the corpus again"):
        load_corpus(folder)


def test_a_corpus_that_was_never_built_says_how_to(tmp_path):
    with pytest.raises(FileNotFoundError, match="hearth corpus build"):
        load_corpus(tmp_path)


def test_near_duplicates_are_those_with_mostly_the_same_lines():
    lines = [f"value_{i} = compute({i})" for i in range(300)]
    base, close, far = (
        signature("\n".join(x)) for x in (lines, lines[:280], lines[:60] + [f"other {i}" for i in range(240)])
    )
    seen = Duplicates()
    seen.add("base", "0", base)
    assert seen.near(close) == "base"
    assert seen.near(far) is None
    assert base.shape == (HASHES,)


def test_the_running_library_is_found():
    found = sources.find_stdlibs()
    assert sources.running_stdlib() in found
    assert [s.version for s in found] == sorted((s.version for s in found), reverse=True)
    names = {relative for relative, _ in sources.walk(sources.running_stdlib(), include_tests=False)}
    assert {"argparse.py", "json/decoder.py"} <= names
    assert not any("site-packages" in n or n.startswith("test/") for n in names)
