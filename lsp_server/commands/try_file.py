"""`hearth try`: one completion at a place in a file, shown in the terminal.

The context, the prompt and the rules are those of the language server (`runtime.code`), so both show the same text.
"""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsp_server.commands.options import add_model_options, busy, load_engine, make_parser, positive
from runtime.code.caret import Caret
from runtime.code.complete import Completion, complete
from runtime.code.inside import Inside, look_inside
from runtime.code.lines import body, split_lines
from runtime.code.postprocess import Offer
from runtime.code.source import read_source
from runtime.terminal import printable

SAMPLE_CARET = (35, 38)  # line and column in the bundled sample; what stands right of it on the line is left out
SHOWN = 6  # lines around the caret
WIDTH = 160  # characters of a line that are shown
PROMPT_SHOWN = 48  # characters of both ends of each part of a prompt that `--inside` shows

_LANGUAGES = {".py": "python", ".pyi": "python", ".js": "javascript", ".ts": "typescript", ".c": "c", ".h": "c"}
_LANGUAGES |= {".cpp": "cpp", ".java": "java", ".go": "go", ".rs": "rust"}


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "try",
        "One completion at a place in a file. Lines and columns count from 1, columns in characters.",
        "hearth try my.py --line 12 --column 9    complete before the 9th character of line 12",
    )
    p.add_argument("file", nargs="?", metavar="FILE", help="a source file (default: the bundled sample)")
    p.add_argument("--line", type=positive, metavar="N", help="line of the caret (default: the last one)")
    p.add_argument("--column", type=positive, metavar="N", help="column of the caret (default: the end of the line)")
    p.add_argument("--max-tokens", type=positive, default=64, metavar="N", help="most tokens to generate (default 64)")
    p.add_argument("--multiline", action="store_true", help="offer up to the end of the block, not only one line")
    p.add_argument("--inside", action="store_true", help="also what the model read and wrote, and what each rule did")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    add_model_options(p)
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    caret, note, path = place(options)
    model, engine, load_ms = load_engine(options.model, options.threads)
    try:
        with busy("completing"):
            done = complete(model, engine, caret, options.max_tokens)
    finally:
        engine.close()
    inside = look_inside(model, caret, done, options.max_tokens) if options.inside else None
    if options.json:
        extra = {"inside": asdict(inside)} if inside else {}
        print(json.dumps({**as_json(done, caret, model.name, load_ms, note), **extra}))
    else:
        show(done, caret, path, model.name, load_ms, note)
        if inside:
            print()
            show_inside(inside)
    return 0


def place(options: argparse.Namespace) -> tuple[Caret, str | None, str]:
    """(caret, a note on how the file was read, its name). Raises ValueError for a place outside the text."""
    if options.column is not None and options.line is None:
        raise ValueError("--column needs --line")
    if options.file is None:
        from runtime.model import EMBEDDED

        path, shown = EMBEDDED / "sample.py", "the bundled sample"
    else:
        path, shown = Path(options.file), options.file
    source = read_source(path)
    lines = split_lines(source.text)
    if options.file is None and options.line is None:
        line, column = SAMPLE_CARET[0] - 1, SAMPLE_CARET[1] - 1
        whole = lines[line]
        lines[line] = whole[:column] + whole[len(body(whole)) :]
    else:
        line = _line(options.line, lines, shown)
        column = _column(options.column, body(lines[line]), line, shown)
    language = _LANGUAGES.get(path.suffix.lower(), "python")
    return Caret(lines, line, column, language, options.multiline), source.note, shown


def _line(wanted: int | None, lines: list[str], name: str) -> int:
    if wanted is None:
        return len(lines) - 1
    if wanted > len(lines):
        raise ValueError(f"line {wanted} is outside {name}, which has {len(lines)} lines")
    return wanted - 1


def _column(wanted: int | None, text: str, line: int, name: str) -> int:
    if wanted is None:
        return len(text)
    if wanted > len(text) + 1:
        raise ValueError(
            f"column {wanted} is outside line {line + 1} of {name}, whose columns go from 1 to {len(text) + 1}"
        )
    return wanted - 1


def as_json(done: Completion, caret: Caret, model: str, load_ms: float, note: str | None) -> dict[str, Any]:
    """The object that `--json` prints. `replace`: characters right of the caret that the text stands for."""
    timing = {key: round(done.timing.get(key, 0.0), 3) for key in ("prefill_ms", "decode_ms", "total_ms")}
    offered = isinstance(done.result, Offer)
    return {
        "text": done.result.text if offered else "",
        "replace": done.result.replace if offered else 0,
        "reason": None if offered else done.result.reason,
        "tokens": done.tokens,
        "model": model,
        "line": caret.line + 1,
        "column": caret.column + 1,
        "note": note,
        "timing": {"load_ms": round(load_ms, 3), **timing},
    }


def show(done: Completion, caret: Caret, path: str, model: str, load_ms: float, note: str | None) -> None:
    """The file around the caret with the completion in it, then a line of figures."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False, emoji=False)
    ghost = "bold black on bright_green" if console.color_system else ""
    offer = done.result if isinstance(done.result, Offer) else None
    console.print(Text(f"{path}, line {caret.line + 1}, column {caret.column + 1}", style="dim"))
    if note:
        console.print(Text(f"note: {note}", style="yellow"))
    console.print()
    first = max(0, caret.line - SHOWN)
    last = min(len(caret.lines), caret.line + SHOWN + 1)
    width = len(str(last))
    for number in range(first, last):
        row = Text(f" {number + 1:>{width}} │ ", style="dim")
        if number != caret.line:
            row.append(_clip(printable(body(caret.lines[number][: WIDTH + 2]))), style="default")
            console.print(row)
            continue
        left = caret.line_prefix[-WIDTH:]
        row.append(("…" if len(left) < caret.column else "") + printable(left), style="default")
        if offer:
            for i, part in enumerate(offer.text.split("\n")):
                if i:
                    console.print(row)
                    row = Text(f" {'':>{width}} │ ", style="dim")
                row.append(part if console.color_system else f"«{part}»", style=ghost)
            row.append(_clip(printable(caret.line_suffix[offer.replace :])), style="default")
        else:
            row.append(("▏" if console.color_system else "|") + _clip(printable(caret.line_suffix)), style="default")
        console.print(row)
    console.print()
    if not offer:
        console.print(Text(f"no completion: {done.result.reason}", style="yellow"))
    console.print(Text(figures(done, model, load_ms), style="dim"))


def show_inside(inside: Inside) -> None:
    """Prompt, healing, raw answer and rules; the middle of each part of the prompt is left out."""

    def quoted(text: str) -> str:
        return "«" + printable(text).replace("\n", "⏎") + "»"

    parts = [part for part in re.split(r"(?=<\|?fim)", inside.prompt) if part]
    for number, part in enumerate(parts):
        if len(part) > 2 * PROMPT_SHOWN:
            part = part[:PROMPT_SHOWN] + " … " + part[-PROMPT_SHOWN:]
        print(f"{'' if number else 'the model read':16}{quoted(part)}")
    if inside.healed:
        print(f"{'healed':16}{quoted(inside.healed)} left of the caret was taken back: it may begin a longer token")
    print(f"{'it wrote':16}{quoted(inside.raw)}")
    for rule, after in inside.rules:
        print(f"{'rule':16}{rule}: {quoted(after)}")


def figures(done: Completion, model: str, load_ms: float) -> str:
    """Tokens and milliseconds of one completion in a line."""
    timing = done.timing
    prompt = timing.get("new_tokens", 0) + timing.get("reused_tokens", 0)
    parts = [
        f"{done.tokens} tokens",
        f"prompt {prompt} tokens",
        f"load {load_ms:.0f} ms",
        f"prefill {timing.get('prefill_ms', 0.0):.1f} ms",
        f"decode {timing.get('decode_ms', 0.0):.1f} ms",
        f"total {timing.get('total_ms', 0.0):.1f} ms",
        f"model {model}",
    ]
    return " · ".join(parts)


def _clip(text: str) -> str:
    return text if len(text) <= WIDTH else text[:WIDTH] + "…"
