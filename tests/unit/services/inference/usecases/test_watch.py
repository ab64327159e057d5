"""The board against a naive set, with watchers that come at any time and do with messages what a router does."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from libs.block_hash import unpacked
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.inference.domain.cached_blocks import CachedBlocks
from services.inference.domain.model import EngineLoad
from services.inference.usecases.watch import StateBoard
from tests.unit.services.inference.world import activity

KEYS = st.lists(st.integers(0, 12), min_size=1, max_size=6)


def idle():
    return EngineLoad(0, 0, 0.0, True)  # noqa: FBT003


def board_of(blocks, clock=None, busy=None):
    return StateBoard(idle, busy or activity(), clock or FakeClock(), blocks, beat_seconds=0.2, stall_seconds=60.0)


class Watcher:
    """What a reader makes of the messages; `whole` = it has missed none and counts as the worker does."""

    def __init__(self, board, after=None):
        self.sequence, self.known = after, set()
        first, self.leave = board.watch(self.hear, lambda: None, after=after)
        if first is not None:
            self.sequence = first.sequence
            self.known = set(unpacked(first.blocks.stored).tolist())
            assert len(self.known) == first.blocks_held

    def hear(self, state):
        assert state.sequence == self.sequence + 1
        self.sequence = state.sequence
        if state.blocks.cleared:
            self.known.clear()
        stored, dropped = unpacked(state.blocks.stored).tolist(), unpacked(state.blocks.dropped).tolist()
        assert not set(stored) & self.known, "stored twice"
        assert set(dropped) <= self.known, "dropped what was never told"
        self.known = (self.known - set(dropped)) | set(stored)
        assert len(self.known) == state.blocks_held


class Board(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.blocks = CachedBlocks(1000)
        self.board = board_of(self.blocks)
        self.engine, self.watchers, self.past = Counter(), [], []

    @rule(keys=KEYS)
    def store(self, keys):
        self.engine.update(keys)
        self.blocks.stored(keys)

    @rule(keys=KEYS)
    def drop(self, keys):
        here = [key for position, key in enumerate(keys) if self.engine[key] > keys[:position].count(key)]
        self.engine.subtract(here)
        self.blocks.dropped(here)

    @rule()
    def clear(self):
        self.engine.clear()
        self.blocks.cleared()

    @rule()
    def publish(self):
        self.board.publish()
        held = set(+self.engine)
        assert all(watcher.known == held for watcher in self.watchers)

    @rule()
    def join(self):
        self.watchers.append(Watcher(self.board))
        assert self.watchers[-1].known == set(+self.engine)

    @rule()
    def leave(self):
        if self.watchers:
            self.past.append(self.watchers.pop(0))
            self.past[-1].leave()

    @rule()
    def return_with_what_is_known(self):
        """A watcher that comes back: with a snapshot when it missed a message, without when it did not."""
        if not self.past:
            return
        old = self.past.pop()
        back = Watcher(self.board, old.sequence)
        if back.sequence == old.sequence:
            back.known = old.known
        self.watchers.append(back)

    @invariant()
    def it_counts_what_the_engine_holds(self):
        assert len(self.blocks) == len(+self.engine)


def test_every_watcher_knows_what_the_engine_holds_after_every_message():
    run_state_machine_as_test(Board, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))


async def times_of(blocks, board, seconds, happenings):
    """When messages came, with what they stored; `happenings`: second to blocks that come then."""
    loop, heard = asyncio.get_running_loop(), []
    began = loop.time()

    def hear(state):
        heard.append((round(loop.time() - began, 3), unpacked(state.blocks.stored).tolist()))

    task = asyncio.create_task(board.run())
    await asyncio.sleep(0)
    board.watch(hear, lambda: None, after=board.state.sequence)
    for second, keys in happenings:
        await asyncio.sleep(began + second - loop.time())
        blocks.stored(keys)
    await asyncio.sleep(began + seconds - loop.time())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return heard


def test_blocks_are_told_at_once_after_a_pause_and_in_a_burst_together():
    async def scenario():
        blocks = CachedBlocks(100)
        happenings = [(0.1, [1]), (0.105, [2]), (0.11, [3]), (0.3, [4])]
        return await times_of(blocks, board_of(blocks), 0.4, happenings)

    assert run(scenario()) == [(0.1, [1]), (0.12, [2, 3]), (0.3, [4])]


def test_without_blocks_the_beat_is_all_there_is():
    async def scenario():
        blocks = CachedBlocks(100)
        return await times_of(blocks, board_of(blocks), 0.5, [])

    assert run(scenario()) == [(0.2, []), (0.4, [])]


def test_it_says_how_long_calls_waited_that_began_lately():
    async def scenario():
        busy, clock = activity(), FakeClock()
        board = board_of(CachedBlocks(100), clock, busy)
        busy.queue_ms.add(clock.monotonic(), 30.0)
        busy.queue_ms.add(clock.monotonic(), 50.0)
        board.publish()
        return board.state.queue_ms

    assert run(scenario()) == 40


@pytest.mark.parametrize("blocks_max", [400_000])
def test_the_largest_snapshot_fits_a_message(blocks_max):
    blocks = CachedBlocks(blocks_max)
    blocks.stored(range(blocks_max + 10))
    assert len(Watcher(board_of(blocks)).known) == blocks_max
    assert len(blocks.all()) < 8 * 1024 * 1024
