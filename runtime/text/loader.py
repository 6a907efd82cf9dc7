"""load_tokenizer: from a file or a folder to its tokenizer. Knows which files there are, not what is in them."""

import hashlib
import os
from pathlib import Path

from runtime.files.errors import FormatError
from runtime.files.gguf import read_gguf
from runtime.files.reader import read_bytes
from runtime.text import cached, gguf_vocabulary, spm, spm_file, tokenizer_json, vocabulary_files
from runtime.text.base import BaseTokenizer
from runtime.text.bpe import Tokenizer
from runtime.text.kinds import from_root

# what a folder may hold, the first one found counts
FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt")


def load_tokenizer(path: str | os.PathLike) -> BaseTokenizer:
    """Read a tokenizer.json, a SentencePiece `.model` (BPE, Unigram), a vocab.json with a merges.txt beside it, a
    vocab.txt of WordPiece, or the vocabulary of a `.gguf`: given directly, or as the folder that holds one of them.

    Raises FileNotFoundError when there is none, FormatError when the file is broken or holds something that is not
    supported, which the error names.
    """
    path = Path(path)
    if path.is_dir():
        path = _in_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"no tokenizer at {path}: give a tokenizer.json or a folder that holds one")
    if path.suffix in (".pkl", ".pickle", ".pt", ".bin"):
        raise FormatError("tokenizer", path, None, "may execute code when loaded and is refused; use a tokenizer.json")
    if path.suffix == ".model":
        return spm.SentencePieceTokenizer(spm_file.parse(read_bytes(path, tokenizer_json.MAX_FILE, "model"), path))
    if path.suffix == ".gguf":
        return gguf_vocabulary.from_metadata(read_gguf(path).metadata, str(path))
    if path.name == "vocab.json":
        return vocabulary_files.byte_level(path)
    if path.name == "vocab.txt":
        return vocabulary_files.word_pieces(path)
    data = read_bytes(path, tokenizer_json.MAX_FILE, "tokenizer.json")
    sha256 = hashlib.sha256(data).hexdigest()
    found = cached.load(sha256) if len(data) >= cached.WORTH_IT else None
    if found is None:
        found = from_root(*tokenizer_json.open_root(data, path), sha256)
        if isinstance(found, Tokenizer):
            cached.keep(found)
    return found


def _in_folder(folder: Path) -> Path:
    for name in FILES:
        if (folder / name).exists():
            return folder / name
    models = sorted(folder.glob("*.gguf"))
    return models[0] if len(models) == 1 else folder / FILES[0]
