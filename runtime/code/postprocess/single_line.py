"""Rule: by default an offer is one line.

Where the caret's line is blank, blank lines at the start of the answer are passed over: the first line with text is it.
"""

from runtime.code.caret import Caret


def cut_to_line(text: str, caret: Caret) -> str:
    """The first line of `text`; on a blank line the first one that is not blank. Unchanged where several are wanted."""
    if caret.multiline:
        return text if caret.line_prefix.strip() else _skip_blank(text)
    if not caret.line_prefix.strip():
        text = _skip_blank(text)
    return text.split("\n", 1)[0]


def _skip_blank(text: str) -> str:
    while "\n" in text:
        first, rest = text.split("\n", 1)
        if first.strip():
            break
        text = rest
    return text
