"""What a worker has yet to compute, as its KV events tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.backlog import LIFE_SECONDS, Backlog
from services.router.domain.caches import Caches
from services.router.domain.placement import Placement, PlacementRule
from services.router.domain.registry import Registry
from services.router.domain.scorers.question import Wanted
from services.router.domain.worker import Description, StateMessage


def blocks(*numbers):
    return np.array(numbers, np.uint64)


def test_a_prompt_counts_until_its_last_block_is_told():
    backlog = Backlog()
    backlog.send(blocks(*range(1, 41)), 20_000.0, 0.0)
    assert backlog.tokens(0.1) == 20_000.0
    backlog.told(blocks(*range(1, 21)))
    assert backlog.tokens(0.2) == pytest.approx(10_000.0)
    backlog.told(blocks(*range(21, 41)))
    assert backlog.tokens(0.3) == 0.0


def test_a_block_stands_for_all_before_it():
    backlog = Backlog()
    backlog.send(blocks(1, 2, 3, 4), 2048.0, 0.0)
    backlog.told(blocks(3))
    assert backlog.tokens(0.1) == pytest.approx(512.0)


def test_blocks_of_others_and_of_answers_change_nothing():
    backlog = Backlog()
    backlog.send(blocks(1, 2), 1024.0, 0.0)
    backlog.told(blocks(7, 8, 9))
    assert backlog.tokens(0.1) == 1024.0


def test_what_is_never_told_ends():
    backlog = Backlog()
    backlog.send(blocks(1, 2), 1024.0, 0.0)
    backlog.send(blocks(3), 512.0, 5.0)
    assert backlog.tokens(LIFE_SECONDS) == pytest.approx(512.0)
    assert backlog.tokens(LIFE_SECONDS + 5.0) == 0.0
    backlog.send(blocks(1, 2), 1024.0, 100.0)
    assert backlog.tokens(100.0) == 1024.0


def test_a_prompt_that_is_all_cached_adds_nothing():
    backlog = Backlog()
    backlog.send(blocks(), 100.0, 0.0)
    backlog.send(blocks(1), 0.0, 0.0)
    assert backlog.tokens(0.0) == 0.0


def test_a_lost_worker_has_nothing_ahead():
    backlog = Backlog()
    backlog.send(blocks(1, 2), 1024.0, 0.0)
    backlog.clear()
    assert backlog.tokens(0.0) == 0.0
    backlog.told(blocks(1))
    assert backlog.tokens(0.0) == 0.0


def test_a_snapshot_of_many_blocks_finds_its_marks():
    backlog = Backlog()
    backlog.send(blocks(*range(1, 101)), 51_200.0, 0.0)
    backlog.told(np.arange(50, 50_000, dtype=np.uint64))
    assert backlog.tokens(0.1) == 0.0


PROMPTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), min_size=1, max_size=8)


@given(PROMPTS, st.lists(st.integers(0, 400), max_size=400), st.floats(0, 60))
def test_it_is_never_negative_nor_more_than_was_sent_and_ends_with_the_last_block(prompts, told, wait):
    backlog, sent = Backlog(), 0.0
    for number, (family, count) in enumerate(prompts):
        backlog.send(np.arange(family * 100, family * 100 + count, dtype=np.uint64), 512.0 * count, number / 10)
        sent += 512.0 * count
    before = backlog.tokens(1.0)
    assert before == pytest.approx(sent)
    for block in told:
        backlog.told(blocks(block))
        after = backlog.tokens(1.0)
        assert -1e-6 <= after <= before + 1e-6
        before = after
    backlog.told(np.arange(0, 700, dtype=np.uint64))
    assert backlog.tokens(wait + LIFE_SECONDS + 10.0) == 0.0


def test_a_worker_that_tells_its_blocks_is_free_for_the_next_prompt():
    registry = Registry(["h:0"], 1e9, Caches())
    placement = Placement(registry.caches, PlacementRule(), lambda: 0.5)
    registry.heard("h:0", message(1), 0.0)
    registry.described("h:0", Description("w0", "b", "m", (), "d", block_tokens=16, blocks=100, kv_events=True))
    worker = registry.workers["h:0"]
    prompt = Wanted(64, 1.0, blocks(1, 2, 3, 4))
    placement.placed(prompt, placement.choose(prompt, [worker])[0])
    registry.heard("h:0", message(2), 2.0)
    assert worker.tokens_ahead == 64.0
    registry.heard("h:0", message(3, 1, 2, 3, 4), 3.0)
    assert worker.tokens_ahead == 0.0


def message(sequence, *stored):
    return StateMessage(
        "b",
        sequence,
        sequence == 1,
        1,
        0,
        draining=False,
        healthy=True,
        stored=blocks(*stored),
        blocks_held=len(stored),
    )
