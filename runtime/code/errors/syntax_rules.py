"""Proposes changes for messages of the compiler: the colon, bracket, quote, comma or indentation that may be missing.

Proposals come likeliest first; whether one is right, `syntax` asks the compiler. Lines from 1, columns from 0.
"""

import builtins
import keyword
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runtime.code.caret import find_indent, leading
from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.scope import distance
from runtime.code.errors.view import View
from runtime.code.lines import body

_CLOSER = {"(": ")", "[": "]", "{": "}"}
_BLOCK = re.compile(r"\s*(?:if|elif|else|for|while|def|class|with|try|except|finally|async|match|case)\b")
_SMART = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "−": "-", "×": "*",
          "÷": "/", "，": ",", "（": "(", "）": ")", "：": ":", "；": ";", "［": "[", "］": "]", "≤": "<=", "≥": ">=",
          "≠": "!=", "…": "...", "\u00a0": " ", "\u200b": "", "\ufeff": "", "\u2028": " ", "\u3000": " "}  # fmt: skip
_OTHER_LANGUAGES = (
    (r"\belse\s+if\b", "elif"), (r"\b(?:elseif|elsif|elsf)\b", "elif"), (r"&&", "and"), (r"\|\|", "or"),
    (r"===", "=="), (r"!==", "!="), (r"<>", "!="), (r"=>", ">="), (r"=<", "<="), (r"(\w+)\s*\+\+", r"\1 += 1"),
    (r"(\w+)\s*--", r"\1 -= 1"), (r"!(?!=)\s*(?=[\w(])", "not "), (r"^(\s*)(?:function|func|fn)\b", r"\1def"),
    (r"^(\s*)(?:var|let|const|int|str)\s+(?=\w+\s*=)", r"\1"), (r"\bnew\s+(?=\w)", ""), (r"\s*\{\s*$", ":"),
    (r"^(\s*)raise\s+(\w+)\s*,\s*(.+)$", r"\1raise \2(\3)"), (r"^(\s*)except\s+(\w+)\s*,\s*(\w+)\s*:", r"\1except \2 as \3:"),
    (r"^(\s*)(?:catch)\b", r"\1except"), (r"\bthen\b", ":"),
)  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    """Edits and what they do, as a menu entry."""

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class _Error:
    """The compiler's error in our counting: `start` and `end` are (line, column)."""

    message: str
    start: tuple[int, int]
    end: tuple[int, int]


def proposals(view: View, error: SyntaxError) -> Iterator[Proposal]:
    line = min(max(1, error.lineno or 1), len(view.lines))
    column = max(0, (error.offset or 1) - 1)
    last = error.end_lineno or line
    end = (
        (last, max(0, (error.end_offset or 0) - 1)) if last >= line and (error.end_offset or 0) > 0 else (line, column)
    )
    found = _Error(error.msg or "", (line, column), end)
    for pattern, rule in _RULES:
        if re.match(pattern, found.message):
            yield from rule(view, found)


def code_end(text: str) -> int:
    """The column where the code of a line ends: before a comment and the white space in front of it."""
    quote = ""
    at = 0
    while at < len(text):
        c = text[at]
        if quote:
            if c == "\\":
                at += 1
            elif text.startswith(quote, at):
                at += len(quote) - 1
                quote = ""
        elif c in "\"'":
            quote = c * 3 if text.startswith(c * 3, at) else c
            at += len(quote) - 1
        elif c == "#":
            return len(text[:at].rstrip())
        at += 1
    return len(text.rstrip())


def _colon(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    for number in (line, line - 1):
        text = view.line(number)
        if _BLOCK.match(text) and not text[: code_end(text)].endswith(":"):
            yield Proposal("Add the missing colon", (insert(number, code_end(text), ":"),))
    yield Proposal("Add the missing colon", (insert(*error.start, ":"),))


def _never_closed(view: View, error: _Error) -> Iterator[Proposal]:
    closer = _CLOSER.get(error.message[1], ")")
    title = f"Add the missing `{closer}`"
    line = error.start[0]
    depth = len(view.indentation(line))
    for number in range(line, min(len(view.lines), line + 30) + 1):
        text = view.line(number)
        if number > line and text.strip() and len(view.indentation(number)) <= depth and text.strip()[0] not in ")]}":
            break
        end = code_end(text)
        if text[:end].endswith(":") and _BLOCK.match(view.line(line)):
            yield Proposal(title, (insert(number, end - 1, closer),))
        if text.strip():
            yield Proposal(title, (insert(number, end, closer),))
    if error.message[1] == "{":  # an f-string or a stray brace
        yield Proposal("Drop the bracket", (Edit(error.start, (line, error.start[1] + 1), ""),))


def _close_here(view: View, error: _Error) -> Iterator[Proposal]:
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


def _unmatched(view: View, error: _Error) -> Iterator[Proposal]:
    line, column = error.start
    yield Proposal("Drop the surplus bracket", (Edit(error.start, (line, column + 1), ""),))


def _mismatch(view: View, error: _Error) -> Iterator[Proposal]:
    found = re.match(r"closing parenthesis '(.)' does not match opening parenthesis '(.)'", error.message)
    right = _CLOSER.get(found.group(2), ")")
    line, column = error.start
    yield Proposal(f"Change `{found.group(1)}` to `{right}`", (Edit(error.start, (line, column + 1), right),))
    yield Proposal(f"Add the missing `{right}`", (insert(line, column, right),))


def _string(view: View, error: _Error) -> Iterator[Proposal]:
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


def _apostrophe(view: View, error: _Error) -> Iterator[Proposal]:
    """'it's' : double quotes around the text."""
    text = view.line(error.start[0])
    if found := re.search(r"'(\w+'\w[^']*)'", text):
        yield Proposal(
            "Use double quotes",
            (Edit((error.start[0], found.start()), (error.start[0], found.end()), f'"{found.group(1)}"'),),
        )


def _equals(view: View, error: _Error) -> Iterator[Proposal]:
    if not view.line(error.start[0])[: error.start[1]].strip():
        return  # the statement itself is the assignment: there is nothing to compare
    for line in {error.start[0], error.end[0]}:
        text = view.line(line)
        hits = [m.start() for m in re.finditer(r"(?<![=!<>:+\-*/%&|^@])=(?!=)", text)]
        inside = [at for at in hits if error.start <= (line, at) <= (error.end[0], error.end[1] + 4)]
        for at in [*inside, *(at for at in hits if at not in inside)]:
            yield Proposal("Change `=` to `==`", (Edit((line, at), (line, at + 1), "=="),))


def _comma(view: View, error: _Error) -> Iterator[Proposal]:
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


def _print(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    text = view.line(line)
    found = re.search(r"\b(print|exec)\b\s*", text)
    if found:
        end = code_end(text)
        inside = text[found.end() : end].rstrip(";").rstrip()
        ending = ""
        if inside.endswith(","):
            inside, ending = inside[:-1].rstrip(), ', end=" "'
        yield Proposal("Add the parentheses", (Edit((line, found.end(1)), (line, end), f"({inside}{ending})"),))


def _block_expected(view: View, error: _Error) -> Iterator[Proposal]:
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


def _indent(view: View, error: _Error) -> Iterator[Proposal]:
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


def _tabs(view: View, error: _Error) -> Iterator[Proposal]:
    width = find_indent([body(text) for text in view.lines[:2000] if not text.startswith("\t")]).width
    for size in dict.fromkeys((width, 4, 8)):
        edits = [Edit((n, 0), (n, len(lead)), lead.expandtabs(size)) for n in range(1, len(view.lines) + 1)
                 if "\t" in (lead := leading(view.line(n)))]  # fmt: skip
        yield Proposal("Indent with spaces only", tuple(edits))


def _outside(view: View, error: _Error) -> Iterator[Proposal]:
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


def _await(view: View, error: _Error) -> Iterator[Proposal]:
    for number in range(error.start[0], 0, -1):
        found = re.match(r"(\s*)def\b", view.line(number))
        if found and len(found.group(1)) < max(1, len(view.indentation(error.start[0]))):
            yield Proposal("Make the function `async`", (insert(number, len(found.group(1)), "async "),))
            return


def _characters(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    text = view.line(line)
    plain = "".join(_SMART.get(c, c) for c in text)
    if plain != text:
        yield Proposal("Replace the character", (Edit((line, 0), (line, len(text)), plain),))
    rows = [(n, view.line(n)) for n in range(1, len(view.lines) + 1)]
    every = tuple(
        Edit((n, 0), (n, len(row)), new) for n, row in rows if (new := "".join(_SMART.get(c, c) for c in row)) != row
    )
    if len(every) > 1:
        yield Proposal("Replace the characters", every)


def _zeros(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    for found in re.finditer(r"(?<![\w.])0+(?=[1-9])", view.line(line)):
        yield Proposal("Drop the leading zeros", (Edit((line, found.start()), (line, found.end()), ""),))


def _parentheses(view: View, error: _Error) -> Iterator[Proposal]:
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


def _backslash(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    text = view.line(line)
    at = text.rfind("\\")
    if at >= 0 and not text[at + 1 :].strip():
        yield Proposal("Drop what follows the backslash", (Edit((line, at + 1), (line, len(text)), ""),))
    for found in re.finditer(r"\\", text):
        yield Proposal("Change `\\` to `/`", (Edit((line, found.start()), (line, found.end()), "/"),))


def _raw(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    for found in re.finditer(r"(?<![\w\"'])[fF]?(?=[\"'][^\"']*\\[uUNx])", view.line(line)):
        yield Proposal("Mark the string as raw (`r`)", (insert(line, found.start(), "r"),))


def _inner_quotes(view: View, error: _Error) -> Iterator[Proposal]:
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


def _nonlocal(view: View, error: _Error) -> Iterator[Proposal]:
    line = error.start[0]
    if found := re.search(r"\bnonlocal\b", view.line(line)):
        yield Proposal("Change `nonlocal` to `global`", (Edit((line, found.start()), (line, found.end()), "global"),))


def _words(view: View, error: _Error) -> Iterator[Proposal]:
    """Misspelt keywords and what other languages write, in the line of the error and the one before it."""
    for line in (error.start[0], error.start[0] - 1):
        if line < 1:
            continue
        text = view.line(line)
        for pattern, new in _OTHER_LANGUAGES:
            changed = re.sub(pattern, new, text[: code_end(text)])
            if changed != text[: code_end(text)]:
                shown = re.search(pattern, text).group().strip() or text.strip()
                yield Proposal(f"Replace `{shown[:40]}`", (Edit((line, 0), (line, code_end(text)), changed),))
                if _BLOCK.match(changed) and not changed.endswith(":"):
                    yield Proposal(f"Replace `{shown[:40]}`", (Edit((line, 0), (line, code_end(text)), changed + ":"),))
        for found in re.finditer(r"[A-Za-z_]+", text[: code_end(text)]):
            word = found.group()
            if keyword.iskeyword(word) or hasattr(builtins, word):
                continue
            near = [
                k
                for k in keyword.kwlist
                if distance(word.lower(), k.lower()) <= (1 if len(k) < 5 else 2) and len(word) > 1
            ]
            for right in sorted(near, key=lambda k: (distance(word, k), k))[:3]:
                yield Proposal(
                    f"Change `{word}` to `{right}`", (Edit((line, found.start()), (line, found.end()), right),)
                )


def _keyword_name(view: View, error: _Error) -> Iterator[Proposal]:
    """A keyword used as a name: an underscore behind it, wherever it stands like one."""
    line = error.start[0]
    for found in re.finditer(r"[A-Za-z]+", view.line(line)):
        if keyword.iskeyword(found.group()) and found.group() not in (
            "True",
            "False",
            "None",
            "and",
            "or",
            "not",
            "in",
            "is",
        ):
            word = found.group()
            edits = tuple(Edit((n, m.start()), (n, m.end()), word + "_") for n in range(1, len(view.lines) + 1)
                          for m in re.finditer(rf"\b{word}\b(?=\s*(?:=(?!=)|[,)\].+*/<>-]|$))", view.line(n)))  # fmt: skip
            if edits:
                yield Proposal(f"Rename `{word}` to `{word}_`", edits)


_RULES: tuple[tuple[str, Callable[[View, _Error], Iterator[Proposal]]], ...] = (
    (r"expected ':'", _words),
    (r"expected ':'", _equals),
    (r"expected ':'", _colon),
    (r"'.' was never closed", _never_closed),
    (r"unmatched", _unmatched),
    (r"closing parenthesis", _mismatch),
    (r"unterminated|EOL while|EOF while scanning", _apostrophe),
    (r"unterminated|EOL while|EOF while scanning", _inner_quotes),
    (r"unterminated|EOL while|EOF while scanning", _string),
    (r".*Maybe you meant '=='", _equals),
    (r"Missing parentheses in call", _print),
    (r"expected an indented block", _block_expected),
    (r"unexpected indent|unindent does not match", _indent),
    (r"inconsistent use of tabs|unindent does not match|unexpected indent", _tabs),
    (r"'(?:return|break|yield)' outside|'continue' not", _outside),
    (r"'await' outside|asynchronous comprehension|'async (?:for|with)' outside", _await),
    (r"invalid (?:non-printable )?character", _characters),
    (r"leading zeros", _zeros),
    (r"multiple exception types|expected '\('", _parentheses),
    (r"unexpected character after line", _backslash),
    (r"\(unicode error\)", _raw),
    (r"f-string|invalid syntax", _inner_quotes),
    (r"no binding for nonlocal|nonlocal declaration", _nonlocal),
    (r"invalid syntax|expected|cannot assign|illegal", _words),
    (r"invalid syntax$", _close_here),
    (r"invalid syntax", _keyword_name),
    (r"invalid syntax$", _colon),
    (r"invalid syntax", _apostrophe),
    (r"invalid syntax", _comma),
    (r"invalid syntax$", _equals),
)
