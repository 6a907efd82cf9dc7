"""Makes finetune/data/evaluation_windows.npy from the evaluation sets: `python tests/finetune/data/make_windows.py
FOLDER`, FOLDER holding humaneval, humaneval-infilling and quixbugs. Prints the hash for decontaminate.SHIPPED_SHA256.
"""

import gzip
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from finetune.data import decontaminate


def evaluation_texts(folder: Path) -> Iterator[str]:
    """Every problem with its solution and tests, as a file that copied it would hold them."""
    for file in sorted(folder.glob("humaneval*/*.jsonl.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            row = json.loads(line)
            yield row["prompt"] + row["canonical_solution"] + row.get("suffix", "") + "\n" + row["test"]
    for line in (folder / "quixbugs" / "quixbugs.jsonl").read_bytes().splitlines():
        yield from (text for text in json.loads(line).values() if isinstance(text, str))


def windows_file(folder: Path) -> bytes:
    """Contents of evaluation_windows.npy."""
    body = io.BytesIO()
    np.save(body, decontaminate.telling_windows(evaluation_texts(folder)), allow_pickle=False)
    return body.getvalue()


if __name__ == "__main__":
    made = windows_file(Path(sys.argv[1]))
    decontaminate.SHIPPED.write_bytes(made)
    print(hashlib.sha256(made).hexdigest())
