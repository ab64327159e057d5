"""Random operations in bulk, and what they must have met; stores that are wrong in one rule must be found out."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from libs.testing.valkey import ValkeyProcess
from services.jobs.adapters.store.library import JOBS
from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import Begun, Verdict
from tests.contract.services.jobs.adapters.store.desk import HOUR, KEEP
from tests.contract.services.jobs.adapters.store.timed import timed_library
from tests.integration.services.jobs.store import pair
from tests.integration.services.jobs.store.pair import KINDS, Pair

# Operations of one tenant; then another one begins.
EPISODE = 60
JOBS_HERE = sorted(KINDS)

HOOK_STATES = ("pending", "delivered", "failed")


def operation(rng):
    """One operation and its arguments; epochs and versions mostly the present ones."""
    job, other, part = rng.choice(JOBS_HERE), rng.choice(JOBS_HERE), rng.choice((0, 0, 1, 1, 2))
    near = rng.choice((0, 0, 0, 0, 0, -1, 1))
    some = [(rng.randrange(3), rng.choice((200, 200, 400))) for _ in range(rng.randrange(4))]
    weights, choices = zip(
        *[
            (2, (pair.create, job)),
            (1, (pair.add_parts, job, rng.randrange(3), 2)),
            (2, (pair.confirm, job)),
            (1, (pair.refuse, job, rng.choice(("", "NO_MONEY")))),
            (1, (rng.choice((pair.cancel, pair.expire)), job)),
            (12, (pair.begin, job, part)),
            (3, (pair.replay, job, part)),
            (6, (pair.apply, job, part, near, [(0, 200), (1, 200)])),
            (4, (pair.apply, job, part, near, some)),
            (3, (pair.renew, job, part, near, rng.randrange(3))),
            (2, (pair.put_back, job, part, near)),
            (4, (pair.give_up, job, part, near, 2)),
            (1, (pair.batch_of_asks, job, part, near, other)),
            (3, (pair.told, job, rng.randrange(-3, 1), rng.random() < 0.5)),
            (3, (pair.told, job, 0, False)),
            (3, (pair.announce, job, rng.randrange(-3, 1), other)),
            (2, (pair.hooked, job, rng.randrange(-3, 1), rng.choice((0, 200, 503)), rng.choice(HOOK_STATES))),
            (2, (pair.claim, 3)),
            (2, (pair.done, rng.choice((Task.FORGET, *Task)), job, part)),
            (2, (pair.later, rng.choice(tuple(Task)), job, part, 5_000)),
            (2, (pair.pass_time, rng.choice((0.001, 5, 30, 60, HOUR, KEEP, -5)))),
            (1, (pair.look, job, part, rng.randrange(4), rng.randrange(4))),
        ],
        strict=True,
    )
    return rng.choices(choices, weights)[0]


def operations_of(rng):
    """One operation, or now and then the whole way of a job that is given up, told, and comes back."""
    if rng.random() > 0.03:
        return [operation(rng)]
    job, parts = rng.choice(JOBS_HERE), range(pair.PARTS)
    lost = [(way, job, part, *more) for part in parts for way, *more in ((pair.begin,), (pair.give_up, 0, 2))]
    ends = [(pair.announce, job, 0, job), (pair.told, job, 0, True), (pair.pass_time, KEEP), (pair.claim, 9)]
    return [*lost, *rng.sample(ends, rng.randrange(5)), (pair.replay, job, 0), (pair.done, Task.FORGET, job, 0)]


ACCEPTED = [(pair.create,), (pair.add_parts, 0, 2), (pair.confirm,)]


def walk(server, seed, operations, library=pair.TIMED):
    """What so many random operations came to: operation and verdict, counted."""
    rng, tally = Random(seed), Counter()
    for _ in range(0, operations, EPISODE):
        both = Pair(server, library)
        try:
            begin_with = [(chosen, job, *args) for job in JOBS_HERE for chosen, *args in ACCEPTED if rng.random() < 0.9]
            then = (each for _ in range(EPISODE) for each in operations_of(rng))
            for chosen, *args in (*begin_with, *then):
                answer = both.play(chosen, *args)
                tally.update((chosen, verdict) for verdict in verdicts_in(answer))
        finally:
            both.close()
    return tally


def verdicts_in(answer):
    found = answer if isinstance(answer, list) else [answer]
    return [each.verdict if isinstance(each, Begun) else each for each in found if isinstance(each, (Begun, Verdict))]


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


MET = [
    *[(pair.begin, verdict) for verdict in (Verdict.APPLIED, Verdict.REPEATED, Verdict.ENDED, Verdict.POISON)],
    *[(pair.apply, verdict) for verdict in (Verdict.APPLIED, Verdict.REPEATED, Verdict.STALE, Verdict.ENDED)],
    *[(pair.give_up, verdict) for verdict in (Verdict.APPLIED, Verdict.REPEATED, Verdict.STALE)],
    *[(pair.announce, verdict) for verdict in (Verdict.APPLIED, Verdict.REPEATED, Verdict.STALE, Verdict.UNKNOWN)],
    *[(pair.told, verdict) for verdict in (Verdict.APPLIED, Verdict.REPEATED, Verdict.STALE)],
    *[(pair.put_back, Verdict.APPLIED), (pair.renew, Verdict.APPLIED), (pair.replay, Verdict.APPLIED)],
]


def test_store_and_model_agree_on_8000_operations_and_these_met_every_verdict(server):
    tally = walk(server, seed=1, operations=8_000)
    assert {met: tally[met] for met in MET if tally[met] < 10} == {}


# Each works, and each is wrong in one rule. The walk must see all of them.
MISTAKES = {
    "a stale epoch is taken": ("  if epoch ~= a[P_EPOCH] then", "  if epoch > a[P_EPOCH] then"),
    "an attempt of an ended job is taken": (
        "  elseif s[STATE] >= SUCCEEDED then\n    return ENDED\n  end\n  return a[P_STATE]",
        "  end\n  return a[P_STATE]",
    ),
    "an attempt does not fence": (
        "  a[P_EPOCH], s[VERSION] = a[P_EPOCH] + 1,",
        "  a[P_EPOCH], s[VERSION] = a[P_EPOCH],",
    ),
    "a result that comes again is counted again": (
        "redis.call('HSETNX', key, 'r' .. step, result[7]) == 1",
        "redis.call('HSETNX', key, 'r' .. step, result[7]) >= 0",
    ),
    "a step of another part is taken": ("step >= a[P_FIRST] and step < a[P_FIRST] + a[P_COUNT]", "true"),
    "a dead part is sent again": ("leave(s, a, P_DEAD)\n", "leave(s, a, P_DEAD)\n    ask[2] = 9\n"),
    "an end is not told": ("  plan['t' .. job], plan['e' .. job] = now, false", "  plan['e' .. job] = false"),
    "an end stays told when it is reopened": (
        "  s[STATE], s[ENDED_AT], s[END], s[TOLD], s[REOPENED] = RUNNING, 0, 0, 0, 1",
        "  s[STATE], s[ENDED_AT], s[END] = RUNNING, 0, 0",
    ),
    "a made-up result stays when its part is reopened": ("    redis.call('HDEL', key, 'r' .. result[1])\n", ""),
    "an end is announced twice": ("      s[ANNOUNCED] = s[END]\n", ""),
    "a claim does not put off": ("    redis.call('ZADD', agenda, now + args[2], name)\n", ""),
    "a reopened job is forgotten": (
        "  if redis.call('ZREM', prefix .. ':agenda', 'f' .. job) == 0 then",
        "  if false then",
    ),
    "later adds what is not owed": ("'XX', 'CH', ", ""),
    "a confirmation counts twice": (
        "  if s and s[STATE] == ACCEPTING then\n    local plan, info = {['r'",
        "  if s then\n    local plan, info = {['r'",
    ),
    "a list keeps what is forgotten": ("    redis.call('XDEL', list, info[PLACE])\n", ""),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_store_that_breaks_a_rule_is_found_out(server, mistake):
    old, new = MISTAKES[mistake]
    assert JOBS.source.count(old) == 1
    with pytest.raises(AssertionError):
        walk(server, seed=2, operations=6_000, library=timed_library(JOBS.source.replace(old, new)))
