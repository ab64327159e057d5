"""Webhooks that are due: called until they are heard, or for a day."""

from __future__ import annotations

import dataclasses

import pytest

from libs.errors import PlatformError
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.job import Caller, JobState, NewJob, PartSpec, Request, Webhook
from services.jobs.usecases.hooks import HookMeans, WebhookCaller

ANN = Caller("acme", "key-1", "ann")
DUE = Due("acme", Task.HOOK, "job_1")


class FakeHooks:
    def __init__(self, *statuses):
        self.statuses, self.calls = list(statuses), []

    async def deliver(self, url, secret, body, *, delivery):
        self.calls.append((url, secret, delivery, body))
        return self.statuses.pop(0)


class Rig:
    def __init__(self, *statuses, backoff=(10.0, 60.0)):
        self.clock, self.hooks = FakeClock(), FakeHooks(*statuses)
        self.jobs = MemoryJobs(self.clock)
        self.caller = WebhookCaller(HookMeans(self.jobs, self.jobs, self.jobs, self.hooks, self.clock), backoff)

    async def ended(self, *, webhook=True):
        hook = Webhook("https://example.com/hook", "secret of sixteen") if webhook else None
        parts = (PartSpec(0, 0, 1, "job_1", ("small",)),)
        requests = (Request(0, "a", b"w", "small"),)
        await self.jobs.create(NewJob("job_1", ANN, "f", 3600, webhook=hook, parts=parts, requests=requests))
        await self.jobs.confirm("acme", "job_1", 1)
        await self.jobs.end("acme", "job_1", JobState.CANCELLED)
        job = await self.jobs.get("acme", "job_1")
        await self.jobs.told("acme", "job_1", job.version, None)
        await self.jobs.announce("acme", [("job_1", job.version)])

    async def sweep(self):
        """Calls what is due; how many."""
        dues = [due for due in await self.jobs.claim("acme", 10, 30_000) if due.task is Task.HOOK]
        for due in dues:
            await self.caller.call_webhook(due)
        return len(dues)

    async def webhook(self):
        return (await self.jobs.get("acme", "job_1")).webhook


def test_a_job_that_ended_is_told_of_once():
    async def scenario():
        rig = Rig(204)
        await rig.ended()
        swept = [await rig.sweep()]
        rig.clock.advance(90_000)
        return rig.hooks.calls, [*swept, await rig.sweep()], await rig.webhook()

    calls, swept, webhook = run(scenario())
    assert swept == [1, 0]
    assert [(url, secret) for url, secret, _, _ in calls] == [("https://example.com/hook", "secret of sixteen")]
    assert (webhook.state, webhook.attempts, webhook.status) == ("delivered", 1, 204)


def test_what_fails_is_called_again_after_its_pauses_by_the_same_id_and_then_given_up():
    async def scenario():
        rig, swept = Rig(0, 302, 500), []
        await rig.ended()
        for pause in (0.0, 9.9, 0.2, 59.9, 0.2, 90_000.0):
            rig.clock.advance(pause)
            swept.append(await rig.sweep())
        return rig.hooks.calls, swept, await rig.webhook()

    calls, swept, webhook = run(scenario())
    assert swept == [1, 0, 1, 0, 1, 0]
    assert len({delivery for _, _, delivery, _ in calls}) == 1
    assert (webhook.state, webhook.attempts, webhook.status) == ("failed", 3, 500)


def test_gone_means_gone():
    async def scenario():
        rig = Rig(410)
        await rig.ended()
        await rig.sweep()
        rig.clock.advance(90_000)
        return await rig.sweep(), (await rig.webhook()).state

    assert run(scenario()) == (0, "failed")


def test_who_dies_after_the_call_leaves_it_due():
    async def scenario():
        rig = Rig(200, 200)
        await rig.ended()
        down = type("Down", (), {"hooked": lambda *_, **__: _unavailable()})()
        rig.caller._means = dataclasses.replace(rig.caller._means, endings=down)
        with pytest.raises(PlatformError):
            await rig.sweep()
        rig.caller._means = dataclasses.replace(rig.caller._means, endings=rig.jobs)
        rig.clock.advance(31)
        return await rig.sweep(), {delivery for _, _, delivery, _ in rig.hooks.calls}, await rig.webhook()

    swept, deliveries, webhook = run(scenario())
    assert (swept, len(deliveries), webhook.state) == (1, 1, "delivered")


async def _unavailable():
    raise PlatformError("STORE_UNAVAILABLE", "Down.")


@pytest.mark.parametrize("state", ["unknown", "no webhook", "not ended", "delivered"])
def test_where_there_is_nothing_to_tell_nobody_is_called(state):
    async def scenario():
        rig = Rig(200)
        if state == "not ended":
            hook = Webhook("https://example.com/", "secret of sixteen")
            await rig.jobs.create(NewJob("job_1", ANN, "f", 3600, webhook=hook))
        elif state != "unknown":
            await rig.ended(webhook=state != "no webhook")
        if state == "delivered":
            await rig.sweep()
            rig.hooks.calls.clear()
        await rig.caller.call_webhook(DUE)
        return rig.hooks.calls

    assert run(scenario()) == []
