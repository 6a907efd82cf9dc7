"""Groups files that resemble each other, so that a split never separates them: union-find over near-duplicate pairs.

Two files are in one cluster when their estimated Jaccard similarity reaches 0.3, when they are the same file of two
versions of a package, or through a chain of such pairs. Knows signatures and names only.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from finetune.data.dedupe import HASHES

ALIKE = 0.3
ROWS = 2  # of a band: 32 bands of 2 rows meet with probability 0.95 at similarity 0.3
LOOK_BACK = 24  # files of a bucket that a new one is compared with; chains join the rest


class Forest:
    """Union-find with path halving; the smaller index stays root."""

    def __init__(self, n: int):
        self._parent = list(range(n))

    def find(self, i: int) -> int:
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def union(self, i: int, j: int) -> None:
        i, j = sorted((self.find(i), self.find(j)))
        self._parent[j] = i


def alike(a: np.ndarray, b: np.ndarray, threshold: float = ALIKE) -> bool:
    """Whether two signatures estimate a similarity of at least `threshold`."""
    return int(np.count_nonzero(a == b)) >= threshold * HASHES


class Neighbours:
    """Finds earlier files that may be alike: the buckets of 32 bands of a signature."""

    def __init__(self):
        self._buckets: dict[bytes, list[int]] = {}

    def meet(self, i: int, sign: np.ndarray, remember: bool = True) -> set[int]:
        """Indices of earlier files that share a band with file i."""
        found: set[int] = set()
        for band in range(HASHES // ROWS):
            key = bytes([band]) + sign[band * ROWS : (band + 1) * ROWS].tobytes()
            bucket = self._buckets.setdefault(key, []) if remember else self._buckets.get(key, [])
            found.update(bucket[-LOOK_BACK:])
            if remember:
                bucket.append(i)
        return found


def clusters(names: Sequence[str], signatures: Sequence[np.ndarray]) -> list[str]:
    """The cluster of every file, as the first 16 hexadecimal digits of the sha256 of its first name.

    names: what identifies a file across versions ("json/decoder.py" of a library); equal names share a cluster.
    """
    forest, met, by_name = Forest(len(names)), Neighbours(), {}
    for i, (name, sign) in enumerate(zip(names, signatures, strict=True)):
        if by_name.setdefault(name, i) != i:
            forest.union(i, by_name[name])
        for j in met.meet(i, sign):
            if forest.find(i) != forest.find(j) and alike(sign, signatures[j]):
                forest.union(i, j)
    first: dict[int, str] = {}
    for i, name in enumerate(names):
        root = forest.find(i)
        first[root] = min(first.get(root, name), name)
    return [cluster_id(first[forest.find(i)]) for i in range(len(names))]


def cluster_id(first: str) -> str:
    """The cluster whose first name, in order of the alphabet, is this one."""
    return hashlib.sha256(first.encode()).hexdigest()[:16]


def choose_split(cluster: str, shares: Sequence[float]) -> str:
    """train, val or test of a cluster from its hash; shares: of train, val, test, need not sum to one."""
    digest = hashlib.sha256(cluster.encode()).digest()
    where = int.from_bytes(digest[:8], "big") / 2**64 * sum(shares)
    return "train" if where < shares[0] else "val" if where < shares[0] + shares[1] else "test"
