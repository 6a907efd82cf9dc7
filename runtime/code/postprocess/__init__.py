"""Turns a model's raw answer into what may be shown at the caret, or into silence with a reason.

`apply` runs the rules of this folder, one a file, in a fixed order. Pure: the same answer and caret give the same
offer. Knows nothing about models or editors.
"""

from dataclasses import dataclass

from runtime.code.caret import Caret
from runtime.code.postprocess.block import cut_at_block_end
from runtime.code.postprocess.brackets import balance
from runtime.code.postprocess.indentation import fit_indentation
from runtime.code.postprocess.junk import cut_junk
from runtime.code.postprocess.repetition import cut_at_next_line, cut_loop, repeats_neighbour
from runtime.code.postprocess.single_line import cut_to_line
from runtime.code.postprocess.suffix_overlap import cut_overlap


@dataclass(frozen=True)
class Offer:
    """`text` to insert at the caret (``\\n`` line ends), replacing `replace` code points right of it on its line."""

    text: str
    replace: int = 0


@dataclass(frozen=True)
class Silence:
    """Nothing to show, and why."""

    reason: str


def apply(raw: str, caret: Caret) -> Offer | Silence:
    """All rules in order. The offer's text is never empty and never only white space."""
    return traced(raw, caret)[0]


def traced(raw: str, caret: Caret) -> tuple[Offer | Silence, list[tuple[str, str]]]:
    """As `apply`; and (rule, the text after it) for each rule that changed something, in order."""
    changes: list[tuple[str, str]] = []
    return _run(raw, caret, changes), changes


def _run(raw: str, caret: Caret, changes: list[tuple[str, str]]) -> Offer | Silence:
    if not raw.strip():
        return Silence("the model had nothing to add")
    whole_line = "\n" in cut_junk(raw).lstrip("\n")
    steps = (
        ("special tokens", cut_junk),
        ("single line", lambda text: cut_to_line(text, caret)),
        ("indentation", lambda text: fit_indentation(text, caret)),
        ("block end", lambda text: cut_at_block_end(text, caret)),
        ("repetition", cut_loop),
        ("next line", lambda text: cut_at_next_line(text, caret)),
        ("suffix overlap", lambda text: cut_overlap(text, caret, whole_line)),
    )
    text = raw
    for name, rule in steps:
        before, text = text, rule(text)
        if text != before:
            changes.append((name, text))
        if not text.strip():
            return Silence(f"nothing left after the rule “{name}”")
    before, (text, replace) = text, balance(text, caret)
    if text != before or replace:
        changes.append(("brackets", text))
    before, text = text, _strip_line_ends(text, caret, replace)
    if text != before:
        changes.append(("line ends", text))
    if not text.strip():
        return Silence("nothing left after the rule “brackets”")
    if reason := repeats_neighbour(text, caret):
        return Silence(reason)
    return Offer(text, replace)


def _strip_line_ends(text: str, caret: Caret, replace: int) -> str:
    """White space at line ends goes, but for a blank between the offer and what follows it on the line."""
    lines = text.split("\n")
    follows = caret.line_suffix[replace:]
    tail = lines[-1]
    lines = [line.rstrip() for line in lines]
    if follows.strip() and not follows[0].isspace() and tail != lines[-1]:
        lines[-1] += " "
    return "\n".join(lines)
