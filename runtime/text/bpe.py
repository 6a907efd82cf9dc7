"""Tokenizer: byte-level BPE (Sennrich et al. 2016, byte alphabet of GPT-2) behind encode and decode.

Text becomes UTF-8 bytes, so every text has ids and decode_bytes(encode(text)) is the text's bytes exactly (unless
the file asks for Unicode normalisation). A lone surrogate, which is not text, is encoded as its three
"surrogatepass" bytes and decodes to U+FFFD. Loops are in `_text.pyx`, the file format in `tokenizer_json.py`. Knows
nothing about models or prompts.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from runtime.files.atomic import atomic_write_bytes
from runtime.text import _text, tokenizer_json
from runtime.text.tokenizer_json import BYTE_TO_CHAR, CHAR_TO_BYTE, AddedToken, TokenizerSpec

MAX_TEXT = 1 << 30  # bytes per call: keeps every count of the merge loop inside int32


class Tokenizer:
    """Encodes and decodes with one vocabulary. May be shared by threads.

    vocab_size: entries with added tokens; special: literal -> id of every added token; sha256: hash of its
    tokenizer.json.
    """

    def __init__(self, spec: TokenizerSpec):
        self.spec = spec
        self.special: dict[str, int] = {t.content: t.id for t in spec.added}
        self.special_ids = frozenset(t.id for t in spec.added if t.special)
        self.vocab_size = max([*spec.vocab.values(), *self.special.values()]) + 1
        self.sha256 = spec.sha256 or hashlib.sha256(tokenizer_json.dumps(spec)).hexdigest()
        self._bytes: list[bytes] = [b""] * self.vocab_size
        for text, i in spec.vocab.items():
            self._bytes[i] = symbol_bytes(text)
        for text, i in self.special.items():
            self._bytes[i] = symbol_bytes(text)
        vocab = spec.vocab
        rules = ((vocab[a], vocab[b], rank, vocab[a + b]) for rank, (a, b) in enumerate(spec.merges))
        whole = {self._bytes[i]: i for i in vocab.values()} if spec.ignore_merges else None
        self._core = _text.Core(rules, [vocab.get(c, -1) for c in BYTE_TO_CHAR], spec.pre_tokenizer.stages, whole)
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
                parts.append(sub.to_bytes(4, "little") if isinstance(sub, int) else self._plain(sub))
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if add_special and self.spec.template != (None,):
            body = b"".join(body if i is None else i.to_bytes(4, "little") for i in self.spec.template)
        return np.frombuffer(body, dtype="<i4")

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Ids of a text. parse_special: text of added tokens becomes those tokens (longest first), else it is plain
        text, so untrusted text cannot forge a marker. add_special: with the tokens that the file puts around a text.
        Raises TypeError for anything but str, ValueError beyond 1 GiB."""
        return self.encode_array(text, add_special, parse_special).tolist()

    def _plain(self, text: str) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > MAX_TEXT:
            raise ValueError(f"text of {len(data)} bytes; encode at most {MAX_TEXT} at once")
        return self._core.encode(data)

    def pre_tokens(self, text: str) -> list[str]:
        """The pieces inside which merges happen, for looking at."""
        data = text.encode("utf-8", "surrogatepass")
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
        return b"".join([table[i] for i in ids if i < size and i not in skip])

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD. skip_special leaves out tokens marked special."""
        return self.decode_bytes(ids, skip_special).decode("utf-8", "replace")

    # ---------------------------------------------------------------- file
    def save(self, path: str | os.PathLike) -> None:
        """Write tokenizer.json (a folder gets one inside), whole or not at all. `sha256` then is the hash of that
        file."""
        path = Path(path)
        if path.is_dir():
            path = path / "tokenizer.json"
        data = tokenizer_json.dumps(self.spec)
        atomic_write_bytes(path, data)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab_size} tokens, {'+'.join(self.spec.pre_tokenizer.stages)}, {self.sha256[:12]})"


def symbol_bytes(symbol: str) -> bytes:
    """Bytes of a vocabulary text: through the byte alphabet, or its UTF-8 if a character is outside of that."""
    try:
        return bytes([CHAR_TO_BYTE[c] for c in symbol])
    except KeyError:
        return symbol.encode("utf-8", "surrogatepass")


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
