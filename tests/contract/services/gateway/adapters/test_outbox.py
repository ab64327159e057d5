"""The outbox in memory and the one in Valkey keep the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from libs.testing.clock import FakeClock
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.layout import TENANTS
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.domain.ledger.types import OutboxEntry, UsageMeta
from services.gateway.ports import Outbox
from tests.unit.services.gateway.usecases.outbox_world import MemoryOutbox

META = UsageMeta("key", "", "", "m", "", "", {}, 1, 1, 1)


class Filled:
    """An outbox and a way to fill it as the ledger's functions do."""

    def __init__(self, store: ValkeyProcess | None) -> None:
        self._store = store

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Outbox]:
        if self._store is None:
            self._memory = MemoryOutbox(FakeClock())
            yield self._memory
            return
        self._valkey = Valkey(self._store.settings(op_timeout_ms=2_000))
        try:
            yield ValkeyOutbox(self._valkey)
        finally:
            await self._valkey.close()

    async def add(self, tenant: str, request_id: str, cost: int) -> None:
        if self._store is None:
            self._memory.add(tenant, request_id, cost=cost)
            return
        entry = ["settled", request_id, 1, 1_700_000_000_000_000, cost, 0, 0, 0, 0, 0, {"t": {}, "k:key": {}}]
        await self._valkey.command("ZADD", TENANTS, 0, tenant)
        fields = ("e", msgspec.msgpack.encode(entry), "m", msgspec.msgpack.encode(META))
        await self._valkey.command("XADD", f"hr:ledger:{{{tenant}}}:outbox", "*", *fields)


@pytest.fixture(params=["memory", "valkey"])
def filled(request: pytest.FixtureRequest) -> Iterator[Filled]:
    if request.param == "memory":
        yield Filled(None)
        return
    with ValkeyProcess() as store:
        yield Filled(store)


async def all_of(outbox: Outbox, tenant: str) -> list[OutboxEntry]:
    return list(await outbox.read(tenant, "", 1_000))


def test_entries_come_in_order_and_whole(filled: Filled) -> None:
    async def main() -> None:
        async with filled.open() as outbox:
            for number in range(5):
                await filled.add("acme", f"r{number}", number)
            await filled.add("other", "r", 1)
            assert {"acme", "other"} <= set(await outbox.tenants())
            entries = await all_of(outbox, "acme")
            assert [(entry.request_id, entry.cost, entry.sequence) for entry in entries] == [
                (f"r{number}", number, 1) for number in range(5)
            ]
            assert entries[0].meta == META
            assert entries[0].windows == {"t": {}, "k:key": {}}
            assert entries[0].kind == "settled"
            assert entries[0].at_us == 1_700_000_000_000_000
            assert await outbox.read("acme", entries[1].id, 2) == entries[2:4]
            assert list(await outbox.read("acme", entries[4].id, 2)) == []
            assert list(await outbox.read("nobody", "", 2)) == []

    run_real(main())


def test_the_cursor_moves_on_and_never_back_and_keeps_what_it_passed(filled: Filled) -> None:
    async def main() -> None:
        async with filled.open() as outbox:
            for number in range(5):
                await filled.add("acme", f"r{number}", number)
            entries = await all_of(outbox, "acme")
            assert await outbox.cursor("acme") == ""
            await outbox.advance("acme", entries[3].id, trim=False)
            await outbox.advance("acme", entries[1].id, trim=False)
            assert await outbox.cursor("acme") == entries[3].id
            assert await outbox.cursor("other") == ""
            assert await all_of(outbox, "acme") == entries

    run_real(main())


def test_trimming_drops_what_was_acknowledged_and_nothing_else(filled: Filled) -> None:
    async def main() -> None:
        async with filled.open() as outbox:
            for number in range(5):
                await filled.add("acme", f"r{number}", number)
            entries = await all_of(outbox, "acme")
            await outbox.advance("acme", entries[2].id, trim=True)
            assert await all_of(outbox, "acme") == entries[3:]
            await outbox.advance("acme", entries[4].id, trim=True)
            assert await all_of(outbox, "acme") == []
            assert await outbox.cursor("acme") == entries[4].id
            await filled.add("acme", "later", 9)
            assert [entry.request_id for entry in await outbox.read("acme", entries[4].id, 9)] == ["later"]

    run_real(main())


def test_a_lease_has_one_holder_per_tenant(filled: Filled) -> None:
    async def main() -> None:
        async with filled.open() as outbox:
            await filled.add("acme", "r", 1)
            assert await outbox.lease("acme", "one", 600.0)
            assert not await outbox.lease("acme", "two", 600.0)
            assert await outbox.lease("acme", "one", 600.0)
            assert await outbox.lease("other", "two", 600.0)

    run_real(main())
