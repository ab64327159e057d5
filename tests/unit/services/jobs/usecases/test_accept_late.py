"""An acceptance that takes longer than the agenda waits for it leaves nothing half done."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.jobs.domain.job import JobState
from tests.unit.services.jobs.accept_rig import Rig, asked


def slow(rig: Rig, seconds: float) -> None:
    """The first reservation takes so long."""

    async def hook(job: str) -> None:
        rig.gateways.on_reserve = None
        rig.clock.advance(seconds)

    rig.gateways.on_reserve = hook


def test_an_acceptance_that_took_too_long_leaves_neither_a_job_nor_money():
    rig = Rig()

    async def main():
        slow(rig, 61.0)
        with pytest.raises(PlatformError) as told:
            await rig.submit(asked())
        assert (told.value.reason, told.value.started) == (Reason.OVERLOADED, False)
        assert rig.gateways.held == {}
        assert await rig.store.list("acme", batches=False, after="", limit=10) == []

    run(main())


def test_with_a_key_it_is_accepted_under_another_id_at_once():
    rig = Rig()

    async def main():
        slow(rig, 61.0)
        accepted = await rig.submit(asked(), key="k")
        assert accepted.job.state is JobState.REQUESTED
        assert rig.gateways.held == {accepted.job.id: 100}
        assert (await rig.submit(asked(), key="k")).job.id == accepted.job.id
        assert len(await rig.store.list("acme", batches=False, after="", limit=10)) == 1

    run(main())
