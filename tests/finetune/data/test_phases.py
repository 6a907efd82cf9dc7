"""Phases of the data: rows change at the step named, resuming is exact on both sides of it, slips are refused."""

import json

import numpy as np
import pytest

from finetune.data.fim import FimSettings
from finetune.data.phases import Phases, PhaseSettings, phase_seed
from finetune.data.streams import RowStreams
from runtime.text import train_bpe

DOCUMENTS = [f"value_{n} = {n}\n" * 60 for n in range(12)]
NO_HOLES = FimSettings(rate=0.0)


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(DOCUMENTS, 300)


def phases(tokenizer, *later):
    settings = [PhaseSettings(1, 16, 4, 0.0, 0, NO_HOLES), *later]

    def begin(number, phase):
        seed = phase_seed(5, number)
        return RowStreams(DOCUMENTS, tokenizer, phase.batch, phase.context, seed, fim=phase.fim)

    return Phases(settings, begin)


LONGER = PhaseSettings(4, 64, 2, 0.0, 0, NO_HOLES)
LAST = PhaseSettings(7, 32, 3, 0.0, 0, NO_HOLES)


def test_rows_change_from_the_step_named_on(tokenizer):
    b = phases(tokenizer, LONGER, LAST)
    shapes = [next(b)[0].shape for _ in range(8)]
    assert shapes == [(4, 16)] * 3 + [(2, 64)] * 3 + [(3, 32)] * 2
    assert b.settings == LAST


def test_the_first_phase_keeps_the_rows_that_a_run_without_phases_has(tokenizer):
    plain, phased = RowStreams(DOCUMENTS, tokenizer, 4, 16, 5, fim=NO_HOLES), phases(tokenizer, LONGER)
    for _ in range(3):
        np.testing.assert_array_equal(next(plain)[0], next(phased)[0])


@pytest.mark.parametrize("stop", [0, 2, 3, 4, 6, 7])
def test_resuming_from_json_is_exact_before_at_and_after_a_change(tokenizer, stop):
    a, b = phases(tokenizer, LONGER, LAST), phases(tokenizer, LONGER, LAST)
    for _ in range(stop):
        next(a)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    for _ in range(6):
        for x, y in zip(next(a), next(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_phases_to_come_may_change_and_those_begun_may_not(tokenizer):
    a = phases(tokenizer, LONGER)
    next(a), next(a)
    phases(tokenizer, LAST).load_state_dict(a.state_dict())
    next(a), next(a)
    with pytest.raises(ValueError, match="step 4, these have 3"):
        phases(tokenizer, PhaseSettings(3, 64, 2, 0.0, 0, NO_HOLES)).load_state_dict(a.state_dict())
    with pytest.raises(ValueError, match="in phase 2, these would be in 1"):
        phases(tokenizer, LAST).load_state_dict(a.state_dict())


def test_phases_out_of_order_are_refused(tokenizer):
    with pytest.raises(ValueError, match="in order"):
        phases(tokenizer, LAST, LONGER)
    with pytest.raises(ValueError, match="step"):
        PhaseSettings(0, 64, 2, 0.0, 0, NO_HOLES)


def test_seeds_differ_by_phase_and_the_first_keeps_the_runs_own():
    assert phase_seed(7, 0) == 7
    assert len({phase_seed(7, n) for n in range(5)} | {phase_seed(8, n) for n in range(5)}) == 10
