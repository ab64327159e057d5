"""Calls webhooks that are due, and plans the next attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.clock import Clock
from libs.telemetry import get_logger
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.job import ENDED, Job, Webhook
from services.jobs.domain.webhook import after, body_of, delivery_id
from services.jobs.ports.neighbours import Hooks
from services.jobs.ports.store import Agenda, Endings, Jobs

_log = get_logger("jobs.hooks")


@dataclass(frozen=True, slots=True)
class HookMeans:
    """What they need."""

    jobs: Jobs
    agenda: Agenda
    endings: Endings
    hooks: Hooks
    clock: Clock


class WebhookCaller:
    """See ports.running.WebhookCalls. `backoff_seconds` after each attempt but the last."""

    def __init__(self, means: HookMeans, backoff_seconds: Sequence[float]) -> None:
        self._means, self._backoff_seconds = means, tuple(backoff_seconds)

    async def call_webhook(self, due: Due) -> None:
        """See WebhookCalls. Who dies between the call and its record leaves it due: it is called again, by the same
        id, which receivers know it by.
        """
        job = await self._means.jobs.get(due.tenant, due.job)
        if job is None or job.webhook is None or job.state not in ENDED or job.webhook.state != "pending":
            await self._means.agenda.done(due)
            return
        await self._call(due, job, job.webhook)

    async def _call(self, due: Due, job: Job, webhook: Webhook) -> None:
        body = body_of(job, self._means.clock.unix())
        status = await self._means.hooks.deliver(webhook.url, webhook.secret, body, delivery=delivery_id(job))
        attempts = webhook.attempts + 1
        then = after(status, attempts, self._backoff_seconds)
        await self._means.endings.hooked(due.tenant, due.job, job.version, status, state=then.state)
        if then.state == "pending":
            await self._means.agenda.later(due.tenant, due.job, Task.HOOK, int(then.seconds * 1000))
        else:
            _log.info("a webhook is done with", job=job.id, state=then.state, status=status, attempts=attempts)
            await self._means.agenda.done(due)
