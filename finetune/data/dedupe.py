"""Exact and near duplicates: sha256 of the text, and MinHash (Broder 1997) over pairs of consecutive lines with
banding.

The first file that comes stays, so feed the newest version first. Knows nothing about files or splits.
"""

import zlib

import numpy as np

HASHES = 64
BANDS = 16
THRESHOLD = 0.7  # estimated Jaccard similarity from which a file counts as a copy

_rng = np.random.Generator(np.random.PCG64(20251120))
_A = _rng.integers(1, 1 << 61, HASHES, dtype=np.uint64) | np.uint64(1)
_B = _rng.integers(0, 1 << 61, HASHES, dtype=np.uint64)


def signature(text: str) -> np.ndarray:
    """MinHash signature, uint64 (64,), of the set of pairs of neighbouring non-empty stripped lines."""
    lines = [line.strip().encode("utf-8", "surrogatepass") for line in text.split("\n")]
    lines = [line for line in lines if line] or [b""]
    crc = np.fromiter((zlib.crc32(line) for line in lines), np.uint64, len(lines))
    pairs = (crc[:-1] << np.uint64(32) | crc[1:]) if len(crc) > 1 else crc
    pairs = np.unique(pairs)
    out = np.full(HASHES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(pairs), 4096):
        block = pairs[None, start : start + 4096] * _A[:, None] + _B[:, None]  # wraps modulo 2^64 on purpose
        block ^= block >> np.uint64(29)
        np.minimum(out, block.min(axis=1), out=out)
    return out


class Duplicates:
    """Remembers files: `check` names the earlier file that a text copies, `add` remembers one."""

    def __init__(self, threshold: float = THRESHOLD):
        self.threshold = threshold
        self._exact: dict[str, str] = {}
        self._signatures: list[np.ndarray] = []
        self._names: list[str] = []
        self._buckets: dict[bytes, list[int]] = {}

    def exact(self, sha256: str) -> str | None:
        """Name of the file with the same text, or None."""
        return self._exact.get(sha256)

    def near(self, sign: np.ndarray) -> str | None:
        """Name of a file whose estimated similarity reaches the threshold, or None."""
        candidates = {i for key in _bands(sign) for i in self._buckets.get(key, ())}
        for i in sorted(candidates):
            if np.count_nonzero(self._signatures[i] == sign) >= self.threshold * HASHES:
                return self._names[i]
        return None

    def add(self, name: str, sha256: str, sign: np.ndarray) -> None:
        self._exact[sha256] = name
        for key in _bands(sign):
            self._buckets.setdefault(key, []).append(len(self._names))
        self._names.append(name)
        self._signatures.append(sign)


def _bands(sign: np.ndarray) -> list[bytes]:
    rows = HASHES // BANDS
    return [bytes([b]) + sign[b * rows : (b + 1) * rows].tobytes() for b in range(BANDS)]
