"""Rule: what the offer repeats from the text right of the caret is not inserted twice.

Handles words and operators; closers are the business of `brackets`, which runs after this rule. Looks at the caret's
line only.
"""

from runtime.code.caret import Caret

_CLOSERS = set(")]}\"'` ")


def cut_overlap(text: str, caret: Caret, whole_line: bool) -> str:
    """`text` without an end that equals the start of the line's rest.

    `whole_line`: the model wrote on past the end of this line, so it has written the rest of it again, wherever that
    begins. Else the rest counts only from a word's boundary on, and a part of it only from three characters on.
    """
    rest = caret.line_suffix.rstrip()
    if not rest.strip() or set(rest) <= _CLOSERS:
        return text
    head, newline, tail = text.partition("\n")
    if whole_line and head.rstrip().endswith(rest.lstrip()):
        return head.rstrip()[: -len(rest.lstrip())]
    for whole in (rest, rest.lstrip()):
        at = head.find(whole)
        if at >= 0 and not _inside_word(head, at, whole) and (len(whole) > 2 or head.rstrip().endswith(whole)):
            return head[:at]
    stripped = head.rstrip()
    for size in range(min(len(rest), len(stripped)) - 1, 2, -1):
        part = rest[:size]
        if stripped.endswith(part) and not part.isspace() and not _inside_word(rest, 0, part):
            at = len(stripped) - size
            if not _inside_word(stripped, at, part):
                return stripped[:at]
    return head + newline + tail


def _inside_word(text: str, at: int, part: str) -> bool:
    """Whether `part` at `at` begins or ends in the middle of a word of `text`."""
    end = at + len(part)
    begins = at > 0 and _word(text[at - 1]) and _word(part[0])
    ends = end < len(text) and _word(text[end]) and _word(part[-1])
    return begins or ends


def _word(char: str) -> bool:
    return char.isalnum() or char == "_"
