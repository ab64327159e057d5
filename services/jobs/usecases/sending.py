"""Sends parts' messages, and puts off when the agenda looks for them again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.errors import PlatformError
from libs.kafka import KafkaError
from libs.telemetry import get_logger
from services.jobs.domain.agenda import Due
from services.jobs.domain.job import Job
from services.jobs.domain.resend import FRESH_SECONDS
from services.jobs.ports.running import Outgoing
from services.jobs.ports.store import Agenda

_log = get_logger("jobs.sending")


class Sending:
    """See ports.running.Outgoing."""

    def __init__(self, outgoing: Outgoing, agenda: Agenda, resend_seconds: float) -> None:
        self._outgoing, self._agenda = outgoing, agenda
        self._resend_ms = int(resend_seconds * 1000)

    async def request(self, dues: Sequence[Due]) -> None:
        """See Outgoing."""
        try:
            await self._outgoing.request(dues)
        except KafkaError:
            await self.put_off(dues, int(FRESH_SECONDS * 1000))
            raise
        await self.put_off(dues, self._resend_ms)

    async def finished(self, job: Job) -> None:
        """See Outgoing."""
        await self._outgoing.finished(job)

    async def put_off(self, dues: Sequence[Due], at_ms: int) -> None:
        """They are looked at again after so long. Where the store fails, somebody sends them once more, in vain."""
        calls = (self._agenda.later(due.tenant, due.job, due.task, at_ms, due.part) for due in dues)
        for error in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(error, PlatformError):
                _log.warning("messages that were sent may be sent again", why=error.message)
                return
            if isinstance(error, BaseException):
                raise error
