"""Short replays: the books add up, and the router's own rule is worth something."""

from __future__ import annotations

import functools

import pytest

from loadtests.replay import figures
from loadtests.replay.engine import EngineModel
from loadtests.replay.policies.headrace import Headrace
from loadtests.replay.rules import BOUND, OURS, RULES
from loadtests.replay.run import Change, Replay
from loadtests.replay.synthetic import AgentMix, agents
from loadtests.replay.trace import ceiling

SHORT = AgentMix(minutes=1.5, sessions_per_second=0.4)


@functools.cache
def trace():
    return agents(5, SHORT)


def play(rule, *, workers=4, changes=(), cache_blocks=None, made=None):
    made = made or trace()
    replay = Replay(made, EngineModel(cache_blocks=cache_blocks), RULES[rule], workers=workers, seed=1, changes=changes)
    return replay.run()


@pytest.mark.parametrize("rule", list(RULES))
def test_every_request_gets_its_first_token_whatever_the_rule(rule):
    out = play(rule, cache_blocks=1500)
    assert len(out.ttft_ms) == len(trace().requests)
    assert out.unfinished == 0
    assert out.hits + sum(out.missed.values()) == out.blocks
    assert min(out.ttft_ms.values()) > 0


def test_one_worker_without_bounds_finds_what_the_ceiling_says():
    for rule in (OURS, "round-robin"):
        out = play(rule, workers=1)
        assert out.hits / out.blocks == pytest.approx(ceiling(trace()), abs=1e-9)


def test_the_routers_rule_has_nearly_all_hits_and_the_shortest_waits_of_both():
    ours, others = play(OURS), play("round-robin")
    mine, theirs = (figures.of_run(trace(), out, ()) for out in (ours, others))
    assert mine["of_ceiling"] > 0.98
    assert mine["of_ceiling"] > theirs["of_ceiling"] + 0.1
    assert mine["ttft_ms_p90"] < theirs["ttft_ms_p90"]


def test_the_same_seed_gives_the_same_replay():
    assert play(OURS).ttft_ms == play(OURS).ttft_ms


def test_a_lost_workers_calls_go_elsewhere_and_only_its_sessions_move():
    at = trace().requests[len(trace().requests) // 2].arrival_ms
    changes = (Change(at, "w1"),)
    out = play(BOUND, changes=changes)
    moved, orphans = figures.moves(trace(), out, changes)
    assert moved == 0
    assert orphans > 0
    late = [request for request in trace().requests if request.arrival_ms > at]
    assert "w1" not in {out.placed[request.number][-1] for request in late}
    assert out.unfinished == 0


def test_a_worker_that_joins_takes_no_session_and_gets_its_share_of_the_others():
    at = trace().requests[len(trace().requests) // 3].arrival_ms
    out = play(BOUND, changes=(Change(at, "w4", joins=True),))
    assert figures.moves(trace(), out, ())[0] == 0
    assert {"w4"} <= {places[-1] for places in out.placed.values()}


def test_the_router_counts_the_blocks_that_its_workers_hold():
    made = []

    def make(around):
        made.append(Headrace(around))
        return made[0]

    replay = Replay(trace(), EngineModel(cache_blocks=800), make, workers=3, seed=1)
    replay.run()
    worker = made[0].registry.workers["w0"]
    assert made[0].caches.index.held(worker.slot) > 0
    assert made[0].caches.resyncs == {"count": 0, "drift": 0}
