"""Shelf: the adapters that a model has at hand, by name and by path; makes one of what a request asks for. Thread-safe.

A path is read when it is first asked for and again when its files have changed. Knows no requests and no networks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.adapters.adapter import Adapter, combined

_MOST_BY_PATH = 16  # read because a request named their path: the one that was asked for longest ago goes first


class Shelf:
    """read(path, key) -> Adapter for the model that the shelf belongs to."""

    def __init__(self, read: Callable[[Path, object], Adapter]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._named: dict[str, Adapter] = {}
        self._by_path: dict[object, Adapter] = {}

    @property
    def names(self) -> list[str]:
        return list(self._named)

    def load(self, path: str | os.PathLike, name: str | None = None) -> Adapter:
        """Read an adapter and keep it under a name (that of its folder or file); one of that name is replaced."""
        adapter = self._at(Path(path))
        with self._lock:
            self._named[name or adapter.name] = adapter
        return adapter

    def remove(self, name: str) -> None:
        """Forget a named adapter; requests that run with it are not disturbed. KeyError if there is none."""
        with self._lock:
            del self._named[name]

    def get(self, wanted) -> Adapter | None:
        """What a request asked for: None, an Adapter, a name, a path, or a list of these or of (one of these, factor).

        ValueError for anything else; what `load_adapter` raises for a path.
        """
        if wanted is None or isinstance(wanted, Adapter):
            return wanted
        if isinstance(wanted, str | os.PathLike):
            with self._lock:
                if wanted in self._named:
                    return self._named[wanted]
            return self._at(Path(wanted))
        if not isinstance(wanted, Sequence):
            raise ValueError(f"adapter must be an Adapter, a name, a path or a list of these, got {wanted!r:.60}")
        pairs = []
        for entry in wanted:
            one, factor = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, 1.0)
            if isinstance(one, tuple | list) or type(factor) not in (int, float):
                raise ValueError(f"{entry!r:.60} is no adapter, nor a pair of one and a factor")
            one = self.get(one)
            if one is not None:
                pairs.append((one, factor))
        return combined(pairs)

    def _at(self, path: Path) -> Adapter:
        path = path.expanduser()
        if not path.exists():
            known = f"; known by name are {', '.join(self._named)}" if self._named else ""
            raise FileNotFoundError(f"no adapter {os.fspath(path)!r}: neither a folder nor a file{known}")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file.name, file.stat()) for file in files if file.name.startswith("adapter_") or file == path]
        key = (os.fspath(path.resolve()), *((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats))
        with self._lock:
            adapter = self._by_path.pop(key, None)
        if adapter is None:
            adapter = self._read(path, key)
        with self._lock:
            self._by_path[key] = adapter
            while len(self._by_path) > _MOST_BY_PATH:
                del self._by_path[next(iter(self._by_path))]
        return adapter
