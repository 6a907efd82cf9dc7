"""The tokenizer of a GGUF file: its keys `tokenizer.ggml.*` as a tokenizer of ours.

Models "gpt2" (byte-level BPE; the name of the pre-tokeniser stands for patterns, `gguf_pre.py`), "gemma4" (BPE of
characters), "llama" (SentencePiece BPE), "t5" (SentencePiece Unigram) and "bert" (WordPiece); others are refused by
name. Ids are those of the tokenizer that the model was published with. Reads metadata, which `files/gguf.py` has
checked as a file; what the keys say is checked here and by the readers of tokenizer.json. Knows no tensors.
"""

import hashlib

from runtime.files.errors import FormatError
from runtime.files.gguf_metadata import Metadata
from runtime.text import cached, charsmap, gguf_pre, kinds, spm, spm_file, tokenizer_json
from runtime.text.added_tokens import AddedToken
from runtime.text.base import BaseTokenizer
from runtime.text.bpe import Tokenizer
from runtime.text.byte_alphabet import BYTE_PIECES
from runtime.text.gguf_keys import WHOLE_FILE
from runtime.text.pretokenize import METASPACE
from runtime.text.spm import BPE, BYTE, CONTROL, NORMAL, UNIGRAM, UNKNOWN, UNUSED, USER_DEFINED

_KEY = "tokenizer.ggml."


class _Keys:
    """The keys of one file with their checks."""

    def __init__(self, metadata: Metadata, path: str, sha256: str):
        self.metadata, self.path, self.sha256 = metadata, path, sha256
        self.texts = metadata.strings(_KEY + "tokens")
        if not 1 <= len(self.texts) <= tokenizer_json.MAX_VOCAB:
            raise self.fail(f"key {_KEY}tokens: {len(self.texts)} entries, the limit is {tokenizer_json.MAX_VOCAB}")
        self.types = self._numbers("token_type", metadata.integers) or [NORMAL] * len(self.texts)
        self.scores = self._numbers("scores", metadata.numbers)
        while len(self.texts) > 1 and self.types[len(self.texts) - 1] == UNUSED and self.texts[-1].startswith("[PAD"):
            self.texts = self.texts[:-1]  # rows that pad the table

    def fail(self, message: str) -> FormatError:
        return FormatError("gguf tokenizer", self.path, None, message)

    def _numbers(self, name: str, read) -> list:
        if _KEY + name not in self.metadata:
            return []
        found = read(_KEY + name).tolist()
        if len(found) < len(self.texts):
            raise self.fail(f"key {_KEY}{name}: {len(found)} entries for {len(self.texts)} tokens")
        return found

    def flag(self, name: str, default: bool) -> bool:
        return self.metadata.boolean(_KEY + name, default)

    def id(self, name: str, default: int | None = None) -> int | None:
        """An id; default where the key is missing and the vocabulary has that id."""
        if _KEY + name not in self.metadata:
            return default if default is not None and default < len(self.texts) else None
        return self.metadata.integer(_KEY + name, high=len(self.texts) - 1)

    def unknown_text(self) -> str | None:
        """The text of the first token of type unknown."""
        found = (text for text, kind in zip(self.texts, self.types, strict=False) if kind == UNKNOWN)
        return next(found, None)

    def added(self) -> tuple[AddedToken, ...]:
        """Control tokens, and those that users of the vocabulary defined."""
        return tuple(
            AddedToken(i, text, special=kind != USER_DEFINED)
            for i, (text, kind) in enumerate(zip(self.texts, self.types, strict=False))
            if kind in (CONTROL, USER_DEFINED) and text
        )

    def template(self, bos: bool, eos: bool, ids: tuple[int | None, int | None]) -> tuple[int | None, ...]:
        """What add_special writes; bos and eos where the file does not say whether."""
        first = self.id("bos_token_id", ids[0]) if self.flag("add_bos_token", bos) else None
        last = self.id("eos_token_id", ids[1]) if self.flag("add_eos_token", eos) else None
        return (*([first] if first is not None else []), None, *([last] if last is not None else []))


def from_metadata(metadata: Metadata, path: str) -> BaseTokenizer:
    """The tokenizer that the metadata of a GGUF file describes. Raises FormatError for anything wrong in it, and for a
    model or pre-tokeniser that is not known."""
    if WHOLE_FILE in metadata and metadata.type(WHOLE_FILE) == "string":
        data = metadata.text(WHOLE_FILE).encode()
        return kinds.from_root(*tokenizer_json.open_root(data, path), hashlib.sha256(data).hexdigest())
    kind = metadata.text(_KEY + "model")
    makers = {"gpt2": _bpe, "gemma4": _bpe, "llama": _sentencepiece, "t5": _sentencepiece, "bert": _wordpiece}
    if kind not in makers:
        raise FormatError("gguf tokenizer", path, None, f"tokenizer model {kind[:40]!r} is not supported")
    sha256 = metadata.sha256("tokenizer.")
    found = cached.load(sha256)
    if found is None:
        found = makers[kind](_Keys(metadata, path, sha256), kind)
        if isinstance(found, Tokenizer):
            cached.keep(found)
    return found


def _bpe(keys: _Keys, kind: str) -> BaseTokenizer:
    name = "gemma4" if kind == "gemma4" else keys.metadata.text(_KEY + "pre", "default")
    if name not in gguf_pre.PRE:
        raise keys.fail(f"pre-tokeniser {name[:40]!r} is not known; known are {', '.join(sorted(gguf_pre.PRE))}"[:400])
    pre = gguf_pre.PRE[name]
    vocab = _vocab(keys, dict(enumerate(keys.texts)))
    normalizers = [{"type": "NFC"}] if pre.nfc else []
    decoder = dict(tokenizer_json.BYTE_LEVEL_DECODER)
    if not pre.byte_level:
        normalizers = [{"type": "Replace", "pattern": {"String": " "}, "content": METASPACE}]
        spaces = {"type": "Replace", "pattern": {"String": METASPACE}, "content": " "}
        decoder = {"type": "Sequence", "decoders": [spaces, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    model = tokenizer_json.bpe_model(
        vocab,
        [_pair(keys, n, text) for n, text in enumerate(keys.metadata.strings(_KEY + "merges"))],
        ignore_merges=pre.ignore_merges,
        byte_fallback=not pre.byte_level and all(piece in vocab for piece in BYTE_PIECES),
        unk_token=None if pre.byte_level else keys.unknown_text(),
        fuse_unk=not pre.byte_level,
    )
    template = keys.template(pre.add_bos, False, (11, 11))
    return _root(keys, model, normalizers, gguf_pre.pre_entry(pre), decoder, template)


def _vocab(keys: _Keys, texts: dict[int, str]) -> dict[str, int]:
    vocab: dict[str, int] = {}
    for i, text in texts.items():
        if vocab.setdefault(text, i) != i:
            raise keys.fail(f"key {_KEY}tokens: {text[:40]!r} appears twice, as {vocab[text]} and {i}")
    return vocab


def _pair(keys: _Keys, n: int, text: str) -> list[str]:
    cut = text.find(" ", 1)
    if cut < 0 or cut + 1 == len(text):
        raise keys.fail(f"key {_KEY}merges[{n}]: expected two symbols with a space between them")
    return [text[:cut], text[cut + 1 :]]


def _root(keys: _Keys, model: dict, normalizers: list, pre, decoder, template: tuple[int | None, ...]) -> BaseTokenizer:
    """The tokenizer of a tokenizer.json with these parts."""
    added = [{"id": t.id, "content": t.content, "special": t.special, "normalized": False} for t in keys.added()]
    root = {
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if normalizers else None,
        "pre_tokenizer": pre,
        "post_processor": tokenizer_json.post_processor(template, dict(enumerate(keys.texts))),
        "decoder": decoder,
        "model": model,
    }
    return kinds.from_root(tokenizer_json.Reader(keys.path), root, keys.sha256)


def _wordpiece(keys: _Keys, kind: str) -> BaseTokenizer:
    """Pieces that begin a word have U+2581 in front, the others nothing."""
    texts = {}
    for i, (text, type_) in enumerate(zip(keys.texts, keys.types, strict=False)):
        plain = type_ in (NORMAL, UNUSED, USER_DEFINED) and not (text.startswith("[") and text.endswith("]"))
        texts[i] = text if not plain else text[1:] if text.startswith(METASPACE) else "##" + text
    unknown = keys.id("unknown_token_id", 100)
    if unknown is None:
        raise keys.fail(f"key {_KEY}unknown_token_id is missing")
    lowercase = keys.flag("normalizer.lowercase", True)
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": keys.flag("normalizer.strip_accents", lowercase),
        "lowercase": lowercase,
    }
    model = {
        "type": "WordPiece",
        "unk_token": texts[unknown],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": _vocab(keys, texts),
    }
    first, last = keys.id("bos_token_id", keys.id("cls_token_id", 101)), keys.id("seperator_token_id", 102)
    template = (*([first] if first is not None else []), None, *([last] if last is not None else []))
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return _root(keys, model, [normalizer], {"type": "BertPreTokenizer"}, decoder, template)


def _sentencepiece(keys: _Keys, kind: str) -> BaseTokenizer:
    if not keys.scores:
        raise keys.fail(f"key {_KEY}scores is missing")
    model_type = BPE if kind == "llama" else UNIGRAM
    types = list(keys.types)
    names = set(BYTE_PIECES)
    if _KEY + "token_type" not in keys.metadata:
        types = [BYTE if text in names else NORMAL for text in keys.texts]
    if UNKNOWN not in types and (unknown := keys.id("unknown_token_id", 0 if kind == "llama" else 2)) is not None:
        types[unknown] = UNKNOWN
    several = [i for i, type_ in enumerate(types[: len(keys.texts)]) if type_ == UNKNOWN]
    unknown = keys.id("unknown_token_id", several[0] if several else None)
    for i in several:  # some files mark placeholders so; they are markers
        types[i] = UNKNOWN if i == (unknown if unknown in several else several[0]) else CONTROL
    types = [type_ if NORMAL <= type_ <= BYTE else UNUSED for type_ in types[: len(keys.texts)]]
    pieces = list(zip(keys.texts, keys.scores, types, strict=False))
    spm_file.check_pieces(pieces, keys.fail, model_type)
    found = {text for text, _, kind in pieces if kind == BYTE}
    if found and found != names:
        raise keys.fail(f"key {_KEY}token_type: the byte tokens are not those of all 256 bytes")
    raw = b""
    if _KEY + "precompiled_charsmap" in keys.metadata:
        raw = keys.metadata.integers(_KEY + "precompiled_charsmap").astype("u1").tobytes()
    try:
        rules = charsmap.parse(raw)
    except charsmap.MapError as e:
        raise keys.fail(f"key {_KEY}precompiled_charsmap: {e}") from None
    spec = spm.SentencePieceSpec(
        pieces,
        types.index(UNKNOWN),
        rules,
        dummy_prefix=keys.flag("add_space_prefix", True),
        remove_extra=keys.flag("remove_extra_whitespaces", kind == "t5"),
        byte_fallback=bool(found),
        data=b"",
        model_type=model_type,
        charsmap=raw,
        added=tuple(AddedToken(i, text) for i, (text, _, type_) in enumerate(pieces) if type_ == CONTROL),
        template=keys.template(kind == "llama", kind == "t5", (1, 2) if kind == "llama" else (None, 1)),
        sha256=keys.sha256,
    )
    return spm.SentencePieceTokenizer(spec)
