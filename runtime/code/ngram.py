"""N-gram counts of a corpus and a language model on them with a memory of the document so far.

Counts lie in a trie of sorted arrays, so that a step costs one binary search per order. Smoothing is Witten-Bell,
interpolated (Bell, Cleary and Witten 1990, chapter 6; Chen and Goodman 1998, section 2.5):

    p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h))      T(h): distinct followers of h;  h': h without its first id

and ends at the uniform distribution. The document's own counts are a second model of the same form, on top of the
first (a cache: Kuhn and De Mori 1990); both are interpolated with weights that depend on how long a context the
document has repeated, and that the document itself corrects as it is read. Knows ids; no text, no files' formats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

MAX_ORDER = 8
# Weight of the document's model by (length of the longest context that it has seen before, whether only one id has
# followed that context so far): about what validation files settle at. Longer contexts use the last entry.
_WEIGHTS = {
    False: (0.15, 0.33, 0.4, 0.5, 0.6, 0.7),
    True: (0.1, 0.35, 0.53, 0.69, 0.76, 0.82),
}
_STRENGTH = 20.0  # observations that such a weight counts for


class NgramCounts:
    """Counts of all n-grams of 1..order ids in one sequence.

    Level n (from 1) lists the distinct n-grams by (node of their first n - 1 ids, last id): `ids[n - 1]` their last
    ids, `counts[n - 1]` how often, and those that continue node i of level n - 1 are first[n - 1][i] to
    first[n - 1][i + 1]. Level 0 is one node, the empty context. `tail`: node of the sequence's own end, per level.
    """

    def __init__(self, vocab: int, ids: Sequence, counts: Sequence, first: Sequence, tail: Sequence[int]) -> None:
        self.vocab, self.order = vocab, len(ids)
        self.arrays = {"ids": list(ids), "counts": list(counts), "first": list(first)}
        self.tail = [int(node) for node in tail]
        self._check()
        self.total = int(self.arrays["counts"][0].sum())  # ids that were counted
        # Memory views give Python numbers at a tenth of the cost of numpy's scalars.
        self._ids, self._counts, self._first = (
            [memoryview(np.require(a, None, ["C", "A"])) for a in self.arrays[key]]
            for key in ("ids", "counts", "first")
        )

    @classmethod
    def of(cls, sequence, vocab: int, order: int = 6) -> NgramCounts:
        """Counts of integers (N,), N >= 1, each below `vocab`. Raises ValueError for anything else, or order > 8."""
        sequence = np.asarray(sequence)
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order must be from 1 to {MAX_ORDER}, not {order}")
        if sequence.ndim != 1 or not len(sequence) or sequence.dtype.kind not in "iu":
            raise ValueError("n-grams are counted in a sequence of ids that is not empty")
        if int(sequence.min()) < 0 or int(sequence.max()) >= vocab:
            raise ValueError(f"ids must be from 0 to {vocab - 1}")
        if len(sequence) >= 1 << 31:
            raise ValueError("at most 2^31 - 1 ids are counted")
        small = np.uint16 if vocab <= 1 << 16 else np.uint32
        ids, counts, first, tail = [], [], [], []
        node = np.zeros(len(sequence) + 1, np.uint64)  # of the n ids that start at each place
        size = 1  # nodes of the level above
        for n in range(1, order + 1):
            places = len(sequence) - n + 1
            if places < 1:
                break
            last = sequence[n - 1 :].astype(np.uint64)
            keys, node, count = np.unique((node[:places] << 32) | last, return_inverse=True, return_counts=True)
            node = node.astype(np.uint64)
            ids.append((keys & 0xFFFFFFFF).astype(small))
            counts.append(count.astype(np.uint16 if count.max() < 1 << 16 else np.uint32))
            children = np.bincount((keys >> 32).astype(np.int64), minlength=size)
            first.append(np.concatenate([[0], np.cumsum(children)]).astype(np.uint32))
            tail.append(int(node[-1]))
            size = len(keys)
        return cls(vocab, ids, counts, first, tail)

    def _check(self) -> None:
        """Raises ValueError if the arrays do not describe a trie (they may come from a file)."""
        ids, counts, first = (self.arrays[key] for key in ("ids", "counts", "first"))
        if not 1 <= self.order <= MAX_ORDER or not len(counts) == len(first) == len(self.tail) == self.order:
            raise ValueError("n-gram counts need ids, counts, bounds and a tail for each of 1 to 8 levels")
        size = 1
        for level, (i, c, f) in enumerate(zip(ids, counts, first, strict=True), 1):
            whole = all(a.ndim == 1 and a.dtype.kind == "u" for a in (i, c, f))
            if not (whole and len(i) == len(c) > 0 and len(f) == size + 1 and f[0] == 0 and f[-1] == len(i)):
                raise ValueError(f"level {level} of the n-gram counts has arrays that do not fit each other")
            if (
                (f[1:] < f[:-1]).any()
                or int(i.max()) >= self.vocab
                or not c.all()
                or not 0 <= self.tail[level - 1] < len(i)
            ):
                raise ValueError(f"level {level} of the n-gram counts holds values out of range")
            size = len(i)

    def child(self, level: int, node: int, id: int) -> int:
        """Node of level + 1 for `node` of `level` followed by id, or -1."""
        first, ids = self._first[level], self._ids[level]
        end = first[node + 1]
        at = bisect_left(ids, id, first[node], end)
        return at if at < end and ids[at] == id else -1

    def count(self, level: int, node: int) -> int:
        """How often the n-gram of that node (level >= 1) occurs."""
        return self._counts[level - 1][node]

    def followers(self, level: int, node: int) -> tuple[int, int, int]:
        """(c, first, end): how often something follows the context, and where its followers stand in level + 1."""
        if level == 0:
            times = self.total
        else:  # every occurrence is followed by something, but for one at the sequence's end
            times = self._counts[level - 1][node] - (self.tail[level - 1] == node)
        first = self._first[level]
        return times, first[node], first[node + 1]


class NgramModel:
    """Predicts a document id by id: feed(id), then distribution(), best() or log_probability(id) for what comes next.

    `cache` False: the corpus alone. State is a function of the fed ids alone; `reset` forgets them. Every id has a
    positive probability. Raises ValueError for ids outside the vocabulary.
    """

    def __init__(self, counts: NgramCounts, cache: bool = True) -> None:
        self.counts, self.cache = counts, cache
        self.vocab, self.order = counts.vocab, counts.order
        self.reset()

    def reset(self) -> None:
        """Forget the document."""
        self._nodes = [0]  # of the last 0, 1, … ids, as far as the corpus has them
        self._recent: tuple[int, ...] = ()  # the last order - 1 ids
        # by context: how often it was followed, and by what how often
        self._seen: dict[tuple[int, ...], list] = {}
        self._gained: dict[tuple[int, bool], list[float]] = {}

    def feed(self, id: int) -> None:
        """The document goes on with `id`."""
        id = self._known(id)
        contexts = self._contexts() if self.cache else []
        if contexts:
            below, above = self._parts(id, contexts)
            key, weight = self._weight(contexts)
            gained = self._gained.setdefault(key, [0.0, 0.0])
            gained[0] += weight * above / (weight * above + (1 - weight) * below)
            gained[1] += 1
        counts, nodes = self.counts, [0]
        for level, node in enumerate(self._nodes[: self.order - 1]):
            node = counts.child(level, node, id)
            if node < 0:
                break
            nodes.append(node)
        self._nodes = nodes
        if self.cache:
            recent = self._recent
            for k in range(len(recent) + 1):
                entry = self._seen.get(recent[k:])
                if entry is None:
                    self._seen[recent[k:]] = [1, {id: 1}]
                else:
                    entry[0] += 1
                    entry[1][id] = entry[1].get(id, 0) + 1
            self._recent = (*recent, id)[-(self.order - 1) :] if self.order > 1 else ()

    def probability(self, id: int) -> float:
        """Of `id` as the next one."""
        id = self._known(id)
        contexts = self._contexts()
        below, above = self._parts(id, contexts)
        if not contexts:
            return below
        weight = self._weight(contexts)[1]
        return (1 - weight) * below + weight * above

    def log_probability(self, id: int) -> float:
        """Natural logarithm of `probability`."""
        return float(np.log(self.probability(id)))

    def distribution(self) -> np.ndarray:
        """float64 (vocab,): the probability of every id as the next one; sums to 1."""
        p = np.full(self.vocab, 1 / self.vocab)
        counts = self.counts
        for level, node in enumerate(self._nodes):
            times, first, end = counts.followers(level, node)
            if times:
                kinds = end - first
                p *= kinds / (times + kinds)
                p[counts.arrays["ids"][level][first:end]] += counts.arrays["counts"][level][first:end] / (times + kinds)
        contexts = self._contexts()
        if not contexts:
            return p
        q = p.copy()
        for times, after in contexts:
            kinds = len(after)
            q *= kinds / (times + kinds)
            ids = np.fromiter(after, np.int64, kinds)
            q[ids] += np.fromiter(after.values(), np.float64, kinds) / (times + kinds)
        weight = self._weight(contexts)[1]
        return (1 - weight) * p + weight * q

    def best(self) -> int:
        """The most probable next id (the smallest among equals)."""
        return int(self.distribution().argmax())

    def _known(self, id: int) -> int:
        if not 0 <= id < self.vocab:
            raise ValueError(f"id {id} is outside the vocabulary of {self.vocab}")
        return int(id)

    def _contexts(self) -> list:
        """What the document has seen after its own last 0, 1, … ids, as far as it has seen them before."""
        found = []
        recent, seen = self._recent, self._seen
        for k in range(len(recent), -1, -1):
            entry = seen.get(recent[k:])
            if entry is None:
                break
            found.append(entry)
        return found

    def _weight(self, contexts: list) -> tuple[tuple[int, bool], float]:
        sure = len(contexts[-1][1]) == 1
        key = (len(contexts) - 1, sure)
        start = _WEIGHTS[sure][min(key[0], len(_WEIGHTS[sure]) - 1)]
        gained, times = self._gained.get(key, (0.0, 0.0))
        return key, (start * _STRENGTH + gained) / (_STRENGTH + times)

    def _parts(self, id: int, contexts: list) -> tuple[float, float]:
        """Probability of id from the corpus, and from the document on top of it."""
        p = 1 / self.vocab
        counts = self.counts
        for level, node in enumerate(self._nodes):
            times, first, end = counts.followers(level, node)
            if times:
                kinds = end - first
                child = counts.child(level, node, id)
                p = ((counts.count(level + 1, child) if child >= 0 else 0) + kinds * p) / (times + kinds)
        q = p
        for times, after in contexts:
            q = (after.get(id, 0) + len(after) * q) / (times + len(after))
        return p, q
