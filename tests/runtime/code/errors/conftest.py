"""Makes `programs` importable for the tests of this folder, and runs programs in folders of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


class Workplace:
    """A folder with a program and what Python prints when it runs."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, program) -> None:
        for name, text in {"main.py": program.text, **program.beside}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")

    def run(self, typed: str = "", python: str = sys.executable) -> subprocess.CompletedProcess:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PYTHONUTF8": "1"}
        return subprocess.run(
            [python, "main.py"],
            cwd=self.folder, env=environment, input=typed, capture_output=True, text=True, timeout=30, encoding="utf-8",
        )  # fmt: skip


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)
