import asyncio

from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.router.domain.registry import Registry
from services.router.domain.worker import Description, StateMessage
from services.router.usecases.fleet import Fleet


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
