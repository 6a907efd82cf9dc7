"""Says, while an answer streams in, when enough of it is there, so that the engine can be stopped at once.

The same test for the terminal command and the language server. Knows nothing about engines: text in, yes or no out.
"""

from runtime.code.caret import Caret, leading
from runtime.code.postprocess.indentation import fit_indentation

MOST_LINES = 12  # of a multi-line offer


class EnoughText:
    """Feed it the pieces of one answer; `done` turns true when nothing that follows could be shown.

    Single line: the first line that is not blank is complete. Several lines: the block that the caret stands in has
    ended (a later line is indented less than the first), a second blank line follows, or 12 lines are there.
    """

    def __init__(self, caret: Caret):
        self._caret = caret
        self._multiline = caret.multiline
        self._line_prefix = caret.line_prefix
        self.text = ""
        self.done = False

    def feed(self, piece: str) -> bool:
        if self.done:
            return True
        self.text += piece
        if "\n" in piece:
            self.done = self._ended()
        return self.done

    def _ended(self) -> bool:
        complete = self.text.split("\n")[:-1]  # the last element is still growing
        if self._line_prefix.strip() or any(line.strip() for line in complete):
            if not self._multiline:
                return True
        else:
            return len(complete) > 2  # nothing but blank lines
        if len(complete) >= MOST_LINES or self.text.endswith("\n\n\n"):
            return True
        first, *later = fit_indentation("\n".join(complete), self._caret).split("\n")
        least = len(leading(self._line_prefix + first))
        return any(line.strip() and len(leading(line)) < least for line in later)
