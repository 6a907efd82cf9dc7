"""Explains an error: where it stands, facts that were looked up, the cause, a repair by rule, what was verified.

Three doors: a traceback, a source that does not compile, one message at one place (as an editor's diagnostic). Reads
only what `Sources` gives, runs nothing, and says of each fact whether it was checked. Knows no model.
"""

import platform
from dataclasses import replace

from runtime.code.errors import rules
from runtime.code.errors.documentation import usual_cause
from runtime.code.errors.edits import unified_diff
from runtime.code.errors.explanation import ONLY_INNER, Explanation, described, fallback, repaired
from runtime.code.errors.pytest_text import parse_pytest
from runtime.code.errors.situation import Fact, Finding, Situation, Sources
from runtime.code.errors.syntax import meaning, repair
from runtime.code.errors.traceback_text import CAUSE, Frame, Raised, last_exception_line, parse_traceback
from runtime.code.errors.view import View

SYNTAX = ("SyntaxError", "IndentationError", "TabError")


def read(text: str) -> tuple[Raised, ...]:
    """The last error that a text shows, as a chain; empty if it shows none."""
    chain = parse_traceback(text)
    if chain and chain[-1].type and (chain[-1].frames or chain[-1].members):
        return chain
    found = parse_pytest(text)
    if found:
        return found
    if chain:
        return chain
    lone = last_exception_line(text)
    return (lone,) if lone is not None else ()


def explain_traceback(text: str, sources: Sources) -> Explanation | None:
    """Explains the last traceback in `text`; None if there is none."""
    chain = read(text)
    if not chain:
        return None
    raised, facts = _chosen(chain)
    if not raised.type:
        facts.append(Fact("the traceback", "is cut off before its last line, which names the exception", False))
    frame, source = _frame(raised, sources)
    if source is None:
        return _without_source(raised, frame, facts)
    view = View(source[1], source[0])
    facts += _deeper(raised, frame)
    if raised.name in SYNTAX:
        return _syntax(view, raised, frame, facts)
    line, more, sure = _line(view, frame)
    marks = _marks(view, line, frame) if sure else None
    situation = Situation(view, line, raised.name, raised.message, marks, frame is raised.frames[-1], sources)
    return _explained(situation, raised, facts + more, sure)


def explain_source(text: str, path: str) -> Explanation | None:
    """Explains why a source does not compile; None if it does."""
    view = View(text, path)
    if view.error is None:
        return None
    raised = Raised(type(view.error).__name__, view.error.msg or "")
    return _syntax(view, raised, None, [])


def explain_message(
    kind: str, message: str, view: View, line: int, marks: tuple[int, int] | None, sources: Sources
) -> Explanation:
    """Explains one message at one place of a source that compiles, as if the line had raised it."""
    situation = Situation(view, line, kind, message, marks, True, sources)
    return _explained(situation, Raised(kind, message), [], True)


def _chosen(chain: tuple[Raised, ...]) -> tuple[Raised, list[Fact]]:
    """The exception to explain, and how it stands to the others.

    The last one ended the program. If it only passes on an earlier one (`raise … from …`, or a `raise` in an
    `except`), that earlier one is where the trouble began. Of a group: its first member.
    """
    facts: list[Fact] = []
    at = len(chain) - 1
    while at > 0 and chain[at - 1].type and (chain[at].link == CAUSE or _reraised(chain[at])):
        at -= 1
    chosen = chain[at]
    if len(chain) > 1:
        facts.append(Fact("chain", " → ".join(r.name or "?" for r in chain) + f" (explained: {chosen.name})", False))
        if chosen is not chain[-1]:
            facts.append(Fact("ended the program", chain[-1].line[:300], False))
    depth = 0
    while chosen.members and depth < 20:
        facts.append(Fact("group", f"{chosen.line[:200]}: {len(chosen.members)} shown, the first is explained", False))
        chosen, inner = _chosen(chosen.members[0])
        facts += inner
        depth += 1
    return chosen, facts


def _reraised(raised: Raised) -> bool:
    return bool(raised.frames) and raised.frames[-1].code.startswith("raise")


def _frame(raised: Raised, sources: Sources) -> tuple[Frame | None, tuple[str, str] | None]:
    """The innermost frame whose source may be read, with it; else the innermost frame."""
    seen: dict[str, tuple[str, str] | None] = {}
    for frame in reversed(raised.frames):
        if frame.file not in seen and len(seen) < 50:
            seen[frame.file] = sources.source(frame.file)
        if found := seen.get(frame.file):
            return frame, found
    return (raised.frames[-1] if raised.frames else None), None


def _deeper(raised: Raised, frame: Frame) -> list[Fact]:
    facts = []
    last = raised.frames[-1]
    if last is not frame:
        facts.append(Fact("raised deeper, in", f"{last.file}, line {last.line}, {last.function}", False))
    repeated = max((f.repeated for f in raised.frames), default=0)
    if repeated:
        facts.append(Fact("calls left out of the traceback", str(repeated), False))
    return facts


def _line(view: View, frame: Frame) -> tuple[int, list[Fact], bool]:
    """(line, facts, whether the source still is what the traceback shows)."""
    line = min(max(1, frame.line), len(view.lines))
    own = view.line(line).strip()
    if not frame.code:
        return line, [], frame.line <= len(view.lines)
    if own == frame.code or (len(frame.code) > 80 and own.startswith(frame.code[:80])):
        return line, [Fact("the source line", "is the one that the traceback shows")], True
    same = [n for n in range(1, len(view.lines) + 1) if view.line(n).strip() == frame.code]
    if len(same) == 1:
        return same[0], [Fact("the source line", f"stood in line {frame.line} and stands in line {same[0]} now")], True
    return (
        line,
        [Fact("the source line", "is not the one that the traceback shows: the file was changed since", False)],
        False,
    )


def _marks(view: View, line: int, frame: Frame) -> tuple[int, int] | None:
    if frame.marks is None:
        return None
    shift = len(view.indentation(line))
    return frame.marks[0] + shift, frame.marks[1] + shift


def _without_source(raised: Raised, frame: Frame | None, facts: list[Fact]) -> Explanation:
    facts = facts + described(raised, None)
    if frame is not None and frame.code:
        facts.append(Fact("the line, as the traceback shows it", frame.code, False))
    file, line = (frame.file, frame.line) if frame is not None else (None, None)
    why = "no place is named" if frame is None else f"{frame.file} is not a source that may be read here"
    cause = usual_cause(raised.type) or "The message is all that is known."
    return Explanation(
        raised.name or "unknown", raised.message, file, line, tuple(facts), cause,
        f"nothing could be checked against the source: {why}",
    )  # fmt: skip


def _explained(situation: Situation, raised: Raised, facts: list[Fact], sure: bool) -> Explanation:
    view = situation.view
    finding = rules.find(situation) if situation.here or raised.name not in ONLY_INNER else None
    if finding is None:
        finding = Finding(fallback(situation, raised))
    facts = [*facts, *finding.facts, *described(raised, view)]
    result = Explanation(
        raised.name,
        raised.message,
        view.path,
        situation.line,
        tuple(facts),
        finding.cause,
        "",
        situation.marks,
        view=view,
    )
    return repaired(result, finding, sure)


def _syntax(view: View, raised: Raised, frame: Frame | None, facts: list[Fact]) -> Explanation:
    """The compiler's error, asked anew of the source as it is now."""
    error = view.error
    if error is None:
        line = min(frame.line, len(view.lines)) if frame is not None else 1
        facts = [*facts, Fact("compiles", f"yes, with Python {platform.python_version()}"), *described(raised, None)]
        return Explanation(
            raised.name, raised.message, view.path, line, tuple(facts), meaning(raised.message),
            f"the source compiles with Python {platform.python_version()}: it was changed since, or needs a newer "
            f"Python than "
            "the one that ran it", view=view,
        )  # fmt: skip
    now = Raised(type(error).__name__, error.msg or "")
    if frame is not None and (raised.message != now.message or frame.line != error.lineno):
        facts = [*facts, Fact("the traceback says", f"line {frame.line}: {raised.line[:200]}", False)]
    line = min(max(1, error.lineno or 1), len(view.lines))
    start = max(0, (error.offset or 1) - 1)
    end = error.end_offset - 1 if error.end_lineno == line and (error.end_offset or 0) > start + 1 else start + 1
    facts = [*facts, Fact("compiler", f"line {line}, column {start + 1}: {now.message}"), *described(now, None)]
    result = Explanation(
        now.name, now.message, view.path, line, tuple(facts), meaning(now.message), "", (start, end), view=view
    )
    found = repair(view, error)
    if found is None:
        return replace(result, check="no small change was found after which the source compiles")
    if found.left is None:
        check = f"the changed source compiles (Python {platform.python_version()}). It was not run."
    else:
        check = f"this error is gone; the next one stands in line {found.left.lineno}: {found.left.msg}"
    return replace(
        result, edits=found.edits, title=found.title, check=check,
        diff=unified_diff(view.text, found.text, view.path) or None,
    )  # fmt: skip
