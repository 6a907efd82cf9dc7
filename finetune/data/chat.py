"""Small chat documents from functions with docstrings: "write this function" and "explain this code", as ChatML.

    <|im_start|>user\\n…<|im_end|>\\n<|im_start|>assistant\\n…<|im_end|>\\n

Question and answer are both text of the corpus; nothing is invented. Knows nothing about batches (`packing.py`).
"""

import ast
import json
import os
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from runtime.files.reader import parse_json, read_bytes
from runtime.text import Tokenizer

MAX_LINES = 40
MAX_CHARS = 1100  # about 300 tokens of our vocabulary
MAX_PER_FILE = 24

_WRITE = (
    "Write a Python function `{call}`: {doc}",
    "Write a Python function that does this: {doc}\nSignature: `{call}`",
    "How would I write `{call}` in Python? It should do this: {doc}",
)
_EXPLAIN = (
    "Explain this code:\n```python\n{code}\n```",
    "What does this code do?\n```python\n{code}\n```",
    "What does `{name}` do?\n```python\n{code}\n```",
)


@dataclass(frozen=True)
class ChatDocument:
    """One exchange. kind: "write" or "explain"."""

    kind: str
    user: str
    assistant: str


def from_source(text: str, tree: ast.Module) -> list[ChatDocument]:
    """Exchanges from the documented functions and methods of one parsed file, at most 24, in order of the file."""
    out: list[ChatDocument] = []
    lines = text.split("\n")
    places: list[tuple[ast.AST, bool]] = [(tree, True)]
    places += [(node, False) for node in tree.body if isinstance(node, ast.ClassDef)]
    for place, top in places:
        for node in place.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(out) >= MAX_PER_FILE:
                continue
            doc = ast.get_docstring(node)
            if not doc or len(node.body) < 2 or not doc.isascii():
                continue
            code = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
            bare = _without_docstring(node, lines)
            first = re.split(r"\n\s*\n", doc, maxsplit=1)[0].replace("\n", " ").strip()
            first = re.sub(r"\s+", " ", first)
            if len(first) < 12 or len(code) > MAX_CHARS or code.count("\n") >= MAX_LINES:
                continue
            which = len(first) + len(code)  # spreads the phrasings, the same way every time
            if top and len(first) < 300:
                call = f"{node.name}({ast.unparse(node.args)})"
                ask = _WRITE[which % len(_WRITE)].format(call=call, doc=first)
                out.append(ChatDocument("write", ask, f"```python\n{code.rstrip()}\n```"))
            if bare and len(doc) < 600:
                ask = _EXPLAIN[which % len(_EXPLAIN)].format(code=bare.rstrip(), name=node.name)
                out.append(ChatDocument("explain", ask, doc.strip()))
    return out


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str | None:
    quote = node.body[0]
    if quote.lineno <= node.lineno or node.body[1].lineno <= quote.end_lineno:
        return None
    rest = lines[node.lineno - 1 : quote.lineno - 1] + lines[quote.end_lineno : node.end_lineno]
    return textwrap.dedent("\n".join(rest))


def chat_ids(document: ChatDocument, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Ids int32 (n,) of the exchange and, bool (n,), which of them the model is trained to say (the answer and its
    end).

    Markers are ids, the rest is plain text: a marker spelled out in code stays text. Raises KeyError without ChatML
    tokens.
    """
    start, end = tokenizer.special["<|im_start|>"], tokenizer.special["<|im_end|>"]
    plain = tokenizer.encode_array
    asked = [[start], plain(f"user\n{document.user}"), [end], plain("\n"), [start], plain("assistant\n")]
    answer = [plain(document.assistant), [end]]
    head, said = np.concatenate(asked).astype(np.int32), np.concatenate(answer).astype(np.int32)
    trained = np.zeros(len(head) + len(said) + 1, bool)
    trained[len(head) : -1] = True
    return np.concatenate([head, said, plain("\n")]), trained


def to_jsonl(documents: Iterable[ChatDocument]) -> bytes:
    return "".join(
        json.dumps({"kind": d.kind, "user": d.user, "assistant": d.assistant}, ensure_ascii=False) + "\n"
        for d in documents
    ).encode()


def read_jsonl(path: str | os.PathLike) -> list[ChatDocument]:
    """Exchanges of a file that to_jsonl wrote. Raises FormatError for a broken line."""
    out = []
    for line in read_bytes(path, 1 << 30, "chat documents").splitlines():
        entry = parse_json(line, path, "chat document")
        out.append(ChatDocument(str(entry["kind"]), str(entry["user"]), str(entry["assistant"])))
    return out
