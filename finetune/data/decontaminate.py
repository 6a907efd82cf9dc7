"""Keeps evaluation sets out of training text: hashed runs of ten code tokens that a kept file may not hold.

`evaluation_windows.npy` ships with the package: the hashes, sorted, of every such run in HumanEval,
HumanEval-Infilling and QuixBugs (problems, solutions and tests); of their text nothing is stored. A run that more than
20 files of a corpus hold (licence headers, idioms) is common language and not held against a file, after "Brown et al.
2020, Language Models are Few-Shot Learners", appendix C. Knows nothing about where files come from.
"""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from runtime.files.errors import FormatError
from runtime.files.reader import read_bytes

WINDOW = 10  # code tokens: words and single marks, comments included
COMMON = 20  # files
TELLING = 3  # different words that a run needs to be held against a file
SHIPPED = Path(__file__).parent / "evaluation_windows.npy"
SHIPPED_SHA256 = "29abb026dda6b850ac8d3773db8e17047653b6b4478092462d049d8dc4ad036c"
_TOKEN = re.compile(r"\w+|[^\w\s]")
_ODD = tuple(np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def code_windows(text: str) -> np.ndarray:
    """Hashes, uint64 (n,) sorted and unique, of every run of 10 code tokens of `text`; n = 0 for a shorter text."""
    return np.unique(_hashes(*_tokens(text)))


def telling_windows(texts: Iterable[str]) -> np.ndarray:
    """Hashes, uint64 (n,) sorted and unique, of those runs of these texts that hold at least 3 different words: runs
    of numbers and marks ("[1, 2, 3, 4, 5]") belong to nobody."""
    found = [np.zeros(0, np.uint64)]
    for text in texts:
        words, ids = _tokens(text)
        if len(ids) < WINDOW:
            continue
        letters = np.array([w[0].isalpha() for w in words])
        rows = np.sort(np.where(letters[ids], ids, -1)[np.arange(WINDOW) + np.arange(len(ids) - WINDOW + 1)[:, None]])
        different = (rows[:, 0] >= 0).astype(int) + ((rows[:, 1:] != rows[:, :-1]) & (rows[:, 1:] >= 0)).sum(axis=1)
        found.append(_hashes(words, ids)[different >= TELLING])
    return np.unique(np.concatenate(found))


def _tokens(text: str) -> tuple[list[str], np.ndarray]:
    """The distinct code tokens and the text as indices of them, int64 (tokens,)."""
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(w, len(numbers)) for w in _TOKEN.findall(text)]
    return list(numbers), np.array(ids, np.int64)


def _hashes(words: list[str], ids: np.ndarray) -> np.ndarray:
    """uint64 (tokens - 9,): a hash of each run, in order."""
    if len(ids) < WINDOW:
        return np.zeros(0, np.uint64)
    digests = (hashlib.blake2b(w.encode("utf-8", "surrogatepass"), digest_size=8).digest() for w in words)
    tokens = np.frombuffer(b"".join(digests), "<u8")[ids]
    n = len(tokens) - WINDOW + 1
    h = np.zeros(n, np.uint64)
    for k in range(WINDOW):  # a polynomial modulo 2^64 over the tokens, then mixed: order counts
        h = h * _ODD[0] + tokens[k : k + n]
    h = (h ^ (h >> np.uint64(30))) * _ODD[1]
    h = (h ^ (h >> np.uint64(27))) * _ODD[2]
    return h ^ (h >> np.uint64(31))


@cache
def evaluation_windows() -> np.ndarray:
    """The shipped hashes, uint64 (n,) sorted. Raises FormatError when the file is not the one that was shipped."""
    data = read_bytes(SHIPPED, 64 << 20, "evaluation windows")
    if hashlib.sha256(data).hexdigest() != SHIPPED_SHA256:
        raise FormatError("checksum", SHIPPED, None, "is not the file that came with the package; install it again")
    return np.load(io.BytesIO(data), allow_pickle=False)


def shared(windows: np.ndarray, forbidden: np.ndarray) -> np.ndarray:
    """Those hashes of a text that are forbidden too, uint64 (n,)."""
    if not len(windows) or not len(forbidden):
        return np.zeros(0, np.uint64)
    at = np.minimum(np.searchsorted(forbidden, windows), len(forbidden) - 1)
    return windows[forbidden[at] == windows]


def contaminated(shares: Sequence[np.ndarray], common: int = COMMON) -> list[int]:
    """How many forbidden runs that are not common each file holds; shares: per file what `shared` found in it."""
    files = Counter(h for share in shares for h in share.tolist())
    return [sum(1 for h in share.tolist() if files[h] <= common) for share in shares]
