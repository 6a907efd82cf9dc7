"""Vocabularies from before tokenizer.json: vocab.json with merges.txt (byte-level BPE), vocab.txt (WordPiece).

They say nothing about splits and added tokens: those come from tokenizer_config.json beside them, as far as it is
there (`tokenizer_class`, `added_tokens_decoder`, `do_lower_case`), else from what such files always meant. Both become
the object of a tokenizer.json, which is checked as any other. Knows nothing about encoding.
"""

import hashlib
import re
from pathlib import Path

from runtime.files.errors import FormatError
from runtime.files.reader import parse_json, read_bytes
from runtime.text import tokenizer_json
from runtime.text.base import BaseTokenizer
from runtime.text.byte_alphabet import BYTE_TO_CHAR
from runtime.text.gguf_pre import Pre, pre_entry
from runtime.text.kinds import from_root
from runtime.text.patterns import GPT2, QWEN2
from runtime.text.tokenizer_json import BYTE_LEVEL_DECODER, KIND, MAX_FILE, Reader, bpe_model

_QWEN = ("Qwen2Tokenizer", "Qwen2TokenizerFast")


def byte_level(path: Path) -> BaseTokenizer:
    """The tokenizer of a vocab.json and the merges.txt beside it."""
    data = read_bytes(path, MAX_FILE, "vocab.json")
    merges_path = path.with_name("merges.txt")
    if not merges_path.exists():
        raise FormatError("missing_file", path, None, "needs the merges.txt that belongs to it beside it")
    raw = read_bytes(merges_path, MAX_FILE, "merges.txt")
    reader = Reader(path)
    vocab = reader.need(parse_json(data, path, "vocab.json"), dict, "<top>")
    try:
        lines = raw.decode().split("\n")
    except UnicodeDecodeError as e:
        raise FormatError("utf8", merges_path, e.start, "merges.txt is not UTF-8") from None
    pairs = [line.rstrip("\r") for n, line in enumerate(lines) if line.strip() and not (n == 0 and line[:1] == "#")]
    if any(c not in vocab for c in BYTE_TO_CHAR):
        raise reader.fail("vocab.json is no byte-level vocabulary (a byte has no symbol); give its tokenizer.json")
    config = _config(path)
    qwen = config.get("tokenizer_class") in _QWEN
    root = {
        "added_tokens": _added(reader, config, vocab),
        "normalizer": {"type": "NFC"} if qwen else None,
        "pre_tokenizer": pre_entry(Pre((QWEN2 if qwen else GPT2,))),
        "decoder": dict(BYTE_LEVEL_DECODER),
        "model": bpe_model(vocab, (pair.split(" ") for pair in pairs)),
    }
    return from_root(reader, root, hashlib.sha256(data + b"\0" + raw).hexdigest())


def word_pieces(path: Path) -> BaseTokenizer:
    """The tokenizer of a vocab.txt: one piece a line, the line's number is its id."""
    data = read_bytes(path, MAX_FILE, "vocab.txt")
    reader = Reader(path)
    try:
        lines = data.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as e:
        raise FormatError("utf8", path, e.start, "vocab.txt is not UTF-8") from None
    vocab: dict[str, int] = {}
    for i, line in enumerate(lines):
        if vocab.setdefault(line, i) != i:
            raise reader.fail(f"line {i + 1}: the piece of line {vocab[line] + 1} again")
    config = _config(path)
    lowercase = config.get("do_lower_case", True) is not False
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocab}
    special = {text: vocab[text] for text in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if text in vocab}
    added = _added(reader, config, vocab) or [
        {"id": i, "content": text, "special": True, "normalized": False} for text, i in special.items()
    ]
    post = None
    if "[CLS]" in vocab and "[SEP]" in vocab:
        post = {"type": "BertProcessing", "cls": ["[CLS]", vocab["[CLS]"]], "sep": ["[SEP]", vocab["[SEP]"]]}
    root = {
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "strip_accents": None, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": model,
    }
    return from_root(reader, root, hashlib.sha256(data).hexdigest())


def _config(path: Path) -> dict:
    """tokenizer_config.json beside the file, {} without it."""
    found = path.with_name("tokenizer_config.json")
    if not found.exists():
        return {}
    value = parse_json(
        read_bytes(found, 1 << 24, found.name), found, KIND, max_depth=tokenizer_json.limits.TOKENIZER_JSON_DEPTH
    )
    return value if isinstance(value, dict) else {}


def _added(reader: Reader, config: dict, vocab: dict[str, int]) -> list[dict]:
    """Entries of `added_tokens`, from the configuration's added_tokens_decoder."""
    listed = reader.need(config.get("added_tokens_decoder", {}), dict, "added_tokens_decoder")
    out = []
    for number, entry in listed.items():
        if not re.fullmatch("[0-9]{1,8}", number):
            raise reader.fail(f"key added_tokens_decoder: {number[:20]!r} is no id")
        out.append({"id": int(number), **reader.need(entry, dict, f"added_tokens_decoder.{number}")})
    if not out:
        marked = [text for text in vocab if re.fullmatch(r"<\|[^|<>]{1,60}\|>|</?s>|<unk>|<pad>|<mask>", text)]
        out = [{"id": vocab[text], "content": text, "special": True, "normalized": False} for text in marked]
    return out
