"""What the next step runs: classes, shared steps, budgets of rows, turns for those that starve."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.engine.schedule import LEAST_ROWS, PATIENCE, Limits, choose, portion

COMPLETION, CHAT, BACKGROUND = range(3)
LIMITS = Limits(rows=256, alone=256, mixed=32, beside=20)


@dataclass(eq=False)
class Task:
    rank: int
    wanted: int = 1
    decoding: bool = True
    submitted: float = 0.0
    served: float = 100.0
    adapter: object = None


def prompt(rank, wanted=1000, **more):
    return Task(rank, wanted, decoding=False, **more)


def turns(tasks, limits=LIMITS, now=100.0):
    step = choose(tasks, limits, now)
    return {tasks.index(task): rows for task, rows in step.turns}


def test_sequences_of_a_class_that_generate_share_a_step():
    assert turns([Task(CHAT), Task(CHAT), Task(CHAT)]) == {0: 1, 1: 1, 2: 1}


def test_a_prompt_alone_gets_all_rows_and_beside_others_a_few():
    assert turns([prompt(CHAT)]) == {0: 256}
    assert turns([Task(CHAT), prompt(CHAT)]) == {0: 1, 1: 32}
    assert turns([Task(CHAT), prompt(BACKGROUND)]) == {0: 1, 1: 20}


def test_rows_left_by_a_short_prompt_go_to_the_next_one():
    assert turns([prompt(CHAT, 100, submitted=1), prompt(CHAT, 300, submitted=2)]) == {0: 100, 1: 156}


def test_a_completion_keeps_the_lane_to_itself():
    assert turns([prompt(CHAT), Task(CHAT), Task(COMPLETION)]) == {2: 1}
    assert turns([Task(CHAT), Task(BACKGROUND), prompt(COMPLETION, 40)]) == {2: 40}


def test_others_ride_along_with_completions_where_rows_are_cheap():
    limits = Limits(rows=256, alone=256, mixed=32, ride=True)
    assert turns([prompt(CHAT), Task(CHAT), Task(COMPLETION)], limits) == {1: 1, 2: 1}


def test_who_starves_gets_a_turn_and_not_two_in_a_row():
    tasks = [Task(COMPLETION), prompt(BACKGROUND, served=100 - 2 * PATIENCE), prompt(CHAT, served=100 - 1.5 * PATIENCE)]
    step = choose(tasks, LIMITS, 100.0)
    assert step.spare and [(tasks.index(task), rows) for task, rows in step.turns] == [(0, 1), (1, 32)]
    assert not choose(tasks, Limits(256, 256, 32, spare=False), 100.0).spare


def test_adapters_never_share_a_step():
    tasks = [Task(CHAT, submitted=1, adapter="a"), Task(CHAT, submitted=2, adapter="b"), Task(CHAT, submitted=3)]
    tasks.append(Task(CHAT, submitted=4, adapter="a"))
    assert turns(tasks) == {0: 1, 3: 1}


def test_drafts_share_the_rows():
    limits = Limits(rows=8, alone=8, mixed=8)
    assert turns([Task(CHAT, wanted=6), Task(CHAT, wanted=6)], limits) == {0: 6, 1: 2}


def test_a_prompt_is_never_cut_into_small_parts():
    assert portion(40, 100, 256) == 40
    assert portion(40, 20, 256) == 20
    assert portion(40, 30, 256) == 40, "rather a little more now than a rest of ten"
    assert portion(260, 256, 256) == 244, "rather a little less"
    assert portion(5, 1, 256) == 5
    assert portion(40, 10, 256) == portion(40, 0, 256) == portion(5, 20, 0) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.lists(st.integers(0, 300), max_size=9), st.integers(32, 256))
def test_every_part_of_a_prompt_is_large_whatever_the_budgets_are(length, budgets, left):
    parts = [length]
    for budget in (*budgets, *[left] * 70):
        rows = portion(parts[-1], budget, left) if parts[-1] else 0
        parts[-1:] = [rows, parts[-1] - rows] if rows else parts[-1:]
    assert parts.pop() == 0 and max(parts) <= left
    assert min(parts) >= min(LEAST_ROWS, length)


tasks = st.builds(
    Task,
    rank=st.integers(0, 2),
    wanted=st.integers(1, 600),
    decoding=st.booleans(),
    submitted=st.floats(0, 9),
    served=st.floats(90, 100),
    adapter=st.sampled_from([None, "a"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(tasks, min_size=1, max_size=9), st.integers(1, 256), st.booleans())
def test_a_step_is_never_empty_nor_too_large(active, rows, ride):
    limits = Limits(rows, alone=rows, mixed=min(rows, 16), beside=4, ride=ride)
    step = choose(active, limits, 100.0)
    assert step.turns and 0 < step.rows <= rows
    assert len({id(task) for task, _ in step.turns}) == len(step.turns)
    assert all(0 < given <= task.wanted for task, given in step.turns)
    assert len({task.adapter for task, _ in step.turns}) == 1
    if not step.spare:  # the highest class present is served
        assert min(task.rank for task, _ in step.turns) == min(task.rank for task in active)
