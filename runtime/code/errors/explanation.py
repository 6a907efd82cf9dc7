"""An explanation as data: place, facts, cause, repair, and what was verified of the repair on a copy of the text."""

import platform
from dataclasses import dataclass, replace
from typing import Any

from runtime.code.errors.documentation import documentation, own_exception, usual_cause
from runtime.code.errors.edits import Edit, apply, unified_diff
from runtime.code.errors.situation import Fact, Finding, Situation
from runtime.code.errors.traceback_text import Raised
from runtime.code.errors.view import View, compile_error


@dataclass(frozen=True)
class Explanation:
    """One explained error. `file` is the name to show and `line` counts from 1; both are None where no place is named.

    `marks` are the columns of the expression that Python pointed at. `edits` change `view.text`, `diff` shows them, and
    `check` says what was verified.
    """

    type: str
    message: str
    file: str | None
    line: int | None
    facts: tuple[Fact, ...]
    cause: str
    check: str
    marks: tuple[int, int] | None = None
    edits: tuple[Edit, ...] = ()
    title: str = ""
    diff: str | None = None
    view: View | None = None

    @property
    def error(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    def as_json(self) -> dict[str, Any]:
        """The public form: {where {file, line}, facts [{name, value, checked}], cause, fix, check}."""
        return {
            "where": {"file": self.file, "line": self.line},
            "facts": [{"name": f.name, "value": f.value, "checked": f.checked} for f in self.facts],
            "cause": self.cause,
            "fix": self.diff,
            "check": self.check,
        }


def described(raised: Raised, view: View | None) -> list[Fact]:
    """The exception itself and its documentation."""
    facts = [Fact("exception", raised.line[:500], False)]
    text = documentation(raised.type)
    if text:
        facts.append(Fact(f"documentation of {raised.name}", " ".join(text.split())[:300]))
    elif view is not None and (own := own_exception(view, raised.name)):
        facts.append(Fact(f"definition of {raised.name}", own))
    if usual := usual_cause(raised.type):
        facts.append(Fact("usual cause", usual, False))
    if raised.notes:
        facts.append(Fact("further lines of the message", "\n".join(raised.notes)[:500], False))
    return facts


# These say something about a name or operation of the very line that raised them.
ONLY_INNER = frozenset(
    "NameError UnboundLocalError AttributeError TypeError IndexError ZeroDivisionError AssertionError "
    "NotImplementedError".split()
)


def fallback(situation: Situation, raised: Raised) -> str:
    if not situation.here:
        return f"A call in this line failed deeper inside: {raised.line[:200]}"
    if situation.view.line(situation.line).strip().startswith("raise"):
        return f"The program raises this error itself here: {raised.line[:200]}"
    return usual_cause(raised.type) or f"The message is all that is known: {raised.line[:200]}"


def repaired(result: Explanation, finding: Finding, sure: bool) -> Explanation:
    """Applies the repair to a copy of the text and says what holds there; a repair that fails a check is dropped."""
    if not finding.edits:
        count = sum(fact.checked for fact in result.facts)
        looked = f"{count} of {len(result.facts)} facts were looked up in the source and in Python"
        return replace(result, check=f"no rule derives a change for this; {looked}")
    if not sure:
        return replace(result, check="no change is proposed: the file is not the one that the traceback was made from")
    try:
        text = apply(result.view.text, finding.edits)
    except (ValueError, IndexError):
        return replace(result, check="no change is proposed: its edits overlap")
    if compile_error(text) is not None:
        return replace(result, check="no change is proposed: the one that the rule derives does not compile")
    proof: str | None = f"the reason for the change: {finding.proof}" if finding.proof else ""
    if callable(finding.proof):
        proof = finding.proof(View(text, result.view.path))
    if proof is None:
        return replace(
            result, check="no change is proposed: the one that the rule derives does not hold when looked at again"
        )
    check = f"the changed source compiles (Python {platform.python_version()})" + (f"; {proof}" if proof else "")
    return replace(
        result, edits=finding.edits, title=finding.title, check=check + ". It was not run.",
        diff=unified_diff(result.view.text, text, result.view.path) or None,
    )  # fmt: skip
