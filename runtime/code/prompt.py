"""What the model should see for a completion: a window of text before the caret and one after it.

The window before the caret starts at a multiple of a block of lines, so that its start stays put while one types and
the engine can keep all but the last few tokens of its cache; the window after the caret starts at the caret and is
stable by itself. Sizes are in tokens of the model's own tokenizer. Knows nothing about FIM markers or their order:
the engine adds those (`runtime.text.fim`), nor about the rules that clean the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.code.caret import Caret
from runtime.code.lines import body, replace_lone_surrogates

MARKERS = 8  # room for FIM markers and the token that is healed at the caret
CHARS_PER_TOKEN = (
    8  # no window is longer than this many characters per token: long lines are cut before they are encoded
)
CHAR_BLOCK = 256  # a window that starts inside a line starts at a multiple of this many characters


@dataclass(frozen=True)
class Budget:
    """Tokens for the text before the caret, after it, and for the answer."""

    prefix: int
    suffix: int
    answer: int


@dataclass(frozen=True)
class Prompt:
    """Text before and after the caret, with ``\\n`` line ends, and how many tokens the answer may have."""

    prefix: str
    suffix: str
    max_tokens: int


def split_budget(max_context: int, max_tokens: int = 64) -> Budget:
    """Divides a model's context: the answer first, then 5 : 2 before and after the caret (312 and 124 of 512).

    Raises ValueError if the context is too small to hold anything (fewer than 32 tokens).
    """
    if max_context < 32:
        raise ValueError(f"a context of {max_context} tokens is too small for completions")
    answer = max(8, min(max_tokens, max_context // 4))
    room = max_context - answer - MARKERS
    suffix = room * 2 // 7
    return Budget(prefix=room - suffix, suffix=suffix, answer=answer)


def completion_prompt(caret: Caret, count: Callable[[str], int], max_context: int, max_tokens: int = 64) -> Prompt:
    """The windows around `caret`; `count` gives the tokens of a text.

    The sum of prefix and suffix tokens, answer and markers stays within `max_context`.
    """
    budget = split_budget(max_context, max_tokens)
    prefix = _before(caret, count, budget.prefix)
    suffix = _after(caret, count, budget.suffix)
    return Prompt(prefix, suffix, budget.answer)


def _clean(line: str) -> str:
    """A line with ``\\n`` as its end and no broken surrogates."""
    text = body(line)
    return replace_lone_surrogates(text + "\n" if len(text) < len(line) else text)


def block_of(lines: int) -> int:
    """Lines by which the start of a window of so many lines moves: a power of two, at most a third of the window."""
    block = 1
    while block < 64 and block * 2 <= lines // 3:
        block *= 2
    return block


def _before(caret: Caret, count: Callable[[str], int], budget: int) -> str:
    most = budget * CHARS_PER_TOKEN
    # The caret's own line comes first: it may fill the window alone.
    current = caret.lines[caret.line]
    start = 0
    if caret.column > most:
        start = -(-(caret.column - most) // CHAR_BLOCK) * CHAR_BLOCK
    text = replace_lone_surrogates(current[start : caret.column])
    used = count(text)
    while used > budget:
        # Move by whole blocks while more than one is left, then by quarters: a block of rare characters may not fit.
        step = max(1, (caret.column - start) // (8 * CHAR_BLOCK)) * CHAR_BLOCK
        following = (start // CHAR_BLOCK) * CHAR_BLOCK + step
        start = following if following < caret.column else start + -(-(caret.column - start) // 4)
        text = replace_lone_surrogates(current[start : caret.column])
        used = count(text)
    if start > 0 or used >= budget:
        return text

    # Walk upwards line by line, then drop lines until the start stands at a block's first line.
    parts: list[str] = []
    first = caret.line
    while first > 0:
        line = caret.lines[first - 1]
        if len(line) > most:
            break
        cost = count(_clean(line))
        if used + cost > budget:
            break
        used += cost
        parts.append(_clean(line))
        first -= 1
    parts.reverse()
    if first > 0:
        block = block_of(len(parts))
        parts = parts[-first % block :]
    return "".join(parts) + text


def _after(caret: Caret, count: Callable[[str], int], budget: int) -> str:
    most = budget * CHARS_PER_TOKEN
    rest = caret.lines[caret.line][caret.column : caret.column + most + 1]
    if len(rest) > most:
        return _fit_head(replace_lone_surrogates(rest[:most]), count, budget)
    text = _clean(rest)
    used = count(text)
    if used > budget:
        return _fit_head(text, count, budget)
    parts = [text]
    for number in range(caret.line + 1, len(caret.lines)):
        line = caret.lines[number]
        if len(line) > most:
            break
        cost = count(_clean(line))
        if used + cost > budget:
            break
        used += cost
        parts.append(_clean(line))
    return "".join(parts)


def _fit_head(text: str, count: Callable[[str], int], budget: int) -> str:
    """The longest head of `text`, to within a quarter, that fits the budget."""
    while text and count(text) > budget:
        text = text[: len(text) * 3 // 4]
    return text
