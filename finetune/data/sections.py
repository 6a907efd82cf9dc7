"""Cuts long documents into sections, so that a shuffled order mixes files at every moment of the training.

A stream that reads a file of thousands of lines from end to end feeds the same vocabulary and style for many steps in a
row. Sections begin where a top-level statement does, as a reader would cut. Knows text only.
"""


def sections(text: str, lines: int) -> list[str]:
    """`text` in consecutive parts that join to it exactly; lines = 0 gives it whole.

    A part ends before the first top-level line (no indent, not blank, after a blank line) that comes after `lines`
    lines, and after 2 * `lines` lines in any case. A rest shorter than a quarter of `lines` stays with the last part.
    """
    if lines < 0:
        raise ValueError(f"lines must not be negative, got {lines}")
    every = text.splitlines(keepends=True)
    if not lines or len(every) <= lines:
        return [text]
    parts, start = [], 0
    for at in range(1, len(every)):
        size = at - start
        top_level = not every[at][0].isspace() and not every[at - 1].strip()
        enough = size >= 2 * lines or (size >= lines and top_level)
        if enough and len(every) - at >= lines // 4:
            parts.append("".join(every[start:at]))
            start = at
    parts.append("".join(every[start:]))
    return parts
