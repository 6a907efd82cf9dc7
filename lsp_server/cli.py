"""The console script `hearth`: finds the command and hands over. One file per command under `commands/`.

Import-light on purpose: `hearth lsp` must claim standard output before anything else is imported. The commands that
change weights belong to `finetune`; their names are handed on lazily, the one place where this package names that one.
"""

import sys

# name -> (module under lsp_server.commands, one line of help)
COMMANDS = {
    "try": ("try_file", "complete at a place in a file, in the terminal"),
    "lsp": ("lsp", "the language server on standard input and output"),
    "chat": ("chat", "ask the model, in the terminal"),
    "explain": ("explain", "explain a Python error: a traceback, or a file that does not compile"),
    "models": ("models", "list, import, inspect, quantise and remove models"),
    "bench": ("bench", "how fast a model runs here, beside a peer"),
    "doctor": ("doctor", "what this machine offers and what is found on it"),
    "vscode": ("vscode", "install the extension into the editor found"),
    "uninstall": ("uninstall", "remove what was written outside the package"),
}
TUNING = {
    "corpus": "build a corpus of source files",
    "pretrain": "train a model from random weights",
    "tune": "teach a model your repository, with proof",
    "eval": "measure a model on code that it never saw",
    "export": "write a trained model as a folder to load",
}

USAGE = """\
usage: hearth COMMAND [OPTIONS]

A coding assistant that lives on your machine. `hearth COMMAND --help` shows a command's options with an example.

{commands}

example:
  hearth try                    complete in the bundled sample
  hearth try my.py --line 12    complete at the end of line 12 of a file of yours
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Returns its exit code: 0 done, 1 failed (standard error says why), 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    from lsp_server.stdio import claim_stdout, leave_current_folder

    pipes = claim_stdout() if argv[:1] == ["lsp"] and not {"-h", "--help"} & set(argv) else None
    leave_current_folder()
    if pipes is None:
        _print_anything()
    name = argv[0] if argv else "--help"
    try:
        if pipes is not None:
            from lsp_server.commands.lsp import serve

            return serve(argv[1:], *pipes)
        code = _run(name, argv[1:])
        sys.stdout.flush()
        return code if argv else 2
    except KeyboardInterrupt:
        print("hearth: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader went away, as `| head` does; Python's last flush must not complain either
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:  # the last fence: a user sees one line; HEARTH_TRACEBACK=1 shows the rest
        import os

        if os.environ.get("HEARTH_TRACEBACK"):
            raise
        print(f"hearth {name}: {_line(error)}", file=sys.stderr)
        return 1


def _run(name: str, argv: list[str]) -> int:
    from importlib import import_module
    from importlib.util import find_spec

    if name in ("-h", "--help", "help"):
        _help()
        return 0
    if name == "--version":
        from importlib.metadata import version

        print(f"hearth {version('codehearth')}")
        return 0
    if name in COMMANDS:
        module = f"lsp_server.commands.{COMMANDS[name][0]}"
        if find_spec(module) is None:
            print(f"hearth: the command “{name}” is not part of this installation", file=sys.stderr)
            return 2
        return import_module(module).main(argv)
    if name in TUNING:
        command = import_module("finetune.cli").commands.get(name)
        if command is None:
            print(f"hearth: the command “{name}” is not part of this version", file=sys.stderr)
            return 2
        return command(argv) or 0
    print(f"hearth: no command “{name}”; `hearth --help` lists them", file=sys.stderr)
    return 2


def _print_anything() -> None:
    """Characters that the terminal's encoding does not have are shown as `?`: source may hold any."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _help() -> None:
    width = max(map(len, (*COMMANDS, *TUNING)))
    lines = [f"  {key:{width}}  {text}" for key, (_, text) in COMMANDS.items()]
    lines += [f"  {key:{width}}  {text}" for key, text in TUNING.items()]
    print(USAGE.format(commands="\n".join(lines)))


def _line(error: Exception) -> str:
    """An exception as one line that says what is wrong."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"no such file: {error.filename}"
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return text or type(error).__name__
