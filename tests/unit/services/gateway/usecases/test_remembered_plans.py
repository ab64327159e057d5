"""Whole calls of a bound session: when the router is asked, and when its last plan serves."""

from __future__ import annotations

import pytest

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.domain.turns import SessionClaim
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

BOUND = SessionClaim(explicit="s1", source="x-session-id")


@pytest.mark.parametrize("fault", [("refuse", Reason.OVERLOADED), ("die", 0), ("die", 3), ("drain", 3)])
def test_a_bound_session_asks_again_after_any_failure_of_its_worker(tmp_path, fault):
    async def scenario():
        worker = Worker("a")
        async with World([worker, Worker("b")], tmp_path) as world:
            world.router.reason = "bound"
            for _ in range(3):
                assert whole(await world.answer(ask(session=BOUND)))
            assert len(world.router.places) == 1
            worker.script.append(fault)
            assert whole(await world.answer(ask(session=BOUND)))
            asked = len(world.router.places)
            assert whole(await world.answer(ask(session=BOUND)))
            # Once more without the worker, when that one asked for a pause.
            anew = [[], ["a"]] if fault[0] == "refuse" else [[]]
            assert [list(place.exclude_workers) for place, _ in world.router.places[asked:]] == anew

    run(scenario())
