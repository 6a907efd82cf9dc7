import pytest

from runtime.code.source import read_source


@pytest.mark.parametrize(
    ("data", "text", "noted"),
    [
        (b"", "", False),
        ("x = 'é'\n".encode(), "x = 'é'\n", False),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n", False),
        ("# -*- coding: cp1252 -*-\nx = '€'\n".encode("cp1252"), "# -*- coding: cp1252 -*-\nx = '€'\n", True),
        ("x = 'é'\n".encode("latin-1"), "x = 'é'\n", True),
        (b"# coding: rot13\nx = '\xe9'\n", "# coding: rot13\nx = 'é'\n", True),
        (b"# coding: no-such-thing\n\xe9\n", "# coding: no-such-thing\né\n", True),
    ],
)
def test_any_text_is_read_and_guesses_are_said(tmp_path, data, text, noted):
    path = tmp_path / "a.py"
    path.write_bytes(data)
    source = read_source(path)
    assert source.text == text
    assert (source.note is not None) == noted


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x7fELF\0\0")
    with pytest.raises(ValueError, match="not a text file"):
        read_source(path)
    with pytest.raises(ValueError, match="is a folder"):
        read_source(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "none.py")
