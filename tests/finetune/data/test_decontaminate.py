"""Files that share ten code tokens with an evaluation set are recognised by hashes; the sets' text is not shipped."""

import hashlib
import runpy
from pathlib import Path

import numpy as np
import pytest

from finetune.data import decontaminate
from finetune.data.decontaminate import code_windows, contaminated, evaluation_windows, shared, telling_windows
from runtime.files.errors import FormatError

PROBLEM = "def gather(apples, baskets):\n    return [apple for basket in baskets for apple in apples[basket]]\n"


def test_ten_tokens_in_a_row_are_found_wherever_they_stand():
    forbidden = telling_windows([PROBLEM])
    inside = "import os\n\n\n" + PROBLEM.replace("    ", "\t").replace("def gather", "def other") + "print(os.name)\n"
    assert len(shared(code_windows(inside), forbidden)) >= 10
    nine = " ".join(decontaminate._TOKEN.findall(PROBLEM)[:9])
    assert not len(shared(code_windows(f"x = 1\n{nine} += 2\n" * 3), forbidden))
    assert not len(shared(code_windows(PROBLEM.replace("apple", "pear")), forbidden))
    assert not len(code_windows("a b c")) and not len(telling_windows([])) and not len(telling_windows(["a b c"]))


def test_numbers_and_marks_are_nobodys():
    numbers = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"
    assert len(code_windows(numbers)) and not len(telling_windows([numbers]))
    assert set(telling_windows([PROBLEM + numbers]).tolist()) < set(code_windows(PROBLEM + numbers).tolist())


def test_what_many_files_hold_is_common_language():
    rare, often = np.array([1, 2], np.uint64), np.array([2], np.uint64)
    assert contaminated([rare] + [often] * 19) == [2] + [1] * 19
    assert contaminated([rare] + [often] * 20) == [1] + [0] * 20


def test_the_shipped_hashes_are_sorted_and_checked(tmp_path, monkeypatch):
    windows = evaluation_windows()
    assert windows.dtype == np.uint64 and len(windows) > 30_000 and (np.diff(windows) > 0).all()
    broken = bytearray(decontaminate.SHIPPED.read_bytes())
    broken[-1] ^= 1
    (tmp_path / "w.npy").write_bytes(broken)
    monkeypatch.setattr(decontaminate, "SHIPPED", tmp_path / "w.npy")
    evaluation_windows.cache_clear()
    with pytest.raises(FormatError, match="came with the package"):
        evaluation_windows()
    monkeypatch.undo()
    evaluation_windows.cache_clear()
    assert len(evaluation_windows()) == len(windows)


@pytest.mark.shared
def test_the_shipped_hashes_are_those_of_the_evaluation_sets(shared_data):
    made = runpy.run_path(str(Path(__file__).with_name("make_windows.py")))["windows_file"](shared_data)
    assert hashlib.sha256(made).hexdigest() == decontaminate.SHIPPED_SHA256
