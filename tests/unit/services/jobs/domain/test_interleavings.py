"""All interleavings of crash, duplicate, reorder and replay: every state there is of small jobs, walks through larger.

`check` holds the rules against every move, `recover` brings each state to its end by the agenda alone, and what has
ended is replayed three times.
"""

from __future__ import annotations

from collections import Counter, deque
from random import Random

import pytest

from services.jobs.domain.job import JobState
from tests.unit.services.jobs.domain.interleavings import BrokenError, begins, check, moves, recover, replay_all


def after_move(before, move):
    after = before.copy()
    verdict = move[0](after, *move[1:])
    check(before, move, after, verdict)
    return after


def explore(world):
    """Every state that can be reached from there, and how many moves were tried."""
    seen, waiting, tried = {world.key(): world}, deque([world]), 0
    while waiting:
        before = waiting.popleft()
        for move in moves(before):
            after, tried = after_move(before, move), tried + 1
            if seen.setdefault(after.key(), after) is after:
                waiting.append(after)
    return list(seen.values()), tried


def replayed_changes_nothing(world):
    """Both topics three times from the beginning."""
    again = world.copy()
    for _ in range(3):
        replay_all(again)
        if again.durable() != world.durable():
            raise BrokenError(f"a replay changed {world.record} to {again.record}")


def bring_to_their_ends(worlds):
    """Every state that is reached has a way out by the agenda alone, and a replay of what has ended changes nothing."""
    for world in worlds:
        if world.record.ended:
            replayed_changes_nothing(world)
        recover(world.copy())


def test_every_state_of_a_job_of_one_part_and_two_requests():
    worlds, tried = explore(begins(parts=1, steps=2, consumers=2, attempts_max=2))
    assert len(worlds) > 1_000
    assert tried > 20_000
    assert {world.record.state for world in worlds} >= set(JobState) - {JobState.EXPIRED}
    bring_to_their_ends(worlds)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_state_of_a_job_of_two_parts_of_two_requests():
    worlds, tried = explore(begins(parts=2, steps=2, consumers=2, attempts_max=1))
    assert len(worlds) > 10_000
    assert tried > 200_000
    bring_to_their_ends(worlds)


def test_random_walks_of_three_consumers_through_a_job_of_three_parts_of_three_requests():
    rng, states = Random(7), Counter()
    for _ in range(300):
        world = begins(parts=3, steps=3, consumers=3, attempts_max=5)
        for _ in range(160):
            world = after_move(world, _likely(rng, list(moves(world))))
        states[world.record.state] += 1
        bring_to_their_ends([world])
    assert {state: states[state] for state in ENDS_OF_WALKS if states[state] < 3} == {}


ENDS_OF_WALKS = (JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
# Of a move against the others: with too many ends no walk would come far, with too many deaths none would end.
WEIGHTS = {
    "cancel": 0.01,
    "expire": 0.01,
    "refuse": 0.01,
    "give_up": 0.05,
    "crash": 0.1,
    "put_back": 0.1,
    "deliver": 0.3,
}


def _likely(rng, choices):
    return rng.choices(choices, [WEIGHTS.get(move[0].__name__, 1) for move in choices])[0]
