"""The gateway, the router and the outside, as jobs need them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.jobs.domain.job import Caller, Usage


@dataclass(frozen=True, slots=True)
class Reserved:
    """What was set aside (nano-dollars), and the model that each request will ask for ("" = none)."""

    amount: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Performed:
    """News of a request: tokens so far, and once, last, its outcome (`status_code` is not 0)."""

    tokens: int = 0
    status_code: int = 0
    body: bytes = b""
    request_id: str = ""
    usage: Usage = field(default_factory=Usage)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Work that goes on after its end: out of its caller's budgets, at the price of batches where it is of one."""

    caller: Caller
    batch: bool


class Gateways(Protocol):
    """Any gateway of the platform. Raises PlatformError; what `lasting` (usecases) says no to may be tried again."""

    async def reserve(self, reservation: str, caller: Caller, works: Sequence[bytes], *, batch: bool) -> Reserved:
        """Checks the requests and sets their cost aside, all or nothing. A repeat changes nothing.

        With `batch` a request that can never be made fails nothing: its model is "", and `perform` tells its error.
        """
        ...

    async def release(self, tenant: str, reservations: Sequence[str]) -> None:
        """Frees what is left of them. A repeat does nothing."""
        ...

    def perform(
        self, tenant: str, reservation: str, work: bytes, key: str, *, timeout: float, again: Again | None = None
    ) -> AsyncGenerator[Performed, None]:
        """Answers a request; under the same key it is answered and charged once. Closing it stops nothing.

        CONFLICT where the reservation was released, unless `again` says who pays then.
        """
        ...

    async def abandon(self, tenant: str, reservation: str, key: str) -> None:
        """Stops what `perform` makes under that key, wherever it is made."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """What a pool has free: `idle` calls would begin at once, of `running` + `waiting` that it has."""

    idle: int
    running: int
    waiting: int
    wait_ms: int
    workers: int


class Capacity(Protocol):
    """The router's word on pools."""

    def watch(self, pool: str) -> AsyncGenerator[Room, None]:
        """Room of a pool at once, after changes, and once a second. Raises PlatformError when the router is away."""
        ...


class Hooks(Protocol):
    """Calls webhooks."""

    async def deliver(self, url: str, secret: str, body: bytes, *, delivery: str) -> int:
        """POSTs a signed body; the HTTP status, 0 when it came to none (refused address, time-out, TLS).

        `delivery` is the same on every attempt. Never follows a redirect, never calls a private address. Never raises.
        """
        ...
