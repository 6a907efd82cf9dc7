"""Proposes words and characters: misspelt keywords, what other languages write, curly quotes, keywords used as names.

Proposals come likeliest first; whether one is right, `syntax` asks the compiler.
"""

import builtins
import keyword
import re
from collections.abc import Iterator

from runtime.code.errors.edits import Edit, insert
from runtime.code.errors.proposal import BLOCK, CompilerError, Proposal, code_end
from runtime.code.errors.scope import distance
from runtime.code.errors.view import View

_SMART = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "−": "-", "×": "*",
          "÷": "/", "，": ",", "（": "(", "）": ")", "：": ":", "；": ";", "［": "[", "］": "]", "≤": "<=", "≥": ">=",
          "≠": "!=", "…": "...", "\u00a0": " ", "\u200b": "", "\ufeff": "", "\u2028": " ", "\u3000": " "}  # fmt: skip

_OTHER_LANGUAGES = (
    (r"\belse\s+if\b", "elif"), (r"\b(?:elseif|elsif|elsf)\b", "elif"), (r"&&", "and"), (r"\|\|", "or"),
    (r"===", "=="), (r"!==", "!="), (r"<>", "!="), (r"=>", ">="), (r"=<", "<="), (r"(\w+)\s*\+\+", r"\1 += 1"),
    (r"(\w+)\s*--", r"\1 -= 1"), (r"!(?!=)\s*(?=[\w(])", "not "), (r"^(\s*)(?:function|func|fn)\b", r"\1def"),
    (r"^(\s*)(?:var|let|const|int|str)\s+(?=\w+\s*=)", r"\1"), (r"\bnew\s+(?=\w)", ""), (r"\s*\{\s*$", ":"),
    (r"^(\s*)raise\s+(\w+)\s*,\s*(.+)$", r"\1raise \2(\3)"),
    (r"^(\s*)except\s+(\w+)\s*,\s*(\w+)\s*:", r"\1except \2 as \3:"),
    (r"^(\s*)(?:catch)\b", r"\1except"), (r"\bthen\b", ":"),
)  # fmt: skip


def equals(view: View, error: CompilerError) -> Iterator[Proposal]:
    if not view.line(error.start[0])[: error.start[1]].strip():
        return  # the statement itself is the assignment: there is nothing to compare
    for line in {error.start[0], error.end[0]}:
        text = view.line(line)
        hits = [m.start() for m in re.finditer(r"(?<![=!<>:+\-*/%&|^@])=(?!=)", text)]
        inside = [at for at in hits if error.start <= (line, at) <= (error.end[0], error.end[1] + 4)]
        for at in [*inside, *(at for at in hits if at not in inside)]:
            yield Proposal("Change `=` to `==`", (Edit((line, at), (line, at + 1), "=="),))


def call_print(view: View, error: CompilerError) -> Iterator[Proposal]:
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


def characters(view: View, error: CompilerError) -> Iterator[Proposal]:
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


def zeros(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    for found in re.finditer(r"(?<![\w.])0+(?=[1-9])", view.line(line)):
        yield Proposal("Drop the leading zeros", (Edit((line, found.start()), (line, found.end()), ""),))


def backslash(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    text = view.line(line)
    at = text.rfind("\\")
    if at >= 0 and not text[at + 1 :].strip():
        yield Proposal("Drop what follows the backslash", (Edit((line, at + 1), (line, len(text)), ""),))
    for found in re.finditer(r"\\", text):
        yield Proposal("Change `\\` to `/`", (Edit((line, found.start()), (line, found.end()), "/"),))


def raw(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    for found in re.finditer(r"(?<![\w\"'])[fF]?(?=[\"'][^\"']*\\[uUNx])", view.line(line)):
        yield Proposal("Mark the string as raw (`r`)", (insert(line, found.start(), "r"),))


def make_global(view: View, error: CompilerError) -> Iterator[Proposal]:
    line = error.start[0]
    if found := re.search(r"\bnonlocal\b", view.line(line)):
        yield Proposal("Change `nonlocal` to `global`", (Edit((line, found.start()), (line, found.end()), "global"),))


def words(view: View, error: CompilerError) -> Iterator[Proposal]:
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
                if BLOCK.match(changed) and not changed.endswith(":"):
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


def keyword_name(view: View, error: CompilerError) -> Iterator[Proposal]:
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
            place = re.compile(rf"\b{word}\b(?=\s*(?:=(?!=)|[,)\].+*/<>-]|$))")  # where a name stands, not a keyword
            edits = tuple(
                Edit((n, found.start()), (n, found.end()), word + "_")
                for n in range(1, len(view.lines) + 1)
                for found in place.finditer(view.line(n))
            )
            if edits:
                yield Proposal(f"Rename `{word}` to `{word}_`", edits)
