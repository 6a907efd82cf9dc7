"""Proposes changes for messages of the compiler: the colon, bracket, quote or comma that may be missing.

Proposals come likeliest first; whether one is right, `syntax` asks the compiler. Lines from 1, columns from 0. The
table at the end says which rules answer which message.
"""

import re
from collections.abc import Callable, Iterator

from runtime.code.errors import layout_rules, word_rules
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.proposal import BLOCK, CompilerError, Proposal, code_end
from runtime.code.errors.view import View

_CLOSER = {"(": ")", "[": "]", "{": "}"}


def proposals(view: View, error: SyntaxError) -> Iterator[Proposal]:
    line = min(max(1, error.lineno or 1), len(view.lines))
    column = max(0, (error.offset or 1) - 1)
    last = error.end_lineno or line
    end = (
        (last, max(0, (error.end_offset or 0) - 1)) if last >= line and (error.end_offset or 0) > 0 else (line, column)
    )
    found = CompilerError(error.msg or "", (line, column), end)
    for pattern, rule in _RULES:
        if re.match(pattern, found.message):
            yield from rule(view, found)


def _colon(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    for number in (line, line - 1):
        text = view.line(number)
        if BLOCK.match(text) and not text[: code_end(text)].endswith(":"):
            yield Proposal("Add the missing colon", (insert(number, code_end(text), ":"),))
    yield Proposal("Add the missing colon", (insert(*error.start, ":"),))


def _never_closed(view: View, error: CompilerError) -> Iterator[Proposal]:
    closer = _CLOSER.get(error.message[1], ")")
    title = f"Add the missing `{closer}`"
    line = error.start[0]
    depth = len(view.indentation(line))
    for number in range(line, min(len(view.lines), line + 30) + 1):
        text = view.line(number)
        if number > line and text.strip() and len(view.indentation(number)) <= depth and text.strip()[0] not in ")]}":
            break
        end = code_end(text)
        if text[:end].endswith(":") and BLOCK.match(view.line(line)):
            yield Proposal(title, (insert(number, end - 1, closer),))
        if text.strip():
            yield Proposal(title, (insert(number, end, closer),))
    if error.message[1] == "{":  # an f-string or a stray brace
        yield Proposal("Drop the bracket", (Edit(error.start, (line, error.start[1] + 1), ""),))


def _close_here(view: View, error: CompilerError) -> Iterator[Proposal]:
    """A bracket left open before the place where the compiler stumbled."""
    line, column = error.start
    opened: list[str] = []
    for c in view.line(line)[:column]:
        if c in _CLOSER:
            opened.append(_CLOSER[c])
        elif opened and c == opened[-1]:
            opened.pop()
    if opened:
        closers = "".join(reversed(opened))
        yield Proposal(f"Add the missing `{closers}`", (insert(line, column, closers),))


def _unmatched(view: View, error: CompilerError) -> Iterator[Proposal]:
    line, column = error.start
    yield Proposal("Drop the surplus bracket", (Edit(error.start, (line, column + 1), ""),))


def _mismatch(view: View, error: CompilerError) -> Iterator[Proposal]:
    found = re.match(r"closing parenthesis '(.)' does not match opening parenthesis '(.)'", error.message)
    right = _CLOSER.get(found.group(2), ")")
    line, column = error.start
    yield Proposal(f"Change `{found.group(1)}` to `{right}`", (Edit(error.start, (line, column + 1), right),))
    yield Proposal(f"Add the missing `{right}`", (insert(line, column, right),))


def _string(view: View, error: CompilerError) -> Iterator[Proposal]:
    line, column = error.start
    text = view.line(line)
    found = re.match(r"[A-Za-z]{0,2}(\"\"\"|'''|[\"'])", text[column:])
    quote = found.group(1) if found else next((c for c in text[column:] if c in "\"'"), '"')
    if len(quote) == 3:
        yield Proposal("Close the string", (insert(line, len(text.rstrip()), quote),))
        last = len(view.lines)
        yield Proposal(
            "Close the string",
            (insert(last, len(view.line(last)), ("" if not view.line(last) else "\n") + quote + "\n"),),
        )
        return
    end = len(text.rstrip())
    tail = re.search(r"[)\]},:\s]*$", text[:end]).start()
    inside = text[column:end]
    opened = sum(inside.count(c) for c in "([{")
    order = sorted(range(max(tail, column + 1), end + 1), key=lambda at: (at != tail, -at))
    if opened:  # brackets inside the text: the later ends are as likely
        order.reverse()
    for at in order:
        yield Proposal("Close the string", (insert(line, at, quote),))
    if quote == "'" and "'" in text[:column]:  # it's: an apostrophe ended the string
        start = text.rfind("'", 0, column)
        yield Proposal(
            "Use double quotes",
            (Edit((line, start), (line, start + 1), '"'), Edit((line, column), (line, column + 1), "'")),
        )


def _apostrophe(view: View, error: CompilerError) -> Iterator[Proposal]:
    """'it's' : double quotes around the text."""
    text = view.line(error.start[0])
    if found := re.search(r"'(\w+'\w[^']*)'", text):
        yield Proposal(
            "Use double quotes",
            (Edit((error.start[0], found.start()), (error.start[0], found.end()), f'"{found.group(1)}"'),),
        )


def _comma(view: View, error: CompilerError) -> Iterator[Proposal]:
    first, last = error.start[0], min(error.end[0], error.start[0] + 20)
    for number in range(first, last + 1):
        text = view.line(number)
        end = code_end(text)
        low = error.start[1] if number == first else 0
        high = error.end[1] if number == last else end
        for found in re.finditer(r"(?<=[\w\"')\]}])\s+(?=[\w\"'(\[{~-])", text):
            if low <= found.start() <= high:
                yield Proposal("Add the missing comma", (insert(number, found.start(), ","),))
        if number < last and text.strip():
            yield Proposal("Add the missing comma", (insert(number, end, ","),))
        for found in re.finditer(r"(?<=[\"')\]}])(?=[\w\"'(\[{])", text):
            if low <= found.start() <= high:
                yield Proposal("Add the missing comma", (insert(number, found.start(), ", "),))


def _parentheses(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    text = view.line(line)
    if found := re.match(r"(\s*except\s+)([\w., ]+?)(\s+as\s+\w+)?(\s*:)", text):
        names, alias = found.group(2), found.group(3) or ""
        yield Proposal("Add the parentheses", (Edit((line, found.start(2)), (line, found.end(2)), f"({names})"),))
        first, _, second = names.rpartition(",")
        if not alias and second.strip().islower():
            yield Proposal(
                "Write `as`", (Edit((line, found.start(2)), (line, found.end(2)), f"{first} as {second.strip()}"),)
            )
    if found := re.match(r"(\s*def\s+\w+)(\s*:)", text):
        yield Proposal("Add the parentheses", (insert(line, found.end(1), "()"),))


def _inner_quotes(view: View, error: CompilerError) -> Iterator[Proposal]:
    """f"{d["k"]}" before Python 3.12: other quotes inside the braces."""
    for line in {error.start[0], max(1, error.start[0] - 1)}:
        text = view.line(line)
        for quote, other in (('"', "'"), ("'", '"')):
            pattern = rf"(?<=\{{)([^{{}}{quote}]*){quote}([^{{}}{quote}]*){quote}([^{{}}{quote}]*)(?=\}})"
            new = re.sub(pattern, rf"\g<1>{other}\g<2>{other}\g<3>", text)
            if new != text and re.search(rf"\b[fF]{quote}", text):
                yield Proposal("Use other quotes inside the braces", (Edit((line, 0), (line, len(text)), new),))
        for found in re.finditer(r"\{[^{}\"']*(?=[\"'])", text):
            if re.search(r"\b[fF][\"']", text):
                yield Proposal("Close the brace", (insert(line, found.end(), "}"),))


_RULES: tuple[tuple[str, Callable[[View, CompilerError], Iterator[Proposal]]], ...] = (
    (r"expected ':'", word_rules.words),
    (r"expected ':'", word_rules.equals),
    (r"expected ':'", _colon),
    (r"'.' was never closed", _never_closed),
    (r"unmatched", _unmatched),
    (r"closing parenthesis", _mismatch),
    (r"unterminated|EOL while|EOF while scanning", _apostrophe),
    (r"unterminated|EOL while|EOF while scanning", _inner_quotes),
    (r"unterminated|EOL while|EOF while scanning", _string),
    (r".*Maybe you meant '=='", word_rules.equals),
    (r"Missing parentheses in call", word_rules.call_print),
    (r"expected an indented block", layout_rules.block_expected),
    (r"unexpected indent|unindent does not match", layout_rules.indent),
    (r"inconsistent use of tabs|unindent does not match|unexpected indent", layout_rules.tabs),
    (r"'(?:return|break|yield)' outside|'continue' not", layout_rules.outside),
    (r"'await' outside|asynchronous comprehension|'async (?:for|with)' outside", layout_rules.make_async),
    (r"invalid (?:non-printable )?character", word_rules.characters),
    (r"leading zeros", word_rules.zeros),
    (r"multiple exception types|expected '\('", _parentheses),
    (r"unexpected character after line", word_rules.backslash),
    (r"\(unicode error\)", word_rules.raw),
    (r"f-string|invalid syntax", _inner_quotes),
    (r"no binding for nonlocal|nonlocal declaration", word_rules.make_global),
    (r"invalid syntax|expected|cannot assign|illegal", word_rules.words),
    (r"invalid syntax$", _close_here),
    (r"invalid syntax", word_rules.keyword_name),
    (r"invalid syntax$", _colon),
    (r"invalid syntax", _apostrophe),
    (r"invalid syntax", _comma),
    (r"invalid syntax$", word_rules.equals),
)
