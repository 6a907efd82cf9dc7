"""Rule: an offer is indented as its file is, and fits the white space that is already left of the caret.

Knows steps of indentation and tabs; knows no syntax beyond “a line that ends with a colon or an open bracket indents”.
"""

from runtime.code.caret import Caret, Indent, leading


def fit_indentation(text: str, caret: Caret) -> str:
    """`text` with the file's tabs or spaces, and with no white space at its start that would be there twice.

    After text on the line, a blank before the caret swallows those that the answer starts with. On a blank line the
    answer's own white space may only fill up to what the line above allows.
    """
    lines = text.split("\n")
    lines[1:] = [_restyle(line, caret.indent) for line in lines[1:]]
    first = lines[0]
    if caret.line_prefix.strip():
        if caret.line_prefix[-1] in " \t":
            first = first.lstrip(" \t")
    elif first.strip():
        lead = leading(first)
        room = _most(caret) - _columns(caret.line_prefix, caret.indent)
        wanted = min(_columns(lead, caret.indent), max(0, room))
        # A caret inside a step (one space typed of four) is filled up to a whole step, never beyond it.
        first = _white(wanted, caret.indent) + first[len(lead) :]
    lines[0] = first
    return "\n".join(lines)


def _most(caret: Caret) -> int:
    """The deepest column at which a line under the previous one may start."""
    above = caret.previous_line
    depth = _columns(leading(above), caret.indent)
    code = above.split("#", 1)[0].rstrip() if caret.language == "python" else above.rstrip()
    return depth + caret.indent.width if code[-1:] in (":", "(", "[", "{", "\\", ",") else depth


def _columns(white: str, indent: Indent) -> int:
    return sum(indent.width if char == "\t" else 1 for char in white)


def _white(columns: int, indent: Indent) -> str:
    if not indent.tabs:
        return " " * columns
    return "\t" * (columns // indent.width) + " " * (columns % indent.width)


def _restyle(line: str, indent: Indent) -> str:
    lead = leading(line)
    if indent.tabs == ("\t" in lead) or not lead:
        return line
    return _white(_columns(lead, indent), indent) + line[len(lead) :]
