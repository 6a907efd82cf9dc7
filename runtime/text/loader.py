"""load_tokenizer: from a file or a folder to the tokenizer of its kind. Knows which files and kinds there are, not
what is in them."""

import hashlib
import os
from pathlib import Path

from runtime.files.errors import FormatError
from runtime.files.reader import read_bytes
from runtime.text import lookup, spm, tokenizer_json, unigram
from runtime.text.base import BaseTokenizer
from runtime.text.bpe import Tokenizer


def load_tokenizer(path: str | os.PathLike) -> BaseTokenizer:
    """Read a tokenizer.json (byte-level BPE, Unigram, or words or characters with byte fallback) or a SentencePiece
    `.model` (Unigram), given directly or as the folder that holds a tokenizer.json or else a tokenizer.model.

    Raises FileNotFoundError when there is none, FormatError when the file is broken or of a kind that is not
    supported.
    """
    path = Path(path)
    if path.is_dir():
        folder, path = path, path / "tokenizer.json"
        if not path.exists() and (folder / "tokenizer.model").exists():
            path = folder / "tokenizer.model"
    if not path.exists():
        raise FileNotFoundError(f"no tokenizer at {path}: give a tokenizer.json or a folder that holds one")
    if path.suffix in (".pkl", ".pickle", ".pt", ".bin"):
        raise FormatError("tokenizer", path, None, "may execute code when loaded and is refused; use a tokenizer.json")
    if path.suffix == ".model":
        return spm.SentencePieceTokenizer(spm.parse(read_bytes(path, tokenizer_json.MAX_FILE, "model"), path))
    data = read_bytes(path, tokenizer_json.MAX_FILE, "tokenizer.json")
    reader, root = tokenizer_json.open_root(data, path)
    model = reader.need(root.get("model"), dict, "model")
    if lookup.is_lookup(model):
        return lookup.LookupTokenizer(lookup.parse(reader, root, hashlib.sha256(data).hexdigest()))
    if model.get("type") == "Unigram":
        return unigram.UnigramTokenizer(unigram.parse(reader, root, hashlib.sha256(data).hexdigest()))
    return Tokenizer(reader.spec(root, hashlib.sha256(data).hexdigest()))
