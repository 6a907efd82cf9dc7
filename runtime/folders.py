"""Where the program writes outside its package: models, caches, state. `hearth uninstall` removes just these folders.

Every cache lives below cache_folder() under a name of its own and is bounded by whoever writes it.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

_NAME = "codehearth"


def data_folder() -> Path:
    """What the user would miss: installed models."""
    return Path(platformdirs.user_data_dir(_NAME, appauthor=False))


def models_folder() -> Path:
    """Installed models, one folder or .gguf file each."""
    return data_folder() / "models"


def cache_folder() -> Path:
    """What can be made again: re-ordered weights, compiled tokenizers, saved caches, corpora, training runs."""
    return Path(platformdirs.user_cache_dir(_NAME, appauthor=False))


def state_folder() -> Path:
    """Small facts about this installation: which Python serves the editor, keys of checksums, tokens."""
    return Path(platformdirs.user_state_dir(_NAME, appauthor=False))


def written_folders() -> dict[str, Path]:
    """Everything that may hold something of ours: what it holds -> folder. Two may be the same on some systems."""
    return {"models": data_folder(), "caches": cache_folder(), "state": state_folder()}
