"""The proof of a tuning: paired before and after, and a verdict in words.

Better means: fewer bits per byte on the files held out to judge, with an interval that excludes zero, while exact
match has not fallen beyond doubt and general code has not worsened by more than 3 %. Knows no files and no
terminal.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from .. import tables
from ..evaluate import proportion, ratio, sign_test
from ..measure import Measurement, paired
from .run import Proof, Tuning, novel

FORGETTING = 0.03  # how much worse general code may become, in bits per byte


def shown(text: str) -> str:
    """A name from a repository without characters that could command a terminal or break a line."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def plan_report(tuning: Tuning) -> dict:
    """JSON-able: what would be trained on, what was left out and why, how long it would take."""
    repository, plan = tuning.repository, tuning.plan
    sides = {}
    for side, files in repository.sides.items():
        sides[side] = {"files": len(files), "bytes": sum(file.bytes for file in files), "tokens": tuning.tokens[side]}
    why = Counter("a copy" if "copy of" in reason else reason for _, reason in repository.left_out)
    scored = 2 * (tuning.tokens["judge"] + sum(len(t) for t in tuning.general.held_out) // 3) / plan.context
    offers = 2 * (len(tuning.places) + len(tuning.general_places))  # each about as dear as two rows
    return {
        "repository": repository.name,
        "base": {"name": tuning.base.name, "parameters": tuning.base.spec.n_params(), "context": plan.context},
        "sides": sides,
        "left_out": dict(why.most_common()),
        "left_out_files": [list(pair) for pair in repository.left_out],
        "secrets": {"files": repository.secret_files, "lines": repository.secret_lines},
        "other_files": dict(repository.others.most_common()),
        "replay": {"from": tuning.general.name, "tokens": tuning.tokens["replay"], "chats": len(tuning.talks)},
        "held_out_in_corpus": tuning.seen_before,
        "carets": tuning.caret_counts(),
        "plan": plan.to_dict(),
        "measure_seconds": round((2 * scored + 2 * offers) * plan.seconds_per_row, 1),
    }


def proof_report(tuning: Tuning, before: Proof, after: Proof) -> dict:
    """{"results", "lines", "novel_lines", "general", "verdict"}; every figure with before, after and paired."""
    judged = _compare(before.judged, after.judged)
    every = np.ones(len(tuning.places), bool)
    report = {
        "results": judged,
        "lines": _lines(before.judged, after.judged, every),
        "novel_lines": _lines(before.judged, after.judged, novel(tuning)),
        "general": None,
    }
    if before.general is not None:
        report["general"] = general = _compare(before.general, after.general)
        old, new = (general[side]["bits_per_byte"]["value"] for side in ("before", "after"))
        general["worse_by"] = new / old - 1
    return report | {"verdict": verdict(report)}


def _compare(before: Measurement, after: Measurement) -> dict:
    return {"before": before.results(), "after": after.results(), "paired": paired(after, before)}


def _lines(before: Measurement, after: Measurement, chosen: np.ndarray) -> dict:
    """Exact match over all kinds of carets among the chosen ones."""
    values = after.exact[chosen].astype(np.float64) - before.exact[chosen]
    documents = np.array([place.document for place in after.places], np.int64)[chosen]
    counts = np.bincount(documents) if len(documents) else np.zeros(0)
    sums = np.bincount(documents, weights=values)[counts > 0] if len(documents) else counts
    better, worse = int((values > 0).sum()), int((values < 0).sum())
    n = int(chosen.sum())
    return {
        "before": proportion(int(before.exact[chosen].sum()), n),
        "after": proportion(int(after.exact[chosen].sum()), n),
        "paired": ratio(sums, counts[counts > 0].astype(np.float64))
        | {"better": better, "worse": worse, "p": sign_test(better, worse)},
    }


def verdict(report: dict) -> dict:
    """{"better", "gained", "fallen", "forgot": bool, "head": str, "words": sentences} of a proof."""
    bits, lines, general = report["results"], report["lines"], report["general"]
    old, new = (bits[side]["bits_per_byte"]["value"] for side in ("before", "after"))
    interval = bits["paired"]["bits_per_byte"]
    gained = interval["high"] is not None and interval["high"] < 0
    words = [
        f"On files that it never saw: {new:.3f} bits per byte instead of {old:.3f} ({100 * (new / old - 1):+.1f} %; "
        f"95 % interval of the difference {interval['low']:+.3f} to {interval['high']:+.3f})"
        + ("." if gained else ": the interval does not exclude that nothing was gained.")
    ]
    p = lines["paired"]
    fallen = p["value"] is not None and p["value"] < 0 and p["p"] < 0.05
    if lines["before"]["n"]:
        share = [100 * lines[side]["value"] for side in ("before", "after")]
        sure = "beyond doubt" if p["p"] < 0.05 else "no difference shown"
        words.append(
            f"Lines completed exactly: {share[1]:.1f} % instead of {share[0]:.1f} % of {lines['before']['n']} carets "
            f"({p['better']} only after, {p['worse']} only before; sign test p = {p['p']:.2g}, {sure})."
        )
    forgot = False
    if general:
        forgot = general["worse_by"] > FORGETTING
        words.append(
            f"General code: {general['after']['bits_per_byte']['value']:.3f} bits per byte instead of "
            f"{general['before']['bits_per_byte']['value']:.3f} ({100 * general['worse_by']:+.1f} %"
            + (f", more than the {100 * FORGETTING:.0f} % allowed)." if forgot else ").")
        )
    better = gained and not fallen and not forgot
    head = "Better on this repository."
    if not gained:
        head = "Not better on this repository."
    elif fallen:
        head = "More likely text, but worse completions."
    elif forgot:
        head = "Better on this repository, but too much of the rest was forgotten."
    return {"better": better, "gained": gained, "fallen": fallen, "forgot": forgot, "head": head, "words": words}


def rows(report: dict) -> tuple[list[str], list[list[str]]]:
    """The table: measure, before, after, difference, its interval, verdict."""
    found = []
    for title, part in (("", report["results"]), ("general code: ", report["general"])):
        if part is None:
            continue
        before, after, pairs = (tables.flat(part[key]) for key in ("before", "after", "paired"))
        for key, pair in pairs.items():
            if title and "bits" not in key:
                continue
            found.append(_row(title + key, key, before[key], after[key], pair))
        if not title:
            for name, key in (
                ("all carets", "lines"),
                ("new lines", "novel_lines"),
            ):
                part = report[key]
                what = f"line exact match, {name}"
                found.append(_row(what, what, part["before"], part["after"], part["paired"]))
    return ["measure", "before", "after", "difference", "95 %", "n", ""], found


def _row(title: str, key: str, before: dict, after: dict, pair: dict) -> list[str]:
    values = [_cell(before["value"], key), _cell(after["value"], key), _cell(pair["value"], key, "+")]
    return [title, *values, tables.interval(pair, key, "+"), f"{before['n']:,}", tables.verdict(key, pair)]


def _cell(x: float | None, key: str, sign: str = "") -> str:
    if x is None:
        return "-"
    if not key.startswith(("top1", "line")):
        return f"{x:{sign}.3f}"
    return f"{100 * x:{sign}.1f} {'pts' if sign else '%'}"


def listed(counts: dict) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items())
