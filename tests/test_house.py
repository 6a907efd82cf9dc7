"""The rules of the house: who may import whom, numpy is the container, the README's tree is true, no unsafe doors."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

PACKAGES = ("native_kernels", "runtime", "finetune", "lsp_server")
ALLOWED = {
    "native_kernels": {"native_kernels"},
    "runtime": {"runtime", "native_kernels"},
    "finetune": {"finetune", "runtime"},
    "lsp_server": {"lsp_server", "runtime"},
}
# The console script hands these commands over by name: the one exception.
EXCEPTIONS = {("lsp_server/cli.py", "finetune")}
PEERS = {
    "torch", "transformers", "tokenizers", "tiktoken", "sentencepiece", "llama_cpp", "onnxruntime", "scipy", "gguf",
    "safetensors", "jax", "tensorflow",
}  # fmt: skip
CALCULATORS = {"dot", "matmul", "einsum", "linalg", "tensordot", "inner", "vdot"}
MAY_CALCULATE = {"native_kernels/reference.py", "native_kernels/__main__.py"}
UNSAFE = {"pickle", "marshal", "shelve", "dill"}


def sources(repository: Path) -> list[tuple[str, ast.Module]]:
    found = []
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            name = path.relative_to(repository).as_posix()
            found.append((name, ast.parse(path.read_text(encoding="utf-8"), name)))
    assert len(found) > 40
    return found


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of everything that is imported, by statement or by importlib with a literal."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.add(first.value.split(".")[0])
    return names


def test_imports_only_point_downwards(repository):
    wrong = []
    for name, tree in sources(repository):
        package = name.split("/")[0]
        for target in imported(tree) & set(PACKAGES):
            if target not in ALLOWED[package] and (name, target) not in EXCEPTIONS:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_no_peer_is_imported_by_the_product(repository):
    assert not [f"{name}: {peers}" for name, tree in sources(repository) if (peers := imported(tree) & PEERS)]


def test_numpy_is_the_container_not_the_calculator(repository):
    wrong = []
    for name, tree in sources(repository):
        if name in MAY_CALCULATE:
            continue
        for node in ast.walk(tree):
            product = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult)
            call = isinstance(node, ast.Attribute) and node.attr in CALCULATORS
            if product or call:
                wrong.append(f"{name}:{node.lineno}: {ast.unparse(node)[:60]}")
    assert not wrong


def test_no_unsafe_doors(repository):
    wrong = []
    for name, tree in sources(repository):
        wrong += [f"{name} imports {door}" for door in imported(tree) & UNSAFE]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("eval", "exec", "os.system"):
                    wrong.append(f"{name}:{node.lineno} calls {called}")
                if any(k.arg == "shell" and getattr(k.value, "value", None) for k in node.keywords):
                    wrong.append(f"{name}:{node.lineno} opens a shell")
    assert not wrong


def tree_entries(readme: str) -> dict[str, str]:
    """Paths and descriptions of the README's repository tree (the fenced block that starts with the project's name)."""
    block = re.search(r"```text\ncodehearth/\n(.*?)```", readme, re.DOTALL)
    assert block, "the README has no repository tree"
    entries, folders = {}, []
    for line in block[1].splitlines():
        match = re.match(r"((?:  )*)(\S+)\s{2,}(\S.*)$", line)
        assert match, f"not a line of the tree: {line!r}"
        depth = len(match[1]) // 2
        folders = folders[: depth - 1]
        path = "/".join([*folders, match[2]])
        if match[2].endswith("/"):
            folders.append(match[2].rstrip("/"))
        entries[path.replace("//", "/")] = match[3]
    return entries


def tracked(repository: Path) -> list[str]:
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True)
    return listed.stdout.split("\n")[:-1]


def test_the_readme_tree_names_every_file(repository):
    entries = tree_entries((repository / "README.md").read_text(encoding="utf-8"))
    files = tracked(repository)
    described = tuple(path for path in entries if path.endswith("/"))
    gone = [
        path for path in entries if not any(f == path or (path.endswith("/") and f.startswith(path)) for f in files)
    ]
    assert not gone, "in the tree but not in the repository"
    # A folder may be described as a whole if none of its files is named one by one.
    whole = tuple(d for d in described if not any(p != d and p.startswith(d) for p in entries))
    missing = [f for f in files if f not in entries and not f.startswith(whole)]
    assert not missing, "in the repository but not in the tree"
