import asyncio

import numpy as np
import pytest

from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.router.domain.registry import Registry, Verdict
from services.router.domain.worker import Description, StateMessage
from services.router.usecases.fleet import PART_BLOCKS, Fleet


def state(sequence, *, draining=False):
    return StateMessage("b1", sequence, sequence == 1, 0, 0, draining, healthy=True)


def test_listeners_are_called_once_per_tick_and_only_for_changes_of_who_can_be_placed_on():
    async def scenario():
        fleet, calls = Fleet(Registry(["a:1", "b:1"], 1.0), FakeClock()), []
        with fleet.listening(lambda: calls.append(len(fleet.catalog.entries))):
            for address in ("a:1", "b:1"):
                fleet.heard(address, state(1))
                fleet.described(address, Description(address, "b1", "m", (), "d"))
            assert calls == []
            await asyncio.sleep(0)
            assert calls == [1]
            fleet.heard("a:1", state(2))
            await asyncio.sleep(0)
            assert calls == [1]
            fleet.heard("a:1", state(3, draining=True))
            fleet.lost("b:1")
            await asyncio.sleep(0)
            assert calls == [1, 1]
        fleet.lost("a:1")
        await asyncio.sleep(0)
        assert calls == [1, 1]

    run(scenario())


def test_lives_of_a_name_are_those_of_this_moment():
    async def scenario():
        fleet = Fleet(Registry(["a:1", "b:1"], 1.0), FakeClock())
        assert set(fleet.lives("a:1")) == {""}  # not described: its address is its name, and it has no life yet
        for address in ("a:1", "b:1"):
            fleet.heard(address, state(1))
            fleet.described(address, Description("w", f"boot-{address}", "m", (), "d"))
        assert {boot: each.address for boot, each in fleet.lives("w").items()} == {
            "boot-a:1": "a:1",
            "boot-b:1": "b:1",
        }
        assert not fleet.lives("a:1")
        fleet.described("a:1", Description("w", "boot-2", "m", (), "d"))
        assert set(fleet.lives("w")) == {"boot-2", "boot-b:1"}
        await asyncio.sleep(0)

    run(scenario())


LONG = np.random.default_rng(3).integers(1, 1 << 64, 3 * PART_BLOCKS + 5, dtype=np.uint64)


class Resync:
    """A worker that has told the first half of its blocks, then is asked for all of them."""

    def __init__(self):
        self.clock = FakeClock()
        self.registry = Registry(["a:1", "b:1"], 0.8, caches=None)
        self.fleet = Fleet(self.registry, self.clock)
        self.worker = self.registry.workers["a:1"]
        half = LONG[: len(LONG) // 2]
        self.fleet.heard("a:1", self.message(1, half, snapshot=True))
        self.fleet.described("a:1", Description("a", "b1", "m", (), "d", block_tokens=16, blocks=10**6, kv_events=True))
        self.before = len(half)

    def message(self, sequence, stored, *, snapshot=False):
        return StateMessage(
            "b1", sequence, snapshot, 0, 0, draining=False, healthy=True, stored=stored, blocks_held=len(stored)
        )

    def run_of(self, chain=LONG):
        return self.registry.caches.cached(chain, [self.worker], self.clock.monotonic())[0][0]


def test_a_long_snapshot_is_taken_in_between_other_work_and_not_seen_before_it_is_whole():
    async def scenario():
        world, seen = Resync(), []
        world.registry.caches.expected.send(world.worker.number, LONG, world.clock.monotonic())
        taking = asyncio.ensure_future(world.fleet.heard_in_parts("a:1", world.message(7, LONG, snapshot=True)))
        while not taking.done():
            seen.append(world.run_of())
            await asyncio.sleep(0)
        assert taking.result() is Verdict.FINE
        assert seen == [world.before] * 5  # before the first of four parts, and after each
        assert (world.run_of(), world.registry.caches.index.held(world.worker.slot)) == (len(LONG), len(LONG))
        assert len(world.registry.caches.expected) == 0
        assert world.registry.caches.index.blocks == len(LONG)
        follows = world.message(8, LONG[:0])
        assert world.fleet.heard("a:1", follows) is Verdict.RESUBSCRIBE  # it counts 0 blocks: what was missed shows

    run(scenario())


def test_a_snapshot_that_is_cut_off_leaves_nothing_and_changes_nothing():
    async def scenario():
        world = Resync()
        index = world.registry.caches.index
        for _ in range(3):
            taking = asyncio.ensure_future(world.fleet.heard_in_parts("a:1", world.message(7, LONG, snapshot=True)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert index.blocks > world.before
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
            assert (index.blocks, world.run_of()) == (world.before, world.before)
        assert index.take() == 2

    run(scenario())


def test_a_worker_whose_snapshot_is_being_taken_in_is_not_silent():
    async def scenario():
        world = Resync()
        taking = asyncio.ensure_future(world.fleet.heard_in_parts("a:1", world.message(7, LONG, snapshot=True)))
        while not taking.done():  # a turn of the loop that takes long
            world.clock.advance(0.3)
            world.fleet.sweep()
            await asyncio.sleep(0)
            assert world.worker.state == "live"

    run(scenario())
