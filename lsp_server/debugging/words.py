"""What the local model is asked about an explanation, and how long its words may be.

The model gets the facts that were found and is asked for a sentence; what it says is shown apart from them, marked as
its own and unchecked. Nothing here decides anything.
"""

import re

from runtime.code.chat import Message
from runtime.code.errors.explain import Explanation

MOST_TOKENS = 64
MOST_LINES = 6
_CIRCLE = re.compile(r"(\S.{2,60}?)(?:\s*\1){2}", re.DOTALL)  # the same piece three times in a row


def question(explanation: Explanation) -> list[Message]:
    """The conversation to put to a model."""
    code = ""
    if explanation.view is not None and explanation.line:
        first = max(1, explanation.line - 3)
        code = "\n".join(explanation.view.line(n)[:160] for n in range(first, explanation.line + 1))
    error = f"This Python line fails with {explanation.error[:300]}"
    return [Message("user", f"{error}\n\n{code}\n\n{explanation.cause}\nSay in one sentence why.")]


def shortened(text: str) -> str:
    """The first paragraph of an answer, at most six lines, and only as far as it does not go round in circles."""
    rows = text.strip().split("\n")
    end = next((at for at, row in enumerate(rows) if at and not row.strip()), len(rows))
    text = "\n".join(rows[: min(end, MOST_LINES)]).rstrip()
    found = _CIRCLE.search(text)
    return text if found is None else text[: found.end(1)].rstrip() + " …"
