"""Reads a source file from disk as text: bounded in size, whatever its encoding, never with a guess left unsaid.

UTF-8 first, then the encoding that the file itself declares (PEP 263), then Latin-1, which reads any byte.
Knows no languages beyond that declaration.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 64 << 20
_DECLARED = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]{1,40})", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """`text` of a file and, where it was not plain UTF-8, a note for the user."""

    text: str
    note: str | None = None


def read_source(path: Path) -> Source:
    """Raises OSError as `open` does, and ValueError for a file that is no text or larger than 64 MiB."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES >> 20} MiB")
    if b"\0" in data:
        raise ValueError(f"{path} is not a text file: it holds zero bytes")
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    try:
        return Source(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    if declared := _declared(data):
        try:
            return Source(data.decode(declared), f"read as {declared}, as the file declares")
        except UnicodeDecodeError:
            pass
    return Source(data.decode("latin-1"), "not UTF-8: read as Latin-1, so some characters may look wrong")


def _declared(data: bytes) -> str | None:
    """The text encoding that one of the first two lines declares, if Python knows it."""
    found = _DECLARED.search(b"\n".join(data[:1000].splitlines()[:2]))
    if not found:
        return None
    try:
        known = codecs.lookup(found.group(1).decode("ascii"))
    except LookupError:
        return None
    # Codecs like rot13 or zip are not encodings of text, and some of them expand their input without bound.
    return known.name if known._is_text_encoding else None
