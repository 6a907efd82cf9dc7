"""Text for a terminal: what a file or a model could command it with is made visible. Knows no colours and no layout."""

import re

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` without control characters but tabs and line feeds; each becomes U+FFFD."""
    return _COMMANDS.sub("\ufffd", text)
