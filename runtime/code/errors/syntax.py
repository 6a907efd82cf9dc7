"""Explains why a source does not compile, and looks for the smallest change after which it does.

Each rule proposes changes for certain messages; a change counts only if the compiler agrees: the whole source
compiles, or at least this error is gone and the next one stands further down. The source is compiled, never run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.code.errors.edits import Edit, apply, edits_between
from runtime.code.errors.syntax_rules import Proposal, proposals
from runtime.code.errors.view import View, compile_error

MOST_TRIED = 60  # proposals for one error
MOST_COMPILED = 2_000_000  # characters that are compiled for it in all: some two seconds
MOST_ERRORS = 3  # that are repaired together
MOST_FOLLOWED = (4, 2)  # proposals after which the next error is looked at, for the first and the second error


@dataclass(frozen=True)
class Repair:
    """A change that the compiler accepted, with the source after it; `left` is the next error where there is one."""

    title: str
    edits: tuple[Edit, ...]
    text: str
    left: SyntaxError | None = None


def repair(view: View, error: SyntaxError) -> Repair | None:
    """The first change after which the source compiles; with several mistakes, the changes together; else one that gets
    further down."""
    if not error.lineno:
        return None
    found, partial = _search(view, error, _Budget(), MOST_ERRORS)
    if found is None:
        return partial
    titles, text = found
    if len(titles) == 1:
        return Repair(titles[0].title, titles[0].edits, text)
    return Repair("; ".join(p.title for p in titles), edits_between(view.text, text), text)


class _Budget:
    """What may still be compiled."""

    def __init__(self) -> None:
        self.left = MOST_COMPILED

    def compile(self, text: str) -> SyntaxError | None:
        self.left -= len(text)
        return compile_error(text)


def _search(
    view: View, error: SyntaxError, budget: _Budget, depth: int
) -> tuple[tuple[list[Proposal], str] | None, Repair | None]:
    """(proposals that together make the source compile, and it) or None, and one that gets further down or None."""
    partial: Repair | None = None
    others: list[tuple[Proposal, str, SyntaxError]] = []
    for proposal in _some(proposals(view, error), MOST_TRIED):
        if budget.left <= 0:
            break
        try:
            text = apply(view.text, proposal.edits)
        except (ValueError, IndexError):
            continue
        if text == view.text:
            continue
        left = budget.compile(text)
        if left is None:
            return ([proposal], text), None
        if left.msg == error.msg and left.lineno == error.lineno:
            continue
        others.append((proposal, text, left))
        touched = max((error.lineno, *(edit.end[0] for edit in proposal.edits)))
        if partial is None and (left.lineno or 0) > touched and left.msg != error.msg:
            partial = Repair(proposal.title, proposal.edits, text, left)
    if depth > 1:
        for proposal, text, left in others[: MOST_FOLLOWED[MOST_ERRORS - depth]]:
            found, _ = _search(View(text, view.path), left, budget, depth - 1) if left.lineno else (None, None)
            if found is not None:
                return ([proposal, *found[0]], found[1]), partial
    return None, partial


def _some(found: Iterator[Proposal], most: int) -> Iterator[Proposal]:
    """The first `most` proposals that differ."""
    seen: set[tuple[Edit, ...]] = set()
    for proposal in found:
        if len(seen) >= most:
            return
        if proposal.edits not in seen:
            seen.add(proposal.edits)
            yield proposal


# Beginnings of the compiler's messages, and what they mean in words.
_MEANINGS = (
    (
        r"cannot assign to (.*?) here\. Maybe you meant '=='",
        "`=` assigns, and its left side is {0}, to which nothing can be assigned; a comparison is written `==`.",
    ),
    (r"expected ':'", "A colon is missing at the end of the head of a block."),
    (r"'(.)' was never closed", "The bracket `{0}` opened here is never closed."),
    (r"unmatched '(.)'", "There is a closing `{0}` with no opening one."),
    (
        r"closing parenthesis '(.)' does not match opening parenthesis '(.)'",
        "`{1}` was opened, but `{0}` stands where it should be closed.",
    ),
    (r"unterminated triple-quoted string", "A string in triple quotes is never closed."),
    (r"unterminated (?:f-)?string|EOL while scanning", "A string is not closed at the end of its line."),
    (r".*Maybe you meant '==' (?:or ':=' )?instead of '='", "`=` assigns; a comparison is written `==`."),
    (
        r"invalid syntax. Perhaps you forgot a comma",
        "Two expressions stand side by side: something is missing between them, often a comma.",
    ),
    (r"Missing parentheses in call to '(\w+)'", "`{0}` is a function in Python 3 and needs parentheses."),
    (r"expected an indented block( after .*)?", "A block has to follow{0}, indented further than its head."),
    (r"unexpected indent", "This line is indented further than the one before, although no block begins here."),
    (r"unindent does not match", "The indentation of this line fits none of the blocks around it."),
    (r"inconsistent use of tabs", "Tabs and spaces are mixed in the indentation so that the depth is not clear."),
    (r"'return' outside function", "`return` stands outside of any function; often its indentation was lost."),
    (
        r"'(\w+)' outside loop|'(continue)' not properly in loop",
        "`{0}` stands outside of any loop; often its indentation was lost.",
    ),
    (
        r"'await' outside (?:async )?function|asynchronous comprehension|'async (?:for|with)' outside",
        "This can only stand inside an `async def`.",
    ),
    (
        r"invalid (?:non-printable )?character (.*)",
        "The character {0} does not belong to Python; it often comes from a word processor or a web page.",
    ),
    (r"leading zeros in decimal", "Numbers do not begin with 0; octal ones begin with 0o."),
    (r"invalid decimal literal", "A number is followed by letters; names do not begin with a digit."),
    (
        r"(?:non-default argument follows default|parameter without a default)",
        "A parameter without a default stands after one that has a default.",
    ),
    (r"positional argument follows keyword", "An argument without a name stands after one with a name."),
    (
        r"cannot assign to (.*?)(?: here)?(?:\.|$)",
        "The left side of `=` is {0}; only names, attributes and elements can be assigned to.",
    ),
    (r"multiple exception types must be parenthesized", "Several exception types after `except` stand in parentheses."),
    (r"expected 'except' or 'finally' block", "A `try` needs an `except` or a `finally`."),
    (
        r"unexpected character after line continuation",
        "After a backslash at the end of a line nothing may follow, not even a space.",
    ),
    (
        r"\(unicode error\)",
        "`\\U`, `\\u` and `\\N` begin an escape in a string; in a path the backslashes have to be doubled or the "
        "string marked `r`.",
    ),
    (r"f-string: ", "The expression inside the braces of an f-string is not complete."),
    (
        r"name '(\w+)' is (?:used prior to|assigned to before) (\w+) declaration",
        "`{1} {0}` has to stand before the first use of `{0}` in the function.",
    ),
    (r"no binding for nonlocal '(\w+)'", "No function around this one has a variable `{0}`."),
    (r"duplicate argument '(\w+)'", "The parameter `{0}` stands twice in the definition."),
    (r"keyword argument repeated: (\w+)", "The argument `{0}` is given twice."),
    (r"from __future__ imports must", "Imports from `__future__` stand before everything else in the file."),
    (r"expected '\('", "The parentheses of the parameters are missing."),
    (r"unexpected EOF", "The file ends in the middle of a statement."),
    (
        r"(?:source code string cannot contain|.*)null bytes",
        "The file holds zero bytes: it is no source text, or it is saved as UTF-16.",
    ),
)


def meaning(message: str) -> str:
    """What the compiler's message means."""
    for pattern, words in _MEANINGS:
        if found := re.match(pattern, message):
            given = [part for part in found.groups() if part is not None]
            return words.format(*given, *[""] * 2)
    return "Python cannot read this line as a statement; the mistake stands at the mark or shortly before it."
