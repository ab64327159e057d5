"""Single requests for /spend/logs, from the request records of one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from libs.clock import Clock
from services.gateway.api.accounts.desk.reports import Days
from services.gateway.api.litellm.spend import Logged
from services.gateway.api.requests import may_read, query_of
from services.gateway.domain.request_record import RequestRecord
from services.gateway.domain.turns import Principal
from services.gateway.usecases.records.reader import RecordReader


class RecordLog:
    """See spend.RequestLog. What a caller may see is decided as for `GET /v1/requests`."""

    def __init__(self, reader: RecordReader, clock: Clock) -> None:
        self._reader, self._clock = reader, clock

    async def find(self, actor: Principal, request_id: str) -> Logged | None:
        """See RequestLog."""
        record = await self._reader.get(actor.tenant, request_id)
        return _logged(record) if record is not None and may_read(actor, record) else None

    async def newest(
        self, actor: Principal, tenant: str, *, key: str, user: str, days: Days | None, limit: int
    ) -> Sequence[Logged]:
        """See RequestLog. Raises NOT_FOUND for another's key or user."""
        times = (0.0, self._clock.unix()) if days is None else (_begin(days.first), _begin(days.last, more_days=1))
        records = await self._reader.newest(query_of(actor, tenant, key, user, times), limit)
        return [_logged(record) for record in records if may_read(actor, record)]


def _begin(day: str, more_days: int = 0) -> float:
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=more_days)).timestamp()


def _logged(record: RequestRecord) -> Logged:
    return Logged(
        request_id=record.id,
        key=record.key,
        tenant=record.tenant,
        user=record.user,
        end_user=record.end_user,
        model=record.model,
        cost_nanodollars=record.cost_nanodollars,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        cached_tokens=record.cached_tokens,
        started_at=record.at,
        ended_at=record.at + record.total_ms / 1000,
        tags=record.tags,
    )
