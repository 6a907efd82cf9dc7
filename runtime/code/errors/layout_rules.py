"""Proposes changes of indentation: missing blocks, tabs, lines indented too far, statements that left their function.

Proposals come likeliest first; whether one is right, `syntax` asks the compiler.
"""

import re
from collections.abc import Iterator

from runtime.code.caret import find_indent, leading
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.proposal import CompilerError, Proposal, code_end
from runtime.code.errors.view import View
from runtime.code.lines import body


def block_expected(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    found = re.search(r"on line (\d+)", error.message)
    head = int(found.group(1)) if found else max(1, line - 1)
    unit = find_indent([body(text) for text in view.lines[:2000]]).unit
    depth = view.indentation(head)
    text = view.line(line)
    last_head = head
    while last_head < line - 1 and not view.line(last_head)[: code_end(view.line(last_head))].endswith(":"):
        last_head += 1  # a head of several lines
    fill = Proposal("Add `pass`", (insert(last_head + 1, 0, f"{depth}{unit}pass\n"),))
    if last_head >= len(view.lines):
        fill = Proposal("Add `pass`", (insert(last_head, len(view.line(last_head)), f"\n{depth}{unit}pass"),))
    begins = re.match(r"\s*(?:def|class|elif|else|except|finally|case|@)", text)
    if not text.strip() or leading(text) != depth or begins or head == line:
        yield fill
        return
    edits: list[Edit] = []
    for number in range(line, min(len(view.lines), line + 50) + 1):
        row = view.line(number)
        if not row.strip() or (leading(row) == depth and re.match(r"\s*(?:def|class|@)", row)):
            break
        edits.append(insert(number, 0, unit))
        yield Proposal("Indent the block", tuple(edits))
    yield fill


def indent(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    wanted = _indents_above(view, line)
    own = leading(view.line(line))
    for depth in wanted:
        if depth == own:
            continue
        edits = [Edit((line, 0), (line, len(own)), depth)]
        yield Proposal("Correct the indentation", tuple(edits))
        for number in range(line + 1, min(len(view.lines), line + 200) + 1):
            row = view.line(number)
            if row.strip() and not row.startswith(own):
                break
            if row.strip():
                edits.append(Edit((number, 0), (number, len(own)), depth))
        if len(edits) > 1:
            yield Proposal("Correct the indentation", tuple(edits))


def _indents_above(view: View, line: int) -> list[str]:
    """Indentations of the blocks open above a line, those nearest in width to the line's own first."""
    found: list[str] = []
    least = 10**6
    for number in range(line - 1, max(0, line - 500), -1):
        text = view.line(number)
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        depth = leading(text)
        if len(depth) < least:
            found.append(depth)
            least = len(depth)
        if not depth:
            break
    own = len(leading(view.line(line)))
    return sorted(found or [""], key=lambda depth: abs(len(depth) - own))


def tabs(view: View, error: CompilerError) -> Iterator[Proposal]:
    width = find_indent([body(text) for text in view.lines[:2000] if not text.startswith("\t")]).width
    for size in dict.fromkeys((width, 4, 8)):
        edits = [Edit((n, 0), (n, len(lead)), lead.expandtabs(size)) for n in range(1, len(view.lines) + 1)
                 if "\t" in (lead := leading(view.line(n)))]  # fmt: skip
        yield Proposal("Indent with spaces only", tuple(edits))


def outside(view: View, error: CompilerError) -> Iterator[Proposal]:
    """`return`, `break`, `continue` that lost their indentation: as deep as the line above, or as one block of it."""
    line = error.start[0]
    above = line - 1
    while above > 0 and not view.line(above).strip():
        above -= 1
    own = leading(view.line(line))
    depth = leading(view.line(above)) if above else ""
    unit = find_indent([body(text) for text in view.lines[:2000]]).unit
    while len(depth) > len(own):
        rest = [n for n in range(line, len(view.lines) + 1) if view.line(n).strip()]
        yield Proposal("Indent the line", (Edit((line, 0), (line, len(own)), depth),))
        same = [n for n in rest if n - line < 200 and leading(view.line(n)) == own][:1]
        if same == [line]:
            yield Proposal("Indent the line", (Edit((line, 0), (line, len(own)), depth),))
        depth = depth[: -len(unit)] if depth.endswith(unit) and len(depth) > len(unit) else ""


def make_async(view: View, error: CompilerError) -> Iterator[Proposal]:
    for number in range(error.start[0], 0, -1):
        found = re.match(r"(\s*)def\b", view.line(number))
        if found and len(found.group(1)) < max(1, len(view.indentation(error.start[0]))):
            yield Proposal("Make the function `async`", (insert(number, len(found.group(1)), "async "),))
            return
