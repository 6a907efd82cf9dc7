"""tokenizer.json of the Hugging Face `tokenizers` library: bounded reading and deterministic writing of byte-level
BPE.

Everything in the file is hostile input: size, depth, counts, types, ids and names are checked before anything is
built, and every complaint is a FormatError that says where and what to do. Components that are not known are
refused by name, never guessed. Knows nothing about encoding (`bpe.py`).
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from runtime.files import limits
from runtime.files.errors import FormatError
from runtime.files.reader import parse_json, read_bytes
from runtime.text import pretokenize

MAX_FILE = 64 << 20  # bytes; the largest in use (256k vocabularies) has 34 MB
MAX_VOCAB = 1 << 20
MAX_MERGES = 1 << 21
MAX_TOKEN = 4096  # characters of one token
MAX_ADDED = 1 << 14
KIND = "tokenizer.json"


def byte_alphabet() -> list[str]:
    """The printable character of each byte (GPT-2): printable Latin-1 stands for itself, the rest for U+0100 and
    up."""
    keep = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(b) if b in keep else chr(next(spare)) for b in range(256)]


BYTE_TO_CHAR = byte_alphabet()
CHAR_TO_BYTE = {c: b for b, c in enumerate(BYTE_TO_CHAR)}
BYTE_PIECES = [f"<0x{b:02X}>" for b in range(256)]  # names of the bytes where characters fall back to them


def symbol_bytes(symbol: str) -> bytes:
    """Bytes of a vocabulary text: through the byte alphabet, or its UTF-8 if a character is outside of that."""
    try:
        return bytes([CHAR_TO_BYTE[c] for c in symbol])
    except KeyError:
        return symbol.encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class AddedToken:
    """A literal that stands for one token outside the merges. special: skipped by decode(skip_special=True)."""

    id: int
    content: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


@dataclass(frozen=True)
class TokenizerSpec:
    """The checked content of one file. vocab: symbol text in the byte alphabet -> id; merges: pairs of symbol
    texts, best first."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    added: tuple[AddedToken, ...]
    pre_tokenizer: pretokenize.PreTokenizer
    normalizers: tuple[str, ...] = ()
    template: tuple[int | None, ...] = (None,)  # what add_special writes; None is the text
    ignore_merges: bool = False
    sha256: str = field(default="", compare=False)


# ------------------------------------------------------------------------------------------------ reading
def read(path: str | os.PathLike) -> TokenizerSpec:
    """Read a tokenizer.json. Raises FormatError for anything wrong in it, OSError when it cannot be opened."""
    return parse(read_bytes(path, MAX_FILE, "tokenizer.json"), path)


def parse(data: bytes, path: str | os.PathLike = "<memory>") -> TokenizerSpec:
    """Check the bytes of a tokenizer.json; `path` only appears in messages."""
    reader, root = open_root(data, path)
    return reader.spec(root, hashlib.sha256(data).hexdigest())


def open_root(data: bytes, path: str | os.PathLike) -> tuple["Reader", dict]:
    """The object at the top of the file, and the reader that checks what is in it."""
    reader = Reader(path)
    half = re.search(rb"\\u[dD][89a-fA-F]", data)
    root = parse_json(data, path, KIND, max_depth=limits.TOKENIZER_JSON_DEPTH)
    if half:  # two of them are one character, one alone is no text and could not be written again
        try:
            json.dumps(root, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise reader.fail("half of a surrogate pair stands alone in a string", half.start()) from None
    return reader, reader.need(root, dict, "<top>")


class Reader:
    """Checks the parts of one tokenizer.json; `path` only appears in messages. Other kinds of models use the parts
    that they share with BPE."""

    def __init__(self, path: str | os.PathLike):
        self.path = path

    def fail(self, message: str, offset: int | None = None) -> FormatError:
        return FormatError(KIND, self.path, offset, message)

    def need(self, value: object, kind: type | tuple, key: str) -> object:
        # bool is an int in Python, never here
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            wanted = {dict: "an object", list: "a list", str: "a string", int: "an integer", bool: "true or false"}
            raise self.fail(f"key {key}: expected {wanted.get(kind, kind)}, found {type(value).__name__}")
        return value

    def spec(self, root: dict, sha256: str) -> TokenizerSpec:
        model = self.need(root.get("model"), dict, "model")
        kind = model.get("type", "BPE" if "merges" in model else None)
        if kind != "BPE":
            raise self.fail(f"model type {str(kind)[:40]!r} is not supported, only BPE and Unigram")
        for key in ("continuing_subword_prefix", "end_of_word_suffix"):
            if model.get(key) not in (None, ""):
                raise self.fail(f"key model.{key}: {str(model[key])[:20]!r} is not supported, only null")
        if model.get("dropout") not in (None, 0):
            raise self.fail("key model.dropout: encoding with dropout is random and not supported; set it to null")
        if model.get("byte_fallback") not in (None, False):
            raise self.fail("key model.byte_fallback: not a byte-level BPE vocabulary")
        vocab = self.vocab(model.get("vocab"))
        added = self.added(root.get("added_tokens"), vocab)
        self.contiguous(vocab.values(), added)
        pre = self.pre_tokenizer(root, pretokenize.from_json)
        decoder = root.get("decoder")
        if decoder is not None and self.need(decoder, dict, "decoder").get("type") != "ByteLevel":
            raise self.fail(f"decoder {str(decoder.get('type'))[:40]!r} is not supported, only ByteLevel")
        self.ignored(root)
        return TokenizerSpec(
            vocab,
            self.merges(model.get("merges"), vocab),
            added,
            pre,
            self.normalizers(root.get("normalizer")),
            self.template(root.get("post_processor"), vocab, added),
            self.need(model.get("ignore_merges", False), bool, "model.ignore_merges"),
            sha256,
        )

    def contiguous(self, values: Iterable[int], added: tuple[AddedToken, ...]) -> None:
        """Every id below the largest has a token."""
        ids = set(values)
        ids.update(t.id for t in added)
        if len(ids) != max(ids) + 1:
            gap = next(i for i in range(len(ids)) if i not in ids)
            raise self.fail(f"ids are not contiguous: {gap} has no token although {max(ids)} has one")

    def pre_tokenizer(self, root: dict, read: Callable) -> pretokenize.PreTokenizer:
        """The `pre_tokenizer` entry as one of the readers of `pretokenize.py` reads it."""
        try:
            return read(root.get("pre_tokenizer"))
        except ValueError as e:
            hint = " is not supported" if isinstance(e, pretokenize.Unsupported) else ""
            raise self.fail(f"{e}{hint}") from None

    def ignored(self, root: dict) -> None:
        """Settings for batches of a trainer: one sequence is never cut or padded."""
        for key in ("truncation", "padding"):
            if root.get(key) is not None:
                self.need(root[key], dict, key)

    def vocab(self, value: object) -> dict[str, int]:
        vocab = self.need(value, dict, "model.vocab")
        if not 1 <= len(vocab) <= MAX_VOCAB:
            raise self.fail(f"key model.vocab: {len(vocab)} entries, allowed are 1 to {MAX_VOCAB}")
        owner: dict[int, str] = {}
        for token, i in vocab.items():
            if type(i) is not int or not 0 <= i < MAX_VOCAB:
                raise self.fail(f"key model.vocab[{token[:40]!r}]: the id must be an integer from 0 to {MAX_VOCAB - 1}")
            if len(token) > MAX_TOKEN:
                raise self.fail(f"key model.vocab: token {i} has {len(token)} characters, the limit is {MAX_TOKEN}")
            if owner.setdefault(i, token) != token:
                raise self.fail(f"key model.vocab: {token[:40]!r} and {owner[i][:40]!r} share the id {i}")
        return vocab

    def added(self, value: object, vocab: dict[str, int]) -> tuple[AddedToken, ...]:
        entries = self.need([] if value is None else value, list, "added_tokens")
        if len(entries) > MAX_ADDED:
            raise self.fail(f"key added_tokens: {len(entries)} entries, the limit is {MAX_ADDED}")
        by_id = {i: t for t, i in vocab.items()}
        out: list[AddedToken] = []
        seen: set[str] = set()
        for n, entry in enumerate(entries):
            key = f"added_tokens[{n}]"
            entry = self.need(entry, dict, key)
            i = self.need(entry.get("id"), int, f"{key}.id")
            text = self.need(entry.get("content"), str, f"{key}.content")
            flags = {
                name: self.need(entry.get(name, default), bool, f"{key}.{name}")
                for name, default in (
                    ("special", False),
                    ("lstrip", False),
                    ("rstrip", False),
                    ("normalized", True),
                    ("single_word", False),
                )
            }
            if not 0 <= i < MAX_VOCAB:
                raise self.fail(f"key {key}.id: {i} is outside 0 to {MAX_VOCAB - 1}")
            if not 1 <= len(text) <= MAX_TOKEN:
                raise self.fail(f"key {key}.content: must have 1 to {MAX_TOKEN} characters")
            if flags.pop("single_word"):
                raise self.fail(f"key {key}.single_word: not supported; set it to false")
            if by_id.get(i, text) != text or vocab.get(text, i) != i:
                raise self.fail(f"key {key}: id {i} and content {text[:40]!r} disagree with model.vocab")
            if text in seen:
                raise self.fail(f"key {key}: content {text[:40]!r} appears twice")
            seen.add(text)
            by_id[i] = text
            out.append(AddedToken(i, text, **flags))
        return tuple(out)

    def merges(self, value: object, vocab: dict[str, int]) -> list[tuple[str, str]]:
        entries = self.need(value, list, "model.merges")
        if len(entries) > MAX_MERGES:
            raise self.fail(f"key model.merges: {len(entries)} entries, the limit is {MAX_MERGES}")
        out: list[tuple[str, str]] = []
        for n, entry in enumerate(entries):
            pair = entry.split(" ") if isinstance(entry, str) else entry
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) and p for p in pair)):
                raise self.fail(f"key model.merges[{n}]: expected two symbols, as 'a b' or ['a', 'b']")
            left, right = pair
            for symbol in (left, right, left + right):
                if symbol not in vocab:
                    raise self.fail(f"key model.merges[{n}]: {symbol[:40]!r} is not in model.vocab")
            out.append((left, right))
        return out

    def normalizers(self, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        entry = self.need(value, dict, "normalizer")
        kind = entry.get("type")
        if kind == "Sequence":
            parts = self.need(entry.get("normalizers"), list, "normalizer.normalizers")
            if len(parts) > 8 or any(isinstance(p, dict) and p.get("type") == "Sequence" for p in parts):
                raise self.fail("key normalizer: a Sequence of at most 8 plain entries is supported")
            return tuple(name for part in parts for name in self.normalizers(part))
        if kind in ("NFC", "NFD", "NFKC", "NFKD"):
            return (kind,)
        raise self.fail(f"normalizer {str(kind)[:40]!r} is not supported, only NFC, NFD, NFKC and NFKD")

    def template(self, value: object, vocab: dict[str, int], added: tuple[AddedToken, ...]) -> tuple[int | None, ...]:
        """What add_special=True writes around a single text."""
        if value is None:
            return (None,)
        entry = self.need(value, dict, "post_processor")
        kind = entry.get("type")
        if kind == "ByteLevel":  # moves offsets only
            return (None,)
        if kind == "Sequence":
            parts = self.need(entry.get("processors"), list, "post_processor.processors")
            found = [
                p
                for p in parts
                if self.need(p, dict, "post_processor.processors[]").get("type") == "TemplateProcessing"
            ]
            other = [p.get("type") for p in parts if p.get("type") not in ("TemplateProcessing", "ByteLevel")]
            if len(found) > 1 or other:
                raise self.fail(f"post_processor Sequence with {str(other or 'two templates')[:60]} is not supported")
            return self.template(found[0], vocab, added) if found else (None,)
        if kind != "TemplateProcessing":
            raise self.fail(f"post_processor {str(kind)[:40]!r} is not supported")
        known = {**vocab, **{t.content: t.id for t in added}}
        out: list[int | None] = []
        for n, part in enumerate(self.need(entry.get("single"), list, "post_processor.single")):
            key = f"post_processor.single[{n}]"
            part = self.need(part, dict, key)
            if "Sequence" in part:
                out.append(None)
                continue
            name = self.need(self.need(part.get("SpecialToken"), dict, key).get("id"), str, f"{key}.SpecialToken.id")
            if name not in known:
                raise self.fail(f"key {key}: special token {name[:40]!r} is not in the vocabulary")
            out.append(known[name])
        if out.count(None) != 1 or len(out) > 16:
            raise self.fail("key post_processor.single: needs the text exactly once and at most 15 special tokens")
        return tuple(out)


# ------------------------------------------------------------------------------------------------ writing
def dumps(spec: TokenizerSpec) -> bytes:
    """The bytes of a tokenizer.json with these contents: the same spec always gives the same bytes."""
    model = bpe_model(spec.vocab, spec.merges, ignore_merges=spec.ignore_merges, byte_fallback=False)
    return envelope(spec, {i: t for t, i in spec.vocab.items()}, BYTE_LEVEL_DECODER, model)


def bpe_model(vocab: dict[str, int], merges: Iterable, ignore_merges: bool, byte_fallback: bool) -> dict:
    """The "model" of a BPE file; keys in the order that the library writes."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": byte_fallback,
        "ignore_merges": ignore_merges,
        "vocab": dict(sorted(vocab.items(), key=lambda item: item[1])),
        "merges": [list(pair) for pair in merges],
    }


BYTE_LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def envelope(spec, names: dict[int, str], decoder: dict | None, model: dict) -> bytes:
    """The whole file around a model: added tokens, normalizer, pre-tokenizer and template of `spec`. names: id ->
    text of the model's tokens."""
    names = {**names, **{t.id: t.content for t in spec.added}}
    normalizer = None
    if spec.normalizers:
        parts = [{"type": name} for name in spec.normalizers]
        normalizer = parts[0] if len(parts) == 1 else {"type": "Sequence", "normalizers": parts}
    post = None
    if spec.template != (None,):
        single = [
            {"Sequence": {"id": "A", "type_id": 0}} if i is None else {"SpecialToken": {"id": names[i], "type_id": 0}}
            for i in spec.template
        ]
        special = {names[i]: {"id": names[i], "ids": [i], "tokens": [names[i]]} for i in spec.template if i is not None}
        pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
        post = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}
    root = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": t.id,
                "content": t.content,
                "single_word": False,
                "lstrip": t.lstrip,
                "rstrip": t.rstrip,
                "normalized": t.normalized,
                "special": t.special,
            }
            for t in spec.added
        ],
        "normalizer": normalizer,
        "pre_tokenizer": spec.pre_tokenizer.entry,
        "post_processor": post,
        "decoder": decoder,
        "model": model,
    }
    return json.dumps(root, ensure_ascii=False, indent=1).encode()
