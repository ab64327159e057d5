"""Whatever the changes, in whatever order: the store in Valkey does what the one in memory does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.errors import PlatformError
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.domain.accounts.records import Key, Kind, Tenant, User
from tests.contract.services.gateway.adapters.account_records import change_of, fresh

EXAMPLES = 100
STEPS_MAX = 40


@dataclass(frozen=True)
class Step:
    """What is done to one of a few records. `stale`: with a `before` that is not what is stored."""

    verb: str
    what: str
    tenant: int
    number: int
    user: bool
    stale: bool


steps = st.lists(
    st.builds(
        Step,
        verb=st.sampled_from(["make", "make", "rename", "rotate", "drop"]),
        what=st.sampled_from(["tenant", "user", "key", "key"]),
        tenant=st.integers(0, 1),
        number=st.integers(0, 2),
        user=st.booleans(),
        stale=st.sampled_from([False, False, False, True]),
    ),
    min_size=10,
    max_size=STEPS_MAX,
)
BEGINNING = [
    Step("make", what, tenant, number=0, user=False, stale=False) for what in ("tenant", "user") for tenant in (0, 1)
]


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


class Pair:
    """The two stores, and what has been tried in them."""

    def __init__(self, valkey):
        self.prefix = fresh("m")
        self.stores = MemoryAccounts(), ValkeyAccounts(valkey)
        self.hmacs, self.places, self.versions = set(), set(), []

    async def take(self, step, number):
        record = self._blank(step, number)
        kind = {Tenant: Kind.TENANT, User: Kind.USER, Key: Kind.KEY}[type(record)]
        tenant = record.id if kind is Kind.TENANT else record.tenant
        self.places.add((kind, tenant, record.id))
        stored = await self.stores[0].get(kind, tenant, record.id)
        before = msgspec.structs.replace(stored or record, name="stale") if step.stale else stored
        after = self._after(step, record, before, number)
        if before is None and after is None:
            return
        outcomes = [await _outcome(store, change_of(record, before, after)) for store in self.stores]
        assert outcomes[0] == outcomes[1]

    def _blank(self, step, number):
        tenant = f"{self.prefix}-{step.tenant}"
        if step.what == "tenant":
            return Tenant(id=tenant)
        if step.what == "user":
            return User(tenant=tenant, id=f"u{step.number}")
        hmac = f"{self.prefix}-hmac-{number}"
        self.hmacs.add(hmac)
        return Key(tenant=tenant, id=f"k{step.number}", hmac=hmac, user=f"u{step.number}" if step.user else "")

    def _after(self, step, record, before, number):
        if step.verb == "make" or before is None:
            return record if step.verb != "drop" else None
        if step.verb == "rotate" and isinstance(before, Key):
            return msgspec.structs.replace(before, hmac=record.hmac, previous_hmac=before.hmac)
        return None if step.verb == "drop" else msgspec.structs.replace(before, name=f"n{number}")

    async def empty(self):
        """What is left can be deleted, keys first, in both."""
        for kind in (Kind.KEY, Kind.USER, Kind.TENANT):
            for place in sorted(place for place in self.places if place[0] is kind):
                stored = await self.stores[0].get(*place)
                if stored is not None:
                    assert [await _outcome(store, change_of(stored, stored, None)) for store in self.stores] == [
                        "ok"
                    ] * 2

    async def compare(self):
        tenants = {tenant for _, tenant, _ in self.places}
        told = []
        for store in self.stores:
            records = [await store.get(*place) for place in sorted(self.places)]
            found = [await store.find_key(hmac) for hmac in sorted(self.hmacs)]
            lists = [list(await store.list(k, t)) for t in sorted(tenants) for k in (Kind.USER, Kind.KEY)]
            every = await store.list(Kind.TENANT, "", after=self.prefix, limit=2)
            audits = [[(e.kind, e.record, e.before, e.after) for e in await store.read(t)] for t in sorted(tenants)]
            told.append((records, found, lists, [t for t in every if t.id.startswith(self.prefix)], audits))
        assert told[0] == told[1]


async def _outcome(store, change):
    version = await store.version()
    try:
        await store.change(change)
    except PlatformError as problem:
        return problem.reason, problem.param, problem.message
    assert await store.version() > version
    return "ok"


def test_the_two_stores_never_differ(server):
    done = []

    @settings(max_examples=EXAMPLES)
    @given(steps)
    def play(taken):
        async def main():
            valkey = Valkey(server.settings(op_timeout_ms=5000))
            pair = Pair(valkey)
            for number, step in enumerate(BEGINNING + taken):
                await pair.take(step, number)
            await pair.compare()
            await pair.empty()
            await pair.compare()
            await valkey.close()
            done.extend(type(change.after).__name__ for change in pair.stores[0].changes)

        asyncio.run(main())

    play()
    assert {"Tenant", "User", "Key", "NoneType"} <= set(done)
