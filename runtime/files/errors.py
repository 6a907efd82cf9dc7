"""FormatError: the one exception for anything wrong inside a file.

Wrong arguments of a call stay ValueError or TypeError; a missing file stays FileNotFoundError.
"""

from __future__ import annotations

import os


class FormatError(Exception):
    """A file does not keep to its format.

    kind: short name of the lie, stable enough for tests ("truncated", "json", "duplicate_key", "dtype", ...).
    path: the file. offset: byte position where it shows, or None where a position says nothing.
    message: what is wrong, with the key concerned and never with contents of the file.
    """

    def __init__(self, kind: str, path: str | os.PathLike, offset: int | None, message: str):
        self.kind = kind
        self.path = os.fspath(path)
        self.offset = offset
        self.message = message
        super().__init__(kind, self.path, offset, message)

    def __str__(self) -> str:
        where = self.path if self.offset is None else f"{self.path} (at byte {self.offset})"
        return f"{where}: {self.message} [{self.kind}]"
