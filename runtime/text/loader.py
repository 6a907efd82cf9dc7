"""load_tokenizer: from a file or a folder to a Tokenizer. Knows which files there are, not what is in them."""

import os
from pathlib import Path

from runtime.files.errors import FormatError
from runtime.text import tokenizer_json
from runtime.text.bpe import Tokenizer


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """Read tokenizer.json, given directly or as the folder that holds it.

    Raises FileNotFoundError when there is none, FormatError when the file is broken or of a kind that is not
    supported.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.exists():
        raise FileNotFoundError(f"no tokenizer at {path}: give a tokenizer.json or a folder that holds one")
    if path.suffix in (".pkl", ".pickle", ".pt", ".bin"):
        raise FormatError("tokenizer", path, None, "may execute code when loaded and is refused; use a tokenizer.json")
    return Tokenizer(tokenizer_json.read(path))
