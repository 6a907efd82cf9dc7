"""Making batches ahead changes nothing: same batches, same states, errors where they belong, no thread left."""

import itertools
import json
import threading
import time

import pytest

from finetune.data.prefetch import Prefetch


class Numbers:
    """Counts, is slow now and then, and fails at a number if told so."""

    def __init__(self, fail_at=None):
        self.at, self.fail_at, self.most = 0, fail_at, 0

    def __next__(self):
        if self.at == self.fail_at:
            raise ValueError(f"number {self.at}")
        if self.at % 7 == 3:
            time.sleep(0.002)
        self.at += 1
        self.most = max(self.most, self.at)
        return self.at

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        if state["at"] < 0:
            raise ValueError("at")
        self.at = state["at"]


def take(batches, n):
    return list(itertools.islice(batches, n))


@pytest.mark.parametrize("depth", [1, 3, 50])
def test_the_state_is_that_of_what_was_handed_out(depth):
    a = Prefetch(Numbers(), depth)
    assert a.state_dict() == {"at": 0}
    assert take(a, 23) == list(range(1, 24))
    time.sleep(0.02)  # the thread is ahead by now
    state = json.loads(json.dumps(a.state_dict()))
    assert state == {"at": 23}
    b = Prefetch(Numbers(), depth)
    take(b, 5)
    b.load_state_dict(state)
    assert take(b, 10) == take(a, 10) == list(range(24, 34))
    a.close(), b.close()


def test_it_is_ahead_by_no_more_than_its_depth():
    inside = Numbers()
    a = Prefetch(inside, 3)
    take(a, 2)
    time.sleep(0.1)
    assert 4 <= inside.most <= 2 + 3 + 1  # the one more is in the thread's hand
    a.close()


def test_closing_drops_nothing_and_leaves_no_thread():
    a = Prefetch(Numbers(), 4)
    head = take(a, 7)
    a.close()
    a.close()
    assert not [t for t in threading.enumerate() if t.name == "batches"]
    assert head + take(a, 5) == list(range(1, 13))
    a.close()


def test_an_error_comes_where_its_batch_would_have_come():
    a = Prefetch(Numbers(fail_at=5), 10)
    assert take(a, 5) == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="number 5"):
        next(a)
    assert a.state_dict() == {"at": 5}
    with pytest.raises(ValueError, match="number 5"):  # and again
        next(a)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="depth"):
        Prefetch(Numbers(), 0)
    with pytest.raises(ValueError, match="at"):
        Prefetch(Numbers()).load_state_dict({"at": -1})
