"""BaseTokenizer: what every kind of tokenizer shares, from literals of added tokens to exact bytes of ids.

A kind adds its vocabulary and its loop (`bpe.py`, `lookup.py`, `unigram.py`, `wordpiece.py`). A lone surrogate, which
is not text, is encoded as its three "surrogatepass" bytes and decodes to U+FFFD. Knows no model of text, only the order
of work: added tokens, normalisation, added tokens looked for after it, pre-tokenisation, encoding of what is left.
"""

import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_bytes
from runtime.text import normalize
from runtime.text.added_tokens import AddedToken, Literals
from runtime.text.byte_alphabet import symbol_bytes
from runtime.text.decode import Chain, chain, is_byte_level


class BaseTokenizer(ABC):
    """One vocabulary behind encode and decode. May be shared by threads.

    spec: the checked content of the file, at least `added`, `normalizer`, `template`, `pre_tokenizer`, `decoder` and
    `sha256`; texts: id -> text of every token that is not an added one. A kind sets `_core` (encode and split of UTF-8
    bytes) and gives `_dumps`.
    vocab_size: entries with added tokens; special: literal -> id of every added token; sha256: hash of its file.
    """

    file_name = "tokenizer.json"
    max_text = 1 << 30  # bytes per call: keeps every count of the loops inside int32
    drops_until_text = False  # true: what a text begins with is dropped from every token until one leaves something

    def __init__(self, spec, texts: Mapping[int, str], size: int | None = None):
        self.spec = spec
        self.special: dict[str, int] = {t.content: t.id for t in spec.added}
        self.special_ids = frozenset(t.id for t in spec.added if t.special)
        self.vocab_size = max([size - 1 if size else max(texts, default=-1), *self.special.values()]) + 1
        self._texts = texts
        self._chain = None if is_byte_level(spec.decoder) else chain(spec.decoder)
        self.drops_first = self._chain is not None  # a token may have other bytes at the beginning of a text
        self._table: list[bytes | None] = [None] * self.vocab_size
        self._lock = threading.Lock()  # the loops keep their scratch memory in the core
        self._steps = normalize.from_json(spec.normalizer)
        # the text of such a token is its normalised one, as in the library
        self._added_texts = {t.id: self._normalized(t.content) if t.normalized else t.content for t in spec.added}
        # tokens marked as normalized are looked for after normalisation, the others before, as the file format says
        raw, normal = [t for t in spec.added if not t.normalized], [t for t in spec.added if t.normalized]
        self._literals = self._finders(raw, normal)
        blank = [[t for t in tokens if t.is_space] for tokens in (raw, normal)]
        self._blank_literals = self._finders(*blank)
        self.sha256 = spec.sha256 or hashlib.sha256(self._dumps()).hexdigest()

    def _finders(self, raw: list[AddedToken], normal: list[AddedToken]) -> tuple[Literals, Literals]:
        return (
            Literals(raw, [t.content for t in raw]),
            Literals(normal, [self._normalized(t.content) for t in normal]),
        )

    # ---------------------------------------------------------------- encode
    def encode_array(self, text: str, add_special: bool = False, parse_special: bool = False) -> np.ndarray:
        """Ids as int32 (n,): what encode() gives, without Python numbers."""
        if not isinstance(text, str):
            raise TypeError(f"encode takes str, not {type(text).__name__}")
        raw, normal = self._literals if parse_special else self._blank_literals
        parts: list[bytes] = []
        for piece in raw.cut(text):
            if isinstance(piece, int):
                parts.append(piece.to_bytes(4, "little"))
                continue
            for sub in normal.cut(self._normalized(piece)):
                parts.append(sub.to_bytes(4, "little") if isinstance(sub, int) else self._plain(sub, not parts))
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if add_special and self.spec.template != (None,):
            body = b"".join(body if i is None else i.to_bytes(4, "little") for i in self.spec.template)
        return np.frombuffer(body, dtype="<i4")

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Ids of a text. parse_special: text of added tokens becomes those tokens (longest first), else it is plain
        text, so untrusted text cannot forge a marker (added tokens that are white space and not special are pieces of
        plain text and always found). add_special: with the tokens that the file puts around a text. Raises TypeError
        for anything but str, ValueError for a text above `max_text` bytes."""
        return self.encode_array(text, add_special, parse_special).tolist()

    def _normalized(self, text: str) -> str:
        for step in self._steps:
            text = step(text)
        return text

    def _prepared(self, text: str, first: bool) -> list[str]:
        """The pieces that the core cuts further; first: nothing stands before the text."""
        pre = self.spec.pre_tokenizer
        return pre.prepared(text, first) if pre.before else [text]

    @abstractmethod
    def _dumps(self) -> bytes:
        """The bytes of the tokenizer's file."""

    def _plain(self, text: str, first: bool) -> bytes:
        if len(text) > self.max_text:
            raise ValueError(f"text of {len(text)} characters; encode at most {self.max_text} bytes at once")
        parts = []
        for piece in self._prepared(text, first):
            data = piece.encode("utf-8", "surrogatepass")
            if len(data) > self.max_text:
                raise ValueError(f"text of {len(data)} bytes; encode at most {self.max_text} at once")
            with self._lock:
                parts.append(self._core.encode(data))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pre_tokens(self, text: str) -> list[str]:
        """The pieces that tokens never cross, for looking at."""
        out = []
        for piece in self._prepared(self._normalized(text), True):
            data = piece.encode("utf-8", "surrogatepass")
            with self._lock:
                cuts = self._core.split(data)
            out += [data[a:b].decode("utf-8", "surrogatepass") for a, b in cuts]
        return out

    # ---------------------------------------------------------------- decode
    def token_text(self, id: int) -> str:
        """The text that stands for a token in the file; "" for an id without one."""
        return self._added_texts.get(id) or self._texts.get(id, "")

    def token_bytes(self, id: int) -> bytes:
        """Bytes of one token inside a text. Raises ValueError for an id outside the vocabulary."""
        if not 0 <= id < self.vocab_size:
            raise ValueError(f"id {id} is outside 0 to {self.vocab_size - 1}")
        data = self._table[id]
        if data is None:
            data = self._table[id] = self._bytes_of(id, False)
        return data

    def first_token_bytes(self, id: int) -> bytes:
        """Bytes of a token that begins a text: another than token_bytes(id) only where `drops_first`."""
        return self._bytes_of(id, True) if self.drops_first else self.token_bytes(id)

    def _bytes_of(self, id: int, first: bool) -> bytes:
        text = self.token_text(id)
        return symbol_bytes(text) if self._chain is None else self._chain.one(text, first) if text else b""

    def decode_bytes(self, ids: Iterable[int], skip_special: bool = False) -> bytes:
        """Exact bytes of the ids. Ids beyond the vocabulary (padding rows of a model's table) are left out;
        negative: ValueError."""
        ids = self._known(ids, skip_special)
        table = self._table
        kept = [table[i] if table[i] is not None else self.token_bytes(i) for i in ids]
        if self.drops_first:
            for k, i in enumerate(ids):
                kept[k] = self.first_token_bytes(i)
                if kept[k] or not self.drops_until_text:
                    break
        return b"".join(kept)

    def _known(self, ids: Iterable[int], skip_special: bool) -> list[int]:
        """The ids that stand for something; ValueError for a negative one."""
        ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        if ids and min(ids) < 0:
            raise ValueError(f"id {min(ids)} is negative")
        size, skip = self.vocab_size, self.special_ids if skip_special else ()
        return [i for i in ids if i < size and i not in skip]

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD. skip_special leaves out tokens marked special."""
        if self._chain is None:
            return self.decode_bytes(ids, skip_special).decode("utf-8", "replace")
        if self._chain.joins:  # fast; bytes that form no character are the chain's business
            try:
                return self.decode_bytes(ids := list(ids), skip_special).decode()
            except UnicodeDecodeError:
                pass
        steps = self.new_chain()
        return "".join([steps.feed(self.token_text(i)) for i in self._known(ids, skip_special)]) + steps.end()

    def new_chain(self) -> Chain | None:
        """The steps from texts of tokens to text, for one text; None where decoding is joining the tokens' bytes."""
        return None if self._chain is None else chain(self.spec.decoder)

    # ---------------------------------------------------------------- file
    def dumps(self) -> bytes:
        """The bytes of the tokenizer's file: the same tokenizer always gives the same."""
        return self._dumps()

    def save(self, path: str | os.PathLike) -> None:
        """Write the tokenizer's file (a folder gets one inside), whole or not at all. `sha256` then is the hash of that
        file."""
        path = Path(path)
        if path.is_dir():
            path = path / self.file_name
        data = self._dumps()
        atomic_write_bytes(path, data)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} tokens, {self.spec.pre_tokenizer.names}, {self.sha256[:12]})"
