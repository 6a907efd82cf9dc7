"""The README's repository tree, made from the first sentence of each file: `python tests/readme_tree.py` rewrites it.

A file describes itself in its first lines; only files that cannot (data, pictures, empty markers) are described here.
Test files are listed as folders: their names say what they test.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
START, END = "```text\ncodehearth/\n", "```\n"
FOLDERS = {
    "native_kernels/": "arithmetic: pointers, shapes and threads, no models",
    "native_kernels/src/": "C sources",
    "runtime/": "runs and differentiates models; knows source code, no editor",
    "runtime/code/": "what there is to know about source code",
    "runtime/code/postprocess/": "one rule a file: what becomes of the model's words",
    "runtime/code/errors/": "what a Python error says, where it comes from, and how a rule repairs it",
    "runtime/code/errors/rules/": "one kind of mistake a file",
    "runtime/embedded/": "the model that comes with the package",
    "runtime/engine/": "from a description to tokens: plan, cache, lane",
    "runtime/files/": "bounded readers and atomic writers",
    "runtime/adapters/": "LoRA and its kin: small changes of a model's weights, several at once",
    "runtime/generate/": "from scores to text",
    "runtime/generate/grammar/": "GBNF and JSON schemas, compiled to one automaton over bytes",
    "runtime/models/": "networks described by data",
    "runtime/nn/": "building blocks",
    "runtime/tensor/": "tensors and their tape",
    "runtime/text/": "tokenizers",
    "finetune/": "changes weights",
    "finetune/commands/": "one file per command that changes or measures weights",
    "finetune/data/": "corpus, holes, batches",
    "finetune/ladder/": "every model of the ladder by one trainer on one text",
    "finetune/tuning/": "a repository taught to a model",
    "finetune/probes/": "small questions to a model, each with the score of guessing",
    "finetune/recipes/": "training runs, as data",
    "lsp_server/": "knows editors",
    "lsp_server/commands/": "one file per command of `hearth`",
    "lsp_server/completion/": "offers and their timing",
    "lsp_server/debugging/": "explanations in terminal and editor: what may be read, how it is shown, quick fixes",
    "lsp_server/features/": "one file per method of the protocol",
    "tests/": "mirrors the tree; `tests/run` runs everything",
    "tests/bench/": "benchmarks and the lab notebook LOG.md",
    "tests/e2e/": "drives a real VS Code",
    "tests/fuzz/": "seeded mutations of files from outside",
    "vscode-extension/": "thin client for VS Code",
    "vscode-extension/src/": "TypeScript sources",
    "vscode-extension/src/webview/": "the page of the chat view",
    "vscode-extension/media/": "icon, style and script of the chat view",
    ".ci/": "continuous integration",
    ".github/": "the wheels",
    ".github/workflows/": "what runs where",
}
OTHERS = {
    "LICENSE": "MIT",
    "README.md": "this page",
    ".clang-format": "style of the C sources",
    ".gitignore": "what is built and not kept",
    "vscode-extension/.vscodeignore": "what does not go into the extension",
    "vscode-extension/LICENSE": "MIT",
    "vscode-extension/README.md": "the page of the extension",
    "finetune/data/evaluation_windows.npy": "hashes of the code of evaluation sets, which no corpus may contain",
    "finetune/ladder/ladder.png": "what the rungs reached on two cores",
    "pyproject.toml": "packaging, dependencies, settings of ruff and pytest",
    "runtime/embedded/config.json": "its shape, as Hugging Face writes it",
    "runtime/embedded/model.safetensors": "its weights, bfloat16",
    "runtime/embedded/tokenizer.json": "its vocabulary and merges",
    "runtime/embedded/README.md": "its card",
    "runtime/embedded/curve.png": "its training curve",
}
WHOLE = ("tests/", "vscode-extension/media/")  # folders whose files are not listed one by one …
BUT = (
    "tests/run",
    "tests/conftest.py",
    "tests/readme_tree.py",
    "tests/smoke.py",
    "tests/test_house.py",
    "tests/test_tour.py",
)  # … but these


def first_sentence(path: Path) -> str:
    """What a source file says of itself: the beginning of its docstring or first comment, up to 96 characters."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        return "settings" if path.name != "package-lock.json" else "exact versions"
    text = re.sub(r"\A#!.*\n", "", text)
    text = re.sub(r"\A(# cython:.*\n)", "", text)
    match = re.match(r'\s*"""(.*?)(?:"""|\n\s*\n)', text, re.DOTALL) or re.match(r"\s*/\*+(.*?)\*/", text, re.DOTALL)
    if match:
        words = match[1]
    else:
        lines = []
        for line in text.splitlines():
            found = re.match(r"(?://|#(?!pragma|include|define|if)|--)\s?(.*)", line)
            if not found or (lines and not found[1].strip()):
                break
            lines.append(found[1])
        words = " ".join(lines)
    words = " ".join(words.split())
    sentence = re.split(r"(?<!\bal)(?<=[a-zA-Z)`0-9])[.;](?:\s|$)", words, maxsplit=1)[0].rstrip(".")
    return sentence if len(sentence) <= 96 else sentence[:93].rsplit(" ", 1)[0] + " …"


def tracked() -> list[str]:
    """Files that git knows."""
    run = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return run.stdout.split("\n")[:-1]


def tree(files: list[str]) -> str:
    """The block's lines: folders before their files, a description each. ValueError names a file without one."""
    lines, seen = [], set()
    for file in sorted(files, key=lambda f: [(part, "") for part in f.split("/")]):
        parts = file.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth]) + "/"
            if folder in seen or (folder.startswith(WHOLE) and folder not in FOLDERS):
                continue
            seen.add(folder)
            if folder not in FOLDERS:
                raise ValueError(f"describe {folder} in FOLDERS")
            lines.append((depth - 1, parts[depth - 1] + "/", FOLDERS[folder]))
        if file.startswith(WHOLE) and file not in BUT:
            continue
        said = OTHERS.get(file) or first_sentence(REPOSITORY / file)
        if not said:
            if (REPOSITORY / file).stat().st_size == 0:
                said = "marks the package"
            else:
                raise ValueError(f"{file} does not say in its first line what it is")
        lines.append((len(parts) - 1, parts[-1], said))
    return "".join(f"{'  ' * depth + name:<34}  {said}\n" for depth, name, said in lines)


def readme_with_tree(readme: str, files: list[str]) -> str:
    """The README with its tree made anew. ValueError if it has none."""
    begin = readme.find(START)
    if begin < 0:
        raise ValueError("the README has no repository tree")
    begin += len(START)
    return readme[:begin] + tree(files) + readme[readme.index(END, begin) :]


if __name__ == "__main__":
    page = REPOSITORY / "README.md"
    page.write_text(readme_with_tree(page.read_text(encoding="utf-8"), tracked()), encoding="utf-8")
    sys.exit(0)
