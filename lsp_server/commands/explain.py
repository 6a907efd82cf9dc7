"""`hearth explain`: a Python error in the terminal: place, cause, facts, change and check; the model's words last.

Nothing of the program is run or imported. The facts are there at once; the model is loaded only after they are shown.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from lsp_server.commands.options import add_model_options, load_engine, make_parser
from lsp_server.debugging import words
from lsp_server.debugging.project import Project, project_folder
from runtime.code.chat import TextStop, chat_prompt
from runtime.code.errors.explain import Explanation, explain_source, explain_traceback
from runtime.code.source import read_source
from runtime.terminal import printable

MOST_BYTES = 4 << 20  # of a traceback's text; of a longer one the end is read
SHOWN = 3  # lines around the place
WIDTH = 160


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "explain",
        "Explains a Python error: of a FILE that does not compile, or of a traceback. Runs nothing.",
        "python shop.py 2>&1 | hearth explain --traceback -",
    )
    p.add_argument("file", nargs="?", metavar="FILE", help="a source file: alone, or the source of the traceback")
    p.add_argument("--traceback", metavar="FILE", help="a text that holds a traceback; - reads standard input")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    p.add_argument("--no-model", action="store_true", help="facts alone, without the model's own words")
    add_model_options(p)
    return p


def main(argv: list[str]) -> int:
    p = parser()
    options = p.parse_args(argv)
    if options.file is None and options.traceback is None:
        if sys.stdin is None or sys.stdin.isatty():
            p.error("give a FILE, or a traceback: `python my.py 2>&1 | hearth explain --traceback -`")
        options.traceback = "-"
    found = explain(options.file, options.traceback)
    if options.json:
        said = None if options.no_model else ask(found, options)
        print(json.dumps({**found.as_json(), "model": said}, ensure_ascii=False))
        return 0
    show(found)
    if not options.no_model:
        sys.stdout.flush()
        show_words(ask(found, options))
    return 0


def explain(file: str | None, traceback: str | None) -> Explanation:
    """Raises ValueError with a sentence for the user if there is nothing to explain, and what reading files raises."""
    here = Path.cwd()
    given: dict[Path, str] = {}
    roots = [project_folder(here)]
    if file is not None:
        given[Path(file)] = read_source(Path(file)).text
        roots.append(Path(file).resolve().parent)
    project = Project(roots, here, {here / path: text for path, text in given.items()})
    if traceback is None:
        name, text = project.source(str(here / file))
        found = explain_source(text, name)
        if found is None:
            raise ValueError(
                f"{file} compiles, so there is no error to explain in it; what happens when it runs is told by its "
                f"traceback: "
                f"python {file} 2>&1 | hearth explain --traceback -"
            )
        return found
    text = read_traceback(traceback)
    if not text.strip():
        raise ValueError(
            "the traceback is empty; the program's error output is needed: python my.py 2>&1 | hearth explain"
        )
    found = explain_traceback(text, project)
    if found is None:
        raise ValueError(
            "no traceback was found in the text; give all that Python printed, from “Traceback (most recent call "
            "last):” to "
            "the line with the exception"
        )
    return found


def read_traceback(name: str) -> str:
    """The text of a file, or of standard input for "-", whatever its encoding; of a very long one the end."""
    if name == "-":
        data = sys.stdin.buffer.read(64 * MOST_BYTES)[-MOST_BYTES:]
    else:
        if os.path.isdir(name):
            raise ValueError(f"{name} is a folder, not a file")
        with open(name, "rb") as file:
            start = file.read(2)
            if file.seekable():
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - MOST_BYTES) & ~1)
                data = file.read(MOST_BYTES + 1)
                data = data if data.startswith(start) else start + data if start in (b"\xff\xfe", b"\xfe\xff") else data
            else:
                data = start + file.read(MOST_BYTES)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # as PowerShell redirects
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")


def ask(found: Explanation, options: argparse.Namespace) -> dict[str, Any]:
    """{text, name} of the model's words; where it cannot be asked `text` is empty and `error` says why."""
    try:
        model, engine, _ = load_engine(options.model, options.threads)
    except Exception as error:  # the facts stand without the model
        return {"text": "", "name": options.model or "", "error": " ".join(str(error).split()) or type(error).__name__}
    try:
        prompt = chat_prompt(model, words.question(found), words.MOST_TOKENS)
        stop = TextStop(prompt.stop)
        request = engine.submit(prompt.ids, priority="chat", max_tokens=prompt.max_tokens, temperature=0.0)
        for piece in request:
            stop.feed(piece.text)
            if stop.done:
                break
        request.cancel()
        stop.flush()
        return {"text": words.shortened(stop.text), "name": model.name}
    except ValueError as error:
        return {"text": "", "name": model.name, "error": str(error)}
    finally:
        engine.close()


def show(found: Explanation) -> None:
    """Place, statement, what happened, facts, change and check, for people."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False, emoji=False)

    def row(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style=style))

    place = f"{found.file}, line {found.line}" if found.file is not None else "no place is named"
    row(place, "bold")
    row(found.error, "red")
    console.print()
    if found.view is not None and found.line:
        for text, style in quoted(found):
            row(text, style)
        console.print()
    row("Cause", "bold")
    row(f"  {found.cause}")
    row("Facts (✓ checked here, · not checked)", "bold")
    for fact in found.facts:
        first, *rest = fact.value.split("\n")
        row(f"  {'✓' if fact.checked else '·'} {fact.name}: {first}", "" if fact.checked else "dim")
        for line in rest:
            row(f"      {line}", "dim")
    if found.diff:
        row("Fix", "bold")
        row(f"  {found.title}")
        for line in found.diff.rstrip("\n").split("\n"):
            row(f"  {line}", "green" if line.startswith("+") else "red" if line.startswith("-") else "")
    row("Check", "bold")
    row(f"  {found.check}")


def quoted(found: Explanation) -> list[tuple[str, str]]:
    """The line with its neighbours and the marks below it, as (text, style)."""
    first = max(1, found.line - SHOWN)
    last = min(len(found.view.lines), found.line + SHOWN)
    width = len(str(last))
    rows = []
    for number in range(first, last + 1):
        here = number == found.line
        rows.append(
            (f"{'>' if here else ' '} {number:>{width}} │ {found.view.line(number)[:WIDTH]}", "" if here else "dim")
        )
        if here and found.marks is not None and found.marks[0] < WIDTH:
            text = found.view.line(number)
            start, end = found.marks
            lead = "".join("\t" if c == "\t" else " " for c in text[:start]) + " " * max(0, start - len(text))
            rows.append((f"  {'':>{width}} │ {lead}{'^' * max(1, min(end, WIDTH) - start)}", "red"))
    return rows


def show_words(said: dict[str, Any]) -> None:
    """The model's words, apart from the facts and marked as its own."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print()
    if said.get("error"):
        print(f"hearth explain: the model was not asked: {said['error']}", file=sys.stderr)
        return
    name = said["name"]
    console.print(Text(f"The model's own words ({name}; not checked, may be wrong)", style="bold dim"))
    for line in (said["text"] or "(it said nothing)").split("\n"):
        console.print(Text("  " + printable(line), style="dim"))
