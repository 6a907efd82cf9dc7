"""A conversation as token ids: ChatML where the model knows its markers, plain comments where it does not.

The text of a message never becomes a marker: it is encoded as text, and only the builder's own markers as special
tokens. Bounded to the model's context: the oldest turns go first, a system message stays, and what is still too long
loses its head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.code.lines import replace_lone_surrogates
from runtime.files.hf_config import own_section

ROLES = ("system", "user", "assistant")
MOST_MESSAGES = 256
MOST_CHARS_PER_TOKEN = 16  # a message longer than this many characters per token of context is cut before it is encoded

_START, _END = "<|im_start|>", "<|im_end|>"


@dataclass(frozen=True)
class Message:
    """`role` is one of ROLES."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatPrompt:
    """`ids` to submit, tokens that the answer may have, and texts that end the answer."""

    ids: list[int]
    max_tokens: int
    stop: tuple[str, ...]


def chat_prompt(model: Any, messages: Sequence[Message], max_tokens: int) -> ChatPrompt:
    """Raises ValueError if the model has no tokenizer, the context is too small, or there is nothing to answer."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ValueError("its folder has no tokenizer")
    if not messages:
        raise ValueError("there is no message")
    context = model.spec.max_context
    answer = max(1, min(max_tokens, context // 2))
    room = context - answer
    if room < 16:
        raise ValueError(f"its context of {context} tokens is too small for a conversation")
    chatml = _uses_chatml(model)
    form = _chatml if chatml else _plain
    opening = _opening(tokenizer, chatml)
    most_chars = room * MOST_CHARS_PER_TOKEN

    def encoded(message: Message) -> list[int]:
        content = message.content.replace("\r\n", "\n")[-most_chars:]
        return form(tokenizer, Message(message.role, replace_lone_surrogates(content)))

    system = [ids for message in messages if message.role == "system" for ids in (encoded(message),)][:1]
    used = len(opening) + sum(map(len, system))
    if used > room // 2:
        system, used = [], len(opening)
    turns: list[list[int]] = []
    for message in reversed([message for message in messages if message.role != "system"]):
        ids = encoded(message)
        if used + len(ids) > room:
            if not turns:  # the question itself does not fit: its end counts
                turns.append(ids[-(room - used) :])
            break
        used += len(ids)
        turns.append(ids)
    ids = [number for part in (*system, *reversed(turns), opening) for number in part]
    return ChatPrompt(ids, answer, (_END, _START, "<|endoftext|>") if chatml else ("\n# user:", "<|endoftext|>"))


def _uses_chatml(model: Any) -> bool:
    """Whether the model was taught ChatML: its config may say {"hearth": {"chat_format": "plain" | "chatml"}}, else the
    markers in its tokenizer do."""
    told = own_section(model.config).get("chat_format")
    special = model.tokenizer.special
    return told != "plain" and _START in special and _END in special


def _chatml(tokenizer: Any, message: Message) -> list[int]:
    special = tokenizer.special
    head, tail = tokenizer.encode(f"{message.role}\n"), tokenizer.encode("\n")
    return [special[_START], *head, *tokenizer.encode(message.content), special[_END], *tail]


def _plain(tokenizer: Any, message: Message) -> list[int]:
    """For a model that only ever read source: questions as comments, answers as they are."""
    if message.role == "assistant":
        return tokenizer.encode(f"{message.content}\n\n")
    lines = message.content.strip().split("\n")
    return tokenizer.encode(f"# {message.role}: " + "\n# ".join(lines) + "\n")


def _opening(tokenizer: Any, chatml: bool) -> list[int]:
    if not chatml:
        return tokenizer.encode("# assistant:\n")
    return [tokenizer.special[_START], *tokenizer.encode("assistant\n")]


class TextStop:
    """Ends a stream of text at the first of some literals, holding back what may be the beginning of one."""

    def __init__(self, literals: Sequence[str]):
        self._literals = tuple(literals)
        self._held = ""
        self.text = ""
        self.done = False

    def feed(self, piece: str) -> str:
        """The text that may be shown now."""
        if self.done:
            return ""
        self._held += piece
        found = [at for literal in self._literals if (at := self._held.find(literal)) >= 0]
        if found:
            self.done = True
            out, self._held = self._held[: min(found)], ""
        else:
            keep = max((self._overlap(literal) for literal in self._literals), default=0)
            cut = len(self._held) - keep
            out, self._held = self._held[:cut], self._held[cut:]
        self.text += out
        return out

    def flush(self) -> str:
        """What was held back, at the end of the stream."""
        out, self._held = self._held, ""
        self.text += out
        return out

    def _overlap(self, literal: str) -> int:
        for size in range(min(len(literal) - 1, len(self._held)), 0, -1):
            if literal.startswith(self._held[-size:]):
                return size
        return 0
