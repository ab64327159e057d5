"""The ledger's functions in Valkey, called with domain types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.errors import PlatformError
from libs.valkey import FunctionLibrary, Valkey
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.domain.ledger.types import (
    Ask,
    End,
    HoldReply,
    Outcome,
    Overdue,
    Progress,
    Rate,
    Refusal,
    ReservationState,
    Settlement,
    Standing,
    Terms,
    UsageMeta,
)

# A grace that never ends: nothing is overdue by so much.
_NEVER_US = 2**53 - 1
CENSUS = "hr:ledger:gateways"
# A gateway that was silent for an hour is gone, and its holds have expired.
_SILENT_US = 3600 * 1_000_000
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_meta = msgspec.msgpack.Decoder(UsageMeta)
_terms = msgspec.msgpack.Decoder(Terms)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. A lease must outlast some renewals; the grace is the time to ask the workers what they sent."""

    lease_seconds: float = 15.0
    grace_seconds: float = 10.0


class ValkeyLedger:
    """See ports.Holds, ports.Census, ports.Leases and ports.Reservations."""

    def __init__(self, valkey: Valkey, times: LeaseTimes, library: FunctionLibrary = LEDGER) -> None:
        self._valkey = valkey
        self._library = library
        self._lease_us = int(times.lease_seconds * 1_000_000)
        self._grace_us = int(times.grace_seconds * 1_000_000)

    async def _call(self, function: str, tenant: str, args: Sequence[Any]) -> Any:
        return await self._valkey.call(self._library, function, [prefix_of(tenant)], args)

    async def hello(self) -> str:
        """See ports.Holds."""
        life: bytes = await self._call("hello", "", [])
        return life.decode()

    async def hold(self, life: str, ask: Ask, *, expire: bool) -> HoldReply:
        """See ports.Holds."""
        grace = self._grace_us if expire else _NEVER_US
        args = [
            *(life, ask.request_id, ask.amount, ask.tokens, self._lease_us, grace, _pack(ask.meta), ask.reservation),
            *_numbers(ask.prompt),
            *ask.scopes,
        ]
        return _hold_reply(_unpack(await self._call("hold", ask.tenant, args)))

    async def extend(self, life: str, ask: Ask, amount: int, tokens: int, progress: Progress) -> Outcome:
        """See ports.Holds."""
        args = [life, ask.request_id, amount, tokens, self._lease_us, *_numbers(progress)]
        return Outcome(_unpack(await self._call("extend", ask.tenant, args))[0])

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[Outcome | None]:
        """See ports.Holds."""
        calls = [
            (prefix_of(s.tenant), [s.request_id, s.end.value, s.platform, *_numbers(s.progress)]) for s in settlements
        ]
        replies = await self._valkey.call_all(self._library, "settle", calls)
        return [None if isinstance(reply, PlatformError) else Outcome(_unpack(reply)[0]) for reply in replies]

    async def redeclare(self, life: str, ask: Ask, at_us: int, progress: Progress) -> Outcome:
        """See ports.Holds."""
        args = [
            *(life, ask.request_id, ask.amount, ask.tokens, self._lease_us, _pack(ask.meta), at_us, ask.reservation),
            *_numbers(progress),
            *ask.scopes,
        ]
        return Outcome(_unpack(await self._call("redeclare", ask.tenant, args))[0])

    async def beat(self, name: str, declared: str) -> tuple[str, dict[str, str]]:
        """See ports.Census."""
        found = await self._valkey.call(self._library, "beat", [CENSUS], [name, declared, _SILENT_US])
        life, *others = [text.decode() for text in found]
        return life, dict(zip(others[::2], others[1::2], strict=True))

    async def leave(self, name: str) -> None:
        """See ports.Census."""
        await self._valkey.command("HDEL", CENSUS, name)

    async def overdue(self, tenant: str, limit: int) -> Sequence[Overdue]:
        """See ports.Leases."""
        found: list[tuple[bytes, bytes, bytes, bytes, bytes]] = await self._call("overdue", tenant, [limit])
        return [
            Overdue(name.decode(), int(lease), _meta.decode(meta), Progress(*_unpack(used)), int(age))
            for name, lease, meta, used, age in found
        ]

    async def end(self, tenant: str, overdue: Overdue, end: End, progress: Progress) -> bool:
        """See ports.Leases."""
        args = [overdue.request_id, overdue.lease_us, end.value, *_numbers(progress)]
        return Outcome(_unpack(await self._call("expire_one", tenant, args))[0]) is Outcome.OK

    async def expire(self, tenant: str, limit: int) -> int:
        """See ports.Leases."""
        return int(await self._call("expire", tenant, [self._grace_us, limit]))

    async def reserve(
        self, life: str, tenant: str, reservation: str, amount: int, scopes: Sequence[str], terms: Terms | None = None
    ) -> HoldReply:
        """See ports.Reservations."""
        args = [life, reservation, amount, _pack(terms or Terms()), *scopes]
        return _hold_reply(_unpack(await self._call("reserve", tenant, args)))

    async def find(self, tenant: str, reservation: str) -> ReservationState | None:
        """See ports.Reservations."""
        found = await self._call("find_reservation", tenant, [reservation])
        if found is None:
            return None
        is_open, left, terms = found
        return ReservationState(is_open == 1, int(left), _terms.decode(terms) if terms else Terms())

    async def release(self, tenant: str, reservation: str) -> int:
        """See ports.Reservations."""
        return int(await self._call("release", tenant, [reservation]))


def _numbers(used: Progress) -> tuple[int, int, int, int, int]:
    return used.cost, used.prompt_tokens, used.cached_tokens, used.completion_tokens, used.reasoning_tokens


def _hold_reply(found: list[Any]) -> HoldReply:
    outcome = Outcome(found[0])
    if outcome is Outcome.LIFE:
        return HoldReply(outcome)
    _, at_us, told, *rest = found
    if outcome is Outcome.NO:
        return HoldReply(outcome, at_us, _standing(*told), refusal=Refusal(*rest[0]))
    amount, tokens, *state = rest
    ended = End(state[0]) if state and outcome is Outcome.ENDED else None
    return HoldReply(outcome, at_us, _standing(*told), amount, tokens, ended=ended)


def _standing(*told: int) -> Standing:
    requests, requests_left, requests_reset, tokens, tokens_left, tokens_reset, budget = told
    return Standing(
        None if requests < 0 else Rate(requests, requests_left, requests_reset / 1_000_000),
        None if tokens < 0 else Rate(tokens, tokens_left, tokens_reset / 1_000_000),
        None if budget < 0 else budget,
    )
