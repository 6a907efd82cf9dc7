"""`hearth chat`: ask the model in the terminal; the answer streams.

Ctrl-C stops an answer, Ctrl-D ends the conversation.
"""

import argparse
import sys
from typing import Any

from lsp_server.commands.options import add_model_options, load_engine, make_parser, positive
from runtime.code.chat import Message, TextStop, chat_prompt
from runtime.terminal import printable


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "chat",
        "Ask the model. Without -m it is a conversation; /new forgets what was said.",
        'hearth chat -m "How do I read a CSV file?"',
    )
    p.add_argument("-m", "--message", metavar="TEXT", help="ask this once and end")
    p.add_argument(
        "--max-tokens", type=positive, default=256, metavar="N", help="most tokens of an answer (default 256)"
    )
    p.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 (default) takes the likeliest token")
    add_model_options(p)
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if options.message is not None and not options.message.strip():
        raise ValueError("the message is empty")
    model, engine, _ = load_engine(options.model, options.threads)
    try:
        if options.message is not None:
            answer(model, engine, [Message("user", options.message)], options)
            return 0
        return converse(model, engine, options)
    finally:
        engine.close()


def converse(model: Any, engine: Any, options: argparse.Namespace) -> int:
    """Reads questions until the input ends."""
    said: list[Message] = []
    if sys.stdin.isatty():
        print(f"model {model.name}; Ctrl-C stops an answer, Ctrl-D ends", file=sys.stderr)
    while True:
        try:
            question = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return 0
        if not question.strip():
            continue
        if question.strip() == "/new":
            said.clear()
            continue
        said.append(Message("user", question))
        said.append(Message("assistant", answer(model, engine, said, options)))
        del said[:-64]  # far more than any context holds


def answer(model: Any, engine: Any, said: list[Message], options: argparse.Namespace) -> str:
    """Streams one answer to standard output and returns it."""
    prompt = chat_prompt(model, said, options.max_tokens)
    stop = TextStop(prompt.stop)
    request = engine.submit(prompt.ids, priority="chat", max_tokens=prompt.max_tokens, temperature=options.temperature)
    try:
        for piece in request:
            print(printable(stop.feed(piece.text)), end="", flush=True)
            if stop.done:
                break
        if not stop.done:
            print(printable(stop.flush()), end="")
    except KeyboardInterrupt:
        if options.message is not None:
            raise
    finally:
        request.cancel()
        print(flush=True)
    return stop.text
