"""The rules of the house: who may import whom, numpy is the container, the README's tree is true, no unsafe doors."""

import ast
import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("readme_tree", Path(__file__).with_name("readme_tree.py"))
readme_tree = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(readme_tree)

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
    "torch", "transformers", "peft", "tokenizers", "tiktoken", "sentencepiece", "llama_cpp", "onnxruntime", "scipy",
    "gguf", "safetensors", "jax", "tensorflow",
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


def test_the_readme_tree_is_true(repository):
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    page = (repository / "README.md").read_text(encoding="utf-8")
    made = readme_tree.readme_with_tree(page, readme_tree.tracked())
    assert page == made, "run `python tests/readme_tree.py`"
