"""What `hearth eval` and `hearth export` share: the texts to measure on, the opponents, the report, how it is shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .common import bar, default_corpus

BUILT_IN = ("ngram", "suffix")
NOT_MEASURED = {"value": None, "n": 0, "low": None, "high": None}  # pass@1: no program is run yet


def texts_of(on: Sequence[str], corpus: str | None, max_bytes: int, whole: bool = False):
    """`held_out.HeldOut` of the splits, paths and "unseen" in `on`; what was left out is said on standard error."""
    from .. import held_out

    def note(text: str) -> None:
        print(text, file=sys.stderr)

    return held_out.texts_of(on, corpus or default_corpus(), max_bytes, note, whole)


def opponents_of(names: Sequence[str], model, corpus: str | None, weights: str = "auto") -> list[dict]:
    """For each of "ngram", "suffix" or another model: {"name", "about", "context", "subject", "model"}.

    The first two read with this model's tokens and context, another model with its own tokens and at most this
    context. Raises ValueError for a model without tokenizer or an opponent given twice.
    """
    if model.tokenizer is None:
        raise ValueError("the model has no tokenizer: it cannot be evaluated on text")
    if len(set(names)) < len(names):
        raise ValueError(f"an opponent is given twice: {' '.join(names)}")
    return [_opponent(name, model, corpus, weights) for name in names]


def _opponent(name: str, model, corpus: str | None, weights: str) -> dict:
    from ..measure import Network, Opponent, narrow, start_id

    context = model.spec.max_context

    def built_in(reader, about: str) -> dict:
        subject = Opponent(reader, model)
        return {"name": reader.name, "about": about, "context": context, "of": model, "subject": subject}

    if name == "suffix":
        from ..floor import Repeater

        reader = Repeater(model.tokenizer, start_id(model))
        about = "what followed the last time its latest tokens stood in the document; it has read no training file"
        return built_in(reader, about)
    if name == "ngram":
        from runtime.folders import cache_folder

        from ..data.corpus import load_corpus
        from ..floor import Floor, training_counts

        with bar("counting n-grams") as progress:
            folder = cache_folder() / "ngram"
            counts = training_counts(
                load_corpus(corpus or default_corpus()), model.tokenizer, folder, progress=progress
            )
        reader = Floor(counts, model.tokenizer, start_id(model))
        about = (
            f"an n-gram model (order {counts.order}, counted in {counts.total:,} tokens of the corpus's training "
            "files) with a memory of the document"
        )
        return built_in(reader, about)
    import runtime

    other = runtime.load_model(name, weights=weights)
    if other.tokenizer is None:
        raise ValueError(f"the opponent {name} has no tokenizer: it cannot be evaluated on text")
    narrow(other, context)
    title = other.name if other.name != model.name else f"{other.name} ({name})"
    about = f"another model of {other.spec.n_params():,} parameters, with its own tokens"
    subject = Network(other, title)
    return {"name": title, "about": about, "context": other.spec.max_context, "of": other, "subject": subject}


def evaluate_model(
    model, texts: Sequence[str], carets: int = 200, seed: int = 0, opponents: Sequence[dict] = (),
    probes: bool = False, diversity: bool = False, pieces: str = "sections of files",
) -> dict:  # fmt: skip
    """{"results", "settings"} of a model on texts, with `carets` carets of each kind; with opponents of `opponents_of`
    also "opponents" [{"name", "about", "context", "results", "paired", "words"}]; with probes "probes", with diversity
    "diversity". pieces: what the texts are, for the report. Raises ValueError without a tokenizer or text."""
    from ..carets import choose
    from ..measure import Network, measure, paired
    from ..tables import sentences

    places = choose(texts, carets, seed)
    network = Network(model)
    try:
        with bar("evaluating") as progress:
            ours = measure(network, model, texts, places, progress)
    finally:
        network.close()
    size = sum(len(text.encode()) for text in texts)
    settings = {"documents": len(texts), "pieces": pieces, "bytes": size, "carets": len(places), "seed": seed}
    results = ours.results() | {"pass_at_1": dict(NOT_MEASURED)}
    report = {"results": results, "settings": settings | {"context": model.spec.max_context}}
    for other in opponents:
        with bar(f"evaluating {other['name']}") as progress:
            theirs = measure(other["subject"], other["of"], texts, places, progress)
        found = {key: other[key] for key in ("name", "about", "context")}
        found |= {"results": theirs.results(), "paired": paired(ours, theirs)}
        report.setdefault("opponents", []).append(found | {"words": sentences(model.name, found)})
    if probes:
        from ..probes import run_probes

        with bar("probing") as progress:
            report["probes"] = run_probes(model, texts, seed=seed, progress=progress)
    if diversity:
        from ..probes.diversity import diversity_of

        with bar("sampling") as progress:
            report["diversity"] = diversity_of(model, progress=progress)
    return report


def close(opponents: Sequence[dict]) -> None:
    for other in opponents:
        other["subject"].close()


def show(report: dict, model: str, where: str) -> None:
    """The report on standard output: tables, and the comparisons in words."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .. import tables

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)

    def table(rows: tuple[list[str], list[list[str]]], styles: Sequence[str] = ()) -> None:
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        head, body = rows
        for i, cell in enumerate(head):
            made.add_column(Text(cell), justify="right" if i else "left", style=styles[i] if i < len(styles) else "")
        for row in body:
            made.add_row(*(Text(cell, style=_colour(cell)) for cell in row))
        console.print(made)

    settings = report["settings"]
    console.print(Text.assemble((model, "bold"), " on ", (where, "bold")))
    console.print(
        f"{settings['documents']} {settings['pieces']}, {settings['bytes'] / 1e6:.2f} MB, {settings['carets']} carets, "
        f"context {settings['context']} tokens; intervals are 95 %",
    )
    table(tables.main_rows(report), ("", "bold", "dim", "dim"))
    for other in report.get("opponents", ()):
        same = f"the same context of {other['context']} tokens"
        if other["context"] != settings["context"]:
            same = f"its own context of {other['context']} tokens"
        title = (
            (model, "bold"),
            " against ",
            (other["name"], "bold"),
            f": {other['about']}; same texts and carets, {same}",
        )
        console.print(Text.assemble(*title))
        table(tables.paired_rows(other), ("", "bold", "dim", "dim"))
        console.print(Text(other["words"][0] + "\n"))
    if "probes" in report:
        console.print(Text("Probes", style="bold"))
        table(tables.probe_rows(report["probes"]), ("", "bold", "dim", "dim", "dim"))
        console.print(Text(report["probes"]["questions"]["words"] + "\n"))
    if "diversity" in report:
        console.print(Text("Distinct n-grams of samples", style="bold"))
        table(tables.diversity_rows(report["diversity"]))
        console.print(Text(tables.diversity_words(report["diversity"])))


def _colour(cell: str) -> str:
    """Of a verdict."""
    return {"better": "green", "worse": "red", "no difference shown": "dim"}.get(cell, "")


def names_of(on: Sequence[str], packages: Sequence[str]) -> str:
    """What was measured on, for people."""
    shown = [f"packages never seen ({', '.join(packages)})" if name == "unseen" else Path(name).name for name in on]
    return ", ".join(shown)
