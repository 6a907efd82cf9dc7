"""The caches of several sequences: what a slot says it holds is what it holds, through edits, forks and evictions.

On a fake network whose caches hold their ids, so that thousands of edits are checked; `test_cached_scores.py` compares
the numbers of the real one.
"""

import numpy as np
from fake_network import BYTES_PER_POSITION, VOCABULARY, FakeNetwork
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.engine.cache import CacheStore, common_prefix
from runtime.engine.network import Chunk

rng = np.random.default_rng(2)


def ids(n, seed=0):
    return np.random.default_rng(seed).integers(0, VOCABULARY, n).astype(np.int32)


def fill(store, prompt, positions=None, **options):
    """Serve a prompt and release it; (slot, reused)."""
    slot, reused = store.acquire(prompt, positions or len(prompt), **options)
    run(store, slot, prompt)
    store.release(slot)
    return slot, reused


def run(store, slot, prompt):
    while len(slot) < len(prompt):
        part = prompt[len(slot) :][: store.network.max_rows]
        store.reserve(slot, len(slot) + len(part))
        assert store.network.run([Chunk(part, len(slot), slot.cache, length=len(prompt))])
        store.append(slot, part)


def kilobytes(n):
    return n * BYTES_PER_POSITION


def test_a_short_prompt_does_not_reserve_the_context():
    store = CacheStore(FakeNetwork(capacity=5000), kilobytes(10**6))
    slot, _ = fill(store, ids(10))
    assert slot.cache.capacity == 256
    fill(store, ids(10))
    more = np.concatenate([ids(10), ids(700, 1)])
    grown, reused = fill(store, more)
    assert grown is slot and reused == 10 and slot.cache.capacity == 1024
    assert fill(store, np.concatenate([more, ids(3000, 2)]))[0].cache.capacity == 4096
    assert fill(store, ids(4500, 3))[0].cache.capacity == 5000, "the last step is the context"


def test_typing_goes_on_in_place_and_another_document_gets_its_own_slot():
    store = CacheStore(FakeNetwork(), kilobytes(4096))
    one, other = ids(200, 1), ids(150, 2)
    first, _ = fill(store, one)
    second, reused = fill(store, other)
    assert second is not first and reused == 0
    slot, reused = fill(store, np.concatenate([one[:190], ids(8, 3)]))
    assert slot is first and reused == 190
    assert fill(store, other)[1] == 149, "the last id is computed anew"


def test_a_busy_or_much_longer_sequence_lends_a_copy_of_its_beginning():
    store = CacheStore(FakeNetwork(), kilobytes(4096))
    shared = ids(120, 1)
    first, _ = store.acquire(np.concatenate([shared, ids(30, 2)]), 200)
    run(store, first, np.concatenate([shared, ids(30, 2)]))
    fork, reused = fill(store, np.concatenate([shared, ids(30, 3)]))
    assert fork is not first and reused == 120 and len(first) == 150
    store.release(first)
    long = np.concatenate([shared, ids(600, 4)])
    fill(store, long)
    assert fill(store, np.concatenate([shared, ids(5, 5)]))[1] == 120
    assert fill(store, long)[1] == len(long) - 1, "it kept what the other one did not share"


def test_the_least_recently_used_goes_first_and_the_budget_holds():
    store = CacheStore(FakeNetwork(), kilobytes(3 * 256))
    documents = [ids(200, seed) for seed in range(3)]
    for document in documents:
        fill(store, document)
    fill(store, documents[0])
    fill(store, ids(200, 9))
    assert store.nbytes <= kilobytes(3 * 256)
    assert store.shared(documents[1]) == 0
    assert store.shared(documents[0]) == store.shared(documents[2]) == 199


def test_a_new_sequence_takes_the_memory_of_the_one_that_is_given_up():
    store = CacheStore(FakeNetwork(), kilobytes(2 * 256))
    oldest, _ = fill(store, ids(200, 1))
    fill(store, ids(200, 2))
    newest, _ = fill(store, ids(200, 3))
    assert newest is not oldest and newest.cache is oldest.cache
    assert len(store.slots) == len({id(slot.cache) for slot in store.slots}) == 2
    fork, reused = store.acquire(np.concatenate([ids(200, 3)[:30], ids(100, 4)]), 130)
    assert reused == 30 and fork.cache is not newest.cache
    np.testing.assert_array_equal(fork.cache.tokens[:30], newest.ids[:30])


def test_a_full_budget_makes_some_wait_and_serves_who_must_be_served():
    store = CacheStore(FakeNetwork(), kilobytes(512))
    first, _ = store.acquire(ids(200, 1), 300)
    assert store.nbytes == kilobytes(512), "what it may grow to is promised"
    assert store.acquire(ids(10, 2), 20, must=False) is None
    second, _ = store.acquire(ids(10, 2), 20, must=True)
    store.release(first)
    store.release(second)
    assert store.acquire(ids(10, 3), 20, must=False, leave=kilobytes(512)) is None
    assert store.acquire(ids(10, 3), 20, must=False, leave=kilobytes(256))
    assert store.nbytes <= kilobytes(512)


def test_adapters_do_not_share_caches():
    store = CacheStore(FakeNetwork(), kilobytes(4096))
    fill(store, ids(200), adapter="a")
    assert store.shared(ids(200)) == 0 and store.shared(ids(200), "a") == 199
    assert fill(store, ids(200))[1] == 0 and fill(store, ids(200), adapter="a")[1] == 199


def test_prompts_with_other_rotary_positions_do_not_share_caches():
    store = CacheStore(FakeNetwork(border=250), kilobytes(4096))
    short = ids(240)
    fill(store, short)
    assert fill(store, np.concatenate([short, ids(5, 1)]))[1] == 240
    assert fill(store, np.concatenate([short, ids(20, 1)]))[1] == 0, "longer than the border"
    assert fill(store, np.concatenate([short, ids(30, 2)]))[1] == 240


class Editing(RuleBasedStateMachine):
    """Documents are edited and served in any order; some requests stay busy, are cancelled half way or roll back."""

    def __init__(self):
        super().__init__()
        self.network = FakeNetwork(capacity=700, max_rows=64, border=90)
        self.store = CacheStore(self.network, kilobytes(1500))
        self.documents = [ids(60, 1), ids(40, 2), np.concatenate([ids(50, 1), ids(30, 3)])]
        self.busy = []

    @rule(
        which=st.integers(0, 2),
        at=st.floats(0, 1),
        cut=st.integers(0, 40),
        new=st.lists(st.integers(0, VOCABULARY - 1), max_size=30),
    )
    def edit(self, which, at, cut, new):
        text = self.documents[which]
        at = int(at * len(text))
        edited = np.concatenate([text[:at], np.array(new, np.int32), text[at + cut :]])
        self.documents[which] = edited[:600].astype(np.int32) if len(edited) else ids(1, 7)

    @rule(which=st.integers(0, 2), chunks=st.integers(0, 9), stay=st.booleans(), more=st.integers(0, 99))
    def serve(self, which, chunks, stay, more):
        """Up to so many chunks of the prompt are run; then it is cancelled, or stays busy for a while."""
        prompt = self.documents[which]
        taken = self.store.acquire(prompt, len(prompt) + more, must=not self.busy)
        if taken is None:
            return
        slot, reused = taken
        assert slot.busy and len(slot) == reused <= len(prompt) - 1
        np.testing.assert_array_equal(slot.ids, prompt[:reused])
        for _ in range(chunks):
            part = prompt[len(slot) :][: self.network.max_rows]
            if not len(part):
                break
            self.store.reserve(slot, len(slot) + len(part))
            # it fails if a position before is not computed
            self.network.run([Chunk(part, len(slot), slot.cache, length=len(prompt))])
            self.store.append(slot, part)
        if stay:
            self.busy.append(slot)
        else:
            self.store.release(slot)

    @precondition(lambda self: self.busy)
    @rule(which=st.integers(0, 9), back=st.integers(0, 9))
    def finish(self, which, back):
        slot = self.busy.pop(which % len(self.busy))
        slot.truncate(max(0, len(slot) - back))  # drafts that were refused
        self.store.release(slot)

    @invariant()
    def slots_hold_what_they_say(self):
        for slot in self.store.slots:
            np.testing.assert_array_equal(slot.cache.tokens[: len(slot)], slot.ids)
            assert slot.regime is None or set(slot.cache.regimes[: len(slot)]) <= {slot.regime}
        assert sum(slot.busy for slot in self.store.slots) == len(self.busy)
        if len(self.busy) == 0:
            assert self.store.nbytes <= self.store.kv_bytes


TestEditing = Editing.TestCase
TestEditing.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_common_prefix():
    a = np.array([1, 2, 3], np.int32)
    assert common_prefix(a, a) == 3 and common_prefix(a, a[:2]) == 2 and common_prefix(a, a[1:]) == 0
    assert common_prefix(a, a[:0]) == 0
