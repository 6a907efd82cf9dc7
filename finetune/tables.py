"""A report of an evaluation in words and as rows of text, for the terminal and for a model's card.

Report: what `finetune.commands.evaluation.evaluate_model` returns. Knows no models and no terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Rows = tuple[list[str], list[list[str]]]

_NAMES = {
    "bits_per_byte": "bits per byte",
    "edit_similarity": "edit similarity",
    "line_start": "start of a line",
    "mid_line": "inside a line",
    "trigger": "after . ( = , or a blank",
}
PROBES = {
    "common_words": "common words finished",
    "brackets": "the right closing bracket",
    "colons": "colon or end of line",
    "valid_pairs": "valid line over a broken one",
    "lines_parse": "completed lines that parse",
    "blocks_parse": "completed blocks that parse",
    "cloze": "the name that fits",
    "questions": "short questions answered",
}


def name_of(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))


def flat(results: Mapping) -> dict[str, dict]:
    """Measures by name for people, in order; those that nothing was measured for are left out."""
    found = {}
    for key, value in results.items():
        if "value" not in value:
            found |= {f"line exact match, {name_of(kind)}": inner for kind, inner in value.items()}
        elif value["value"] is not None or value["n"]:
            found[name_of(key)] = value
    return found


def main_rows(report: Mapping) -> Rows:
    """Measure, value, its interval, n; and the value of each opponent."""
    others = [(other["name"], flat(other["results"])) for other in report.get("opponents", ())]
    rows = []
    for key, r in flat(report["results"]).items():
        theirs = [_show(other.get(key, {}).get("value"), key) for _, other in others]
        rows.append([key, _show(r["value"], key), interval(r, key), f"{r['n']:,}", *theirs])
    return ["measure", "value", "95 %", "n", *(name for name, _ in others)], rows


def paired_rows(other: Mapping) -> Rows:
    """What the model is ahead of one opponent by: measure, difference, its interval, who is better."""
    rows = []
    for key, r in flat(other["paired"]).items():
        alone = f"{r['better']} to {r['worse']}, p = {_p(r['p'])}" if key.startswith("line") else ""
        rows.append([key, _show(r["value"], key, "+"), interval(r, key, "+"), alone, verdict(key, r)])
    return ["measure", "difference", "95 %", "right alone", "verdict"], rows


def verdict(key: str, r: Mapping) -> str:
    """One of "better", "worse", "no difference shown" and "not measured": by the exact test for exact match, by the
    interval for the others."""
    if r["value"] is None:
        return "not measured"
    if r["low"] is None:
        return "one text is too few"
    sign = -1 if "bits" in key else 1
    if key.startswith("line") and "p" in r:
        shown = r["p"] < 0.05
    else:
        shown = r["low"] > 0 or r["high"] < 0
    if not shown:
        return "no difference shown"
    return "better" if sign * r["value"] > 0 else "worse"


def sentences(name: str, other: Mapping) -> list[str]:
    """The paired comparison in words, one sentence a measure."""
    out = []
    for key, r in flat(other["paired"]).items():
        found = verdict(key, r)
        if found == "not measured":
            continue
        if found == "one text is too few":
            out.append(f"{key}: {found} to say which is better.")
            continue
        if found == "no difference shown":
            text = f"{key}: no difference shown between {name} and {other['name']} ({_amount(r, key)})"
        else:
            ahead = name if found == "better" else other["name"]
            text = f"{key}: {ahead} is better by {_amount(r, key, bare=True)}"
        if key.startswith("line"):
            only = f"{r['better']} lines only {name} has right, {r['worse']} only {other['name']}"
            text += f"; {only}; exact sign test p = {_p(r['p'])}"
        out.append(text + ".")
    return out


def probe_rows(probes: Mapping[str, Mapping]) -> Rows:
    """Probe, value, its interval, n, what guessing would reach."""
    rows = []
    for key, r in probes.items():
        guess = f"{100 * r['chance']:.0f} %" if r.get("chance") is not None else "-"
        rows.append([PROBES.get(key, key), _show(r["value"], "share"), interval(r, "share"), f"{r['n']:,}", guess])
    return ["probe", "value", "95 %", "n", "by guessing"], rows


def diversity_rows(diversity: Mapping) -> Rows:
    """Temperature, distinct-1, -2, -3."""
    keys = [key for key in diversity if key.startswith("distinct_")]
    rows = [[f"{t:g}", *(f"{diversity[key][i]:.3f}" for key in keys)] for i, t in enumerate(diversity["temperatures"])]
    return ["temperature", *(key.replace("_", "-") for key in keys)], rows


def diversity_words(diversity: Mapping) -> str:
    kinds = [key for key, rises in diversity["rises"].items() if not rises]
    what = f"{diversity['samples']} samples of {diversity['tokens']} tokens at each temperature"
    if not kinds:
        return f"Distinct n-grams rise with the temperature, as they should ({what})."
    return f"{', '.join(kinds).replace('_', '-')} does not rise with every step of the temperature ({what})."


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def interval(r: Mapping, key: str, sign: str = "") -> str:
    return "-" if r["low"] is None else f"{_show(r['low'], key, sign)} to {_show(r['high'], key, sign)}"


def _is_share(key: str) -> bool:
    return key.startswith(("top1", "line", "share"))


def _show(x: float | None, key: str, sign: str = "") -> str:
    if x is None:
        return "-"
    if not _is_share(key):
        return f"{x:{sign}.3f}"
    return f"{100 * x:{sign}.1f} {'pts' if sign else '%'}"


def _amount(r: Mapping, key: str, bare: bool = False) -> str:
    """A difference with its interval; bare: its size alone."""
    value, low, high = (r[part] * (100 if _is_share(key) else 1) for part in ("value", "low", "high"))
    sign = "+"
    if bare:
        sign = ""
        if value < 0:
            value, low, high = -value, -high, -low
    digits = ".1f" if _is_share(key) else ".3f"
    unit = " points" if _is_share(key) else " bits per byte" if "bits" in key else ""
    return f"{value:{sign}{digits}}{unit} [{low:{sign}{digits}}, {high:{sign}{digits}}]"


def _p(p: float) -> str:
    return f"{p:.2f}" if p >= 0.095 else f"{p:.3f}" if p >= 0.001 else "< 0.001"
