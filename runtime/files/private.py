"""Folders and secrets that belong to one user: where a file that somebody else wrote must not be believed.

Knows nothing of what is kept in them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from .errors import FormatError
from .reader import read_bytes

KEY_BYTES = 32


def private_folder(folder: Path) -> Path:
    """The folder, made or found to be the user's own; PermissionError if it is another's or a link."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        info = folder.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to somebody else; a private folder is needed there")
        if info.st_mode & 0o077:
            os.chmod(folder, 0o700)
    return folder


def user_key(path: Path) -> bytes:
    """The user's secret in this file, made on first use and readable by its owner; FormatError if it is not one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with contextlib.suppress(FileExistsError):
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
    key = read_bytes(path, KEY_BYTES, "a key")
    if len(key) != KEY_BYTES:
        raise FormatError("key", path, None, f"a key has {KEY_BYTES} bytes; delete the file to make another")
    return key
