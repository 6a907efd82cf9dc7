"""`hearth uninstall`: removes the folders of ours, and only those; asks first; keeps models if told to."""

import pytest

from lsp_server.commands import uninstall
from runtime import folders


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own with a model, a cache and a state file, and no editor."""
    places = {"models": tmp_path / "data", "caches": tmp_path / "cache", "state": tmp_path / "state"}
    monkeypatch.setattr(folders, "written_folders", lambda: places)
    monkeypatch.setattr(folders, "models_folder", lambda: places["models"] / "models")
    monkeypatch.setattr(uninstall, "editors_with_extension", list)
    (places["models"] / "models" / "mine").mkdir(parents=True)
    (places["models"] / "models" / "mine" / "config.json").write_text("{}")
    (places["models"] / "note").write_text("x")
    (places["caches"] / "packed").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    (places["caches"] / "link").symlink_to(tmp_path / "other", target_is_directory=True)
    places["state"].mkdir()
    return tmp_path


def test_removes_its_folders_and_nothing_behind_a_link(home, capsys):
    assert uninstall.main(["--yes"]) == 0
    assert sorted(path.name for path in home.iterdir()) == ["other"]
    assert (home / "other" / "precious").is_file()
    assert "pip uninstall codehearth" in capsys.readouterr().out


def test_models_can_stay(home):
    assert uninstall.main(["--yes", "--keep-models"]) == 0
    assert (home / "data" / "models" / "mine" / "config.json").is_file()
    assert not (home / "data" / "note").exists() and not (home / "cache").exists() and not (home / "state").exists()


def test_without_a_terminal_it_removes_nothing_unasked(home, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(ValueError, match="--yes"):
        uninstall.main([])
    assert (home / "cache" / "packed").is_dir()


def test_a_no_removes_nothing(home, monkeypatch, capsys):
    monkeypatch.setattr(uninstall, "confirmed", lambda: False)
    assert uninstall.main([]) == 1
    assert (home / "data" / "models" / "mine").is_dir() and "nothing was removed" in capsys.readouterr().out


def test_nothing_to_remove_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(folders, "written_folders", lambda: {"caches": tmp_path / "absent"})
    monkeypatch.setattr(uninstall, "editors_with_extension", list)
    assert uninstall.main([]) == 0
    assert "nothing was written" in capsys.readouterr().out
