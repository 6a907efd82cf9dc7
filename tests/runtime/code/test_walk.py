"""The walk of a repository: what git ignores, what nobody there wrote, links, bounds; against git itself."""

import os
import shutil
import subprocess

import pytest

from runtime.code import walk as walking
from runtime.code.walk import walk


def make(root, *paths, text="x = 1\n"):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            file.write_text(text)


def names(tree):
    return [file.path for file in tree.files]


def test_files_come_in_order_with_their_sizes_and_other_kinds_are_counted(tmp_path):
    make(tmp_path, "b.py", "a/z.py", "a/c/d.PY", "readme.md", "data.bin", "Makefile")
    tree = walk(tmp_path)
    assert names(tree) == ["a/c/d.PY", "a/z.py", "b.py"]
    assert {file.size for file in tree.files} == {6} and tree.files[2].file == tmp_path.resolve() / "b.py"
    assert tree.others == {".md": 1, ".bin": 1, "(no suffix)": 1} and tree.left_out == []


def test_nested_ignore_files_with_negation_and_a_broken_line(tmp_path):
    make(tmp_path, "keep.py", "drop.py", "sub/drop.py", "sub/keep.py", "sub/deep/gen_a.py", "sub/deep/gen_b.py")
    make(tmp_path, "logs/a.py", "sub/logs/b.py")
    (tmp_path / ".gitignore").write_text("drop.py\n/logs/\n!\n# keep.py\n")
    (tmp_path / "sub" / ".gitignore").write_text("!drop.py\ngen_*.py\n")
    (tmp_path / "sub" / "deep" / ".gitignore").write_text("!gen_b.py\n")
    tree = walk(tmp_path)
    assert names(tree) == ["keep.py", "sub/deep/gen_b.py", "sub/drop.py", "sub/keep.py", "sub/logs/b.py"]
    assert tree.left_out == [(p, "ignored by git") for p in ("drop.py", "logs/", "sub/deep/gen_a.py")]


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_same_files_as_git_lists(tmp_path):
    patterns = "*.log.py\n!keep.log.py\n/top.py\ndoc/*.py\n**/deep/**/x.py\nfoo/\na\\ b.py\n[ab]?.py\n!foo/in.py\n"
    paths = ["one.log.py", "s/keep.log.py", "top.py", "s/top.py", "doc/a.py", "s/doc/a.py", "doc/in/a.py", "deep/x.py"]
    paths += ["s/deep/t/u/x.py", "foo/in.py", "s/foo/in.py", "a b.py", "a1.py", "c1.py", "s/b2.py", "excluded.py"]
    make(tmp_path, *paths)
    (tmp_path / ".gitignore").write_text(patterns)
    run = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    subprocess.run(["git", "init", "-q"], **run)
    (tmp_path / ".git" / "info" / "exclude").write_text("excluded.py\n")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], **run).stdout.splitlines()
    assert names(walk(tmp_path)) == sorted(name.strip('"') for name in listed)
    inner = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py"], **run | {"cwd": tmp_path / "s"})
    assert names(walk(tmp_path / "s")) == sorted(inner.stdout.splitlines())  # the rules above it hold there too


def test_a_folder_that_is_ignored_is_walked_when_it_is_named(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*\n")
    make(tmp_path, "work/a.py", "work/b.py")
    (tmp_path / "work" / ".gitignore").write_text("b.py\n")
    assert names(walk(tmp_path)) == [] and names(walk(tmp_path / "work")) == ["a.py"]


def test_what_nobody_there_wrote_is_left_out_with_the_reason(tmp_path):
    make(tmp_path, "app/main.py", "env/pyvenv.cfg", "env/lib/x.py", "app/_vendor/x.py", "node_modules/x.py")
    make(tmp_path, "app/__pycache__/x.py", "build/lib/x.py", "app/build/x.py", "pkg.egg-info/x.py", "app/api_pb2.py")
    make(tmp_path, "sub/.git", "sub/x.py", ".hg/x.py", ".env", ".env.example", "deploy/id_rsa", "app/local_settings.py")
    (tmp_path / "big.py").write_text("#" * (walking.MAX_BYTES + 1))
    tree = walk(tmp_path)
    assert names(tree) == ["app/build/x.py", "app/main.py"]
    assert dict(tree.left_out) == {
        "env/": "virtual environment",
        "app/_vendor/": "vendored",
        "node_modules/": "vendored",
        "app/__pycache__/": "cache",
        "build/": "build output",
        "pkg.egg-info/": "cache",
        "app/api_pb2.py": "generated",
        "sub/": "another repository",
        ".hg/": "version control",
        ".env": "secret file",
        "deploy/id_rsa": "secret file",
        "app/local_settings.py": "secret file",
        "big.py": "too large",
    }


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_links_and_pipes_are_never_followed_or_opened(tmp_path):
    outside = tmp_path / "outside"
    make(outside, "secret.py")
    root = tmp_path / "repo"
    make(root, "a.py")
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "broken.py").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe.py")
    tree = walk(root)
    assert names(tree) == ["a.py"]
    links = [(name, "link") for name in ("broken.py", "link.py", "loop", "out")]
    assert tree.left_out == sorted([*links, ("pipe.py", "not a regular file")])


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_names_that_are_no_text_are_left_out(tmp_path):
    make(tmp_path, "a.py")
    (tmp_path / os.fsdecode(b"b\xff.py")).write_text("x = 1\n")
    tree = walk(tmp_path)
    assert names(tree) == ["a.py"] and tree.left_out == [("b?.py", "name is not UTF-8")]


def test_no_folder_and_no_end_are_refused(tmp_path, monkeypatch):
    make(tmp_path, "a.py", "b.py")
    with pytest.raises(NotADirectoryError, match="a file, not a folder"):
        walk(tmp_path / "a.py")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        walk(tmp_path / "none")
    monkeypatch.setattr(walking, "MAX_ENTRIES", 1)
    with pytest.raises(ValueError, match="one repository"):
        walk(tmp_path)
