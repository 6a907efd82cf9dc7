"""BaseTokenizer: what every kind of tokenizer shares, from literals of added tokens to exact bytes of ids.

A kind adds its vocabulary and its loop (`bpe.py`, `lookup.py`, `unigram.py`). A lone surrogate, which is not text,
is encoded as its three "surrogatepass" bytes and decodes to U+FFFD. Knows no model of text, only the order of work:
added tokens, normalisation, added tokens that are looked for after it, encoding of what is left.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_bytes
from runtime.text.tokenizer_json import AddedToken, symbol_bytes


class BaseTokenizer:
    """One vocabulary behind encode and decode.

    spec: the checked content of the file, at least `added`, `normalizers`, `template`, `pre_tokenizer` and `sha256`;
    table: id -> bytes of every token that is not an added one. A kind sets `_core` (encode and split of UTF-8 bytes)
    and gives `_dumps`.
    vocab_size: entries with added tokens; special: literal -> id of every added token; sha256: hash of its file.
    """

    file_name = "tokenizer.json"
    max_text = 1 << 30  # bytes per call: keeps every count of the loops inside int32
    drops_first = False  # true: the vocabulary writes a space before a text, which decoding takes away
    drops_until_text = False  # true: and from every token until one leaves something

    def __init__(self, spec, table: dict[int, bytes]):
        self.spec = spec
        self.special: dict[str, int] = {t.content: t.id for t in spec.added}
        self.special_ids = frozenset(t.id for t in spec.added if t.special)
        self.vocab_size = max([*table, *self.special.values()]) + 1
        self.sha256 = spec.sha256 or hashlib.sha256(self._dumps()).hexdigest()
        self._bytes: list[bytes] = [b""] * self.vocab_size
        for i, data in table.items():
            self._bytes[i] = data
        for text, i in self.special.items():
            self._bytes[i] = self._literal_bytes(text)
        # tokens marked as normalized are looked for after normalisation, the others before, as the file format says
        raw, normal = [t for t in spec.added if not t.normalized], [t for t in spec.added if t.normalized]
        if not spec.normalizers:
            raw, normal = [*raw, *normal], []
        self._literals, self._normal_literals = _literals(raw), _literals(normal)

    # ---------------------------------------------------------------- encode
    def encode_array(self, text: str, add_special: bool = False, parse_special: bool = False) -> np.ndarray:
        """Ids as int32 (n,): what encode() gives, without Python numbers."""
        if not isinstance(text, str):
            raise TypeError(f"encode takes str, not {type(text).__name__}")
        parts: list[bytes] = []
        for piece in _cut(text, self._literals if parse_special else None):
            if isinstance(piece, int):
                parts.append(piece.to_bytes(4, "little"))
                continue
            for form in self.spec.normalizers:
                piece = unicodedata.normalize(form, piece)
            for sub in _cut(piece, self._normal_literals if parse_special else None):
                parts.append(sub.to_bytes(4, "little") if isinstance(sub, int) else self._plain(sub, not parts))
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if add_special and self.spec.template != (None,):
            body = b"".join(body if i is None else i.to_bytes(4, "little") for i in self.spec.template)
        return np.frombuffer(body, dtype="<i4")

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Ids of a text. parse_special: text of added tokens becomes those tokens (longest first), else it is plain
        text, so untrusted text cannot forge a marker. add_special: with the tokens that the file puts around a text.
        Raises TypeError for anything but str, ValueError for a text above `max_text` bytes."""
        return self.encode_array(text, add_special, parse_special).tolist()

    def _spaced(self, text: str, first: bool) -> str:
        """The text as the vocabulary writes spaces; first: nothing stands before it."""
        return text

    def _literal_bytes(self, text: str) -> bytes:
        """Bytes of an added token."""
        return symbol_bytes(text)

    def _dumps(self) -> bytes:
        """The bytes of the tokenizer's file."""
        raise NotImplementedError

    def _plain(self, text: str, first: bool) -> bytes:
        data = self._spaced(text, first).encode("utf-8", "surrogatepass")
        if len(data) > self.max_text:
            raise ValueError(f"text of {len(data)} bytes; encode at most {self.max_text} at once")
        return self._core.encode(data)

    def pre_tokens(self, text: str) -> list[str]:
        """The pieces that tokens never cross, for looking at."""
        data = self._spaced(text, True).encode("utf-8", "surrogatepass")
        return [data[a:b].decode("utf-8", "surrogatepass") for a, b in self._core.split(data)]

    # ---------------------------------------------------------------- decode
    def token_bytes(self, id: int) -> bytes:
        """Bytes of one token. Raises ValueError for an id outside the vocabulary."""
        if not 0 <= id < self.vocab_size:
            raise ValueError(f"id {id} is outside 0 to {self.vocab_size - 1}")
        return self._bytes[id]

    def decode_bytes(self, ids: Iterable[int], skip_special: bool = False) -> bytes:
        """Exact bytes of the ids. Ids beyond the vocabulary (padding rows of a model's table) are left out;
        negative: ValueError."""
        table, size, skip = self._bytes, self.vocab_size, self.special_ids if skip_special else ()
        ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        if ids and min(ids) < 0:
            raise ValueError(f"id {min(ids)} is negative")
        kept = [table[i] for i in ids if i < size and i not in skip]
        if self.drops_first:
            for k, i in enumerate(i for i in ids if i < size and i not in skip):
                kept[k] = self.first_token_bytes(i)
                if kept[k] or not self.drops_until_text:
                    break
        return b"".join(kept)

    def first_token_bytes(self, id: int) -> bytes:
        """Bytes of a token that begins a text: another than token_bytes(id) only where `drops_first`."""
        return self.token_bytes(id)

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD. skip_special leaves out tokens marked special."""
        return self.decode_bytes(ids, skip_special).decode("utf-8", "replace")

    # ---------------------------------------------------------------- file
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
        stages = "+".join(self.spec.pre_tokenizer.stages)
        return f"{type(self).__name__}({self.vocab_size} tokens, {stages}, {self.sha256[:12]})"


def _literals(tokens: list[AddedToken]) -> tuple[re.Pattern, dict[str, int]] | None:
    if not tokens:
        return None
    parts = []
    for t in sorted(tokens, key=lambda t: len(t.content), reverse=True):  # alternation takes the first: longest first
        parts.append((r"\s*" if t.lstrip else "") + f"({re.escape(t.content)})" + (r"\s*" if t.rstrip else ""))
    return re.compile("|".join(parts)), {t.content: t.id for t in tokens}


def _cut(text: str, literals: tuple[re.Pattern, dict[str, int]] | None) -> Iterable[str | int]:
    """The text cut at literals: str between, int for a literal."""
    if literals is None:
        if text:
            yield text
        return
    pattern, ids = literals
    at = 0
    for m in pattern.finditer(text):
        if m.start() > at:
            yield text[at : m.start()]
        yield ids[m[m.lastindex]]
        at = m.end()
    if at < len(text):
        yield text[at:]
