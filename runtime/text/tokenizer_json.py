"""tokenizer.json of the Hugging Face `tokenizers` library: bounded reading and deterministic writing, and what every
kind of model in it has in common.

Everything in the file is hostile input: size, depth, counts, types, ids and names are checked before anything is
built, and every complaint is a FormatError that says where and what to do. Components that are not known are
refused by name, never guessed. Knows the entries of BPE models; those of others are read where they are used
(`unigram.py`, `wordpiece.py`, `lookup.py`). Knows nothing about encoding.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from runtime.files import limits
from runtime.files.errors import FormatError
from runtime.files.reader import parse_json
from runtime.text import decode, normalize, pretokenize
from runtime.text.added_tokens import AddedToken
from runtime.text.byte_alphabet import BYTE_TO_CHAR
from runtime.text.unsupported import Unsupported

MAX_FILE = 64 << 20  # bytes; the largest in use (256k vocabularies) has 34 MB
MAX_VOCAB = 1 << 20
MAX_MERGES = 1 << 21
MAX_TOKEN = 4096  # characters of one token
MAX_ADDED = 1 << 14
MAX_GAPS = 4096  # ids without a token
KIND = "tokenizer.json"


BYTE_LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


@dataclass(frozen=True)
class TokenizerSpec:
    """The checked content of one file with a BPE model. vocab: symbol text -> id (in the byte alphabet where the
    pre-tokenizer is byte-level); merges: pairs of symbol texts, best first; unknown: text of the token for characters
    that are not there; inner_prefix, last_suffix: marks of symbols inside and at the end of a word."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    added: tuple[AddedToken, ...]
    pre_tokenizer: pretokenize.PreTokenizer
    normalizer: dict | None = None
    template: tuple[int | None, ...] = (None,)  # what add_special writes; None is the text
    ignore_merges: bool = False
    byte_fallback: bool = False
    unknown: str | None = None
    fuse_unknown: bool = False
    inner_prefix: str = ""
    last_suffix: str = ""
    decoder: dict | None = field(default_factory=lambda: dict(BYTE_LEVEL_DECODER))
    sha256: str = field(default="", compare=False)


# ------------------------------------------------------------------------------------------------ reading
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
        """The contents of a file with a BPE model."""
        model = self.need(root.get("model"), dict, "model")
        if model.get("dropout") not in (None, 0):
            raise self.fail("key model.dropout: encoding with dropout is random and not supported; set it to null")
        vocab = self.vocab(model.get("vocab"))
        common = self.common(root, vocab)
        prefix, suffix = (
            self.need(model.get(key) or "", str, f"model.{key}")
            for key in ("continuing_subword_prefix", "end_of_word_suffix")
        )
        flags = {
            key: self.need(model.get(key) or False, bool, f"model.{key}")
            for key in ("ignore_merges", "byte_fallback", "fuse_unk")
        }
        byte_level = common["pre_tokenizer"].byte_level
        if byte_level and (prefix or suffix):
            raise self.fail("key model: subword prefixes or suffixes with a ByteLevel pre-tokenizer are not supported")
        if flags["byte_fallback"] and (prefix or suffix):
            raise self.fail("key model: byte_fallback with subword prefixes or suffixes is not supported")
        if flags["byte_fallback"] and byte_level and any(c not in vocab for c in BYTE_TO_CHAR):
            raise self.fail("key model.byte_fallback: not a byte-level BPE vocabulary, a byte has no symbol")
        unknown = model.get("unk_token")
        if unknown is not None and self.need(unknown, str, "model.unk_token") not in vocab:
            raise self.fail(f"key model.unk_token: {unknown[:40]!r} is not in model.vocab")
        return TokenizerSpec(
            vocab,
            self.merges(model.get("merges"), vocab, prefix),
            ignore_merges=flags["ignore_merges"],
            byte_fallback=flags["byte_fallback"],
            unknown=unknown,
            fuse_unknown=flags["fuse_unk"],
            inner_prefix=prefix,
            last_suffix=suffix,
            sha256=sha256,
            **common,
        )

    def common(self, root: dict, vocab: dict[str, int]) -> dict:
        """What every kind of model has around it: added, pre_tokenizer, normalizer, template, decoder."""
        added = self.added(root.get("added_tokens"), vocab)
        self.contiguous(vocab.values(), added)
        self.ignored(root)
        pre = self.component(pretokenize.from_json, root.get("pre_tokenizer"))
        for read, key in ((normalize.from_json, "normalizer"), (decode.chain, "decoder")):
            self.component(read, root.get(key))
        return {
            "added": added,
            "pre_tokenizer": pre,
            "normalizer": root.get("normalizer"),
            "template": self.template(root.get("post_processor"), vocab, added),
            "decoder": root.get("decoder"),
        }

    def component(self, read: Callable, entry: object):
        """An entry as the reader of its kind reads it; what that complains about becomes a FormatError."""
        try:
            return read(entry)
        except ValueError as e:
            hint = " is not supported" if isinstance(e, Unsupported) else ""
            raise self.fail(f"{e}{hint}") from None

    def contiguous(self, values: Iterable[int], added: tuple[AddedToken, ...]) -> None:
        """Nearly every id below the largest has a token."""
        ids = set(values)
        ids.update(t.id for t in added)
        if max(ids) + 1 - len(ids) > MAX_GAPS:
            gap = next(i for i in range(len(ids)) if i not in ids)
            raise self.fail(f"ids are not contiguous: {gap} has no token although {max(ids)} has one")

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
            if by_id.get(i, text) != text or vocab.get(text, i) != i:
                raise self.fail(f"key {key}: id {i} and content {text[:40]!r} disagree with model.vocab")
            if text in seen:
                raise self.fail(f"key {key}: content {text[:40]!r} appears twice")
            seen.add(text)
            by_id[i] = text
            out.append(AddedToken(i, text, **flags))
        return tuple(out)

    def merges(self, value: object, vocab: dict[str, int], prefix: str) -> list[tuple[str, str]]:
        entries = self.need(value, list, "model.merges")
        if len(entries) > MAX_MERGES:
            raise self.fail(f"key model.merges: {len(entries)} entries, the limit is {MAX_MERGES}")
        out: list[tuple[str, str]] = []
        for n, entry in enumerate(entries):
            pair = entry.split(" ") if isinstance(entry, str) else entry
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) and p for p in pair)):
                raise self.fail(f"key model.merges[{n}]: expected two symbols, as 'a b' or ['a', 'b']")
            left, right = pair
            for symbol in (left, right, left + right[len(prefix) :]):
                if symbol not in vocab:
                    raise self.fail(f"key model.merges[{n}]: {symbol[:40]!r} is not in model.vocab")
            out.append((left, right))
        return out

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
            if len(parts) > 8:
                raise self.fail(f"key post_processor.processors: {len(parts)} entries, the limit is 8")
            out: list[int | None] = [None]
            for part in parts:
                if self.need(part, dict, "post_processor.processors[]").get("type") == "Sequence":
                    raise self.fail("post_processor Sequence inside a Sequence is not supported")
                outer = self.template(part, vocab, added)
                out = [i for item in outer for i in (out if item is None else [item])]
            return tuple(out)
        if kind in ("BertProcessing", "RobertaProcessing"):
            pair = [self.need(entry.get(key), list, f"post_processor.{key}") for key in ("cls", "sep")]
            ids = [item[1] if len(item) == 2 else None for item in pair]
            if any(type(i) is not int or not 0 <= i < MAX_VOCAB for i in ids):
                raise self.fail(f"post_processor {kind}: cls and sep must be a text and an id")
            known_ids = {*vocab.values(), *(t.id for t in added)}
            if not known_ids.issuperset(ids):
                raise self.fail(f"post_processor {kind}: an id of cls or sep is not in the vocabulary")
            return (ids[0], None, ids[1])
        if kind != "TemplateProcessing":
            raise self.fail(f"post_processor {str(kind)[:40]!r} is not supported")
        known = {**vocab, **{t.content: t.id for t in added}}
        ids = self._template_ids(entry.get("special_tokens"), known)
        out = []
        for n, part in enumerate(self.need(entry.get("single"), list, "post_processor.single")):
            key = f"post_processor.single[{n}]"
            part = self.need(part, dict, key)
            if "Sequence" in part:
                out.append(None)
                continue
            name = self.need(self.need(part.get("SpecialToken"), dict, key).get("id"), str, f"{key}.SpecialToken.id")
            if name not in ids:
                raise self.fail(f"key {key}: special token {name[:40]!r} is not in the vocabulary")
            out += ids[name]
        if out.count(None) != 1 or len(out) > 16:
            raise self.fail("key post_processor.single: needs the text exactly once and at most 15 special tokens")
        return tuple(out)

    def _template_ids(self, value: object, known: dict[str, int]) -> dict[str, list[int]]:
        """Name in a template -> the ids that are written for it, which the file may list."""
        ids = {name: [i] for name, i in known.items()}
        for name, entry in self.need({} if value is None else value, dict, "post_processor.special_tokens").items():
            entry = self.need(entry, dict, "post_processor.special_tokens[]")
            listed = self.need(entry.get("ids"), list, "post_processor.special_tokens[].ids")
            if len(listed) > 16 or any(type(i) is not int for i in listed) or not {*known.values()}.issuperset(listed):
                raise self.fail(f"key post_processor.special_tokens[{name[:40]!r}]: ids that are not in the vocabulary")
            ids[name] = listed
        return ids


# ------------------------------------------------------------------------------------------------ writing
def dumps(spec: TokenizerSpec) -> bytes:
    """The bytes of a tokenizer.json with these contents: the same spec always gives the same bytes."""
    model = bpe_model(
        spec.vocab,
        spec.merges,
        unk_token=spec.unknown,
        continuing_subword_prefix=spec.inner_prefix or None,
        end_of_word_suffix=spec.last_suffix or None,
        fuse_unk=spec.fuse_unknown,
        byte_fallback=spec.byte_fallback,
        ignore_merges=spec.ignore_merges,
    )
    return envelope(spec, {i: t for t, i in spec.vocab.items()}, model)


def bpe_model(vocab: dict[str, int], merges: Iterable, **settings) -> dict:
    """The "model" of a BPE file; keys in the order that the library writes."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **settings,
        "vocab": dict(sorted(vocab.items(), key=lambda item: item[1])),
        "merges": [list(pair) for pair in merges],
    }


def envelope(spec, names: dict[int, str], model: dict) -> bytes:
    """The whole file around a model: added tokens, normalizer, pre-tokenizer, template and decoder of `spec`. names:
    id -> text of the model's tokens."""
    names = {**names, **{t.id: t.content for t in spec.added}}
    root = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": t.id,
                "content": t.content,
                "single_word": t.single_word,
                "lstrip": t.lstrip,
                "rstrip": t.rstrip,
                "normalized": t.normalized,
                "special": t.special,
            }
            for t in spec.added
        ],
        "normalizer": spec.normalizer,
        "pre_tokenizer": spec.pre_tokenizer.entry,
        "post_processor": post_processor(spec.template, names),
        "decoder": spec.decoder,
        "model": model,
    }
    return json.dumps(root, ensure_ascii=False, indent=1).encode()


def post_processor(template: tuple[int | None, ...], names: dict[int, str]) -> dict | None:
    """The `post_processor` entry that writes these ids around a text (None in the template)."""
    if template == (None,):
        return None
    single = [
        {"Sequence": {"id": "A", "type_id": 0}} if i is None else {"SpecialToken": {"id": names[i], "type_id": 0}}
        for i in template
    ]
    special = {names[i]: {"id": names[i], "ids": [i], "tokens": [names[i]]} for i in template if i is not None}
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}
