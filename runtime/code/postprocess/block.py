"""Rule: an offer of several lines ends where the block that the caret stands in ends.

A later line that is indented less than the first one belongs to another block, unless it only closes a bracket;
two blank lines in a row end the offer too.
"""

from runtime.code.caret import Caret, leading


def cut_at_block_end(text: str, caret: Caret) -> str:
    """`text` up to the end of the caret's block. A single line is returned as it is."""
    lines = text.split("\n")
    if len(lines) == 1:
        return text
    first = len(leading(caret.line_prefix + lines[0]))
    kept = [lines[0]]
    for i, line in enumerate(lines[1:], start=1):
        if not line.strip():
            if i + 1 < len(lines) and not lines[i + 1].strip():
                break
            kept.append(line)
            continue
        width = len(leading(line))
        closes = width == first and line.lstrip()[0] in ")]}"
        if width < first and not closes:
            break
        kept.append(line)
    while len(kept) > 1 and not kept[-1].strip():
        kept.pop()
    return "\n".join(kept)
