"""Texts to measure on: sections of many files, the installed packages that are held out, clear errors."""

import pytest

from finetune import held_out
from finetune.data import unseen
from finetune.data.sources import Source
from finetune.held_out import texts_of, unseen_packages

CODE = "".join(f"def function_{n}(value):\n    return value + {n}\n\n\n" for n in range(30))


def test_texts_are_sections_of_all_files_before_a_second_one_of_any(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.py").write_text("".join(f"\n{name}_{n} = {name}({n})\n" for n in range(400)))
    (tmp_path / "empty.py").write_text("\n\n")
    (tmp_path / "table.py").write_text("TABLE = [\n" + "    0x12, 0x13, 0x14,\n" * 300 + "]\n")
    notes = []
    found = texts_of([str(tmp_path)], "nowhere", 8000, notes.append).texts
    assert notes == ["left out: 1 of 5 files (1 literal table)"]
    assert found == texts_of([str(tmp_path)], "nowhere", 8000, notes.append).texts and sum(map(len, found)) == 8000
    names = [text.strip()[0] for text in found]
    assert sorted(names[:3]) == ["a", "b", "c"] and len(found) > 3 and len(set(found)) == len(found)
    assert any(not text.strip().startswith(("a_0 ", "b_0 ", "c_0 ")) for text in found)
    assert len(texts_of([str(tmp_path / "a.py"), str(tmp_path / "b.py")], "nowhere", 10**6).texts) == 8
    assert "0x12" in texts_of([str(tmp_path / "table.py")], "nowhere", 4000).texts[0]  # a file that was named is taken


def test_whole_files_are_cut_only_where_the_budget_ends(tmp_path):
    texts = {name: "".join(f"{name}_{n} = {n}\n" for n in range(300)) for name in "abc"}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert sorted(texts_of([str(tmp_path)], "nowhere", 10**6, whole=True).texts) == sorted(texts.values())
    size = len(texts["a"]) + 100
    first, second = texts_of([str(tmp_path)], "nowhere", size, whole=True).texts
    assert first in texts.values() and texts[second[0]].startswith(second) and len(first + second) == size


def test_environments_inside_a_folder_are_not_measured(tmp_path):
    inner = tmp_path / "project" / ".venv" / "lib" / "site-packages"
    inner.mkdir(parents=True)
    (inner / "other.py").write_text("strange = 1\n" * 20)
    (tmp_path / "project" / "own.py").write_text(CODE)
    (text,) = texts_of([str(tmp_path / "project")], "nowhere", 10**6).texts
    assert text == CODE.strip("\n") + "\n"


def test_unseen_stands_for_the_held_out_packages_that_are_installed(tmp_path, monkeypatch):
    named = sorted(unseen.names() - {unseen.PROJECT})[0]
    for package in (named, "somebody-else", unseen.PROJECT):
        folder = tmp_path / package
        folder.mkdir()
        (folder / "m.py").write_text(f"# {package}\n{CODE}")
    sources = [
        Source(package, tmp_path / package, text_version="1.2") for package in (named, "somebody-else", unseen.PROJECT)
    ]
    monkeypatch.setattr(held_out, "find_packages", lambda folders: sources)
    assert [source.name for source in unseen_packages()] == [named]
    found = texts_of(["unseen"], "nowhere", 10**6)
    assert found.packages == (f"{named} 1.2",) and len(found.texts) == 1 and found.texts[0].startswith(f"# {named}")
    sources.clear()
    with pytest.raises(FileNotFoundError, match=named):
        texts_of(["unseen"], "nowhere", 10**6)


def test_pytest_is_installed_here_and_held_out():
    assert "pytest" in {source.name for source in unseen_packages()}


def test_what_is_nowhere_is_said():
    with pytest.raises(FileNotFoundError, match="neither train"):
        texts_of(["nix"], "nowhere", 100)
